"""How far the money of a schedule may be off: prices, the figures of the cost lines and our own physics, drawn together."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from suanzhang.app.buy_sites import with_carbon
from suanzhang.app.plan_shares import chip_months
from suanzhang.app.spread import inverse, serving_interval
from suanzhang.catalog.chips import chip as find_chip
from suanzhang.errors import SolverError
from suanzhang.money.figures import figure
from suanzhang.money.procurement.calendar import month_number
from suanzhang.money.procurement.orders import SHIELD
from suanzhang.money.tax import NOT_DEDUCTED
from suanzhang.spec.buy import LINES, NOT_CASH, Binding, BuyResult, MonthState, RunWindow, ScheduleRow
from suanzhang.spec.buy_worth import ActualRow, ChargeBack, RentOrBuy, Swing, TwoWay
from suanzhang.spec.draws import Floats, two_piece_lognormal
from suanzhang.spec.place import SiteEnergy
from suanzhang.spec.result import Z95, Interval, Money
from suanzhang.spec.serve import SizedService
from suanzhang.spec.tariff import EnergyBand
from suanzhang.spec.tax import TaxShield
from suanzhang.spec.train import TrainOption
from suanzhang.units import format_figure

if TYPE_CHECKING:
    from suanzhang.app.plan import Sized
    from suanzhang.app.plan_sizing import SizedAsk, SizedTraining

PRICED = ("chips", "rent", "value at start", "value left", "tokens")
"""Lines that move with the prices of the market."""
RANGES = {
    "hosts": "host_per_chip",
    "network": "network_per_port",
    "storage": "storage_per_chip",
    "spares": "spares_per_year",
    "support": "support_per_year",
    "power": "fleet_draw",
    "finance": "interest_per_year",
}
"""Lines whose figure has a range, and its key."""
DRAWS = 2000
_MID_MONTH = 0.5
_ONE = np.ones(DRAWS)


def physics_factors(sized: Sized, bought: BuyResult) -> dict[str, Interval]:
    """By demand: the cost that its chips turn out to take over the predicted one."""
    found: dict[str, Interval] = {}
    for training in sized.trainings:
        run = next((run for run in bought.runs if run.demand == training.ask.name), None)
        if run is not None:
            option = option_for(training, run)
            found[training.ask.name] = option.days_interval.scaled(1.0 / option.days)
    for service in sized.services:
        main = main_option(service, bought)
        found[service.ask.name] = inverse(serving_interval(main, find_chip(main.chip), service=service.service))
    return found


def option_for(one: SizedTraining, run: RunWindow) -> TrainOption:
    """The sizing of a training that a schedule runs."""
    same = [option for option in one.options if option.chip == run.chip]
    if not same:
        raise SolverError(f"the schedule runs {one.ask.name} on {run.chip}, which was not sized")
    return min(same, key=lambda option: abs(option.chips - run.chips))


def main_option(one: SizedAsk, bought: BuyResult) -> SizedService:
    """The sizing on the kind of chip that carries most of a service."""
    carried: dict[str, float] = {}
    for share in bought.shares:
        if share.demand == one.ask.name:
            carried[share.chip] = carried.get(share.chip, 0.0) + share.size_factor
    return max(one.options, key=lambda option: (carried.get(option.chip, 0.0), -option.chips))


def range_of(key: str) -> Interval:
    """A figure of the cost lines over its value: its range, as the ends of an interval; one that was set to 0 has none."""
    own = figure(key)
    if own.value == 0.0:
        return Interval(1.0, 1.0, 1.0)
    return Interval(min(own.low, own.value) / own.value, 1.0, max(own.high, own.value) / own.value)


class Spread:
    """Drawn futures of a question: the same ones for every schedule that is compared.

    Model:
        Prices move together as a random walk from the first month on; each figure of a cost line has its range; each demand
        takes the chips and time that our physics predicts, times its error. A row of the schedule costs the sum of its lines
        under these, with the error of the demands that its chips work for, by chip-months. Left out: that the schedule would
        be changed on the way.

    Args:
        sized: the question.
        bought: its schedule; the physics are those of the chips in it.
    """

    def __init__(self, sized: Sized, bought: BuyResult) -> None:
        question = sized.question
        sigma = sized.world.market.price_sigma_per_year
        factors = physics_factors(sized, bought)
        self.first, self.months = month_number(question.start), question.months
        self.names = tuple(factors)
        random = np.random.default_rng(question.seed)
        walk = random.standard_normal(DRAWS)
        at = (np.arange(self.months + 1) + _MID_MONTH) / 12.0
        self.walk: Floats = np.exp((sigma.value if sigma else 0.0) * np.sqrt(at)[:, None] * walk[None, :])
        fixed = {key: two_piece_lognormal(range_of(key), random.standard_normal(DRAWS)) for key in sorted(set(RANGES.values()))}
        self.line = {name: fixed[RANGES[name]] if name in RANGES else np.ones(DRAWS) for name in LINES}
        drawn = [two_piece_lognormal(factors[name], random.standard_normal(DRAWS)) for name in self.names]
        self.physics: Floats = np.array([*drawn, np.ones(DRAWS)])

    def _mix(self, row: ScheduleRow, used: Mapping[str, Mapping[str, float]]) -> Floats:
        """Shares of the demands in a row; the last one for what belongs to none."""
        mix = np.zeros(len(self.names) + 1)
        if row.offer in self.names:
            mix[self.names.index(row.offer)] = 1.0
            return mix
        amounts = [
            used.get(name, {}).get(row.chip, 0.0) if row.chip else sum(used.get(name, {}).values()) for name in self.names
        ]
        if sum(amounts) <= 0.0:
            mix[-1] = 1.0
        else:
            mix[:-1] = np.array(amounts) / sum(amounts)
        return mix

    def of(self, bought: BuyResult, *, walks: bool = True) -> Drawn:
        """Drawn cost of a schedule, by row and by line; without ``walks`` prices stay where they are."""
        rows, paid = np.zeros((len(bought.schedule), DRAWS)), np.zeros((len(bought.schedule), DRAWS))
        lines = {name: np.zeros(DRAWS) for name in LINES}
        for index, name, part in self._parts(bought, walks=walks):
            rows[index] += part
            lines[name] += part
            if name not in NOT_CASH:
                paid[index] += part
        return Drawn(rows, paid, lines)

    def lines_of(self, bought: BuyResult) -> list[dict[str, Interval]]:
        """The interval of each line of each row of a schedule, under the same draws as its cost."""
        found: list[dict[str, Interval]] = [{} for _ in bought.schedule]
        amounts = [dict(row.lines) for row in bought.schedule]
        for index, name, part in self._parts(bought, walks=True):
            if amounts[index][name]:
                found[index][name] = span(amounts[index][name], part)
        return found

    def _parts(self, bought: BuyResult, *, walks: bool) -> Iterator[tuple[int, str, Floats]]:
        """Drawn amount of each line of each row: number of the row, name of the line, draws."""
        used = chip_months(bought)
        known: dict[tuple[str, str], Floats] = {}
        for index, row in enumerate(bought.schedule):
            when = self.months if row.action == "value left" else month_number(row.month) - self.first
            when = min(max(when, 0), self.months)
            key = (row.offer if row.offer in self.names else "", row.chip)
            if key not in known:
                known[key] = self._mix(row, used) @ self.physics
            deducted = np.zeros(DRAWS)
            for name, amount in sorted(row.lines, key=lambda line: line[0] == SHIELD):
                level = self.line[name] if name not in PRICED else self.walk[when] if walks else _ONE
                part = amount * level * known[key]
                if name == SHIELD and bought.tax is not None:  # follows what is deducted; the rest is what comes late
                    back = bought.tax.terms.rate
                    late = amount + back * sum(other for line, other in row.lines if line not in NOT_DEDUCTED)
                    part = late * known[key] - back * deducted
                elif name not in NOT_DEDUCTED:
                    deducted += part
                yield index, name, part


@dataclass(frozen=True, slots=True)
class Drawn:
    """Drawn cost of a schedule: of each row, of the cash in it, and of each line."""

    rows: Floats
    paid: Floats
    lines: Mapping[str, Floats]

    @property
    def cost(self) -> Floats:
        """Of the whole schedule."""
        return np.asarray(self.rows.sum(axis=0))

    @property
    def cash(self) -> Floats:
        """What is paid out."""
        return np.asarray(self.paid.sum(axis=0))


def span(value: float, draws: Floats) -> Interval:
    """The interval of drawn values around what is predicted, which it never leaves out."""
    low, middle, high = (float(item) for item in np.quantile(draws, (0.05, 0.5, 0.95)))
    return Interval(min(low, value), middle, max(high, value))


def shifted(value: float, base: float, interval: Interval) -> Interval:
    """The interval of a value that errs by as large a share as another does."""
    share = abs(value / base) if base else 0.0
    low, middle, high = ((end - base) * share for end in (interval.p05, interval.p50, interval.p95))
    return Interval(value + min(low, 0.0), value + middle, value + max(high, 0.0))


def spread_bought(bought: BuyResult, sized: Sized, drawn: Spread | None = None) -> BuyResult:
    """A schedule with an interval at each figure that is predicted.

    Over many futures the prices and dates of the cost are theirs, and our physics and the cost figures are drawn beside them;
    the rest is drawn around the means.
    """
    drawn = drawn or Spread(sized, bought)
    bought = with_carbon(sized.question, sized.world, bought)
    found = drawn.of(bought)
    rows, paid = found.rows, found.paid
    whole = _over_futures(bought, drawn) if bought.scenarios > 1 else span(bought.cost.amount, found.cost)
    lines = {name: span(money.amount, found.lines[name]) for name, money in bought.lines.items()}
    cash = span(bought.cash.amount, found.cash)
    tolerance = bought.gap * abs(bought.cost.amount)

    def worth(money: Money | None) -> Interval | None:
        if money is None:
            return None
        own = shifted(money.amount, bought.cost.amount, whole)
        return Interval(own.p05 - tolerance, own.p50, own.p95 + tolerance)

    ends = np.quantile(rows, (0.05, 0.5, 0.95), axis=1) if len(rows) else np.zeros((3, 0))
    parts = drawn.lines_of(bought)
    return replace(
        bought,
        schedule=tuple(
            replace(row, cost_interval=_holding(row.cost.amount, ends[:, index]), lines_interval=parts[index])
            for index, row in enumerate(bought.schedule)
        ),
        cost_interval=whole,
        cost_mean_interval=whole,
        cost_p95=Money(round(whole.p95, 2), bought.cost.currency, bought.cost.date),
        tail_mean_interval=_moved(bought.tail_mean, bought, whole),
        cash_interval=cash,
        lines_interval=lines,
        waiting_interval=lines.get("waiting"),
        interest_interval=lines.get("finance"),
        value_left_interval=lines.get("value left"),
        vss_interval=worth(bought.vss),
        evpi_interval=worth(bought.evpi),
        value_of_waiting_interval=worth(bought.value_of_waiting),
        value_of_firm_delivery_interval=worth(bought.value_of_firm_delivery),
        binding=tuple(_binding(one, bought, whole) for one in bought.binding),
        months=_months(bought, paid),
        runs=tuple(_run(run, sized) for run in bought.runs),
        rent_or_buy=tuple(_rent_or_buy(one, drawn) for one in bought.rent_or_buy),
        swings=tuple(_swing(one, bought, whole) for one in bought.swings),
        two_way=tuple(_two_way(one, bought, whole) for one in bought.two_way),
        charge_back=tuple(_charged(one, bought, whole, cash) for one in bought.charge_back),
        tax=_shield(bought, lines),
        energy=tuple(_band(one) for one in bought.energy),
        carbon=tuple(_on_site(one) for one in bought.carbon),
        actuals=_actuals(bought, paid),
        warnings=(*bought.warnings, *over_budget(bought, paid)),
    )


def over_budget(bought: BuyResult, paid: Floats) -> tuple[str, ...]:
    """A line where drawn futures pay more than the budget by the end of some month; none where all keep to it.

    Args:
        bought: a schedule.
        paid: what each of its rows pays, by drawn future.
    """
    if bought.budget is None or not len(paid):
        return ()
    by_month = _by_month(bought, paid)
    most = np.cumsum([by_month[month] for month in sorted(by_month)], axis=0).max(axis=0)
    share = float(np.mean(most > bought.budget.amount * (1.0 + 1e-9)))
    if share <= 0.0:
        return ()
    limit = format_figure(bought.budget.amount, bought.budget.currency)
    return (
        f"as prices, cost figures and our own error move, {max(share, 1e-3):.1%} of the futures of this schedule pay more than "
        f"the budget of {limit}; keep money in hand, or plan with a smaller budget",
    )


def _over_futures(bought: BuyResult, drawn: Spread) -> Interval:
    """The spread of the cost over the futures it was planned for, with that of physics and cost figures in each of them."""
    futures, cost = bought.cost_interval, bought.cost.amount
    z = np.random.default_rng(drawn.first).standard_normal(DRAWS)
    ends = np.where(z < 0.0, futures.p50 - futures.p05, futures.p95 - futures.p50)
    return span(cost, drawn.of(bought, walks=False).cost + futures.p50 - cost + ends * z / Z95)


def _holding(value: float, ends: Floats) -> Interval:
    return Interval(min(float(ends[0]), value), float(ends[1]), max(float(ends[2]), value))


def _binding(one: Binding, bought: BuyResult, whole: Interval) -> Binding:
    step = None if one.step_saves is None else shifted(one.step_saves.amount, bought.cost.amount, whole)
    return replace(one, worth_interval=shifted(one.worth, bought.cost.amount, whole), step_saves_interval=step)


def _by_month(bought: BuyResult, paid: Floats) -> dict[str, Floats]:
    found: dict[str, Floats] = {}
    for index, row in enumerate(bought.schedule):
        found[row.month] = found[row.month] + paid[index] if row.month in found else paid[index].copy()
    return found


def _months(bought: BuyResult, paid: Floats) -> tuple[MonthState, ...]:
    """Draw and energy with the range of what fleets draw, cash with that of the rows."""
    fleet, drawn = range_of("fleet_draw"), _by_month(bought, paid)
    return tuple(
        replace(
            state,
            draw_w_interval=fleet.scaled(state.draw_w),
            peak_w_interval=fleet.scaled(state.peak_w),
            energy_j_interval=fleet.scaled(state.energy_j),
            energy_cost_interval=fleet.scaled(state.energy_cost),
            carbon_kg_interval=fleet.scaled(state.carbon_kg),
            cash_interval=span(state.cash, drawn[state.month]) if state.month in drawn else None,
            places=tuple(
                replace(
                    place,
                    draw_w_interval=fleet.scaled(place.draw_w),
                    peak_w_interval=fleet.scaled(place.peak_w),
                    energy_j_interval=fleet.scaled(place.energy_j),
                )
                for place in state.places
            ),
        )
        for state in bought.months
    )


def _run(run: RunWindow, sized: Sized) -> RunWindow:
    one = next((one for one in sized.trainings if one.ask.name == run.demand), None)
    if one is None:
        return run
    option = option_for(one, run)
    return replace(run, months_interval=option.days_interval.scaled(run.months / option.days))


def _rent_or_buy(one: RentOrBuy, drawn: Spread) -> RentOrBuy:
    """Break-even with the spread of prices over half the plan, and of what hosts and the like cost."""
    half = drawn.walk[drawn.months // 2]
    other = drawn.line["hosts"]
    own = one.own_per_chip_h.amount * np.sqrt(half * other)
    rent = np.asarray(one.rent_per_chip_h.amount * half)
    use = one.utilisation * (own / one.own_per_chip_h.amount) * (one.rent_per_chip_h.amount / rent)
    month = None if one.month is None else span(one.month, one.month * other * one.rent_per_chip_h.amount / rent)
    return replace(
        one,
        own_per_chip_h_interval=span(one.own_per_chip_h.amount, own),
        utilisation_interval=span(one.utilisation, use),
        month_interval=month,
    )


def _moved(money: Money | None, bought: BuyResult, whole: Interval) -> Interval | None:
    return None if money is None else shifted(money.amount, bought.cost.amount, whole)


def _swing(one: Swing, bought: BuyResult, whole: Interval) -> Swing:
    low, high = (_moved(money, bought, whole) for money in (one.cost_low, one.cost_high))
    return replace(one, cost_low_interval=low, cost_high_interval=high)


def _two_way(one: TwoWay, bought: BuyResult, whole: Interval) -> TwoWay:
    return replace(one, cost_interval=_moved(one.cost, bought, whole))


def _charged(one: ChargeBack, bought: BuyResult, whole: Interval, cash: Interval) -> ChargeBack:
    """A part errs by as large a share as the whole does."""
    return replace(
        one,
        cash_interval=shifted(one.cash.amount, bought.cash.amount, cash),
        cost_interval=shifted(one.cost.amount, bought.cost.amount, whole),
        cost_per_chip_h_interval=_moved(one.cost_per_chip_h, bought, whole),
    )


def _band(one: EnergyBand) -> EnergyBand:
    fleet = range_of("fleet_draw")
    return replace(
        one, energy_j_interval=fleet.scaled(one.energy_j), cost_interval=fleet.scaled(one.cost.amount),
        overhead_cost_interval=fleet.scaled(one.overhead_cost.amount),
    )  # fmt: skip


def _on_site(one: SiteEnergy) -> SiteEnergy:
    fleet = range_of("fleet_draw")
    return replace(
        one, energy_j_interval=fleet.scaled(one.energy_j), cost_interval=fleet.scaled(one.cost.amount),
        carbon_kg_interval=fleet.scaled(one.carbon_kg),
    )  # fmt: skip


def _shield(bought: BuyResult, lines: Mapping[str, Interval]) -> TaxShield | None:
    """The relief with the spread of its line; a part errs by as large a share as the whole does."""
    if bought.tax is None:
        return None
    whole, amount = lines[SHIELD], bought.tax.amount.amount
    parts = tuple(replace(one, amount_interval=shifted(one.amount.amount, amount, whole)) for one in bought.tax.parts)
    return replace(bought.tax, parts=parts, amount_interval=whole)


def _actuals(bought: BuyResult, paid: Floats) -> tuple[ActualRow, ...]:
    """What was planned, with its interval, beside what was paid."""
    drawn, fleet = _by_month(bought, paid), range_of("fleet_draw")
    so_far, found = np.zeros(DRAWS), []
    for row in bought.actuals:
        month = drawn.get(row.month, np.zeros(DRAWS))
        so_far = so_far + month
        ahead = span(row.ahead.amount, row.ahead.amount - (so_far - float(np.median(so_far))))
        found.append(
            replace(
                row,
                planned_interval=span(row.planned.amount, month),
                ahead_interval=ahead,
                planned_energy_kwh_interval=fleet.scaled(row.planned_energy_kwh),
            )
        )
    return tuple(found)


def factor_of(draws: Floats, base: Floats, value: float, tolerance: float = 0.0) -> Interval:
    """The interval of a relative change between two totals over the same futures, widened by what the solver leaves open."""
    safe = np.where(np.abs(base) > 0.0, np.abs(base), math.inf)
    own = span(value, (draws - base) / safe)
    return Interval(own.p05 - tolerance, own.p50, own.p95 + tolerance)
