"""What an answer of scaling laws is made of: from a budget to model size, tokens and loss."""

from __future__ import annotations

from dataclasses import dataclass

from suanzhang.spec.layout import TrainLayout
from suanzhang.spec.result import Header, Interval, Money
from suanzhang.spec.trust import Flag


@dataclass(frozen=True, slots=True)
class SizedModel:
    """One size of model that a compute budget trains.

    Args:
        law: which scaling law chose the size, or how far the size lies from the best one.
        params: parameters.
        tokens: training tokens.
        loss: loss by the law of that name; by the first law where a size is not a law's own choice.
        params_interval, tokens_interval, loss_interval: our uncertainty about them: compute, and how far published laws differ.
    """

    law: str
    params: float
    tokens: float
    loss: float
    params_interval: Interval | None = None
    tokens_interval: Interval | None = None
    loss_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class ScalingRow:
    """What the budget trains on one kind of chip.

    Args:
        chip: catalog id; empty when compute was given.
        chips: chips that the budget pays for until the deadline, in whole nodes; 0 when compute was given.
        days: calendar time.
        cost, price_per_chip_h: money; None without a price.
        layout: best layout of the sized model; None when compute was given.
        layers, hidden: shape of that model.
        mfu: model FLOP utilisation in that layout.
        goodput_fraction: useful share of the calendar time.
        flop, flop_interval: training compute.
        params, params_interval: parameters at the lowest loss.
        tokens, tokens_interval: training tokens.
        loss, loss_interval: expected loss [nats/token]; the interval holds our step time and how far published laws differ.
        tokens_per_param, tokens_per_param_interval: training tokens over parameters; no interval where they were fixed.
        mfu_interval, goodput_fraction_interval: our uncertainty about them.
    """

    chip: str
    chips: int
    days: float
    cost: Money | None
    price_per_chip_h: Money | None
    layout: TrainLayout | None
    layers: int
    hidden: int
    mfu: float
    goodput_fraction: float
    flop: float
    flop_interval: Interval
    params: float
    params_interval: Interval
    tokens: float
    tokens_interval: Interval
    loss: float
    loss_interval: Interval
    tokens_per_param: float = 0.0
    tokens_per_param_interval: Interval | None = None
    mfu_interval: Interval | None = None
    goodput_fraction_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class ScalingResult:
    """The answer of ``scaling``. Field names are the stable JSON keys.

    Args:
        header: version, catalog date and seed.
        budget: money that may be spent; None without.
        best: the kind of chip whose model has the lowest loss.
        rows: every kind of chip, the lowest loss first.
        sizes: other sizes of model for the compute of the best row, and what other laws choose.
        warnings: what a reader must know.
        sources: keys of the sources the answer rests on.
        weak_inputs: figures of grade unverified or assumed that weigh more than 5 % of the compute.
    """

    header: Header
    budget: Money | None
    best: ScalingRow
    rows: tuple[ScalingRow, ...]
    sizes: tuple[SizedModel, ...]
    warnings: tuple[str, ...]
    sources: tuple[str, ...] = ()
    weak_inputs: tuple[Flag, ...] = ()
