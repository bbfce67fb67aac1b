"""The verb ``variants``: what cuts of link, peak, memory or formats cost on a real job, and at which price they even out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from suanzhang.app.header import header
from suanzhang.app.physics import physics
from suanzhang.app.train_compare import Variant, compare_variants
from suanzhang.app.train_input import default_batch, default_precision
from suanzhang.app.train_model import estimate_train
from suanzhang.app.train_option import stack_for, train_options
from suanzhang.app.train_spread import interval_factors
from suanzhang.catalog.chips import chip as chip_of
from suanzhang.catalog.models import model as model_of
from suanzhang.errors import InputError, PlannerError
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.job import TrainJob
from suanzhang.spec.model import ModelSpec
from suanzhang.spec.result import Interval, Money
from suanzhang.spec.stack import TrainStack
from suanzhang.spec.train_variants import VariantRow, VariantsResult
from suanzhang.units import parse_quantity

GROUPS = ("a100-sxm-80,a800-sxm-80,v100-sxm2-32", "h100-sxm-80,h800-sxm-80,h20-96")
"""Chips that are set beside each other when none are named: full parts first, then those cut for export and the older one."""
MOST_CHIPS = 131_072


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
    amount = parse_quantity(tokens, "count", "tokens")
    if amount <= 0.0:
        raise InputError(f"tokens: {tokens!r} is not positive", fix="write for example 300B")
    spec = model if isinstance(model, ModelSpec) else model_of(str(model))
    seq = seq_len or min(spec.max_seq, 8192)
    batch = global_batch or default_batch(spec, seq)
    job = TrainJob(spec.id, spec, amount, seq, batch, precision, start=start)
    software = stack_for(job, stack)
    price = None if price_per_chip_h is None else Money(price_per_chip_h, currency, start)
    rows: list[VariantRow] = []
    for group in groups:
        base = chip_of(group[0])
        own = replace(job, precision=precision or default_precision(base))
        found = compare_variants(own, group, count, software)
        rows += [_row(own, base, found[0], variant, count, software, price) for variant in found]
    notes = [] if global_batch else [f"global batch assumed: {job.global_batch} sequences"]
    notes += [] if stack else [f"software assumed: {software.title}"]
    for row in rows:
        notes.append(physics(chip_of(row.chip), row.precision, software.profile).note)
    notes.append("equal failure rates; an interval of a ratio is the wider of its two chips, half of which two chips share")
    return VariantsResult(
        header(seed), spec.id, software.id, count, tuple(rows), tuple(dict.fromkeys(notes)), (software.source, spec.source)
    )


def _row(
    job: TrainJob, base: ChipSpec, first: Variant, variant: Variant, count: int, stack: TrainStack, price: Money | None
) -> VariantRow:
    spec = chip_of(variant.chip)
    own = job if job.precision in spec.peak_flop_per_s else replace(job, precision=default_precision(spec))
    return VariantRow(
        base=base.id,
        chip=spec.id,
        precision=own.precision,
        peak_ratio=_ratio(spec.peak_flop_per_s.get(own.precision, 0.0), base.peak_flop_per_s.get(job.precision, 0.0)),
        hbm_ratio=_ratio(spec.hbm_bytes, base.hbm_bytes),
        hbm_bandwidth_ratio=_ratio(spec.hbm_bytes_per_s, base.hbm_bytes_per_s),
        link_ratio=_ratio(spec.link_bytes_per_s, base.link_bytes_per_s),
        nic_ratio=_ratio(spec.node.nic_bytes_per_s, base.node.nic_bytes_per_s),
        option=variant.option,
        time_ratio=variant.time_ratio,
        time_ratio_interval=_interval(own, base, spec, count, stack, variant.time_ratio),
        same_layout_ratio=variant.same_layout_ratio,
        lost=_lost(job, own, base, spec, first, stack) if variant.same_layout_ratio else {},
        fewest_chips=_fewest(own, spec, stack),
        even_price_ratio=variant.even_price,
        even_price_per_chip_h=None if price is None or not variant.even_price else price.scaled(variant.even_price),
        notes=(*variant.notes, *_lacks(base, spec)),
    )


def _ratio(own: float, base: float) -> float:
    return own / base if own and base else 0.0


def _lacks(base: ChipSpec, spec: ChipSpec) -> tuple[str, ...]:
    missing = [name for name in ("bf16", "tf32", "fp8") if name in base.peak_flop_per_s and name not in spec.peak_flop_per_s]
    return (f"lacks {', '.join(missing)}",) if missing else ()


def _interval(job: TrainJob, base: ChipSpec, spec: ChipSpec, count: int, stack: TrainStack, ratio: float) -> Interval | None:
    """Uncertainty of a ratio of two chips: what is wrong for both cancels, so that the square root of the wider remains."""
    if not ratio or base.id == spec.id:
        return None
    of_base = interval_factors(base, replace(job, precision=default_precision(base)), stack, count)
    of_spec = interval_factors(spec, job, stack, count)
    wide = max((of_base, of_spec), key=lambda found: found.p95 / found.p05)
    half = (wide.p95 / wide.p05) ** 0.25
    return Interval(ratio / half, ratio, ratio * half)


def _lost(job: TrainJob, own: TrainJob, base: ChipSpec, spec: ChipSpec, first: Variant, stack: TrainStack) -> dict[str, float]:
    """Parts of the step that the same layout adds on this chip, over the step of the base; the largest first."""
    if first.option is None:
        return {}
    try:
        reference = estimate_train(job, base, first.option.layout, stack)
        estimate = estimate_train(own, spec, first.option.layout, stack)
    except PlannerError:
        return {}
    added = {
        ours.name.removesuffix("_s"): (ours.value - theirs.value) / reference.step_s
        for ours, theirs in zip(estimate.terms, reference.terms, strict=True)
    }
    return {name: value for name, value in sorted(added.items(), key=lambda item: -abs(item[1])) if abs(value) > 5e-4}


def _fewest(job: TrainJob, spec: ChipSpec, stack: TrainStack) -> int:
    """Smallest power of two of chips on which a layout fits, 0 when none does."""
    count = 1
    while count <= MOST_CHIPS:
        if train_options(job, spec, (count,), stack):
            return count
        count *= 2
    return 0
