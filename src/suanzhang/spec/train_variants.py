"""What a comparison of chip variants on one training is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from suanzhang.spec.result import Header, Interval, Money
from suanzhang.spec.train import TrainOption
from suanzhang.spec.trust import Flag


@dataclass(frozen=True, slots=True)
class VariantRow:
    """One chip beside the one that it is measured by, on the same job and as many chips.

    Args:
        base: catalog id of the chip that it is measured by.
        chip: catalog id.
        precision: arithmetic that it runs the job in.
        peak_ratio, hbm_ratio, hbm_bandwidth_ratio, link_ratio, nic_ratio: its figures over those of the base: dense 16-bit
            peak, memory, memory bandwidth, scale-up link, network per chip; 0 where one of them is not published.
        option: its best way to run the job; None when there is none.
        time_ratio, time_ratio_interval: its days over those of the base, each with its own best layout; 0 without an option.
        same_layout_ratio: its step over that of the base in the best layout of the base; 0 when that cannot be.
        lost: where that time goes: part of the step to what it adds, over the step of the base; largest first.
        fewest_chips: smallest power of two of chips that holds the job; 0 when none up to a hundred thousand does.
        even_price_ratio: price per chip-hour, over that of the base, at which the job costs the same.
        even_price_per_chip_h: the same as money, when the price of the base is given.
        notes: what it lacks, in words.
        same_layout_ratio_interval, lost_interval, fewest_chips_interval, even_price_ratio_interval,
            even_price_per_chip_h_interval: our uncertainty about them; a comparison keeps of the errors of two chips what they
            do not share.
    """

    base: str
    chip: str
    precision: str
    peak_ratio: float
    hbm_ratio: float
    hbm_bandwidth_ratio: float
    link_ratio: float
    nic_ratio: float
    option: TrainOption | None
    time_ratio: float
    time_ratio_interval: Interval | None
    same_layout_ratio: float
    lost: Mapping[str, float]
    fewest_chips: int
    even_price_ratio: float
    even_price_per_chip_h: Money | None
    notes: tuple[str, ...]
    same_layout_ratio_interval: Interval | None = None
    lost_interval: Mapping[str, Interval] = field(default_factory=dict)
    fewest_chips_interval: Interval | None = None
    even_price_ratio_interval: Interval | None = None
    even_price_per_chip_h_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class VariantsResult:
    """The answer of ``variants``. Field names are the stable JSON keys.

    Args:
        header: version, catalog date and seed.
        model, stack: what was asked, by catalog id.
        chips: chips of each kind.
        rows: the chips, group by group, each group beginning with its base.
        warnings: what a reader must know.
        sources: keys of the sources the answer rests on.
        weak_inputs: figures of grade unverified or assumed that weigh more than 5 % of the days of a chip.
    """

    header: Header
    model: str
    stack: str
    chips: int
    rows: tuple[VariantRow, ...]
    warnings: tuple[str, ...]
    sources: tuple[str, ...] = ()
    weak_inputs: tuple[Flag, ...] = ()
