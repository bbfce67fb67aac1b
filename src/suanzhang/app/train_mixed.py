"""The verb ``train`` over pools of unlike chips in one job: layers or the batch split in proportion, or pools kept apart."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from itertools import combinations
from pathlib import Path

from suanzhang.app.header import header
from suanzhang.app.physics import physics
from suanzhang.app.train_asked import routing_note, with_overlap, with_routing
from suanzhang.app.train_deadline import chance_below
from suanzhang.app.train_fits import FIT_CONFIDENCE, Riskier, check_confidence, needed_factor, sure_words
from suanzhang.app.train_input import batch_words, optimizer_of, sizes_of, tokens_of, usable_bytes
from suanzhang.app.train_mixed_costs import CostCache, Links, PoolArgs
from suanzhang.app.train_mixed_data import BatchSplit, Curve, across_s, best_batch_split
from suanzhang.app.train_mixed_groups import NO_GAIN, Groups, GroupSearch, partitions
from suanzhang.app.train_mixed_input import common_precision, parse_pools
from suanzhang.app.train_mixed_pipeline import Means, Pipeline, best_pipeline
from suanzhang.app.train_mixed_spread import Spread, comparison, pool_errors, spread
from suanzhang.app.train_model import Packed, describe, estimate_packed, estimate_train, pack
from suanzhang.app.train_option import option_of, search, software_note, stack_for
from suanzhang.app.train_spread import Errors, interval_factors, memory_factors
from suanzhang.app.train_weak import Given, weak_options
from suanzhang.errors import Infeasible, InputError
from suanzhang.perf.energy import chip_power_w, host_power_w
from suanzhang.perf.goodput import LLAMA3_FAILURES_PER_CHIP_DAY, RESTART_S, checkpoint_s, goodput_fraction
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.job import TrainJob
from suanzhang.spec.model import ModelSpec
from suanzhang.spec.result import Interval, Term
from suanzhang.spec.stack import TrainStack
from suanzhang.spec.train_mixed import MixedOption, MixedResult, PoolShare, Way
from suanzhang.spec.trust import Flag
from suanzhang.units import DAY_S, GIGA, format_count

BETWEEN_BYTES_PER_S = 50e9
"""Link between two zones when none is given: 400 Gbit/s in each direction, as one long-distance wave carries today."""
BETWEEN_S = 1e-3
"""Time of an empty message between two zones when none is given: about a hundred kilometres of fibre and two routers."""
_SLACK = 1.0001
"""By how much more a pool's memory is kept free, so that rounding does not count as a risk."""


def train_mixed(
    model: str | Path | ModelSpec,
    tokens: float | str,
    chips: str,
    *,
    between_bytes_per_s: float = BETWEEN_BYTES_PER_S,
    between_s: float = BETWEEN_S,
    global_batch: int = 0,
    seq_len: int = 0,
    precision: str = "",
    stack: str = "",
    optimizer: str = "adam",
    start: str = "",
    overlap: str = "",
    routing: str = "",
    fit_confidence: float = FIT_CONFIDENCE,
    seed: int = 0,
) -> MixedResult:
    """Plan one training over pools of unlike chips, and compare it with keeping the pools apart.

    Args:
        model: catalog id, alias, path of a ``config.json``, or a shape.
        tokens: tokens to train on.
        chips: ``"CHIP:N+CHIP:N"``; ``@ZONE`` after a count puts pools of the same zone onto one network.
        between_bytes_per_s: rate of the link between zones, one direction, shared by all.
        between_s: time of an empty message between zones.
        global_batch, seq_len, precision, stack, optimizer, start, overlap, routing, fit_confidence, seed: as in ``train``.

    Raises:
        InputError: something given cannot be used.
        Infeasible: neither one pool nor any mix of them holds the job.
    """
    from suanzhang.catalog.chips import chip as chip_of
    from suanzhang.catalog.models import model as model_of

    if between_bytes_per_s <= 0.0 or between_s < 0.0:
        raise InputError("between: the link needs a rate above zero", fix="write for example 50 GB/s and 1 ms")
    optimizer, confidence = optimizer_of(optimizer), check_confidence(fit_confidence)
    asked = parse_pools(chips)
    kinds = [chip_of(name) for name, _, _ in asked]
    spec = model if isinstance(model, ModelSpec) else model_of(str(model))
    fleet = [(kind, count) for kind, (_, count, _) in zip(kinds, asked, strict=True)]
    seq, batch = sizes_of(spec, seq_len, global_batch, fleet, together=True)
    amount = tokens_of(tokens, seq * batch)
    format_, notes = common_precision(kinds, precision)
    job = with_routing(TrainJob(spec.id, spec, amount, seq, batch, format_, optimizer, start=start), routing)
    software = with_overlap(stack_for(job, stack, kinds[0]), overlap)
    notes += () if global_batch else (batch_words(spec, seq, batch),)
    notes += () if stack else (software_note(software, start, kinds[0]),)
    notes += routing_note(job)
    question = job, software, kinds, asked, Links(between_bytes_per_s, between_s)
    search = _Search(*question)
    if any(one.option.fits_fraction < confidence for one in search.ways):
        search = _Search(*question, confidence, search)
    return search.result(notes, seed, Given(bool(global_batch), bool(seq_len)))


def _key(pools: tuple[PoolArgs, ...]) -> tuple[tuple[int, int], ...]:
    return tuple((pool.index, pool.chips) for pool in pools)


class _Search:
    """One question, all ways to answer it.

    Model:
        Where a way that just fits is not sure enough, all is searched again with the memory of each pool smaller by what its
        prediction may be off; the ways that fit less surely are then left out, unless there are no others.

    Args:
        job, stack, kinds, asked, links: the question.
        confidence: share of the cases of the interval of its memory in which each pool must fit; 0 for predicted memory.
        before: the search by predicted memory.
    """

    def __init__(
        self, job: TrainJob, stack: TrainStack, kinds: list[ChipSpec], asked: tuple[tuple[str, int, str], ...], links: Links,
        confidence: float = 0.0, before: _Search | None = None,
    ) -> None:  # fmt: skip
        self.job, self.stack, self.kinds, self.links = job, stack, kinds, links
        self.means = Means(stack.sequence_parallel, "pp" in stack.asked_overlap)
        self.pruned: Counter[str] = Counter()
        self.evaluated = 0
        self.cache: CostCache = before.cache if before else {}
        self.confidence, self.before = confidence, before
        self.speeds: dict[tuple[tuple[int, int], ...], float] = {}
        self.halves: dict[tuple[int, int], Curve] = {}
        start = time.perf_counter()
        self.memory = [self._memory(index, count) for index, (_, count, _) in enumerate(asked)]
        self.pools = tuple(PoolArgs(index, count, zone, self._pack(index, job)) for index, (_, count, zone) in enumerate(asked))
        self.curves = tuple(
            Curve(pool, job, stack, lambda other, index=pool.index: self._pack(index, other), self.pruned)  # type: ignore[misc]
            for pool in self.pools
        )
        self._errors = {pool.index: self._pool_errors(pool) for pool in self.pools}
        self.alone = [option for pool in self.pools if (option := self._alone(pool)) is not None]
        self.mixed: list[Spread] = []
        for size in range(2, len(self.pools) + 1):
            for subset in combinations(self.pools, size):
                self._mix(subset)
        self._side_by_side()
        self.evaluated += sum(curve.evaluated for curve in self.curves)
        self.seconds = time.perf_counter() - start
        if before is not None:
            self._keep_sure(before)

    @property
    def ways(self) -> list[Spread]:
        """All ways, the fastest first."""
        return sorted([*self.mixed, *self.alone], key=lambda one: (one.option.step_s, one.option.chips, one.option.way))

    def _keep_sure(self, before: _Search) -> None:
        """Leave out ways that fit less surely than asked; all are kept where none fits surely enough."""
        self.evaluated, self.seconds = self.evaluated + before.evaluated, self.seconds + before.seconds
        alone, mixed = (
            [one for one in ways if one.option.fits_fraction >= self.confidence] for ways in (self.alone, self.mixed)
        )
        self.alone, self.mixed = (alone, mixed) if alone or mixed else (before.alone, before.mixed)

    def _memory(self, index: int, chips: int) -> Interval:
        """Measured over predicted memory of a pool."""
        found = interval_factors(self.kinds[index], self.job, self.stack, chips, None, "memory_bytes")
        return Interval(min(found.p05, 1.0), found.p50, max(found.p95, 1.0))

    def _pack(self, index: int, job: TrainJob) -> Packed:
        packed = pack(job, self.kinds[index], self.stack)
        if not self.confidence:
            return packed
        room = packed.run.hbm_bytes / (_SLACK * needed_factor(self.memory[index], self.confidence))
        return replace(packed, run=packed.run._replace(hbm_bytes=min(room, packed.run.hbm_bytes)))

    def _pool_errors(self, pool: PoolArgs) -> Errors:
        _, layout = self.curves[pool.index].at(self.job.global_batch)
        return pool_errors(self.job, self.kinds[pool.index], self.stack, pool.chips, layout)

    def _alone(self, pool: PoolArgs) -> Spread | None:
        """A pool by itself, as ``train`` plans it."""
        chip = self.kinds[pool.index]
        packed = pack(self.job, chip, self.stack)
        searched = search(packed, self.job, chip, self.stack, pool.chips, confidence=self.confidence)
        self.evaluated += searched.evaluated
        if not searched.layouts:
            return None
        step, layout = searched.step_s[0], searched.layouts[0]
        estimate = estimate_packed(packed, layout, chip)
        share = self._share(pool, int(self.job.model.layers), self.job.global_batch, layout, estimate.utilisation,
                            estimate.memory_bytes, layout.chips)  # fmt: skip
        factors = memory_factors(chip, self.job, self.stack, layout.chips, estimate)
        share = replace(share, memory_bytes_interval=factors.scaled(estimate.memory_bytes))
        return self._option("alone", (pool.index,), (share,), step, tuple((term.name, term.value) for term in estimate.terms))

    def _mix(self, pools: tuple[PoolArgs, ...]) -> None:
        pipeline, computed = best_pipeline(pools, self.links, self.means, self.pruned, self.cache)
        self.evaluated += computed
        self.speeds[_key(pools)] = self.job.global_batch / pipeline.step_s if pipeline else 0.0
        if pipeline is not None:
            self.mixed.append(self._of_pipeline(pipeline))
        split = best_batch_split(tuple(self.curves[p.index] for p in pools), pools, self.job.global_batch, self.links)
        if split is not None:
            self.mixed.append(self._of_split(pools, split))

    def _curve(self, pool: PoolArgs) -> Curve:
        if pool.chips == self.pools[pool.index].chips:
            return self.curves[pool.index]
        key = (pool.index, pool.chips)
        if key not in self.halves:
            self.halves[key] = Curve(pool, self.job, self.stack, lambda other: self._pack(pool.index, other), self.pruned)
        return self.halves[key]

    def _speed(self, group: tuple[PoolArgs, ...]) -> float:
        """Sequences a second of a group with the whole batch; of a pipeline over a part of a pool, in proportion to chips."""
        if len(group) == 1:
            return self.job.global_batch / self._curve(group[0]).at(self.job.global_batch)[0]
        whole = tuple(self.pools[pool.index] for pool in group)
        share = sum(pool.chips for pool in group) / sum(pool.chips for pool in whole)
        return self.speeds.get(_key(whole), 0.0) * share

    def _side_by_side(self) -> None:
        """The groups of pools that could be the fastest by the speeds of their parts; of all, at least the most promising."""
        batch = self.job.global_batch
        search = GroupSearch(
            batch, self.links, self.means,
            lambda index, share: self._pack(index, replace(self.job, global_batch=share)), self._curve, self.pruned, self.cache,
        )  # fmt: skip
        ranked: list[tuple[float, int, tuple[tuple[PoolArgs, ...], ...], list[float]]] = []
        for groups in partitions(self.pools):
            speeds = [self._speed(group) for group in groups]
            if min(speeds) > 0.0:
                ranked.append((batch / sum(speeds) + across_s(groups, self.links), len(ranked), groups, speeds))
        fastest = min((one.option.step_s for one in [*self.mixed, *self.alone]), default=float("inf"))
        for number, (bound, _, groups, speeds) in enumerate(sorted(ranked, key=lambda one: one[:2])):
            if number and bound >= fastest:
                self.pruned[NO_GAIN] += 1
                continue
            found = search.best(groups, speeds)
            if found is not None:
                self.mixed.append(self._of_groups(found))
                fastest = min(fastest, found.step_s)
        self.evaluated += search.evaluated + sum(curve.evaluated for curve in self.halves.values())

    def _of_groups(self, found: Groups) -> Spread:
        shares: list[PoolShare] = []
        slowest = max(found.parts, key=lambda part: part.step_s)
        terms: tuple[tuple[str, float], ...] = ()
        for part in found.parts:
            if part.pipeline is not None:
                own = part.pipeline
                shares += [
                    self._share(pool, layers, part.batch, layout, busy / found.step_s, memory, layout.chips)
                    for pool, layers, layout, busy, memory in zip(
                        own.order, own.layers, own.layouts, own.busy_s, own.memory_bytes, strict=True
                    )
                ]
                steps = own.terms
            else:
                pool = part.pools[0]
                packed = self._pack(pool.index, replace(self.job, global_batch=part.batch))
                estimate = estimate_packed(packed, part.layout, self.kinds[pool.index])  # type: ignore[arg-type]
                busy = estimate.utilisation * part.step_s / found.step_s
                shares.append(
                    self._share(pool, int(self.job.model.layers), part.batch, part.layout, busy, estimate.memory_bytes,
                                estimate.chips)
                )  # fmt: skip
                steps = tuple((term.name, term.value) for term in estimate.terms)
            if part is slowest:
                terms = steps
        pools = tuple(pool.index for part in found.parts for pool in part.pools)
        return self._option("groups", pools, tuple(shares), found.step_s, (*terms, ("between_pools_s", found.across_s)))

    def _of_pipeline(self, found: Pipeline) -> Spread:
        shares = tuple(
            self._share(pool, layers, self.job.global_batch, layout, busy / found.step_s, memory, layout.chips)
            for pool, layers, layout, busy, memory in zip(
                found.order, found.layers, found.layouts, found.busy_s, found.memory_bytes, strict=True
            )
        )
        return self._option("pipeline", tuple(pool.index for pool in found.order), shares, found.step_s, found.terms)

    def _of_split(self, pools: tuple[PoolArgs, ...], split: BatchSplit) -> Spread:
        shares, slowest = [], max(split.own_s)
        terms: tuple[tuple[str, float], ...] = ()
        for pool, batch, layout, own in zip(pools, split.shares, split.layouts, split.own_s, strict=True):
            packed = self._pack(pool.index, replace(self.job, global_batch=batch))
            estimate = estimate_packed(packed, layout, self.kinds[pool.index])
            busy = estimate.utilisation * own / split.step_s
            layers = int(self.job.model.layers)
            shares.append(self._share(pool, layers, batch, layout, busy, estimate.memory_bytes, layout.chips))
            if own == slowest and not terms:
                terms = tuple((term.name, term.value) for term in estimate.terms)
        return self._option(
            "data",
            tuple(pool.index for pool in pools),
            tuple(shares),
            split.step_s,
            (*terms, ("between_pools_s", split.across_s)),
        )

    def _share(
        self, pool: PoolArgs, layers: int, batch: int, layout: object, busy: float, memory: float, chips: int
    ) -> PoolShare:
        return PoolShare(
            self.kinds[pool.index].id, chips, pool.zone, layers, batch, layout, min(1.0, busy), memory,  # type: ignore[arg-type]
            memory_bytes_interval=self.memory[pool.index].scaled(memory),
        )  # fmt: skip

    def _option(
        self, way: Way, pools: tuple[int, ...], shares: tuple[PoolShare, ...], step: float, terms: tuple[tuple[str, float], ...]
    ) -> Spread:
        chips = sum(share.chips for share in shares)
        by_id = {kind.id: kind for kind in self.kinds}
        saved = checkpoint_s(self.job.model.params, float(chips))
        useful = goodput_fraction(float(chips), LLAMA3_FAILURES_PER_CHIP_DAY, saved, RESTART_S)
        steps = self.job.tokens / (self.job.seq_len * self.job.global_batch)
        days = steps * step / useful / DAY_S
        power = sum(_power_w(by_id[share.chip], share) for share in shares)
        option = MixedOption(
            way, shares, chips, step, Interval(step, step, step), days, Interval(days, days, days),
            self.job.seq_len * self.job.global_batch / step, power, tuple(Term(name, value, "s") for name, value in terms),
            fits_fraction=min(_chance(share, by_id[share.chip]) for share in shares),
        )  # fmt: skip
        return spread(option, [self._errors[index] for index in pools], self.job.model.params)

    def result(self, notes: tuple[str, ...], seed: int, given: Given) -> MixedResult:
        """All ways, the fastest first."""
        ways = self.ways
        options = [one.option for one in ways]
        if not options:
            raise Infeasible(
                f"{self.job.model.name} fits none of the pools, apart or together",
                binding=[f"{reason}: {format_count(count)} layouts" for reason, count in self.pruned.most_common(3)],
                fix="use more chips, or chips with more memory",
            )
        best = options[0]
        if best.fits_fraction < self.confidence:
            best = max(options, key=lambda option: option.fits_fraction)
        riskier = self.before.ways[0].option if self.before and self.before.ways[0].option.step_s < best.step_s else None
        alone = max((one.option.tokens_per_s for one in self.alone), default=0.0)
        apart = sum(one.option.tokens_per_s for one in self.alone)
        mixed = max((one.option.tokens_per_s for one in self.mixed), default=0.0)
        spans = comparison(self.alone, self.mixed, ways[options.index(best)])
        return MixedResult(
            header=header(seed),
            model=self.job.model.id,
            stack=self.stack.id,
            precision=self.job.precision,
            between_bytes_per_s=self.links.bytes_per_s,
            between_s=self.links.latency_s,
            best=best,
            options=tuple(options),
            gain_fraction=best.tokens_per_s / alone - 1.0 if alone else 0.0,
            apart_tokens_per_s=apart,
            mixing_loss_fraction=1.0 - mixed / apart if apart and mixed else 0.0,
            layouts_evaluated=self.evaluated,
            search_s=self.seconds,
            pruned=dict(self.pruned),
            warnings=(*notes, *self._idle(best), *self._notes(), *self._surely(best, riskier)),
            sources=(self.stack.source, self.job.model.source),
            gain_fraction_interval=spans["gain"] if alone else None,
            apart_tokens_per_s_interval=spans["apart"],
            mixing_loss_fraction_interval=spans["loss"],
            weak_inputs=self._weak(given),
            global_batch=self.job.global_batch,
            riskier=riskier,
        )

    def _weak(self, given: Given) -> tuple[Flag, ...]:
        """Weak figures behind the days of each pool that holds the job on its own."""
        by_id = {kind.id: kind for kind in self.kinds}
        runs = []
        for one in self.alone:
            share = one.option.pools[0]
            chip = by_id[share.chip]
            estimate = estimate_train(self.job, chip, share.layout, self.stack)
            runs.append((self.job, chip, option_of(self.job, chip, self.stack, estimate)))
        return weak_options(runs, self.stack, given)

    def _idle(self, option: MixedOption) -> tuple[str, ...]:
        """Chips of the pools of an option that do not make a whole stage or data rank."""
        at_work: Counter[tuple[str, str]] = Counter()
        for share in option.pools:
            at_work[share.chip, share.zone] += share.chips
        found = []
        for pool, kind in zip(self.pools, self.kinds, strict=True):
            used = at_work[kind.id, pool.zone]
            if 0 < used < pool.chips:
                found.append(f"{format_count(pool.chips - used)} of {format_count(pool.chips)} {kind.name} stay idle")
        return tuple(found)

    def _notes(self) -> tuple[str, ...]:
        notes = [physics(kind, self.job.precision, self.stack.profile).note for kind in self.kinds]
        lone = {share.chip for one in self.alone for share in one.option.pools}
        short = {share.chip for one in (self.before.alone if self.before else ()) for share in one.option.pools} - lone
        share = f" in {100.0 * self.confidence:.0f} of 100 cases"
        notes += [
            f"{kind.name}: no layout of its pool alone fits{share if kind.id in short else ''}"
            for kind in self.kinds if kind.id not in lone
        ]  # fmt: skip
        if len({pool.zone for pool in self.pools}) > 1:
            notes.append(
                f"link between zones: {self.links.bytes_per_s / GIGA:.0f} GB/s each way, {self.links.latency_s * 1e3:.1f} ms"
            )
        notes.append("stages in pools of unlike chips do not interleave; gradients between pools hide behind nothing")
        return tuple(dict.fromkeys(notes))

    def _surely(self, best: MixedOption, riskier: MixedOption | None) -> tuple[str, ...]:
        """How surely the best way fits, and a faster one that fits less surely."""
        if riskier is None:
            return sure_words(best.fits_fraction, self.confidence)
        parts = "; ".join(f"{share.chip} {describe(share.layout)}" for share in riskier.pools)
        gain = 1.0 - riskier.step_s / best.step_s
        return sure_words(best.fits_fraction, self.confidence, Riskier(parts, gain, riskier.fits_fraction))


def _chance(share: PoolShare, chip: ChipSpec) -> float:
    """Share of the cases of the interval of its memory in which a pool fits."""
    return chance_below(share.memory_bytes_interval, usable_bytes(chip)) if share.memory_bytes_interval else 1.0


def _power_w(chip: ChipSpec, share: PoolShare) -> float:
    """Mean power of the chips of one pool with their hosts [W]."""
    host = host_power_w(chip.node.power_w, float(chip.node.chips), chip.tdp_w)
    return share.chips * float(chip_power_w(chip.tdp_w, share.busy_fraction) + host)
