"""Buy: the schedule of purchases and rents that meets sized demands, from a market, a site and limits."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from suanzhang.app.buy_energy import energy_bands, settled, with_work_hours
from suanzhang.app.buy_limits import tried_again, with_words
from suanzhang.app.buy_monte import MonteOptions, try_plan
from suanzhang.app.buy_offers import offers_taken
from suanzhang.app.buy_tax import shield_of, tax_terms, tax_words
from suanzhang.app.buy_worth import decision_of, firm_delivery, held_offers, rent_or_buy, swings
from suanzhang.app.header import header
from suanzhang.app.outlook import with_chances, with_paths
from suanzhang.catalog.chips import chip
from suanzhang.catalog.currency import rate
from suanzhang.catalog.markets import market as find_market
from suanzhang.catalog.markets import markets
from suanzhang.catalog.sites import site as find_site
from suanzhang.catalog.sources import sources as all_sources
from suanzhang.errors import Infeasible, InputError, SolverError
from suanzhang.money.costs import chip_costs, chip_part, edited, without_server
from suanzhang.money.figures import figure, figures
from suanzhang.money.procurement.calendar import month_number
from suanzhang.money.procurement.master import tail_mean
from suanzhang.money.procurement.places import AT
from suanzhang.money.procurement.relax import enough_budget
from suanzhang.money.procurement.scenarios import Uncertainty, draw_scenarios
from suanzhang.money.procurement.solve import ProcurementPlan, Solved, describe, solve_shape
from suanzhang.money.procurement.spread import scenario_outcomes
from suanzhang.money.procurement.waiting import with_wait_prices
from suanzhang.money.procurement.watch import QUIET, Watch
from suanzhang.source import Quoted
from suanzhang.spec.buy import BuyResult, ChipCosts, Demand, Holding, PurchaseProblem, Scenario, ScheduleRow
from suanzhang.spec.buy_monte import MonteCarlo
from suanzhang.spec.buy_worth import Swing, TwoWay
from suanzhang.spec.market import Market, Offer, Site
from suanzhang.spec.place import Moving
from suanzhang.spec.result import Z95, Interval, Money, SourceUse
from suanzhang.units import format_figure

if TYPE_CHECKING:
    from suanzhang.app.buy_sites import PlacedSite

_CROSSING_MONTHS = 1.0
"""Chips that take longer to come are not in the country yet."""
_NO_GAP = 1e-9
"""A gap below the rounding of the solver is none."""
_SAME = 1e-4
"""Plans whose costs differ by a smaller share than this cost the same."""
USUAL_SITE = {"CN": "cn-east", "US": "us-virginia"}
"""The site of a market when none is named."""


@dataclass(frozen=True, slots=True)
class RiskOptions:
    """How much risk is looked at.

    Args:
        scenarios: ways in which the future may turn out; 1 takes everything as expected.
        seed: of the scenarios.
        cvar_weight: weight of the mean of the worst tail, 0 to 1.
        cvar_tail: share of scenarios in that tail.
        values: whether to compute what waiting, the stochastic plan, perfect information and firm dates are worth.
        sensitivity: whether to solve again with each fact lower and higher, and with purchase price and rent together.
        gap: relative gap at which the solver may stop.
        time_limit_s: longest time of the main solve.
        monte: how the plan is tried with all that is uncertain drawn together; None for not at all.
    """

    scenarios: int = 1
    seed: int = 0
    cvar_weight: float = 0.0
    cvar_tail: float = 0.05
    values: bool = False
    sensitivity: bool = False
    gap: float = 1e-4
    time_limit_s: float = 60.0
    monte: MonteOptions | None = None


def plan_purchases(
    demands: tuple[Demand, ...],
    market: Market | str,
    site: Site | str,
    *,
    budget: float | None,
    months: int,
    start: str,
    currency: str,
    have: tuple[Holding, ...] = (),
    power_limit_w: float | None = None,
    budget_by_month: tuple[float, ...] = (),
    cost_edits: dict[str, dict[str, float]] | None = None,
    risk: RiskOptions | None = None,
    watch: Watch | None = None,
    progress: Callable[[str], None] | None = None,
    sites: tuple[PlacedSite, ...] = (),
    moving: Moving | None = None,
) -> BuyResult:
    """The cheapest schedule that meets every demand.

    Args:
        demands: what is wanted, sized on each kind of chip that may serve it.
        market: offers, or the id of a market of the catalog; its barred offers are left out.
        site: where one's own chips stand, or an id of the catalog.
        budget: cash that may have been paid by any month of any future [currency]; None when not limited.
        months: length of the plan.
        start: first month, ISO.
        currency: of the budget and of every amount of the answer.
        have: chips that are there already.
        power_limit_w: largest draw of the site; None takes that of the site.
        budget_by_month: cash that may have been spent by the end of each month; empty for none.
        cost_edits: cost figures that the user sets, by chip id and figure.
        risk: scenarios and weights; everything as expected when None.
        watch: the clock, and who may stop the search at the best plan so far; the clock of the machine when None.
        progress: called with a line for each step.
        sites: all sites with their limits, ``site`` first; empty for that one alone.
        moving: terms of moves between sites; None when chips stay where they are.

    Returns:
        The schedule; its rows sum to its cost.

    Raises:
        Infeasible: no plan exists; names what binds and the nearest feasible limits.
        InputError: a name, month or currency cannot be used.
    """
    chosen = risk or RiskOptions()
    place = find_site(site) if isinstance(site, str) else site
    where = find_market(market) if isinstance(market, str) else market
    offers, warnings = usable_offers(where, currency)
    demands, unpowered = _with_power(demands)
    wanted = {need.chip for demand in demands for need in demand.options}
    edits = cost_edits or {}
    costs = {name: _costs(name, offers, place, months, currency, where.date, edits, demands) for name in sorted(wanted)}
    for other in sites[1:]:
        for name in sorted(wanted):
            key = name + AT + other.site.id
            costs[key] = _costs(name, offers, other.site, months, currency, where.date, edits, demands)
    costs = {key: with_work_hours(found, key.partition(AT)[0], demands) for key, found in costs.items()}
    have, unvalued = _valued(have, offers, where, costs, currency)
    problem = PurchaseProblem(
        demands=demands,
        offers=offers,
        costs=costs,
        months=months,
        start=start,
        currency=currency,
        budget=budget,
        budget_by_month=budget_by_month,
        power_limit_w=place.power_limit_w if power_limit_w is None else power_limit_w,
        have=have,
        price_change_per_year=where.price_change_per_year.value if where.price_change_per_year else 0.0,
        interest_per_year=figure("interest_per_year").value,
        cvar_weight=chosen.cvar_weight,
        cvar_tail=chosen.cvar_tail,
        gap=chosen.gap,
        time_limit_s=chosen.time_limit_s,
        places=tuple(other.place for other in sites),
        moving=moving,
        tax=tax_terms(),
    )
    lines = (*warnings, *unpowered, *unvalued, *_site_lines(sites, wanted))
    problem = settled(with_wait_prices(with_paths(problem, where)), watch or Watch(time.perf_counter))
    return solve_problem(problem, where, chosen, (*lines, *_waiting_lines(problem)), watch=watch, progress=progress)


def _waiting_lines(problem: PurchaseProblem) -> tuple[str, ...]:
    """What a month of waiting is priced at, for each service that may wait."""
    return tuple(
        f"a month in which all of {demand.name} waits for chips is priced at "
        f"{format_figure(demand.wait_price, problem.currency)}, never paid"
        f"{', and higher in futures in which chips are dearer' if demand.wait_follows else ''} "
        "(waiting_price_per_month sets another)"
        for demand in problem.demands
        if demand.kind == "serve" and demand.due_month is not None and demand.due_month > demand.first_month
    )


def _valued(
    have: tuple[Holding, ...], offers: tuple[Offer, ...], market: Market, costs: dict[str, ChipCosts], currency: str
) -> tuple[tuple[Holding, ...], tuple[str, ...]]:
    """Owned chips of which none is on offer with the price that the market knows, and a line for each that it does not."""
    sold = {offer.chip for offer in offers if offer.kind == "buy"}
    known = markets().get(market.id, market)
    found, unknown = [], set()
    for one in have:
        if not one.owned or one.value_per_chip > 0.0 or one.chip in sold or one.chip not in costs:
            found.append(one)
            continue
        prices = []
        for offer in known.offers:
            if offer.kind == "buy" and offer.chip == one.chip:
                price = offer.price.value * rate(offer.price.unit.partition("/")[0], currency, known.date).value
                prices.append(chip_part(price, costs[one.chip].host, offer.includes_host))
        if not prices:
            unknown.add(one.chip)
        found.append(replace(one, value_per_chip=min(prices, default=0.0)))
    words = tuple(f"no price of {name} is known: those that are owned count as worth nothing" for name in unknown)
    return tuple(found), words


def _site_lines(sites: tuple[PlacedSite, ...], wanted: set[str]) -> tuple[str, ...]:
    """What a reader of a plan over several sites must know."""
    if len(sites) < 2:
        return ()
    barred = [
        f"site {one.site.id}: no {', '.join(names)} (excluded, or export rules)"
        for one in sites
        if (names := sorted(one.place.barred & wanted))
    ]
    return (f"chips that are rented or reserved work together with those of {sites[0].site.id}", *barred)


def _with_power(demands: tuple[Demand, ...]) -> tuple[tuple[Demand, ...], tuple[str, ...]]:
    """Demands without the chips whose draw nobody states, and a line for each that is left out.

    Raises:
        InputError: nothing is left that a demand could stand on.
    """
    specs = {need.chip: chip(need.chip) for demand in demands for need in demand.options}
    dark = {name for name, spec in specs.items() if spec.tdp_w <= 0.0 and spec.node.power_w <= 0.0}
    kept = tuple(replace(d, options=tuple(need for need in d.options if need.chip not in dark)) for d in demands)
    for demand in kept:
        if not demand.options:
            raise InputError(f"demand {demand.name}: no chip with a known power can meet it", fix="allow more kinds of chip")
    return kept, tuple(f"chip {name} is left out: its power is in no source" for name in sorted(dark))


def solve_problem(
    problem: PurchaseProblem,
    market: Market,
    risk: RiskOptions,
    warnings: tuple[str, ...] = (),
    *,
    watch: Watch | None = None,
    progress: Callable[[str], None] | None = None,
) -> BuyResult:
    """A ready problem solved and described: the part of :func:`plan_purchases` after names are resolved."""
    tell, seen = progress or (lambda _: None), watch or Watch(time.perf_counter)
    scenarios = _futures(problem, market, risk)
    solved = solve_shape(problem, scenarios, seen)
    plan, stopped_search = describe(solved), False
    if seen.stop():
        least = format_figure(plan.bound, problem.currency)
        words = f"the search was stopped: no plan costs less than {least}, so this one is at most {plan.gap:.2%} above the best"
        warnings = (*warnings, words)
        stopped_search = True

    def money(amount: float | None) -> Money | None:
        return None if amount is None else Money(round(amount, 2), problem.currency, problem.start)

    def paid(amount: float) -> Money:
        return Money(round(amount, 2), problem.currency, problem.start)

    warnings = (*warnings, *_held_back(problem, plan, seen), *_answered_elsewhere(plan))
    worth, limits = _Values(), with_words(plan.binding)
    if risk.values and not seen.stop():
        worth = _values(problem, scenarios, plan, market, risk, tell, seen)
        warnings = (*warnings, *worth.apart)
        limits = tried_again(problem, plan, seen, tell, lambda changed: _futures(changed, market, risk))
    tried = None
    if risk.monte is not None and not seen.stop():
        tried = try_plan(problem, solved, uncertainty_of(problem, market), risk.monte, tell, seen.stop)
        warnings = (*warnings, *_beyond(problem, tried))
    swung: tuple[str, tuple[Swing, ...], tuple[TwoWay, ...]] = ("", (), ())
    if risk.sensitivity and not seen.stop():
        swung = swings(problem, seen, tell, plan, lambda changed: _futures(changed, market, risk))
    if seen.stop() and not stopped_search:
        warnings = (*warnings, "stopped after the search: some of what stands beside the plan was not computed")
    spread = _price_interval(problem, plan, market)
    if len(scenarios) > 1:
        spread = Interval(*(_weighted_quantile(plan, scenarios, level) for level in (0.05, 0.5, 0.95)))
        warnings = (
            *warnings,
            f"rents, waiting and running are means over {len(scenarios)} futures; orders hold in all",
        )
    return BuyResult(
        header=header(risk.seed),
        schedule=plan.rows,
        cost=paid(plan.cost),
        cost_mean=paid(plan.cost),
        cost_p95=paid(spread.p95),
        cost_interval=spread,
        cash=paid(plan.cash),
        lines={name: paid(amount) for name, amount in plan.lines.items()},
        gap=plan.gap if plan.gap > _NO_GAP else 0.0,
        bound=plan.bound,
        solve_s=plan.solve_s,
        vss=money(worth.vss),
        evpi=money(worth.evpi),
        value_of_waiting=money(worth.waiting),
        value_of_firm_delivery=money(worth.firm),
        binding=limits,
        runs=plan.runs,
        shares=plan.shares,
        months=plan.months,
        sources=_source_uses(problem, plan),
        warnings=warnings,
        assumptions=_assumptions(problem, plan),
        scenarios=len(scenarios),
        budget=money(problem.budget),
        tail_mean=money(_dearest(plan, scenarios, problem)),
        tail_weight=problem.cvar_weight,
        tail_share=problem.cvar_tail if problem.cvar_weight > 0.0 else 0.0,
        waiting=paid(plan.lines["waiting"]),
        interest=paid(plan.lines["finance"]),
        value_left=paid(plan.lines["value left"]),
        rent_or_buy=rent_or_buy(problem),
        decision=decision_of(plan),
        swings=swung[1],
        two_way=swung[2],
        outcomes=scenario_outcomes(solved) if len(scenarios) > 1 else (),
        stopped=seen.stop(),
        monte_carlo=tried,
        tax=shield_of(problem, plan.rows),
        energy=energy_bands(problem, plan.rows),
        offers=offers_taken(problem, plan.rows),
    )


def _dearest(plan: ProcurementPlan, scenarios: tuple[Scenario, ...], problem: PurchaseProblem) -> float | None:
    """Mean cost of the dearest futures, where the plan weighs them."""
    if problem.cvar_weight <= 0.0:
        return None
    return tail_mean(plan.cost_by_scenario, np.array([scenario.weight for scenario in scenarios]), problem.cvar_tail)


def _beyond(problem: PurchaseProblem, tried: MonteCarlo | None) -> tuple[str, ...]:
    """A line for the futures tried in which these orders and what they then rent pay more than the budget."""
    if tried is None or problem.budget is None or not tried.over_budget:
        return ()
    limit = format_figure(problem.budget, problem.currency)
    return (f"{max(tried.over_budget, 1e-3):.1%} of {tried.draws:,} futures tried pay more than the budget of {limit}",)


def _held_back(problem: PurchaseProblem, plan: ProcurementPlan, watch: Watch) -> tuple[str, ...]:
    """A line where the budget, not supply, makes services wait: how much, and the budget with which they would not."""
    waits = [share.size_factor for share in plan.shares if share.chip == "waiting"]
    if not waits or not any(limit.kind == "budget" for limit in plan.binding) or watch.stop():
        return ()
    least = enough_budget(problem, Watch(watch.clock, watch.stop))
    if least is None or problem.budget is None or least <= problem.budget * (1.0 + 1e-6):
        return ()
    whole = format_figure(least, problem.currency)
    return (
        f"the budget lets {sum(waits):.2g} months of demand wait; {whole} would carry all that supply can, as soon as it can",
    )


def _answered_elsewhere(plan: ProcurementPlan) -> tuple[str, ...]:
    """A line where tokens are bought: what is not known of them."""
    names = sorted({row.offer for row in plan.rows if row.action == "api"})
    if not names:
        return ()
    return (
        f"what {', '.join(names)} answers is sized by tokens and price alone: latency, rate limits and the terms on data are "
        "those of the provider, and are not predicted",
    )


def _futures(problem: PurchaseProblem, market: Market, risk: RiskOptions) -> tuple[Scenario, ...]:
    if risk.scenarios <= 1:
        return (problem.expected,)
    return draw_scenarios(problem, uncertainty_of(problem, market), risk.scenarios, risk.seed)


def uncertainty_of(problem: PurchaseProblem, market: Market) -> Uncertainty:
    """Spread of prices and the rate of export rules on a market; a rule stops what has yet to cross the border."""
    sigma = market.price_sigma_per_year.value if market.price_sigma_per_year else 0.0
    rate = market.bar_per_year.value if market.bar_per_year else 0.0
    crossing = [offer for offer in problem.offers if offer.kind == "buy" and offer.lead.median_months >= _CROSSING_MONTHS]
    touched = [offer.id for offer in crossing if any(event.region == market.region for event in chip(offer.chip).exports)]
    again = market.return_per_year.value if market.return_per_year else 0.0
    found = Uncertainty(sigma, bar_per_year=dict.fromkeys(touched, rate) if rate > 0.0 else None, return_per_year=again)
    return with_chances(found, problem, market)


def usable_offers(market: Market, currency: str) -> tuple[tuple[Offer, ...], tuple[str, ...]]:
    """The offers of a market that are not barred, priced in one currency, and a line for each that is left out.

    Raises:
        InputError: a price is in a currency that has no rate.
    """
    kept: list[Offer] = []
    left_out = []
    for offer in market.offers:
        reason = market.excluded.get(offer.id) or market.excluded.get(offer.chip)
        if reason:
            left_out.append(f"offer {offer.id} is left out: {reason}")
            continue
        given, _, per = offer.price.unit.partition("/")
        if given != currency:
            quote = rate(given, currency, market.date)
            price = _turned(offer.price, quote, f"{currency}/{per}")
            read = _turned(offer.price_in, quote, f"{currency}/{per}") if offer.price_in else None
            offer = replace(offer, price=price, price_in=read)
        kept.append(offer)
    return tuple(kept), tuple(left_out)


def _turned(price: Quoted, quote: Quoted, unit: str) -> Quoted:
    """A price in another currency, with the rate in its note."""
    note = f"{price.value:g} {price.unit} at {quote.value:.4f} {quote.unit}"
    return replace(price, value=price.value * quote.value, unit=unit, note=note)


def site_in(site: Site, currency: str, date: str) -> Site:
    """A site with its tariff and room priced in another currency."""

    def turned(quoted: Quoted | None) -> Quoted | None:
        if quoted is None or quoted.unit.startswith(currency):
            return quoted
        given, _, per = quoted.unit.partition("/")
        return replace(quoted, value=quoted.value * rate(given, currency, date).value, unit=f"{currency}/{per}")

    tariff = turned(site.tariff_per_kwh)
    if tariff is None:
        raise InputError(f"site {site.id} has no tariff", fix="give one")
    factor = tariff.value / site.tariff_per_kwh.value if site.tariff_per_kwh.value else 1.0
    hours = tuple(price * factor for price in site.tariff_by_hour)
    return replace(site, tariff_per_kwh=tariff, room_per_kw_month=turned(site.room_per_kw_month), tariff_by_hour=hours)


def _costs(
    name: str,
    offers: tuple[Offer, ...],
    site: Site,
    months: int,
    currency: str,
    date: str,
    edits: dict[str, dict[str, float]],
    demands: tuple[Demand, ...],
) -> ChipCosts:
    spec = chip(name)
    per_usd = rate("USD", currency, date).value
    price, place, joined = chip_price(name, offers, per_usd), site_in(site, currency, date), _largest(name, demands)
    costs = chip_costs(spec, price, place, months, currency, per_usd, joined)
    return edited(costs, **edits[name]) if name in edits else costs


def chip_price(name: str, offers: tuple[Offer, ...], per_usd: float) -> float:
    """Lowest price of a chip without its server among the offers that sell it; 0 where none does."""
    bought = (offer for offer in offers if offer.kind == "buy" and offer.chip == name)
    return min((without_server(offer, offer.price.value, per_usd) for offer in bought), default=0.0)


def _largest(name: str, demands: tuple[Demand, ...]) -> float:
    """Chips of a kind that the largest job would take: what one network joins."""
    takes = [need.chips * max(demand.level, default=1.0) for demand in demands for need in demand.options if need.chip == name]
    return max(takes, default=0.0)


def _weighted_quantile(plan: ProcurementPlan, scenarios: tuple[Scenario, ...], level: float) -> float:
    order = np.argsort(plan.cost_by_scenario)
    reached = np.cumsum([scenarios[index].weight for index in order])
    return float(plan.cost_by_scenario[order[min(int(np.searchsorted(reached, level - 1e-12)), len(order) - 1)]])


_MOVING = ("chips", "rent", "tokens", "value at start", "value left")


def _price_interval(problem: PurchaseProblem, plan: ProcurementPlan, market: Market) -> Interval:
    """Spread of the cost of one schedule when all prices move together as a random walk from the first month on."""
    sigma = market.price_sigma_per_year.value if market.price_sigma_per_year else 0.0
    first, keep = month_number(problem.start), 1.0 if problem.tax is None else 1.0 - problem.tax.rate

    def total(z: float) -> float:
        cost = plan.cost
        for row in plan.rows:
            months = problem.months if row.action == "value left" else month_number(row.month) - first
            moving = keep * sum(amount for name, amount in row.lines if name in _MOVING)
            cost += moving * (float(np.exp(z * sigma * np.sqrt(months / 12.0))) - 1.0)
        return cost

    low, high = sorted((total(-Z95), total(Z95)))
    return Interval(min(low, plan.cost), plan.cost, max(high, plan.cost))


@dataclass(frozen=True, slots=True)
class _Values:
    """What planning with scenarios, knowing, waiting a month and firm dates are worth; None when not computed."""

    vss: float | None = None
    evpi: float | None = None
    waiting: float | None = None
    firm: float | None = None
    apart: tuple[str, ...] = ()


def _values(
    problem: PurchaseProblem,
    scenarios: tuple[Scenario, ...],
    plan: ProcurementPlan,
    market: Market,
    risk: RiskOptions,
    tell: Callable[[str], None],
    watch: Watch,
) -> _Values:
    """What can be said until the user stops it: a solve that was stopped says nothing."""
    from suanzhang.money.procurement.worth import perfect_information, stochastic_solution

    asides = Watch(watch.clock, watch.stop)

    def worth(words: str, value: Callable[[], float | None]) -> float | None:
        if watch.stop():
            return None
        tell(words)
        try:
            found = value()
        except SolverError:  # what a stopped solve without a plan raises
            if watch.stop():
                return None
            raise
        return None if watch.stop() else found

    def dated() -> float:
        firm = firm_delivery(problem)
        return plan.cost - describe(solve_shape(firm, _futures(firm, market, risk), asides)).cost

    waiting = worth("what waiting a month is worth", lambda: waiting_value(problem, scenarios, plan, asides))
    if len(scenarios) == 1:
        return _Values(waiting=waiting)
    words = "what planning with many futures is worth"
    expected: list[Solved] = []
    vss = worth(words, lambda: stochastic_solution(problem, scenarios, plan, asides, expected.append))
    apart = _apart(problem, plan, expected[0], vss) if expected and vss is not None else ()
    evpi = worth("what knowing the future is worth", lambda: perfect_information(problem, scenarios, plan))
    return _Values(vss, evpi, waiting, worth("what firm delivery dates are worth", dated), apart)


def _ordered(rows: tuple[ScheduleRow, ...]) -> dict[str, float]:
    """Chips by offer that are bought, leased or reserved."""
    found: dict[str, float] = {}
    for row in rows:
        if row.action in ("buy", "lease", "reserve"):
            found[row.offer] = found.get(row.offer, 0.0) + row.chips
    return found


def _apart(problem: PurchaseProblem, plan: ProcurementPlan, expected: Solved, vss: float) -> tuple[str, ...]:
    """How a plan for the expected future alone differs, and why; nothing where it orders the same."""
    other = describe(expected).rows
    ours, theirs = _ordered(plan.rows), _ordered(other)
    if ours == theirs:
        return ()
    words = ", ".join(f"{chips:,.0f} chips of {offer}" for offer, chips in sorted(theirs.items())) or "nothing"
    here = ", ".join(f"{chips:,.0f} chips of {offer}" for offer, chips in sorted(ours.items())) or "nothing"
    return (
        f"a plan for the expected future alone, as --scenarios 1 makes it, orders {words}; over these futures, in "
        f"which rents follow prices, and orders and the dates of sales cannot, ordering {here} costs "
        f"{_less(vss, plan.cost, problem.currency)} on average",
    )


def _less(saved: float, cost: float, currency: str) -> str:
    """How much less a plan costs in words; what is within a ten-thousandth of its cost is the same."""
    return f"{format_figure(saved, currency)} less" if saved > _SAME * abs(cost) else "the same"


def waiting_value(
    problem: PurchaseProblem, scenarios: tuple[Scenario, ...], plan: ProcurementPlan, watch: Watch = QUIET
) -> float | None:
    """What is saved (negative: lost) by ordering nothing in the first month; None when that leaves no plan."""
    try:
        waited = describe(solve_shape(held_offers(problem), scenarios, watch))
    except Infeasible:
        return None
    return plan.cost - waited.cost


def _quotes(problem: PurchaseProblem, plan: ProcurementPlan) -> list[tuple[str, Quoted]]:
    used = {row.offer for row in plan.rows}
    kinds = {row.chip for row in plan.rows if row.action == "run"}
    found = [(f"price of {offer.id}", offer.price) for offer in problem.offers if offer.id in used]
    for kind in sorted(kinds):
        found += [(f"{name} of {kind}", quoted) for name, quoted in problem.costs[kind].sources.items()]
    return found


def _source_uses(problem: PurchaseProblem, plan: ProcurementPlan) -> tuple[SourceUse, ...]:
    uses: dict[tuple[str, str], list[str]] = {}
    for name, quoted in _quotes(problem, plan):
        uses.setdefault((quoted.source, quoted.grade), []).append(name)
    known = all_sources()
    titles = {item.quoted.source: (item.title, item.url) for item in figures().values()}
    found = []
    for (key, grade), names in sorted(uses.items()):
        title, url = (known[key].title, known[key].url) if key in known else titles.get(key, (key, ""))
        found.append(SourceUse(key, title, url, grade, tuple(names)))
    return tuple(found)


def _worded(quoted: Quoted) -> str:
    """A value with its unit; a share in percent, another plain number alone."""
    if quoted.unit != "1":
        return f"{quoted.value:g} {quoted.unit}"
    return format_figure(quoted.value, "fraction") if quoted.value < 1.0 else f"{quoted.value:g}"


def _assumptions(problem: PurchaseProblem, plan: ProcurementPlan) -> tuple[str, ...]:
    lines = [
        f"{name}: {_worded(quoted)} ({quoted.note})" if quoted.note else f"{name}: {_worded(quoted)}"
        for name, quoted in _quotes(problem, plan)
        if quoted.grade == "assumed"
    ]
    interest = figure("interest_per_year")
    taxes = () if problem.tax is None else (tax_words(problem.tax),)
    return (
        *lines,
        f"interest on tied capital: {format_figure(interest.value, 'fraction')} a year ({interest.quoted.note})",
        *taxes,
    )
