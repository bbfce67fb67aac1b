"""The price of a month in which a service waits: just above the dearest whole lot of chips that it may have to take."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from suanzhang.money.procurement.monthcell import Ints
from suanzhang.money.procurement.orders import ORDERED, Floats
from suanzhang.money.procurement.shape import Shape, build, spot_share
from suanzhang.spec.buy import Demand, PurchaseProblem

OVER = 1.1
"""Price of waiting over the cost of what would end it."""
_SCARCE = 2.0
"""Where others want chips as well, supply is looked at up to so many times what the service takes itself."""


@dataclass(frozen=True, slots=True)
class Way:
    """A way to carry a service: what a month of it costs for its last chip in a whole lot, by scenario; how much can be had."""

    cost: Floats
    share: float


def with_wait_prices(problem: PurchaseProblem) -> PurchaseProblem:
    """A problem in which every service that may wait has a price of waiting; prices that are given stay."""
    if all(demand.wait_priced for demand in problem.demands):
        return problem
    shape = build(problem, (problem.expected,))
    return replace(problem, demands=tuple(_priced(shape, demand) for demand in problem.demands))


def _priced(shape: Shape, demand: Demand) -> Demand:
    if demand.wait_priced:
        return demand
    if demand.kind != "serve":
        return replace(demand, wait_priced=True)
    return replace(demand, wait_price=waiting_price(shape, demand), wait_priced=True, wait_follows=True)


def waiting_price(shape: Shape, demand: Demand) -> float:
    """Price of a month in which the whole of a service waits: nothing that takes a chip waits for chips that can be had.

    Model:
        Chips come in whole lots, so that the last chip of a service may cost a whole lot: the price of its share is that of
        the lot. Ways are taken in the order of this price until what is on offer carries the service while it may wait; the
        dearest one that is needed counts.

    Args:
        shape: columns and figures of the problem in the expected future.
        demand: a service of it.

    Returns:
        Money for a month in which all of it (at level 1) waits, in the first future of the shape.

    Equation:
        W = 1.1 max over the ways needed of c_k max(n_k lot_k, least order), c_k the cost of a chip-month, all lines included.

    Validity:
        Runs and other services want the same chips: supply is then looked at up to twice what the service takes.

    Sources:
        [derived].

    Example:
        A service of one chip, rented in servers of 8 at 2 an hour: 1.1 x 8 x 2 x 730.5 = 12,857 a month.
    """
    return float(waiting_prices(shape, demand)[0])


def waiting_prices(shape: Shape, demand: Demand) -> Floats:
    """The price of :func:`waiting_price` in every future of a shape.

    Equation:
        as there, with the costs and levels of each future.

    Sources:
        [derived].
    """
    index = next(i for i, one in enumerate(shape.services) if one.name == demand.name)
    last = shape.months - 1 if demand.due_month is None else min(demand.due_month, shape.months - 1)
    months = np.arange(min(demand.first_month, last), last + 1)
    level = shape.level[:, index][:, months].max(axis=1, initial=0.0)
    wanted = np.where(level > 0.0, level, 1.0) * (_SCARCE if len(shape.problem.demands) > 1 else 1.0)
    ways = _ways(shape, index, months)
    if not ways:
        return np.zeros(shape.count)
    cost, share = np.array([way.cost for way in ways]), np.array([way.share for way in ways])
    order = np.argsort(cost, axis=0, kind="stable")
    carried = np.cumsum(share[order], axis=0)
    needed = np.minimum((carried < wanted).sum(axis=0), len(ways) - 1)
    return np.asarray(OVER * np.take_along_axis(cost, order, axis=0)[needed, np.arange(shape.count)])


def _ways(shape: Shape, index: int, months: Ints) -> list[Way]:
    demand, last, found = shape.services[index], int(months[-1]), []
    for pair in (pair for pair in shape.pairs if pair.demand == index):
        energy = float(shape.energy_busy[pair.chip]) * pair.busy
        own = float(shape.hold[pair.chip] + shape.energy_idle[pair.chip]) + energy
        for r, offer in enumerate(shape.rents):
            stock = float(shape.rent_stock[r, months].max())
            if shape.chips.index(offer.chip) != pair.chip or stock <= 0.0 or (offer.kind == "spot" and demand.interactive):
                continue
            chip_month = shape.rent_cost[:, r][:, months].max(axis=1) / max(spot_share(offer), 1e-9)
            found.append(Way(chip_month * pair.chips * offer.lot_chips, stock / pair.chips))
        for chip_month, lot, stock in _ordered(shape, pair.chip, last):
            found.append(Way((chip_month + own) * max(pair.chips * lot[0], lot[1]), stock / pair.chips))
    for a, (d, _) in enumerate(shape.tokens):
        if d == index:
            found.append(Way(shape.token_cost[:, a][:, months].max(axis=1), float("inf")))
    return found


def _ordered(shape: Shape, chip: int, last: int) -> list[tuple[Floats, tuple[float, float], float]]:
    """By offer that can be ordered so as to stand by a month (else the soonest): cost of a chip-month, lot and least, stock.

    The cost is by scenario; the delivery is the median one.
    """
    best: dict[str, tuple[bool, float, Floats, tuple[float, float], float]] = {}
    for order in shape.orders:
        offer = shape.problem.offers[order.offer] if order.offer >= 0 else None
        if offer is None or offer.kind not in ORDERED or order.kind != chip:
            continue
        arrival = int(np.median(order.arrival))
        used = min(int(np.median(order.leave)), shape.months) - arrival
        if used <= 0:
            continue
        whole = np.sum([amounts for _, amounts in order.lines], axis=0)
        cost = np.maximum(whole / (order.lot * used), 0.0)
        late, mean, known = arrival > last, float(shape.weights @ cost), best.get(offer.id)
        if known is None or (late, mean) < known[:2]:
            least = float(offer.min_order_chips) if offer.kind == "buy" else 0.0
            best[offer.id] = (late, mean, cost, (order.lot, least), order.limit_lots * order.lot)
    return [(cost, lot, stock) for _, _, cost, lot, stock in best.values()]
