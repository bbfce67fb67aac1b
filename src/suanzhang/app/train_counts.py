"""Which counts of chips a training looks at, and which way to run it is the best under a deadline and a budget."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from suanzhang.errors import Infeasible, InputError
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.train import TrainOption
from suanzhang.units import DAY_S, format_count

OBJECTIVES = ("time", "days", "cost", "energy", "chips")
"""What can be made small; "time" and "days" are the same."""
_HALVINGS = 3
"""Halvings of the number of chips that the front shows beside it."""
_PER_DOUBLING = 2
"""Counts of chips per doubling that a search over counts looks at first."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a way to run must hold.

    Args:
        deadline_s: longest duration; None without.
        budget: most money; None without.
        max_chips: most chips; 0 without.
        gang: chips come in multiples of this.
    """

    deadline_s: float | None = None
    budget: float | None = None
    max_chips: int = 0
    gang: int = 1

    def holds(self, option: TrainOption) -> bool:
        """Whether an option keeps all of them."""
        in_time = self.deadline_s is None or option.days * DAY_S <= self.deadline_s
        paid = self.budget is None or (option.cost is not None and option.cost.amount <= self.budget)
        return in_time and paid and (not self.max_chips or option.chips <= self.max_chips)


def gang_of(text: str, chip: ChipSpec) -> int:
    """Chips that are scheduled together: ``NODE`` for a whole node, or a number.

    Raises:
        InputError: neither of them.
    """
    if not text:
        return 1
    if text.strip().lower() == "node":
        return max(1, chip.node.chips)
    if not text.strip().isdigit() or int(text) < 1:
        raise InputError(f"gang: {text!r} is neither NODE nor a number of chips", fix="write NODE, or for example 8")
    return int(text)


def value_of(option: TrainOption, objective: str) -> tuple[float, ...]:
    """What an objective makes small, then the other figures so that equal options have one order."""
    cost = option.cost.amount if option.cost is not None else option.days * option.chips
    first = {"cost": cost, "energy": option.energy_j, "chips": float(option.chips)}.get(objective, option.days)
    return (first, option.days, float(option.chips), option.energy_j)


def halvings(count: int, gang: int) -> tuple[int, ...]:
    """Counts below a given one that show what fewer chips would take."""
    return tuple(dict.fromkeys(c for k in range(1, _HALVINGS + 1) if (c := count // 2**k // gang * gang) >= gang))


def grid(limit: int, gang: int) -> tuple[int, ...]:
    """Counts up to a limit, about two per doubling, in whole gangs, the most first."""
    counts: dict[int, None] = {}
    halved = 0
    while (value := limit / 2.0 ** (halved / _PER_DOUBLING)) >= gang:  # from the limit each time: a half of it is exact
        counts[int(value) // gang * gang] = None
        halved += 1
    return tuple(counts)


def fewest(counts: Iterable[int], gang: int, holds: Callable[[int], bool], looked_at: dict[int, bool]) -> None:
    """Look at counts between the largest that fails and the smallest that holds, by halving the gap.

    Args:
        counts: counts looked at already.
        gang: chips come in multiples of this.
        holds: whether a count keeps the bounds; called for each new one.
        looked_at: receives the answers.
    """
    for count in counts:
        looked_at.setdefault(count, holds(count))
    good = [count for count, kept in looked_at.items() if kept]
    if not good:
        return
    high = min(good)
    low = max((count for count in looked_at if count < high), default=0)
    while high - low > gang:
        middle = (low + high) // 2 // gang * gang
        if middle <= low:
            middle = low + gang
        if middle >= high:
            return
        looked_at[middle] = holds(middle)
        low, high = (low, middle) if looked_at[middle] else (middle, high)


def refused(name: str, options: list[TrainOption], bounds: Bounds) -> Infeasible:
    """Why none of the options keeps the bounds: what binds, and the nearest of them."""
    binding = []
    if bounds.max_chips:
        binding.append(f"chips: {format_count(bounds.max_chips)}")
    if bounds.deadline_s is not None:
        binding.append(f"deadline: {bounds.deadline_s / DAY_S:.1f} days")
    if bounds.budget is not None:
        currency = next((option.cost.currency for option in options if option.cost), "")
        binding.append(f"budget: {bounds.budget:,.0f} {currency}".strip())
    fastest = min(options, key=lambda option: value_of(option, "days"))
    nearest: dict[str, object] = {"days": fastest.days, "chips": fastest.chips}
    message = f"{name} takes {fastest.days:.1f} days on {format_count(fastest.chips)} {fastest.chip}"
    fix = f"allow {fastest.days:.0f} days, or more chips"
    if bounds.budget is not None and fastest.cost is not None:
        within = [option for option in options if bounds.deadline_s is None or option.days * DAY_S <= bounds.deadline_s]
        cheapest = min(within or options, key=lambda option: value_of(option, "cost"))
        nearest = {"days": cheapest.days, "chips": cheapest.chips, "cost": cheapest.cost.amount if cheapest.cost else 0.0}
        spent = nearest["cost"]
        message = f"{name} costs at least {spent:,.0f} {fastest.cost.currency} on the chips given" if within else message
        fix = f"allow {spent:,.0f} {fastest.cost.currency}" if within else f"allow {fastest.days:.0f} days, or more chips"
    elif bounds.deadline_s is not None:
        about = fastest.chips * fastest.days * DAY_S / bounds.deadline_s
        nearest["chips_about"] = about
        fix = f"take about {format_count(about)} chips, or {fastest.days:.0f} days"
    return Infeasible(message, binding=binding, nearest=nearest, fix=fix)
