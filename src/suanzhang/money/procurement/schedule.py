"""The rows of a plan: every cost once, rounded to the cent, so that rows, lines and total agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np
from numpy.typing import NDArray

from suanzhang.money.procurement.calendar import month_name
from suanzhang.money.procurement.form import SERVER_LINES
from suanzhang.money.procurement.monthcell import Cell
from suanzhang.money.procurement.orders import SHIELD, Floats, Order, relieved
from suanzhang.money.procurement.outcome import Outcome, rented_chips
from suanzhang.money.procurement.places import base_name, site_of
from suanzhang.money.procurement.shape import Shape
from suanzhang.money.procurement.states import SMALL, rounded
from suanzhang.money.procurement.totals import holding_lines, sold_lines
from suanzhang.spec.buy import Action, ScheduleRow
from suanzhang.spec.result import Interval, Money
from suanzhang.units import format_count

_ORDER: tuple[Action, ...] = (
    "buy", "lease", "instalment", "reserve", "rent", "spot", "api", "wait", "run", "resell", "retire", "move", "build",
    "interest", "value at start", "value left",
)  # fmt: skip
"""Order of the rows of one month."""
_WHERE_COME = "at the end of the month, in the futures in which they have come then; in others when they come"
_ON_SITE = ("buy", "lease", "instalment", "run", "resell", "retire")


_TENTH = 5e-4
"""A smaller share would be printed as none."""


def _row(
    shape: Shape,
    month: int,
    offer: str,
    action: Action,
    chip: str,
    chips: float,
    lines: Mapping[str, float],
    note: str = "",
    futures: Interval | None = None,
) -> ScheduleRow:
    problem = shape.problem
    cents = {name: round(amount * 100.0) for name, amount in relieved(problem, lines).items()}
    return ScheduleRow(
        month_name(problem.start, month),
        base_name(problem, offer),
        action,
        base_name(problem, chip),
        rounded(chips),
        Money(sum(cents.values()) / 100.0, problem.currency, problem.start),
        tuple((name, amount / 100.0) for name, amount in cents.items() if amount),
        note,
        site=site_of(problem, chip) if chip in shape.chips and action in _ON_SITE else "",
        chips_interval=futures,
    )


def _over_futures(shape: Shape, chips: Floats) -> Interval | None:
    """Percentiles of a count over the futures; None where all futures have the same."""
    if shape.count == 1 or float(np.ptp(chips)) < SMALL:
        return None
    order = np.argsort(chips)
    reached = np.cumsum(shape.weights[order])
    at = [min(int(np.searchsorted(reached, level - 1e-12)), shape.count - 1) for level in (0.05, 0.5, 0.95)]
    low, middle, high = (rounded(float(chips[order[index]])) for index in at)
    mean = float(shape.weights @ chips)
    return Interval(min(low, mean), middle, max(high, mean))


def _in_futures(shape: Shape, chips: Floats) -> str:
    """In how many futures there are any, and how many there are then on average; empty where all futures have some."""
    some = chips > SMALL
    share = float(shape.weights[some].sum())
    if not some.any() or some.all():
        return ""
    then = float(shape.weights @ chips) / share
    return f"in {100.0 * share:.0f}% of the futures, then {format_count(then)}"


def schedule_rows(shape: Shape, cell: Cell, outcome: Outcome) -> tuple[ScheduleRow, ...]:
    """All rows in the order of months; recourse is the mean over scenarios."""
    rows = [
        *_order_rows(shape, outcome),
        *_site_rows(shape, outcome),
        *_run_rows(shape, cell, outcome),
        *_hour_rows(shape, cell, outcome),
        *_wait_rows(shape, cell, outcome),
        *_sale_rows(shape, outcome),
        *_left_rows(shape, outcome),
    ]
    return tuple(sorted(rows, key=lambda row: (row.month, _ORDER.index(row.action), row.offer, row.chip)))


def _order_rows(shape: Shape, outcome: Outcome) -> list[ScheduleRow]:
    rows = []
    for j, order in enumerate(shape.orders):
        if outcome.lots[j] <= 0.0 or order.offer < 0:
            continue
        offer, chips = shape.problem.offers[order.offer], outcome.lots[j] * order.lot
        lines = _paid_lines(shape, order, float(outcome.lots[j]))
        lines.pop("value left", 0.0)
        if order.instalment is not None:
            lines.pop("rent")
            rows += _instalments(shape, order, float(outcome.lots[j]))
        text = _arrival_words(shape, order.arrival)
        rows.append(_row(shape, order.month, offer.id, offer.kind, offer.chip, chips, lines, text))  # type: ignore[arg-type]
    return rows


def _arrival_words(shape: Shape, arrival: np.ndarray) -> str:
    """From which month an order is in use: the middle of the futures in which it comes, and where nine of ten of all lie."""
    order = np.argsort(arrival, kind="stable")
    reached, sorted_ = np.cumsum(shape.weights[order]), arrival[order]
    come = sorted_ < shape.months
    if not come.any():
        return "not delivered"
    within = float(reached[come][-1])
    shares = (0.05, 0.5 * within, 0.95)
    low, middle, high = (int(sorted_[min(int(np.searchsorted(reached, x - 1e-12)), len(reached) - 1)]) for x in shares)
    names = [month_name(shape.problem.start, month) if month < shape.months else "after the plan" for month in (low, high)]
    spread = f" ({names[0]} to {names[1]})" if low < high else ""
    return f"in use from {month_name(shape.problem.start, middle)}{spread}"


def _paid_lines(shape: Shape, order: Order, lots: float, there: NDArray[np.bool_] | None = None) -> dict[str, float]:
    """Lines of an order, mean over scenarios; of the tax shield only what comes later or earlier than the deductions.

    The rest of the shield follows the other lines, which a row may leave to another one. Only the scenarios ``there`` count.
    """
    weights = shape.weights if there is None else shape.weights * there
    lines = {name: float(weights @ amounts) * lots for name, amounts in order.lines}
    shield = lines.pop(SHIELD, 0.0)
    if shape.problem.tax is not None:
        lines[SHIELD] = shield - relieved(shape.problem, lines)[SHIELD]
    return lines


def _instalments(shape: Shape, order: Order, lots: float) -> list[ScheduleRow]:
    """What a lease costs in each month of the plan, and what is still owed at its end."""
    offer, start = shape.problem.offers[order.offer], shape.problem.start
    due, chips = shape.weights @ order.due(shape.months) * lots, lots * order.lot
    term = f"lease of {month_name(start, order.month)} over {offer.term_months} months"
    rows = [
        _row(shape, int(t), offer.id, "instalment", offer.chip, chips, {"rent": float(due[t])}, term)
        for t in np.flatnonzero(due > 0.005)
    ]
    owed = _owed(shape, order) * lots
    if owed > 0.005:
        line = {"value left": owed}
        rows.append(_row(shape, shape.months - 1, offer.id, "value left", offer.chip, chips, line, "still owed at the end"))
    return rows


def _owed(shape: Shape, order: Order) -> float:
    """Instalments of one lot that fall after the plan, mean over scenarios."""
    if order.instalment is None:
        return 0.0
    term = max(shape.problem.offers[order.offer].term_months, 1)
    return float(shape.weights @ (order.instalment * (term - (order.due(shape.months) > 0.0).sum(axis=1))))


def _site_rows(shape: Shape, outcome: Outcome) -> list[ScheduleRow]:
    """Moves between sites and works on them; what works are worth at the end has a row of its own."""
    rows, start = [], shape.problem.start
    for j, order in enumerate(shape.orders):
        if outcome.lots[j] <= 0.0 or order.offer >= 0 or order.sale:
            continue
        lines = _paid_lines(shape, order, float(outcome.lots[j]))
        ready = f"in use from {month_name(start, int(order.arrival[0]))}"
        if order.source >= 0:
            (chip, begin), (_, end) = shape.label(order.source), shape.label(order.kind)
            chips = outcome.lots[j] * order.lot
            rows.append(_row(shape, order.month, f"{begin} to {end}", "move", chip, chips, lines, ready))
            continue
        left = {"value left": lines.pop("value left")}
        rows.append(_row(shape, order.month, order.name, "build", "", 0.0, lines, f"{outcome.lots[j]:.0f} x, {ready}"))
        rows.append(_row(shape, shape.months - 1, order.name, "value left", "", 0.0, left, "what is not worn out"))
    return rows


def _run_rows(shape: Shape, cell: Cell, outcome: Outcome) -> list[ScheduleRow]:
    rows = []
    site = np.einsum("s,skt->kt", shape.weights, outcome.site)
    busy = np.einsum("s,stk->kt", shape.weights, outcome.cells[:, :, cell.busy : cell.lacking])
    for k, chip in enumerate(shape.chips):
        costs = shape.problem.costs[chip]
        for t in range(shape.months):
            if site[k, t] > SMALL:
                lines = {name: getattr(costs, name) * float(site[k, t]) for name in ("room", "spares", "support", "staff")}
                lines["power"] = float(shape.energy_idle[k] * site[k, t] + shape.energy_busy[k] * busy[k, t])
                there = _over_futures(shape, outcome.site[:, k, t])
                words = _in_futures(shape, outcome.site[:, k, t])
                rows.append(_row(shape, t, "own", "run", chip, float(site[k, t]), lines, words, there))
    return rows


def _hour_rows(shape: Shape, cell: Cell, outcome: Outcome) -> list[ScheduleRow]:
    rows = []
    hours = outcome.cells[:, :, cell.hours : cell.busy]
    cost = np.einsum("s,str,srt->rt", shape.weights, hours, shape.rent_cost)
    rented = rented_chips(cell, outcome)
    there = np.einsum("s,srt->rt", shape.weights, rented)
    for r, offer in enumerate(shape.rents):
        for t in range(shape.months):
            if there[r, t] > SMALL or cost[r, t] > 0.005:
                lines = {"rent": float(cost[r, t])}
                futures = _over_futures(shape, rented[:, r, t])
                words, kind = _in_futures(shape, rented[:, r, t]), cast("Action", offer.kind)
                rows.append(_row(shape, t, offer.id, kind, offer.chip, float(there[r, t]), lines, words, futures))
    tokens = outcome.cells[:, :, cell.tokens : cell.wait]
    token_cost = np.einsum("s,sta,sat->at", shape.weights, tokens, shape.token_cost)
    for a, (_, offer) in enumerate(shape.tokens):
        for t in range(shape.months):
            if token_cost[a, t] > 0.005:
                rows.append(_row(shape, t, offer.id, "api", "", 0.0, {"tokens": float(token_cost[a, t])}))
    return rows


def _wait_rows(shape: Shape, cell: Cell, outcome: Outcome) -> list[ScheduleRow]:
    rows = []
    waits = outcome.cells[:, :, cell.wait : cell.hours]
    wait, priced = (
        np.einsum("s,std->dt", shape.weights, waits),
        np.einsum("s,std,sdt->dt", shape.weights, waits, shape.wait_cost),
    )
    for d, demand in enumerate(shape.services):
        for t in range(shape.months):
            lines = {"waiting": float(priced[d, t])}
            if wait[d, t] > SMALL or lines["waiting"] > 0.005:
                rows.append(_row(shape, t, demand.name, "wait", "", 0.0, lines, _waits(float(wait[d, t]))))
    for j, start in enumerate(shape.starts):
        if outcome.starts[j] > 0.5 and start.wait_cost > 0.0:
            rows.append(_row(shape, start.month, shape.runs[start.demand].name, "wait", "", 0.0, {"waiting": start.wait_cost}))
    lacking = np.einsum("s,stk->kt", shape.weights, outcome.cells[:, :, cell.lacking : cell.taken])
    for k, chip in enumerate(shape.chips):
        for t in range(shape.months):
            lines = {"waiting": float(lacking[k, t] * shape.lacking_cost)}
            if lacking[k, t] > SMALL or lines["waiting"] > 0.005:
                futures = _over_futures(shape, outcome.cells[:, t, cell.lacking + k])
                share = _in_futures(shape, outcome.cells[:, t, cell.lacking + k])
                words = f"chips that runs lack; {share}" if share else "chips that runs lack"
                rows.append(_row(shape, t, "late delivery", "wait", chip, float(lacking[k, t]), lines, words, futures))
    return rows


def _waits(share: float) -> str:
    return f"{100.0 * share:.1f} % waits" if share >= _TENTH else "less than 0.1 % waits"


def _sale_rows(shape: Shape, outcome: Outcome) -> list[ScheduleRow]:
    rows = []
    rate = shape.problem.interest_per_year / 12.0
    for k, chip in enumerate(shape.chips):
        for t in range(shape.months):
            sold = float(outcome.sales[k, t])
            if sold > SMALL:
                paid = sold_lines(shape, outcome, k, t, rate)
                lines = {name: paid[name] * sold for name in ("chips", *SERVER_LINES) if paid[name]}
                action: Action = "resell" if sum(lines.values()) < 0.0 else "retire"
                rows.append(_row(shape, t, "own", action, chip, sold, lines, "at the end of the month"))
    for j, order in enumerate(shape.orders):
        if order.sale and order.parent < 0 and outcome.lots[j] > 0.0:
            chips, income = outcome.lots[j] * order.lot, _paid_lines(shape, order, float(outcome.lots[j]))["chips"]
            note = "at the end of the month, in every future"
            rows.append(
                _row(shape, order.month - 1, "own", "resell", shape.chips[order.source], chips, {"chips": income}, note)
            )
    return rows + _resale_rows(shape, outcome)


def _resale_rows(shape: Shape, outcome: Outcome) -> list[ScheduleRow]:
    """Sales of ordered chips over many futures, by kind and month in which they take place."""
    chips: dict[tuple[int, int], Floats] = {}
    lines: dict[tuple[int, int], dict[str, float]] = {}
    for j, order in enumerate(shape.orders):
        if order.parent < 0 or outcome.lots[j] <= 0.0:
            continue
        for month in np.unique(order.taken[order.taken < shape.months]):
            key, there = (order.source, int(month)), order.taken == month
            chips[key] = chips.get(key, np.zeros(shape.count)) + outcome.lots[j] * order.lot * there
            whole = lines.setdefault(key, {})
            for name, amount in _paid_lines(shape, order, float(outcome.lots[j]), there).items():
                if amount and name not in ("finance", "value left"):
                    whole[name] = whole.get(name, 0.0) + amount
    rows = []
    for (k, month), count in chips.items():
        paid = lines[k, month]
        action: Action = "resell" if sum(paid.get(name, 0.0) for name in ("chips", *SERVER_LINES)) < 0.0 else "retire"
        note = "at the end of the month, in every future" if (count > 0.0).all() else _WHERE_COME
        sold, futures = float(shape.weights @ count), _over_futures(shape, count)
        rows.append(_row(shape, month - 1, "own", action, shape.chips[k], sold, paid, note, futures))
    return rows


def _sold_orders(shape: Shape, outcome: Outcome, kind: int) -> tuple[float, dict[str, float]]:
    """Chips of a kind that orders sell over many futures, and what of their lines falls at the end."""
    chips, lines = 0.0, {"finance": 0.0, "value left": 0.0}
    for j, order in enumerate(shape.orders):
        if order.sale and order.source == kind and outcome.lots[j] > 0.0:
            chips += outcome.lots[j] * order.lot * float(shape.weights @ (order.taken < shape.months))
            for name in lines:
                lines[name] += float(shape.weights @ dict(order.lines)[name]) * outcome.lots[j]
    return chips, lines


def _left_rows(shape: Shape, outcome: Outcome) -> list[ScheduleRow]:
    """One row for each chip that is left, with its worth; one for interest; one for what was there at the start."""
    rate, end = shape.problem.interest_per_year / 12.0, shape.months - 1
    finance: dict[str, list[float]] = {}
    left: dict[str, list[float]] = {}
    begun: dict[str, list[float]] = {}
    for k in range(len(shape.chips)):
        chip, lines, sold = shape.label(k)[0], holding_lines(shape, k), outcome.sales[k]
        for t in np.flatnonzero(sold > SMALL):
            back = sold_lines(shape, outcome, k, int(t), rate)
            for name in ("finance", "value left"):
                lines[name] += back[name] * float(sold[t])
        gone, later = _sold_orders(shape, outcome, k)
        for name, amount in later.items():
            lines[name] += amount
        if abs(lines["value at start"]) >= 0.005:
            _sum(begun, chip, float(shape.have_site[k].max()), lines["value at start"])
        _sum(finance, chip, float(shape.have_site[k].max()) or float(sold.sum()), lines["finance"])
        _sum(left, chip, float(shape.have_site[k, -1]) - float(sold.sum()) - gone, lines["value left"])
    for j, order in enumerate(shape.orders):
        worth = float(shape.weights @ dict(order.lines).get("value left", np.zeros(shape.count))) * outcome.lots[j]
        worth -= _owed(shape, order) * outcome.lots[j]
        if outcome.lots[j] > 0.0 and worth and order.offer >= 0:
            chips = outcome.lots[j] * order.lot if order.instalment is None else 0.0
            _sum(left, shape.label(order.kind)[0], chips, worth)
    rows = [
        _row(
            shape,
            0,
            "own",
            "value at start",
            chip,
            chips,
            {"value at start": amount},
            "what they would then fetch without their servers",
        )
        for chip, (chips, amount) in begun.items()
    ]
    for chip, (chips, amount) in finance.items():
        if abs(amount) >= 0.005:
            paid = "on the worth of the chips that were there, until they are sold or the plan ends"
            note = paid if amount > 0.0 else "no longer owed on chips that were sold"
            rows.append(_row(shape, end, "own", "interest", chip, chips, {"finance": amount}, note))
    for chip, (chips, amount) in left.items():
        if abs(amount) >= 0.005:
            note = "what they and servers would fetch"
            rows.append(_row(shape, end, "own", "value left", chip, max(chips, 0.0), {"value left": amount}, note))
    return rows


def _sum(table: dict[str, list[float]], key: str, chips: float, amount: float) -> None:
    row = table.setdefault(key, [0.0, 0.0])
    row[0] += chips
    row[1] += amount
