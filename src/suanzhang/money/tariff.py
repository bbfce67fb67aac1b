"""Energy priced by the hour: the price that work pays by when it is done."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from suanzhang.errors import InputError, OutOfDomain
from suanzhang.spec.job import LoadSpec
from suanzhang.spec.tariff import HOURS, HourPrice


def prices_by_hour(bands: Iterable[HourPrice], flat: float) -> tuple[float, ...]:
    """Price of each hour of the day; hours that no band names have the flat price.

    Raises:
        InputError: two bands name one hour, or a band is no part of a day.

    Equation:
        p_h = price of the band of hour h, else the flat price.

    Sources:
        [derived].
    """
    found: dict[int, float] = {}
    for band in bands:
        if not (0 <= band.begin_h < HOURS and 0 < band.end_h <= HOURS and band.begin_h != band.end_h):
            raise InputError(
                f"tariff_by_hour: from {band.begin_h} to {band.end_h} is no part of a day", fix="give hours from 0 to 24"
            )
        length = (band.end_h - band.begin_h) % HOURS or HOURS
        for hour in ((band.begin_h + step) % HOURS for step in range(length)):
            if hour in found:
                raise InputError(f"tariff_by_hour: the hour from {hour} has two prices", fix="let the ranges not overlap")
            found[hour] = band.price
    return tuple(found.get(hour, flat) for hour in range(HOURS))


def work_by_hour(load: LoadSpec) -> tuple[float, ...]:
    """Share of a day's requests in each hour of it.

    Model:
        A sinusoid over the day with its peak at ``peak_hour``, integrated over each hour; flat where the load is.

    Args:
        load: shape, peak over mean and hour of the peak.

    Returns:
        Shares that sum to 1.

    Equation:
        w_h = (1 + (k - 1) mean_h cos(2 pi (t - t_peak) / 24)) / 24.

    Validity:
        The same curve every day.

    Sources:
        [derived] from the definition of the load curve.

    Example:
        >>> round(24 * max(work_by_hour(LoadSpec("diurnal", 2.0, peak_hour=12.5))), 2)
        2.0
    """
    if load.shape == "flat":
        return (1.0 / HOURS,) * HOURS
    turn = 2.0 * math.pi / HOURS
    ends = [math.sin(turn * (hour - load.peak_hour)) / turn for hour in range(HOURS + 1)]
    return tuple((1.0 + (load.peak_to_mean - 1.0) * (ends[h + 1] - ends[h])) / HOURS for h in range(HOURS))


def paid_at_work(prices: Sequence[float], work: Sequence[float]) -> float:
    """Price of energy that work pays, over the mean price of the day.

    Model:
        The energy of work follows the work; the price of each hour is paid for its share.

    Args:
        prices: by hour of the day [money/kWh].
        work: share of the work by hour of the day.

    Returns:
        Factor [1].

    Raises:
        OutOfDomain: the mean price is not positive.

    Equation:
        f = 24 sum_h p_h w_h / sum_h p_h.

    Validity:
        The same prices every day; what a chip draws idle is drawn in all hours alike.

    Sources:
        [derived] from the definition.

    Example:
        >>> paid_at_work([1.0] * 12 + [3.0] * 12, [0.0] * 12 + [1.0 / 12.0] * 12)
        1.5
    """
    total = sum(prices)
    if total <= 0.0:
        raise OutOfDomain("the mean price of energy must be positive", fix="check the tariff")
    return HOURS * sum(price * share for price, share in zip(prices, work, strict=True)) / total
