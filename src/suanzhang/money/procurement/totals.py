"""What a plan costs in each future, and what chips that are held or sold are charged and credited."""

from __future__ import annotations

import numpy as np

from suanzhang.money.procurement.form import sale_lines, server_shares, server_worth
from suanzhang.money.procurement.monthcell import Cell
from suanzhang.money.procurement.orders import Floats, relieved
from suanzhang.money.procurement.outcome import Outcome
from suanzhang.money.procurement.shape import Shape


def sold_lines(shape: Shape, outcome: Outcome, chip: int, month: int, rate: float) -> dict[str, float]:
    """Lines of one chip sold with its server, whose age is the mean over those that there are.

    Equation:
        as :func:`sale_lines`; the server sells for more by (H_T of the mean age - H_T), and as much more is not left.

    Sources:
        [derived].
    """
    lines, end = sale_lines(shape, chip, month, rate), shape.months
    server, worth, chips = server_worth(shape, chip), 0.0, 0.0
    if not server.any():
        return lines
    for j, order in enumerate(shape.orders):
        buys = order.offer >= 0 and shape.problem.offers[order.offer].kind == "buy"
        if buys and order.kind == chip and outcome.lots[j] > 0.0:
            there = outcome.lots[j] * order.lot
            chips += there
            left = float(shape.weights @ dict(order.lines)["value left"]) * outcome.lots[j]
            worth += -left - there * float(shape.weights @ shape.resale[:, chip, end])
    younger = worth / chips - float(server[end]) if chips > 0.0 else 0.0
    parts = {name: lines[name] - share * younger for name, share in server_shares(shape, chip).items()}
    return {**lines, **parts, "value left": lines["value left"] + younger}


def holding_by_future(shape: Shape, chip: int) -> dict[str, Floats]:
    """Lines of the chips of one kind that are owned from the start, without their servers, by future; before taxes.

    They are charged what they would fetch when they are first there, since they could be sold instead, and credited with what
    they fetch at the end.

    Equation:
        value at start = sum of V_t (n_t - n_(t-1)); finance = i sum of V_t n_t; value left = -V_T n_T.

    Sources:
        [derived].
    """
    worth, have, end = shape.resale[:, chip], shape.have_site[chip], shape.months
    return {
        "value at start": worth[:, :end] @ np.diff(have, prepend=0.0),
        "finance": shape.problem.interest_per_year / 12.0 * (worth[:, :end] @ have),
        "value left": -worth[:, end] * have[-1],
    }


def holding_lines(shape: Shape, chip: int) -> dict[str, float]:
    """Lines of the chips of one kind that are owned from the start, in the mean over futures; the books hold nothing of them.

    Equation:
        as :func:`holding_by_future`, with what taxes give back.

    Sources:
        [derived].
    """
    lines = {name: float(shape.weights @ amounts) for name, amounts in holding_by_future(shape, chip).items()}
    return relieved(shape.problem, lines)


def scenario_totals(shape: Shape, cell: Cell, outcome: Outcome) -> Floats:
    """Total cost in each scenario.

    Equation:
        C_s = sum of lots x lines + waiting + running + sales + holding, each in scenario s.

    Sources:
        [derived].
    """
    totals = np.zeros(shape.count)
    for j, order in enumerate(shape.orders):
        if outcome.lots[j] > 0.0:
            totals += outcome.lots[j] * np.sum([amounts for _, amounts in order.lines], axis=0)
    totals += sum(start.wait_cost * outcome.starts[j] for j, start in enumerate(shape.starts))
    totals += shape.keep * running_totals(shape, cell, outcome)
    cells = outcome.cells
    totals += np.einsum("std,sdt->s", cells[:, :, cell.wait : cell.hours], shape.wait_cost)
    totals += shape.lacking_cost * cells[:, :, cell.lacking : cell.taken].sum(axis=(1, 2))
    rate = shape.problem.interest_per_year / 12.0
    for k in range(len(shape.chips)):
        for t in range(shape.months):
            if outcome.sales[k, t] > 0.0:
                totals += outcome.sales[k, t] * sum(sale_lines(shape, k, t, rate).values())
        totals += sum(holding_lines(shape, k).values())
    return totals


def running_totals(shape: Shape, cell: Cell, outcome: Outcome) -> Floats:
    """What is paid for chips that stand and work, rents by the hour and tokens, before taxes, in each scenario.

    Equation:
        sum over months of held chips x upkeep + rents + tokens + energy at work.

    Sources:
        [derived].
    """
    cells = outcome.cells
    totals = np.einsum("k,skt->s", shape.hold + shape.energy_idle, outcome.site)
    totals += np.einsum("str,srt->s", cells[:, :, cell.hours : cell.busy], shape.rent_cost)
    totals += np.einsum("sta,sat->s", cells[:, :, cell.tokens : cell.wait], shape.token_cost)
    totals += np.einsum("stk,k->s", cells[:, :, cell.busy : cell.lacking], shape.energy_busy)
    return np.asarray(totals)
