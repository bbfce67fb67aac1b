"""The verb ``variants``: what cuts of link, peak, memory or formats cost on a real job, and at which price they even out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from suanzhang.app.header import header
from suanzhang.app.physics import physics
from suanzhang.app.train_compare import Variant, compare_variants
from suanzhang.app.train_input import batch_words, default_precision, sizes_of, tokens_of
from suanzhang.app.train_model import estimate_train
from suanzhang.app.train_option import stack_for, train_options
from suanzhang.app.train_spread import Errors, against, around, errors_of, interval_factors
from suanzhang.app.train_weak import Given, weak_options
from suanzhang.catalog.chips import chip as chip_of
from suanzhang.catalog.models import model as model_of
from suanzhang.errors import InputError, PlannerError
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.draws import Floats
from suanzhang.spec.job import TrainJob
from suanzhang.spec.layout import TrainLayout
from suanzhang.spec.model import ModelSpec
from suanzhang.spec.result import Interval, Money
from suanzhang.spec.stack import TrainStack
from suanzhang.spec.train import TrainEstimate, TrainOption
from suanzhang.spec.train_variants import VariantRow, VariantsResult

GROUPS = ("a100-sxm-80,a800-sxm-80,v100-sxm2-32", "h100-sxm-80,h800-sxm-80,h20-96")
"""Chips that are set beside each other when none are named: full parts first, then those cut for export and the older one."""
MOST_CHIPS = 131_072
_LEAST = 5e-4
"""Parts below this share of a step are not named."""


def variants(
    model: str | Path | ModelSpec,
    tokens: float | str,
    count: int,
    *,
    chips: str = "",
    global_batch: int = 0,
    seq_len: int = 0,
    precision: str = "",
    stack: str = "",
    price_per_chip_h: float | None = None,
    currency: str = "USD",
    start: str = "",
    seed: int = 0,
) -> VariantsResult:
    """One training on several chips: time and break-even price of each against the first of its group.

    Args:
        model: catalog id, alias, path of a ``config.json``, or a shape.
        tokens: tokens to train on.
        count: chips of each kind.
        chips: names separated by commas, the first being what the others are measured by; groups separated by ``;``.
            Without it A100 beside A800 and V100, and H100 beside H800 and H20.
        global_batch, seq_len, precision, stack, start, seed: as in ``train``.
        price_per_chip_h: price of the first chip of each group; turns break-even ratios into money.
        currency: of the price.

    Raises:
        InputError: something given cannot be used.
        Infeasible: the first chip of a group cannot run the job.
    """
    groups = [[name.strip() for name in group.split(",") if name.strip()] for group in (chips or ";".join(GROUPS)).split(";")]
    if any(len(group) < 2 for group in groups):
        raise InputError("chips: a comparison needs two chips", fix="write for example a100-sxm-80,a800-sxm-80")
    if count < 1 or count > MOST_CHIPS:
        raise InputError(f"count: {count} chips", fix=f"give 1 to {MOST_CHIPS:,}")
    spec = model if isinstance(model, ModelSpec) else model_of(str(model))
    seq, batch = sizes_of(spec, seq_len, global_batch, [(chip_of(name), count) for group in groups for name in group])
    amount = tokens_of(tokens, seq * batch)
    job = TrainJob(spec.id, spec, amount, seq, batch, precision, start=start)
    software = stack_for(job, stack, chip_of(groups[0][0]))
    price = None if price_per_chip_h is None else Money(price_per_chip_h, currency, start)
    rows: list[VariantRow] = []
    runs: list[tuple[TrainJob, ChipSpec, TrainOption]] = []
    for group in groups:
        base = chip_of(group[0])
        own = replace(job, precision=precision or default_precision(base))
        found = compare_variants(own, group, count, software)
        for variant in found:
            spec_of = chip_of(variant.chip)
            on_it = own if own.precision in spec_of.peak_flop_per_s else replace(own, precision=default_precision(spec_of))
            rows.append(_Pair(own, on_it, base, spec_of, found[0], variant, count, software, price).row())
            if variant.option:
                runs.append((on_it, spec_of, variant.option))
    notes = [] if global_batch else [batch_words(spec, seq, batch)]
    notes += [] if stack else [f"software assumed: {software.title}"]
    for row in rows:
        notes.append(physics(chip_of(row.chip), row.precision, software.profile).note)
    notes.append(
        "equal failure rates; of the errors of two chips a ratio keeps what they do not share: causes by name, each as wide as "
        "published sources differ in it"
    )
    return VariantsResult(
        header(seed), spec.id, software.id, count, tuple(rows), tuple(dict.fromkeys(notes)), (software.source, spec.source),
        weak_options(runs, software, Given(bool(global_batch), bool(seq_len))),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Pair:
    """A chip beside the one that it is measured by, with what both estimates may be off by.

    Args:
        job, own: the job on the base and on the chip, each in its arithmetic.
        base, spec: the two chips.
        first, variant: what the comparison found.
        count: chips of each.
        stack: the software.
        price: of the base.
    """

    job: TrainJob
    own: TrainJob
    base: ChipSpec
    spec: ChipSpec
    first: Variant
    variant: Variant
    count: int
    stack: TrainStack
    price: Money | None

    def row(self) -> VariantRow:
        """Everything about the chip."""
        variant, own = self.variant, self.own
        times, even = self._times(), self.variant.even_price
        lost, lost_spans, same = self._lost()
        price = None if self.price is None or not even else self.price.scaled(even)
        span = None if times is None else around(even, even / times)
        fewest, fewest_span = _fewest(own, self.spec, self.stack, variant.option)
        return VariantRow(
            base=self.base.id,
            chip=self.spec.id,
            precision=own.precision,
            peak_ratio=_ratio(
                self.spec.peak_flop_per_s.get(own.precision, 0.0), self.base.peak_flop_per_s.get(self.job.precision, 0.0)
            ),
            hbm_ratio=_ratio(self.spec.hbm_bytes, self.base.hbm_bytes),
            hbm_bandwidth_ratio=_ratio(self.spec.hbm_bytes_per_s, self.base.hbm_bytes_per_s),
            link_ratio=_ratio(self.spec.link_bytes_per_s, self.base.link_bytes_per_s),
            nic_ratio=_ratio(self.spec.node.nic_bytes_per_s, self.base.node.nic_bytes_per_s),
            option=variant.option,
            time_ratio=variant.time_ratio,
            time_ratio_interval=None if times is None else around(variant.time_ratio, variant.time_ratio * times),
            same_layout_ratio=variant.same_layout_ratio,
            lost=lost,
            fewest_chips=fewest,
            even_price_ratio=even,
            even_price_per_chip_h=price,
            notes=(*variant.notes, *_lacks(self.base, self.spec)),
            same_layout_ratio_interval=None if same is None else around(variant.same_layout_ratio, same),
            lost_interval=lost_spans,
            fewest_chips_interval=fewest_span,
            even_price_ratio_interval=span,
            even_price_per_chip_h_interval=None if span is None or price is None else span.scaled(price.amount / even),
        )

    def _times(self) -> Floats | None:
        """Error of the ratio of times, each chip in its own best layout; None where there is none."""
        if self.base.id == self.spec.id or self.variant.option is None or self.first.option is None:
            return None
        ours = self._errors(self.own, self.spec, self.variant.option.layout)[1]
        theirs = self._errors(self.job, self.base, self.first.option.layout)[1]
        return against(ours, theirs, layouts=False).draws() / theirs.draws()

    def _errors(self, job: TrainJob, chip: ChipSpec, layout: TrainLayout) -> tuple[TrainEstimate, Errors]:
        estimate = estimate_train(job, chip, layout, self.stack)
        return estimate, errors_of(job, chip, self.stack, layout, estimate)

    def _lost(self) -> tuple[dict[str, float], dict[str, Interval], Floats | None]:
        """Parts of the step that the base's layout adds on this chip, over the base's step, with intervals; and the ratio."""
        if self.base.id == self.spec.id or self.first.option is None or not self.variant.same_layout_ratio:
            return {}, {}, None
        layout = self.first.option.layout
        try:
            theirs, their_errors = self._errors(self.job, self.base, layout)
            ours, our_errors = self._errors(self.own, self.spec, layout)
        except PlannerError:
            return {}, {}, None
        our_errors = against(our_errors, their_errors)
        step = theirs.step_s * their_errors.draws()
        added: dict[str, tuple[float, Interval]] = {}
        for one, other in zip(ours.terms, theirs.terms, strict=True):
            value = (one.value - other.value) / theirs.step_s
            if abs(value) > _LEAST:
                drawn = one.value * our_errors.term_draws(one.name) - other.value * their_errors.term_draws(other.name)
                added[one.name.removesuffix("_s")] = (value, around(value, drawn / step))
        ordered = dict(sorted(added.items(), key=lambda item: -abs(item[1][0])))
        whole = ours.step_s * our_errors.draws() / step
        return {name: value for name, (value, _) in ordered.items()}, {name: span for name, (_, span) in ordered.items()}, whole


def _ratio(own: float, base: float) -> float:
    return own / base if own and base else 0.0


def _lacks(base: ChipSpec, spec: ChipSpec) -> tuple[str, ...]:
    missing = [name for name in ("bf16", "tf32", "fp8") if name in base.peak_flop_per_s and name not in spec.peak_flop_per_s]
    return (f"lacks {', '.join(missing)}",) if missing else ()


def _fewest(job: TrainJob, spec: ChipSpec, stack: TrainStack, option: TrainOption | None) -> tuple[int, Interval | None]:
    """Smallest power of two of chips on which a layout fits, 0 when none does; and the same were the memory as far off as it
    may be.
    """
    found = _holds(job, spec, stack, 1)
    if not found:
        return 0, None
    count = option.chips if option else found
    factors = interval_factors(spec, job, stack, count, None, "memory_bytes")
    ends = [_holds(job, replace(spec, hbm_bytes=spec.hbm_bytes / factor), stack, max(1, found // 4)) for factor in
            (min(factors.p05, 1.0), factors.p50, max(factors.p95, 1.0))]  # fmt: skip
    return found, Interval(*(float(end or MOST_CHIPS) for end in ends))


def _holds(job: TrainJob, spec: ChipSpec, stack: TrainStack, least: int) -> int:
    """Smallest power of two of chips that holds the job, looked for from a number on; 0 when none does."""
    count = least
    while count <= MOST_CHIPS:
        if train_options(job, spec, (count,), stack):
            return count
        count *= 2
    return 0
