"""What can go wrong with a plan, each with its size."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from suanzhang.app.serve_spread import times
from suanzhang.catalog.chips import chip as find_chip
from suanzhang.money.procurement.calendar import month_name, month_number
from suanzhang.money.procurement.shape import spot_share
from suanzhang.perf.goodput import LLAMA3_FAILURES_PER_CHIP_DAY
from suanzhang.spec.buy import BuyResult, ScheduleRow
from suanzhang.spec.plan import Risk, ServicePlan, TrainingPlan
from suanzhang.spec.question import Question
from suanzhang.spec.result import Z95, Interval
from suanzhang.units import DAY_S, MONTH_S, format_count

if TYPE_CHECKING:
    from suanzhang.app.plan import Sized


_MOST_RENTED = 2
_SAME = Interval(1.0, 1.0, 1.0)


def find_risks(
    sized: Sized, bought: BuyResult, trainings: tuple[TrainingPlan, ...], services: tuple[ServicePlan, ...], left: Interval
) -> tuple[Risk, ...]:
    """All risks that have a size in this plan; ``left`` is the interval of what is left at the end."""
    found = [risk for training in trainings for risk in _training_risks(sized, training)]
    found += [risk for service in services for risk in _service_risks(service)]
    return tuple(
        found
        + _delivery_risks(sized, bought)
        + _spot_risks(sized, bought)
        + _rent_risks(sized, bought)
        + _export_risks(sized, bought)
        + _value_risks(bought, left)
    )


def chance_above(limit: float, interval: Interval) -> float:
    """Probability that a value with this interval (a two-piece lognormal) exceeds a limit.

    Example:
        >>> chance_above(2.0, Interval(1.0, 2.0, 4.0))
        0.5
    """
    middle = math.log(interval.p50)
    distance = math.log(limit) - middle
    end = interval.p95 if distance > 0.0 else interval.p05
    sigma = abs(math.log(end) - middle) / Z95
    if sigma <= 0.0:
        return 0.0 if distance > 0.0 else 1.0
    return 0.5 * math.erfc(distance / sigma / math.sqrt(2.0))


def _training_risks(sized: Sized, training: TrainingPlan) -> list[Risk]:
    option = training.option
    failures = option.chips * option.days * LLAMA3_FAILURES_PER_CHIP_DAY
    found = [
        Risk(
            f"interruptions of {training.name}", failures, "failures",
            f"at the rate of the Llama 3 run; they and the checkpoints take {1.0 - option.goodput_fraction:.1%} of the time",
            _by_chance(failures, option.days_interval.scaled(1.0 / option.days)),
        )
    ]  # fmt: skip
    ask = next(ask for ask in sized.question.train if ask.name == training.name)
    if ask.deadline_s is not None:
        allowed, waited = ask.deadline_s / DAY_S, _days_waited(sized.question, ask.start, training.start)
        late = chance_above(max(allowed - waited, 1.0), option.days_interval)
        span = f"{option.days_interval.p05:.0f} to {option.days_interval.p95:.0f}"
        words = f"predicted {option.days:.0f} days ({span}) against {allowed - waited:.0f}"
        if waited > 0.0:
            first = ask.start or sized.question.start
            words += f" left: it starts in {training.start}, and its {allowed:.0f} days count from {first}"
        found.append(Risk(f"{training.name} misses its deadline", late, "fraction", words))
    return found


def _days_waited(question: Question, wanted: str, start: str) -> float:
    """Days from the month in which a run may start, from which its deadline counts, to the one in which it does."""
    months = month_number(start) - month_number(wanted or question.start)
    return max(months, 0) * MONTH_S / DAY_S


def _by_chance(count: float, spread: Interval) -> Interval | None:
    """A count of failures or of chips taken back: by the spread of what they befall, over its value, and by chance."""
    if count <= 0.0:
        return None
    chance = math.exp(Z95 / math.sqrt(count))
    if spread.p05 <= 0.0:  # in some futures there are none
        return Interval(0.0, spread.p50 * count, spread.p95 * count * chance)
    return times(spread, Interval(1.0 / chance, 1.0, chance)).scaled(count)


def _service_risks(service: ServicePlan) -> list[Risk]:
    first = next((index for index, share in enumerate(service.served) if share > 0.0), None)
    if first is None:
        return []
    missing = sum(max(0.0, 1.0 - share) for share in service.served[first:])
    if missing < 1e-3:
        return []
    return [
        Risk(
            f"{service.name} is not carried in full at first", missing, "months of its demand",
            f"until {service.full_from or 'the end'} part of the demand waits for chips",
        )
    ]  # fmt: skip


def _delivery_risks(sized: Sized, bought: BuyResult) -> list[Risk]:
    ordered = {row.offer: row for row in bought.schedule if row.action in ("buy", "lease", "reserve") and row.chips > 0.0}
    found = []
    for offer in sized.world.market.offers:
        late = offer.lead.p90_months - offer.lead.median_months
        if offer.id in ordered and late > 0.0:
            chips = sum(
                row.chips for row in bought.schedule if row.offer == offer.id and row.action == ordered[offer.id].action
            )
            found.append(
                Risk(
                    f"{offer.id} arrives late", late, "months",
                    f"one order in ten of these {format_count(chips)} {offer.chip} takes {offer.lead.p90_months:g} months "
                    f"rather than {offer.lead.median_months:g}",
                )
            )  # fmt: skip
    return found


def _spot_risks(sized: Sized, bought: BuyResult) -> list[Risk]:
    """Chips that a cloud may take back, in the month in which most of them are held."""
    found = []
    for offer in sized.world.market.offers:
        rows = [row for row in bought.schedule if row.offer == offer.id and row.action == "spot"]
        held = [row.chips for row in rows]
        if offer.kind != "spot" or not held or offer.interruption_per_month <= 0.0:
            continue
        most = max(rows, key=lambda row: row.chips)
        taken = most.chips * offer.interruption_per_month
        spread = most.chips_interval.scaled(1.0 / most.chips) if most.chips_interval else _SAME
        found.append(
            Risk(
                f"{offer.id} is taken back", taken, "chips a month",
                f"of up to {format_count(max(held))} {offer.chip} rented on the spot market; each counts as "
                f"{spot_share(offer):.0%} of a chip, the rest stands by; the mean traffic of services stays on others",
                _by_chance(taken, spread),
            )
        )  # fmt: skip
    return found


def _rent_risks(sized: Sized, bought: BuyResult) -> list[Risk]:
    """Chips that must be free on the day: the kinds that are rented by the hour most, in the month with the most of them."""
    held: dict[str, dict[str, ScheduleRow]] = {}
    for row in bought.schedule:
        if row.action == "rent" and row.chips > 0.0:
            held.setdefault(row.offer, {})[row.month] = row
    found = []
    for offer in sized.world.market.offers:
        if offer.id not in held:
            continue
        month, most = max(held[offer.id].items(), key=lambda item: item[1].chips)
        stock = "no stock is quoted" if offer.stock_chips is None else f"the market is put at {format_count(offer.stock_chips)}"
        more = f" and {format_count(offer.stock_per_month)} more a month" if offer.stock_chips and offer.stock_per_month else ""
        note = f"{stock}{more}; {offer.price.note}" if "median of 1 offer" in offer.price.note else f"{stock}{more}"
        words = f"to be free in {month}, held for us by nobody; {note}"
        found.append(Risk(f"{offer.id} is sold out or dearer", most.chips, "chips", words, most.chips_interval))
    found.sort(key=lambda risk: -risk.value)
    return found[:_MOST_RENTED]


def _export_risks(sized: Sized, bought: BuyResult) -> list[Risk]:
    """Rule changes inside the plan that are known today, for chips that the plan orders."""
    last = month_name(sized.question.start, sized.question.months - 1)
    ordered = {row.chip for row in bought.schedule if row.action == "buy" and row.chips > 0.0}
    found = []
    for name in sorted(ordered):
        for event in find_chip(name).exports:
            inside = sized.question.start <= event.date[:7] <= last
            if inside and event.region == sized.world.market.region and event.state != "free":
                chips = sum(
                    row.chips
                    for row in bought.schedule
                    if row.chip == name and row.action == "buy" and row.month >= event.date[:7]
                )
                if chips <= 0.0:
                    continue
                found.append(
                    Risk(
                        f"export rule on {name} ({event.date})", chips, "chips",
                        f"ordered in or after that month ({event.note or event.state}); known today, not at the start",
                    )
                )  # fmt: skip
    return found


def _value_risks(bought: BuyResult, span: Interval) -> list[Risk]:
    left = bought.lines.get("value left")
    if left is None or left.amount >= 0.0:
        return []
    return [
        Risk(
            "worth of the chips at the end", -left.amount, left.currency,
            "counted as income; a chip that nobody wants by then adds this to the cost", span,
        )
    ]  # fmt: skip
