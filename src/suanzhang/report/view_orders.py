"""What of a schedule is to be signed first, in one sentence: buys, contracts and sales that bind for longer than a month."""

from __future__ import annotations

from collections.abc import Sequence

from suanzhang.spec.buy import ScheduleRow
from suanzhang.units import format_count

ARRIVES = "in use from "
"""What the note of an order begins with that arrives later."""
BINDING_ACTIONS = ("buy", "lease", "reserve", "build", "move", "resell")
_NAMED = 3
_VERBS = {"resell": "sell"}


def order_words(schedule: Sequence[ScheduleRow]) -> str:
    """The orders and sales of the first month that has any, and how many follow.

    Sales that differ from one future to another are left out: they are no decision of today.
    """
    binding = [row for row in schedule if row.action in BINDING_ACTIONS and row.chips_interval is None]
    if not binding:
        return "Nothing is to be ordered or signed for longer than a month." if schedule else ""
    first = min(row.month for row in binding)
    opening = [row for row in binding if row.month == first]
    opening.sort(key=lambda row: -abs(row.cost.amount))
    later = opening[_NAMED:] + [row for row in binding if row.month != first]
    words = f"Decide in {first}: {'; '.join(map(_one, opening[:_NAMED]))}."
    if later:
        last = max(row.month for row in later)
        more = "1 more order or sale," if len(later) == 1 else f"{len(later)} more orders and sales, the last"
        words += f" Later: {more} in {last}."
    return words


def _one(row: ScheduleRow) -> str:
    """One order in words: what, from which offer, where, and from when it is in use."""
    verb = _VERBS.get(row.action, row.action)
    what = f"{verb} {format_count(row.chips)} x {row.chip}" if row.chip else f"{verb} {row.offer}"
    where = [row.offer] if row.chip and row.offer != "own" else []
    where += [row.site] if row.site else []
    since = f", {row.note}" if row.note.startswith(ARRIVES) else ""
    return f"{what} ({', '.join(where)}){since}" if where else f"{what}{since}"
