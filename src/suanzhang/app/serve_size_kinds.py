"""Sizing over several kinds of chip: one pool or two, every layout and format, confirmed by simulation."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from suanzhang.app.header import header
from suanzhang.app.own_profile import check_profile
from suanzhang.app.serve_estimate import estimate_serve
from suanzhang.app.serve_improve_judge import Deployed, Judge, chip_words
from suanzhang.app.serve_size import precisions, serve_layouts, size_service
from suanzhang.app.serve_size_split import Role, decode_role, prefill_role
from suanzhang.app.serve_size_way import Prepared, prepare
from suanzhang.app.serve_spread import around, spread_refusal
from suanzhang.app.serve_verb import DEFAULT_STACK
from suanzhang.app.serve_verb_answer import rent_per_chip_h
from suanzhang.app.serve_verb_lengths import hold_context, spec_of_lengths
from suanzhang.app.serve_weak import weak_ways
from suanzhang.app.spread import factors_by_metric, grade_of, inverse
from suanzhang.catalog.chips import chip as find_chip
from suanzhang.catalog.models import model as find_model
from suanzhang.catalog.stacks import serve_stack
from suanzhang.errors import Infeasible, InputError, OutOfDomain, PlannerError
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.job import LoadSpec, ServiceSpec, SloSpec
from suanzhang.spec.serve import ClosedLoop, Refusal, ServeEstimate
from suanzhang.spec.serve_kinds import FrontPoint, KindOption, KindsResult
from suanzhang.spec.serve_way import Way
from suanzhang.spec.stack import ServeStack

TOGETHER = 3
"""Layouts of each kind that the simulation judges with prompts and answers together."""
APART = 2
"""The same of each pool where they are apart."""
PAIRS = 4
"""Pairs of pools that are confirmed by one run of both, beside the best of each kind alone."""
BUDGETS = (2048, 8192, 16384)
NEAR = 0.8
"""Ways whose rough rate reaches this share of the best at the same speed are estimated for the front."""
CONCURRENCIES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


@dataclass(frozen=True, slots=True)
class _Pool:
    """A way with bounds on what it can carry, by formulas: the simulation never gives more."""

    ready: Prepared
    prompts_per_s: float
    answers_per_s: float

    @property
    def way(self) -> Way:
        return self.ready.way

    @property
    def prompts_per_chip(self) -> float:
        return self.prompts_per_s / self.way.layout.chips

    @property
    def answers_per_chip(self) -> float:
        return self.answers_per_s / self.way.layout.chips


def bounds(ready: Prepared, service: ServiceSpec) -> tuple[float, float]:
    """Most prompts and most answers per second of a replica that does nothing else.

    Prompts: the best of all iteration sizes, one prompt at least within its target. Answers: the largest batch whose
    iteration is within the target per token and whose contexts fit the cache.
    """
    isl, osl = service.input_tokens.mean, service.output_tokens.mean
    table, slo = ready.table, service.slo
    tokens = np.asarray(table.mixed_tokens)
    fine = tokens <= max(ready.settings.max_batched_tokens, isl)
    prompts = float(np.max((tokens / table.mixed_base_s)[fine])) / isl
    first = float(np.interp(isl, tokens, table.mixed_base_s)) + table.prefill_pair_s * 0.5 * isl * isl
    limit = min((value for value in (slo.ttft_p99_s, slo.ttft_p50_s) if value is not None), default=np.inf)
    if first + ready.front_s + ready.pipe_s[0] > limit:
        prompts = 0.0
    context = isl + 0.5 * osl
    most = min(table.max_seqs, int(ready.estimate.memory.kv_tokens // context)) if ready.estimate.memory.kv_tokens else 0
    if most < 1:
        return prompts, 0.0
    batch = np.arange(1, most + 1)
    step = table.decode_base_s[1 : most + 1] + table.decode_context_s[1 : most + 1] * batch * context
    pace = min((value for value in (slo.tpot_p99_s, slo.tpot_p50_s) if value is not None), default=np.inf)
    rates = np.where(step <= pace, batch / (step * max(osl, 1.0)), 0.0)
    return prompts, float(rates.max())


def router_for(service: ServiceSpec) -> str:
    """The router that keeps the latencies of a service low.

    Answers of equal length that began together end together; a router by load then sends the next ones all to the replica that
    has just emptied, and these waves keep themselves going for a whole day. Dealing in turn breaks them up.
    """
    return "round-robin" if service.output_tokens.kind == "fixed" else "least-loaded"


def _pools(service: ServiceSpec, chip: ChipSpec, stack: ServeStack) -> list[_Pool]:
    """Every layout and format of a kind with its bounds."""
    found = []
    for layout in serve_layouts(service.model, chip):
        for weight, cache in precisions(service, chip):
            way = Way(service.model, chip, stack, layout, weight, cache, router=router_for(service))
            try:
                ready = prepare(way, service.input_tokens, service.output_tokens)
            except PlannerError:
                continue
            found.append(_Pool(ready, *bounds(ready, service)))
    return found


def _together(judge: Judge, chip: ChipSpec, stack: ServeStack) -> tuple[Deployed | None, Refusal | None, int]:
    """The best of a kind with prompts and answers on the same replicas, over layouts, formats and token budgets."""
    sized = size_service(judge.service, chip, stack)
    if isinstance(sized, Refusal):
        return None, sized, sized.layouts_evaluated
    options = [(sized.layout, sized.weight_dtype), *((layout, dtype) for layout, dtype, _ in sized.alternatives)]
    caches = dict(precisions(judge.service, chip))
    best: Deployed | None = None
    reasons = []
    for layout, dtype in options[:TOGETHER]:
        way = Way(judge.service.model, chip, stack, layout, dtype, caches[dtype], router=router_for(judge.service))
        found = judge.deploy(way)
        if isinstance(found, str):
            reasons.append(found)
        elif best is None or found.cost < best.cost:
            best = found
    if best is None:
        reason = f"{chip.name}: by formulas within the targets, by simulation {reasons[0]}"
        return None, Refusal(judge.service.name, chip.id, reason, ("simulation",)), sized.layouts_evaluated
    for budget in BUDGETS:
        other = judge.deploy(replace(best.way, max_batched_tokens=budget))
        if isinstance(other, Deployed) and other.cost < best.cost:
            best = other
    return best, None, sized.layouts_evaluated


def _roles(judge: Judge, pools: list[_Pool]) -> tuple[list[Role], list[Role]]:
    """Prefill and decode roles of one kind: the few with the best bounds, as simulated."""
    slo = judge.service.slo
    prompts = sorted((pool for pool in pools if pool.prompts_per_s > 0.0), key=lambda pool: -pool.prompts_per_chip)
    answers = sorted((pool for pool in pools if pool.answers_per_s > 0.0), key=lambda pool: -pool.answers_per_chip)
    first = [prefill_role(pool.way, judge.demand, slo) for pool in prompts[:APART]]
    second = [decode_role(pool.way, judge.demand, slo) for pool in answers[:APART]]
    return [role for role in first if role.requests_per_s > 0.0], [role for role in second if role.requests_per_s > 0.0]


def _apart(judge: Judge, chips: list[ChipSpec], pools: dict[str, list[_Pool]]) -> list[Deployed]:
    """Pairs of pools, of one kind or two: the best of each kind alone and the best of all pairs."""
    first, second = [], []
    for chip in chips:
        prompts, answers = _roles(judge, pools[chip.id])
        first += prompts
        second += answers

    def price(pair: tuple[Role, Role]) -> float:
        return sum(judge.hourly(role.way.chip.id) / role.per_chip for role in pair)

    pairs = sorted(((a, b) for a in first for b in second), key=price)
    chosen = pairs[:PAIRS]
    for chip in chips:
        own = [pair for pair in pairs if pair[0].way.chip.id == pair[1].way.chip.id == chip.id]
        chosen += [pair for pair in own[:1] if pair not in chosen]
    found = [judge.pair(*pair) for pair in chosen]
    return [item for item in found if isinstance(item, Deployed)]


def front_of(service: ServiceSpec, pools: list[_Pool]) -> list[FrontPoint]:
    """Tokens per second and chip against tokens per second and user over layouts, formats and concurrencies of one kind.

    Iteration times point out the ways that may lie on the front; those are then estimated like any other answer.
    """
    isl, osl = service.input_tokens.mean, service.output_tokens.mean
    rough = [(*_pace(pool, users, service), pool, users) for pool in pools for users in CONCURRENCIES]
    rough.sort(key=lambda item: (-item[0], -item[1]))
    points, best = [], 0.0
    for _, rate, pool, users in rough:
        if rate <= NEAR * best:
            continue
        best, way = max(best, rate), pool.way
        try:
            found = estimate_serve(
                way.model, way.chip, way.layout, way.stack, way.weight_dtype, way.kv_dtype, ClosedLoop(users, isl, osl)
            )  # fmt: skip
        except PlannerError:
            continue
        points.append(_point(way, found, ClosedLoop(users, isl, osl)))
    points.sort(key=lambda point: (-point.tokens_per_s_per_user, -point.tokens_per_s_per_chip))
    kept: list[FrontPoint] = []
    for point in points:
        if not kept or point.tokens_per_s_per_chip > kept[-1].tokens_per_s_per_chip:
            kept.append(point)
    if not kept:
        return []
    knee = max(kept, key=lambda point: point.tokens_per_s_per_user * point.tokens_per_s_per_chip)
    return [replace(point, knee=point is knee) for point in kept]


def _point(way: Way, found: ServeEstimate, work: ClosedLoop) -> FrontPoint:
    pace, rate = 1.0 / found.tpot_s.mean, found.output_tokens_per_s_per_chip
    names = ("tpot_s", "output_tokens_per_s")
    off = factors_by_metric(found, work, way.model, way.chip, names, grade_of(found, way.chip))
    return FrontPoint(
        way.chip.id, pace, rate, int(work.concurrency), chip_words(way), False, around(pace, inverse(off[names[0]])),
        around(rate, off[names[1]]),
    )  # fmt: skip


def _pace(pool: _Pool, users: int, service: ServiceSpec) -> tuple[float, float]:
    """Tokens per second of a user and of a chip at a batch, from iteration times alone."""
    isl, osl = service.input_tokens.mean, service.output_tokens.mean
    table = pool.ready.table
    batch = min(users, int(max(pool.ready.estimate.batch_limit, 1.0)), table.max_seqs)
    decode = float(table.decode_base_s[batch] + table.decode_context_s[batch] * batch * (isl + 0.5 * osl))
    prompt = float(np.interp(isl, table.mixed_tokens, table.mixed_base_s)) / osl
    step = decode + batch * prompt
    return 1.0 / step, batch / step / pool.way.layout.chips


def serve_kinds(
    model: str,
    chips: str,
    *,
    isl: float,
    osl: float,
    rate: float,
    isl_p95: float | None = None,
    osl_p95: float | None = None,
    ttft_p99_s: float | None = None,
    tpot_p99_s: float | None = None,
    peak_to_mean: float = 1.0,
    weight_dtype: str = "",
    kv_dtype: str = "",
    lossy: bool = False,
    stack: str = "",
    seed: int = 0,
) -> KindsResult:
    """The cheapest chips for a service out of several kinds, with prompts and answers together or apart.

    Args:
        model: catalog id or alias.
        chips: kinds, separated by commas.
        isl, osl, isl_p95, osl_p95: lengths, as in :func:`suanzhang.serve`.
        rate: mean requests per second.
        ttft_p99_s, tpot_p99_s: latency targets.
        peak_to_mean: peak of the day over its mean.
        weight_dtype, kv_dtype: formats; 16 bit when left out.
        lossy: whether 8-bit and 4-bit formats may be chosen too.
        stack: generation of the engine.
        seed: of the simulated requests.

    Raises:
        InputError: a name or number cannot be used.
        Infeasible: no kind meets the targets; says why each cannot.
    """
    started = time.perf_counter()
    kinds = list({spec.id: spec for spec in (find_chip(name.strip()) for name in chips.split(",") if name.strip())}.values())
    if not kinds:
        raise InputError("chips: none named", fix="give one or more, such as h100-sxm-80,l40s")
    if not rate > 0.0:
        raise InputError(f"rate: {rate:g} is not positive", fix="give requests per second")
    engine = serve_stack(stack or DEFAULT_STACK)
    check_profile(engine.profile, *kinds)
    lengths = spec_of_lengths(isl, osl, isl_p95, osl_p95)
    shape = find_model(model)
    hold_context(shape, *lengths)
    service = ServiceSpec(
        "service", shape, rate, *lengths, LoadSpec("flat" if peak_to_mean == 1.0 else "diurnal", peak_to_mean),
        SloSpec(ttft_p99_s=ttft_p99_s, tpot_p99_s=tpot_p99_s), weight_dtype=weight_dtype, kv_dtype=kv_dtype,
        lossy_precision=lossy and not weight_dtype,
    )  # fmt: skip
    judge, by_money = _judge(service, kinds, seed)
    made: list[Deployed] = []
    refused: list[Refusal] = []
    pools: dict[str, list[_Pool]] = {}
    tried = 0
    for kind in kinds:
        try:
            found, refusal, count = _together(judge, kind, engine)
            pools[kind.id] = _pools(service, kind, engine)
        except (OutOfDomain, InputError) as error:
            found, refusal, count = None, Refusal(service.name, kind.id, str(error.message), ("arithmetic",)), 0
            pools[kind.id] = []
        tried += count + len(pools[kind.id])
        if found is not None:
            made.append(found)
        if refusal is not None:
            refused.append(refusal)
    made += _apart(judge, kinds, pools)
    options = [_option(item, judge) for item in made]
    if not options:
        raise Infeasible(
            f"no kind of chip meets the targets of {service.model.name}",
            binding=[f"{item.chip}: {item.reason}" for item in refused], fix="relax the targets or name other chips",
        )  # fmt: skip
    options.sort(key=lambda item: (judge.cost(_counts(item)), item.chips))
    front = [point for kind in kinds for point in front_of(service, pools[kind.id])]
    quotes = {kind.id: price.price for kind in kinds if (price := rent_per_chip_h(kind)) is not None}
    weak = weak_ways((pool for item in made for pool in item.pools), service, quotes)
    told = tuple(spread_refusal(item, find_chip(item.chip)) for item in refused)
    return KindsResult(
        header=header(seed), model=service.model.id, engine=engine.id, requests_per_s=judge.peak, options=tuple(options),
        refused=told, front=tuple(front), ways_evaluated=tried, requests_simulated=judge.simulated,
        wall_s=time.perf_counter() - started, by_money=by_money, warnings=_warnings(by_money, service), weak_inputs=weak,
        sources=tuple(dict.fromkeys((service.model.source, engine.source, *(key for kind in kinds for key in kind.sources)))),
    )  # fmt: skip


def _judge(service: ServiceSpec, kinds: list[ChipSpec], seed: int) -> tuple[Judge, bool]:
    prices = {kind.id: rent_per_chip_h(kind) for kind in kinds}
    units = {price.price.unit.partition("/")[0] for price in prices.values() if price is not None}
    by_money = len(units) == 1 and all(price is not None for price in prices.values())
    rents = {name: price.price.value if by_money and price is not None else None for name, price in prices.items()}
    date = max((price.price.date for price in prices.values() if price is not None), default="")
    return Judge(service, rents, units.pop() if by_money else "", date, seed), by_money


def _warnings(by_money: bool, service: ServiceSpec) -> tuple[str, ...]:
    found = [] if by_money else ["not every kind has a rent in one currency: options are ranked by chips"]
    if router_for(service) == "round-robin":
        found.append(
            "all answers are equally long: dealt to the replicas in turn, as a router by load would send them in waves; give"
            " 95th percentiles of the lengths where they differ"
        )
    return tuple(found)


def _counts(item: KindOption) -> dict[str, int]:
    return {kind: int(count) for kind, _, count in (text.rpartition(":") for text in item.deployment.chips)}


def _option(found: Deployed, judge: Judge) -> KindOption:
    kinds = tuple(dict.fromkeys([*([found.prefill.chip.id] if found.prefill else []), found.way.chip.id]))
    made = judge.futures.spread(found)
    return KindOption(kinds, found.prefill is not None, found.chips, made, found.way.max_batched_tokens, made.chips_interval)
