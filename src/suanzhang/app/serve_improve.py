"""The verb ``improve``: each lever of a service simulated alone, and the best together, by the money that they save."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from suanzhang.app.explain_tree import WEAK, WEIGHS
from suanzhang.app.header import header
from suanzhang.app.plan_sizing import SizedAsk
from suanzhang.app.serve_futures import span, whole_span
from suanzhang.app.serve_improve_data import LeverFact, lever_facts, lever_sources, quoted, scores
from suanzhang.app.serve_improve_judge import Deployed, Judge, cheapest
from suanzhang.app.serve_improve_today import Today, today_of, way_of
from suanzhang.app.serve_size_split import Role, decode_role, prefill_role
from suanzhang.app.serve_weak import market_rents, weak_ways
from suanzhang.catalog.models import model as find_model
from suanzhang.errors import Infeasible, InputError, OutOfDomain
from suanzhang.money.procurement.calendar import month_name
from suanzhang.perf.serving.precision import compute_dtype
from suanzhang.spec.question import Question
from suanzhang.spec.result import Interval
from suanzhang.spec.serve_improve import ImproveResult, Lever, Step
from suanzhang.spec.serve_way import Draft, Prefix, Way
from suanzhang.spec.trust import Flag

Progress = Callable[[str], None]
Change = Callable[[Way], list[Way]]
LEAST_SAVING = 0.01
"""A lever joins the combination only when it saves at least this share of what is left."""
BUDGETS = (512, 1024, 2048, 4096, 8192, 16384)
_WEIGHTS = ("fp8", "int8", "int4")
_OTHER_MODEL = ("smaller-model", "moe-model")


@dataclass(frozen=True, slots=True)
class _Facing:
    """What the levers may draw on.

    Args:
        judge: of every way.
        base: today's way.
        sized: the service on every chip of the market.
        draft: speculative decoding as published.
        prefix: share of prompts that repeats.
        last_month: of the question; an engine has a lever that was there by then.
    """

    judge: Judge
    base: Way
    sized: SizedAsk
    draft: Draft
    prefix: Prefix
    last_month: str


def improve(
    question: Question | str | Path,
    name: str = "",
    *,
    chip: str = "",
    prefix_share: float | None = None,
    acceptance: float | None = None,
    lossless: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> ImproveResult:
    """What each lever of a service saves at equal latency targets, alone and together with the others.

    Args:
        question: a question, or a file or text that holds one.
        name: which of its services; may be left out where there is one.
        chip: kind of chip of today; when left out, the one of the market that carries the service at the least rent.
        prefix_share: share of each prompt that a replica has computed before; that of the catalog when left out.
        acceptance: chance that a drafted token is accepted; that of the catalog when left out.
        lossless: only levers that leave the answers as they are join the combination.
        seed: of the simulated requests; that of the question when 0.
        progress: called with a line for each step.

    Raises:
        InputError: the question cannot be used, has no such service, or a share is no fraction.
        Infeasible: no chip meets the targets even before any lever.
    """
    started, tell = time.perf_counter(), progress or (lambda _: None)
    for what, value in (("prefix_share", prefix_share), ("acceptance", acceptance)):
        if value is not None and not 0.0 <= value < 1.0:
            raise InputError(f"{what}: {value:g} is no fraction below 1", fix="give for example 0.3")
    today = today_of(question, name, chip, seed, tell)
    facing, first = _facing(today, prefix_share, acceptance), today.first
    judge = facing.judge
    levers = []
    for lever, words, found in _each(facing, tell):
        levers.append(_judged(lever, words, found, first, facing))
    levers.sort(key=lambda item: (item.deployment is None, -item.saving_fraction))
    tell("combine the levers")
    names, steps, last = _combine(facing, levers, first, lossless)
    saving = 1.0 - last.cost / first.cost
    priced = first.deployment.rent_per_month is not None and last.deployment.rent_per_month is not None
    return ImproveResult(
        header=header(seed or today.asked.seed),
        service=today.ask.name,
        model=facing.base.model.id,
        chip=facing.base.chip.id,
        baseline=judge.futures.spread(first),
        levers=tuple(levers),
        combination=names,
        steps=steps,
        combined=judge.futures.spread(last),
        saving_fraction=saving,
        saving_per_month=judge.money(first.cost - last.cost) if priced else None,
        requests_simulated=judge.simulated,
        wall_s=time.perf_counter() - started,
        warnings=_warnings(facing, prefix_share, acceptance),
        sources=_sources(facing, levers),
        saving_fraction_interval=span(saving, judge.futures.saving(last, first)),
        saving_per_month_interval=_saved_span(last, first, judge) if priced else None,
        weak_inputs=_weak(today, facing, (first, last), steps),
    )


_OF_LEVER = {
    "prefix-cache": ("prefix", "share", "share of a prompt that repeats"),
    "speculative": ("draft", "acceptance", "share of drafted tokens that are accepted"),
}


def _weak(today: Today, facing: _Facing, deployed: tuple[Deployed, ...], steps: tuple[Step, ...]) -> tuple[Flag, ...]:
    """Weak figures behind the deployments, and behind what the levers of the combination save."""
    judge = facing.judge
    found = weak_ways((pool for item in deployed for pool in item.pools), judge.service, market_rents(today))
    flags = []
    used = {"prefix-cache": facing.prefix.share, "speculative": facing.draft.acceptance}
    for before, step in pairwise(steps):
        if step.name in _OF_LEVER:
            group, name, words = _OF_LEVER[step.name]
            quote, share = quoted(group, name), before.cost_fraction - step.cost_fraction
            if quote.grade in WEAK and share > WEIGHS and used[step.name] == quote.value:
                flags.append(Flag(words, quote.grade, share, "rent saved", quote.source))
    return tuple(sorted((*found, *flags), key=lambda flag: -flag.share))


def _saved_span(after: Deployed, before: Deployed, judge: Judge) -> Interval:
    """Our uncertainty about what one deployment costs less than another."""
    return span(before.cost - after.cost, judge.futures.cost(before) - judge.futures.cost(after))


def _facing(today: Today, prefix_share: float | None, acceptance: float | None) -> _Facing:
    share = quoted("prefix", "share").value if prefix_share is None else prefix_share
    accepted = quoted("draft", "acceptance").value if acceptance is None else acceptance
    draft = Draft(round(quoted("draft", "tokens").value), accepted)
    last = month_name(today.asked.start, today.asked.months - 1)
    return _Facing(today.judge, today.first.way, today.sized, draft, Prefix(share), last)


def _changes(facing: _Facing) -> dict[str, tuple[str, Change]]:
    """Levers that change a way of one pool: what they are called, and the ways that they offer."""
    judge = facing.judge

    def weights(dtype: str) -> Change:
        def change(way: Way) -> list[Way]:
            narrow = replace(way, weight_dtype=dtype)
            return [narrow, *(replace(narrow, layout=layout) for layout in judge.layouts(narrow) if layout != way.layout)]

        return change

    found: dict[str, tuple[str, Change]] = {}
    for dtype in _WEIGHTS:
        try:
            alone = compute_dtype(facing.base.chip, dtype)
        except OutOfDomain:
            alone = "none"
        how = f"weights in {dtype}, products in {alone}"
        found[dtype] = (how, weights(dtype))
    found["kv-fp8"] = ("cache in fp8", lambda way: [replace(way, kv_dtype="fp8")])
    share = facing.prefix.share
    found["prefix-cache"] = (f"{share:.0%} of each prompt found in the cache", lambda way: [replace(way, prefix=facing.prefix)])
    found["chunk-size"] = (
        "prompts in chunks beside the answers, best token budget",
        lambda way: [
            replace(way, stack=replace(way.stack, chunked_prefill=True, mixed_batches=True), max_batched_tokens=budget)
            for budget in BUDGETS
        ],
    )
    draft = facing.draft
    found["speculative"] = (
        f"drafts of up to {draft.tokens} tokens, {draft.acceptance:.0%} accepted",
        lambda way: [replace(way, draft=replace(draft, tokens=k)) for k in range(1, draft.tokens + 1)],
    )
    found["layout"] = (
        "best layout by simulation", lambda way: [replace(way, layout=layout) for layout in judge.layouts(way)]
    )  # fmt: skip
    found["router"] = (
        "to the least loaded replica",
        lambda way: [replace(way, router=router) for router in ("least-loaded", "power-of-two")],
    )
    return found


def _each(facing: _Facing, tell: Progress) -> list[tuple[str, str, Deployed | str]]:
    """Every lever alone."""
    judge, base, rows = facing.judge, facing.base, []
    for name, (words, change) in _changes(facing).items():
        tell(f"simulate {name}")
        rows.append((name, words, cheapest([judge.deploy(way) for way in change(base)])))
    tell("simulate other chips")
    others = [option for option in facing.sized.options if option.chip != base.chip.id]
    others.sort(key=lambda option: option.chips * judge.hourly(option.chip))
    rows.append(("chip", "another kind of chip", cheapest([judge.deploy(way_of(facing.sized, item)) for item in others[:4]])))
    tell("simulate prefill and decode apart")
    rows.append(("disaggregation", "prompts and answers on replicas of their own", _split(judge, [base], [base])))
    mixed = [base, *(way_of(facing.sized, item) for item in others[:3])]
    rows.append(("chip-mix", "prompts and answers on different kinds of chip", _split(judge, mixed, mixed, mixed_only=True)))
    for name in _OTHER_MODEL:
        tell(f"simulate a {name}")
        rows.append(_other_model(facing, name))
    return rows


def _split(judge: Judge, prefills: list[Way], decodes: list[Way], *, mixed_only: bool = False) -> Deployed | str:
    """The cheapest pair of pools out of some ways, each tried in its best layouts."""
    first = _roles(judge, prefills, prefill_role)
    second = _roles(judge, decodes, decode_role)
    pairs = [
        (a, b) for a in first for b in second
        if a.requests_per_s > 0.0 and b.requests_per_s > 0.0 and (a.way.chip.id != b.way.chip.id or not mixed_only)
    ]  # fmt: skip
    if not pairs:
        return "no pair of pools meets the targets"

    def per_request(role: Role) -> float:
        return judge.hourly(role.way.chip.id) / role.per_chip

    pairs.sort(key=lambda pair: per_request(pair[0]) + per_request(pair[1]))
    return cheapest([judge.pair(*pair) for pair in pairs[:2]])


def _roles(judge: Judge, ways: list[Way], role: Callable[..., Role]) -> list[Role]:
    found = []
    for way in ways:
        for layout in (judge.layouts(way) or (way.layout,))[:3]:
            try:
                found.append(role(replace(way, layout=layout), judge.demand, judge.service.slo))
            except (Infeasible, OutOfDomain, InputError):
                continue
    return found


def _other_model(facing: _Facing, name: str) -> tuple[str, str, Deployed | str]:
    """A model with fewer active parameters: the cheapest that scores as well, else the one that scores best."""
    base, known = facing.base.model, scores()
    kind = "mixture of experts" if name == "moe-model" else "dense model"
    if base.id not in known:
        return name, f"a smaller {kind}", f"no published score of {base.name} to set a smaller model beside"
    own = known[base.id].quoted.value
    able = []
    for score in known.values():
        other = find_model(score.model)
        fits = (other.moe is not None) == (name == "moe-model") and other.active_params < 0.9 * base.active_params
        if fits and score.released <= facing.last_month:
            able.append((score, other))
    if not able:
        return name, f"a smaller {kind}", f"none with a published score came out by {facing.last_month}"
    good = [item for item in able if item[0].quoted.value >= own] or [max(able, key=lambda item: item[0].quoted.value)]
    best: tuple[str, Deployed | str] = ("", f"no {kind} meets the targets")
    for score, other in good:
        for weights in dict.fromkeys((score.weights or facing.base.weight_dtype, facing.base.weight_dtype)):
            way = replace(facing.base, model=other, weight_dtype=weights)
            found = cheapest([facing.judge.deploy(replace(way, layout=layout)) for layout in facing.judge.layouts(way)[:2]])
            form = f" in {weights}, as it is published" if weights == score.weights else ""
            words = f"{other.name}{form}: {score.quoted.value:g} % on MMLU against {own:g} % of {base.name}"
            if isinstance(found, Deployed) and (not isinstance(best[1], Deployed) or found.cost < best[1].cost):
                best = (words, found)
    return name, best[0] or f"a smaller {kind}", best[1]


def _judged(name: str, words: str, found: Deployed | str, first: Deployed, facing: _Facing) -> Lever:
    fact = lever_facts().get(_fact_name(name), LeverFact("", "", "planner", "assumed"))
    since = fact.since
    if isinstance(found, str):
        return Lever(name, words, 0.0, None, None, fact.quality, fact.source, fact.grade, since, False, found)
    saving = 1.0 - found.cost / first.cost
    priced = found.deployment.rent_per_month is not None and first.deployment.rent_per_month is not None
    money = facing.judge.money(first.cost - found.cost) if priced else None
    there = since <= facing.last_month
    why = "" if there else f"engines have it since {since}, after the months asked about"
    quality, source, grade = fact.quality, fact.source, fact.grade
    if name in _OTHER_MODEL:
        score = scores()[found.way.model.id]
        quality, source, grade, since = words.partition(": ")[2], score.quoted.source, score.quoted.grade, score.released
        why = "another model answers: left to the user"
    judge = facing.judge
    return Lever(
        name, words, saving, money, judge.futures.spread(found), quality, source, grade, since, there, why,
        span(saving, judge.futures.saving(found, first)), _saved_span(found, first, judge) if priced else None,
    )  # fmt: skip


def _fact_name(name: str) -> str:
    return {"chip-mix": "disaggregation"}.get(name, name)


def _combine(
    facing: _Facing, levers: list[Lever], first: Deployed, lossless: bool
) -> tuple[tuple[str, ...], tuple[Step, ...], Deployed]:
    """Levers taken one after another, each time the one that saves most of what is left, until none does."""
    judge, changes, now = facing.judge, _changes(facing), first
    useful = {
        item.name: item for item in levers
        if item.deployment is not None and item.available and item.name not in _OTHER_MODEL
        and not (lossless and item.quality)
    }  # fmt: skip
    left = [name for name in changes if name in useful and useful[name].saving_fraction > -0.2]
    names: list[str] = []
    steps = [_step("today", first, first, first, judge)]
    while left:
        tried = {name: cheapest([judge.deploy(way) for way in changes[name][1](now.way)]) for name in left}
        able = {name: item for name, item in tried.items() if isinstance(item, Deployed)}
        if not able:
            break
        name = min(able, key=lambda key: able[key].cost)
        if able[name].cost > (1.0 - LEAST_SAVING) * now.cost:
            break
        steps.append(_step(name, able[name], now, first, judge))
        now = able[name]
        names.append(name)
        left = [other for other in left if other != name and not (name in _WEIGHTS and other in _WEIGHTS)]
    if "disaggregation" in useful:
        apart = _split(judge, [replace(now.way, draft=Draft())], [now.way])
        if isinstance(apart, Deployed) and apart.cost < (1.0 - LEAST_SAVING) * now.cost:
            steps.append(_step("disaggregation", apart, now, first, judge))
            now = apart
            names.append("disaggregation")
    return tuple(names), tuple(steps), now


def _step(name: str, after: Deployed, before: Deployed, first: Deployed, judge: Judge) -> Step:
    priced = after.deployment.rent_per_month is not None
    saving = judge.money(before.cost - after.cost) if priced else None
    futures = judge.futures
    return Step(
        name, saving, after.chips, after.cost / first.cost,
        _saved_span(after, before, judge) if priced else None, whole_span(after.chips, futures.chips(after)),
        span(after.cost / first.cost, 1.0 - futures.saving(after, first)),
    )  # fmt: skip


def _warnings(facing: _Facing, prefix_share: float | None, acceptance: float | None) -> tuple[str, ...]:
    found = []
    if prefix_share is None:
        found.append(
            f"{facing.prefix.share:.0%} of each prompt is taken to repeat [assumed]; measure it and give --prefix-share"
        )
    if acceptance is None:
        found.append(f"{facing.draft.acceptance:.0%} of drafted tokens are taken as accepted; give --acceptance for your model")
    if any(rent is None for kind, rent in facing.judge.rents.items() if kind == facing.base.chip.id):
        found.append(f"no rent of {facing.base.chip.id} is known: levers are ranked by chips")
    return tuple(found)


def _sources(facing: _Facing, levers: list[Lever]) -> tuple[str, ...]:
    keys = dict.fromkeys(item.quality_source for item in levers if item.quality_source)
    known = lever_sources()
    titles = [f"{key}: {known[key].title} ({known[key].date}) {known[key].url}".strip() for key in keys if key in known]
    return tuple(titles) + tuple(key for key in (facing.base.model.source, facing.base.stack.source) if key)
