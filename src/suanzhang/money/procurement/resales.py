"""Sales of chips that a plan over many futures orders: decided with the orders, carried out in each future once they are there.

A sale cannot foresee: from which month lots of an order are for sale is decided once. Where they come later than that, they
are sold as soon as they have come; where they never come, there is nothing to sell. Chips, prices and what servers are worth
by then differ from one future to the next. Sales that wait for a good price are not offered: chosen on 20 futures they save up
to 0.2 % there, and lose up to 4.6 % in 200 others.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from suanzhang.money.procurement.calendar import FOREVER
from suanzhang.money.procurement.orders import SHIELD, Floats, Order, price_path
from suanzhang.money.tax import book_value
from suanzhang.spec.buy import PurchaseProblem, Scenario

Ints = NDArray[np.int64]
_MOST = 6000
"""Sales at most: with more orders and months they begin only every second month, every third, and so on."""


def resale_name(parent: Order) -> str:
    """The name of the orders by which lots of an order are sold again; their month is the first from which they can be gone."""
    return f"sell {parent.name} of month {parent.month}"


def gone_from(parent: Order, when: Ints, months: int) -> Ints:
    """First month in which lots are gone that are for sale from the end of the month before: by that month and future.

    Equation:
        max(u, arrival + 1); never where that is not in the plan.

    Sources:
        [derived].
    """
    gone = np.maximum(when[:, None], parent.arrival + 1)
    return np.where(gone < months, gone, FOREVER)


def resales(
    problem: PurchaseProblem,
    scenarios: tuple[Scenario, ...],
    orders: Sequence[Order],
    resale: Floats,
    decided: Collection[tuple[str, int]] | None = None,
) -> list[Order]:
    """One order for every purchase and month from which its chips could be gone.

    Args:
        problem: offers and limits.
        scenarios: ways in which the future may turn out.
        orders: all other orders, of which ``parent`` is an index.
        resale: what used chips fetch, by scenario, kind and end of month.
        decided: names and months of the sales that are looked at; None for all that could be decided.
    """
    found: list[Order] = []
    end, never, nothing = problem.months, np.full(len(scenarios), FOREVER), np.zeros(len(scenarios))
    bought = [j for j, order in enumerate(orders) if order.offer >= 0 and problem.offers[order.offer].kind == "buy"]
    step = -(-sum(end - 1 - int(orders[j].arrival.min()) for j in bought) // _MOST)
    for parent in bought:
        order, name = orders[parent], resale_name(orders[parent])
        months = np.arange(int(order.arrival.min()) + 1, end, max(step, 1))
        if decided is not None:
            months = np.array(sorted(month for one, month in decided if one == name), dtype=np.int64)
        gone = gone_from(order, months, end)
        lines = resale_lines(problem, order, gone, scenarios, resale[:, order.kind])
        for i, month in enumerate(months):
            own = tuple((line, amounts[i]) for line, amounts in lines.items())
            found.append(
                Order(
                    -1, int(month), order.lot, order.limit_lots, own, nothing, never, never, name,
                    source=order.kind, parent=parent, gone=gone[i],
                )
            )  # fmt: skip
    return found


def resale_lines(
    problem: PurchaseProblem, order: Order, gone: Ints, scenarios: tuple[Scenario, ...], resale: Floats
) -> Mapping[str, Floats]:
    """Lines of one lot that is sold with its servers, by sale and future: income, interest saved, and what is then not left.

    Equation:
        income = -(V + H)_g; finance = -i sum of (V + H)_g..(T-1); value left = (V + H)_T; with V what the chip fetches and H
        what its server is worth in a straight line; relief comes at once for what is still on the books.

    Sources:
        [derived].
    """
    offer, end, rate = problem.offers[order.offer], problem.months, problem.interest_per_year / 12.0
    costs, path = problem.costs[offer.chip], price_path(problem, offer, order.month, scenarios)
    parts = {
        "hosts": costs.host * (path if offer.includes_host else np.ones(len(path))),
        "network": np.full(len(path), costs.network),
        "storage": np.full(len(path), costs.storage),
    }
    age = np.arange(end + 1) - order.arrival[:, None]
    wear = np.maximum(1.0 - np.maximum(age, 0) / costs.infra_life_months, 0.0)
    infra = np.sum(list(parts.values()), axis=0)
    tied = np.cumsum(np.where(age >= 0, resale + infra[:, None] * wear, 0.0), axis=1)
    sold, when, s = gone < end, np.minimum(gone, end), np.arange(len(path))
    later = tied[:, end - 1] - tied[s, when - 1]
    lines = {
        "chips": -resale[s, when],
        **{name: -part * wear[s, when] for name, part in parts.items()},
        "finance": -rate * later,
        "value left": np.broadcast_to(resale[:, end] + infra * wear[:, end], gone.shape),
    }
    if problem.tax is not None:
        paid = path * offer.price.value + (0.0 if offer.includes_host else costs.host) + costs.network + costs.storage
        books = np.array([sum(book_value(problem.tax, months)) for months in range(end + 1)])
        used = np.where(sold, when - order.arrival, 0)
        left = np.clip(end - order.arrival, 0, end)
        lines[SHIELD] = -(1.0 - problem.tax.rate) * rate * problem.tax.rate * (paid * (books[left] - books[used]) - later)
    return {name: np.where(sold, order.lot * amount, 0.0) for name, amount in lines.items()}
