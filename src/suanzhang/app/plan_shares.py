"""Whose cost is it: the plan's total divided over its trainings and services by the chip-months that they use."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from suanzhang.money.procurement.calendar import month_name
from suanzhang.spec.buy import BuyResult, ScheduleRow, ServiceShare
from suanzhang.spec.question import Question

_MONTHLY = ("run", "rent", "spot", "instalment", "wait")
_IN_USE = "in use from "
_OWN = ("buy", "lease", "resell", "retire", "interest", "value at start", "value left")


def chip_months(bought: BuyResult) -> dict[str, dict[str, float]]:
    """Chip-months by demand and kind of chip."""
    used: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for run in bought.runs:
        used[run.demand][run.chip] += run.chips * run.months
    for share in bought.shares:
        if share.chip and share.chip != "waiting":
            used[share.demand][share.chip] += share.chips
    return {demand: dict(kinds) for demand, kinds in used.items()}


def held_for(bought: BuyResult, share: ServiceShare) -> float:
    """Chips that stand for a part of a service: all of their kind where nothing else uses it then, else those that it takes."""
    users = chips_by_month(bought).get((share.month, share.chip), {})
    month = next((state for state in bought.months if state.month == share.month), None)
    if month is None or set(users) != {share.demand} or share.site:
        return share.chips
    return max(month.owned.get(share.chip, 0.0) + month.rented.get(share.chip, 0.0), share.chips)


def carried(name: str, level: Sequence[float], question: Question, bought: BuyResult) -> list[float]:
    """Share of a service's demand that is carried in each month of the plan, at most all of it."""
    months = {month_name(question.start, index): index for index in range(question.months)}
    stands = [0.0] * question.months
    for share in bought.shares:
        if share.demand == name and share.chip != "waiting":
            stands[months[share.month]] += share.size_factor
    return [min(share / size, 1.0) for share, size in zip(stands, level, strict=True)]


def token_shares(bought: BuyResult, mtokens: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Share of each month's bought tokens by demand; ``mtokens`` says how many million each takes a month at level 1."""
    weight: dict[str, dict[str, float]] = defaultdict(dict)
    for share in bought.shares:
        if not share.chip and mtokens.get(share.demand, 0.0) > 0.0:
            weight[share.month][share.demand] = share.size_factor * mtokens[share.demand]
    return {month: {name: part / sum(parts.values()) for name, part in parts.items()} for month, parts in weight.items()}


def chips_by_month(bought: BuyResult) -> dict[tuple[str, str], dict[str, float]]:
    """Chips by job, for a month and kind of chip."""
    found: dict[tuple[str, str], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for share in bought.shares:
        if share.chips > 0.0:
            found[share.month, share.chip][share.demand] += share.chips
    months = {state.month: number for number, state in enumerate(bought.months)}
    names = list(months)
    for run in bought.runs:
        for month in names[months.get(run.start, 0) : months.get(run.end, len(names) - 1) + 1]:
            found[month, run.chip][run.demand] += run.chips
    return {key: dict(jobs) for key, jobs in found.items()}


def row_shares(bought: BuyResult, mtokens: Mapping[str, float]) -> list[dict[str, float]]:
    """Whose each row of the schedule is: weights by job; empty where it is nobody's.

    What runs, is rented or paid by instalments in a month belongs to who uses such chips in that month; what is bought, leased,
    sold or left to who uses them in the months in which chips of one's own stand; what is reserved in equal parts to its months
    and in each to who uses such chips then; all else to who uses them in the plan.
    Waiting belongs to who waits, tokens to the services that they answer.

    Args:
        bought: the schedule.
        mtokens: every job with the million output tokens that it takes a month at level 1, for offers of tokens.
    """
    tokens, by_month = token_shares(bought, mtokens), chips_by_month(bought)
    whole: dict[str, dict[str, float]] = defaultdict(dict)
    for job, kinds in chip_months(bought).items():
        for chip, months in kinds.items():
            whole[chip][job] = months
    own: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    standing = {(state.month, chip) for state in bought.months for chip, chips in state.owned.items() if chips > 0.0}
    for (month, chip), jobs in by_month.items():
        for job, chips in jobs.items() if (month, chip) in standing else ():
            own[chip][job] += chips
    found: list[dict[str, float]] = []
    for row in bought.schedule:
        if row.offer in mtokens and row.action == "wait":
            found.append({row.offer: 1.0})
        elif row.action == "api":
            found.append(tokens.get(row.month, {}))
        elif row.action in _MONTHLY and (row.month, row.chip) in by_month:
            found.append(by_month[row.month, row.chip])
        elif row.action in _OWN and own[row.chip]:
            found.append(dict(own[row.chip]))
        elif row.action == "reserve" and (parts := _reserved_by(bought, row, by_month)):
            found.append(parts)
        else:
            found.append(whole.get(row.chip, {}))
    return found


def _reserved_by(
    bought: BuyResult, row: ScheduleRow, by_month: Mapping[tuple[str, str], Mapping[str, float]]
) -> dict[str, float]:
    """Months of a contract by job: each month that has users is one, divided over them by their chips; empty without any."""
    terms = {offer.offer: offer.term_months for offer in bought.offers}
    months = [state.month for state in bought.months]
    begins = row.note.removeprefix(_IN_USE)[:7]
    first = months.index(begins) if begins in months else len(months)
    found: dict[str, float] = defaultdict(float)
    for month in months[first : first + max(terms.get(row.offer, 0), 1)]:
        users = by_month.get((month, row.chip), {})
        total = sum(users.values())
        for job, chips in users.items() if total > 0.0 else ():
            found[job] += chips / total
    return dict(found)


def cost_by_demand(bought: BuyResult, mtokens: Mapping[str, float]) -> dict[str, float]:
    """The total cost divided over demands; the parts sum to the total.

    Each row is divided by :func:`row_shares`; the rest (chips that nobody uses, works) by the cost so far.

    Args:
        bought: the schedule.
        mtokens: every demand with the million output tokens that it takes a month at level 1, for offers of tokens.
    """
    parts, rest = dict.fromkeys(mtokens, 0.0), 0.0
    for row, weights in zip(bought.schedule, row_shares(bought, mtokens), strict=True):
        total = sum(weights.values())
        if total <= 0.0:
            rest += row.cost.amount
        for job, weight in weights.items():
            parts[job] += row.cost.amount * weight / total
    return _with_rest(parts, rest)


def _with_rest(parts: Mapping[str, float], rest: float) -> dict[str, float]:
    weight = sum(abs(part) for part in parts.values())
    if weight <= 0.0:
        return {demand: rest / len(parts) for demand in parts}
    return {demand: part + rest * abs(part) / weight for demand, part in parts.items()}
