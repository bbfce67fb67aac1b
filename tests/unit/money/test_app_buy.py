"""The door to purchase plans: names, currencies, barred offers, sources."""

import pytest

from suanzhang.app.buy import RiskOptions, plan_purchases
from suanzhang.catalog.currency import rate
from suanzhang.catalog.markets import market, markets
from suanzhang.errors import CatalogError, Infeasible
from suanzhang.spec.buy import Demand, Need


def demands(chips, size=200.0):
    run = Demand("base", "train", tuple(Need(chip, 256.0, 1.0, 1.5) for chip in chips), due_months=6.0)
    chat = Demand(
        "chat", "serve", tuple(Need(chip, size, 0.5) for chip in chips), first_month=2, due_month=8, wait_price=5e6,
        growth_sigma_per_year=0.3,
    )  # fmt: skip
    return run, chat


def plan(name, chips, **more):
    where = market(name)
    given = {"budget": 1e9, "months": 12, "start": where.date, "currency": where.currency} | more
    return plan_purchases(demands(chips), where, "cn-east" if where.region == "CN" else "us-texas", **given)


@pytest.mark.parametrize("name", sorted(markets()))
def test_every_market_answers_and_nothing_is_bought_to_be_traded(name):
    where = market(name)
    chips = sorted({offer.chip for offer in where.offers if offer.kind != "api" and offer.chip not in where.excluded})
    found = plan(name, chips)
    assert sum(round(100 * row.cost.amount) for row in found.schedule) == round(100 * found.cost.amount)
    used = max(sum(state.owned.values()) + sum(state.rented.values()) for state in found.months)
    assert used <= 256 + 200 + 16
    assert all(row.cost.currency == where.currency for row in found.schedule)
    assert {use.grade for use in found.sources}


def test_barred_offers_are_named_and_never_used():
    found = plan("cn-2023-04", ("a100-sxm-80", "h100-sxm-80"))
    assert any("h100-order" in line for line in found.warnings)
    assert not [row for row in found.schedule if row.chip == "h100-sxm-80"]


def test_another_currency_is_the_same_plan_at_the_dated_rate():
    chips = ("a100-sxm-80", "v100-sxm2-16")
    usd, cny = plan("us-2023-04", chips), plan("us-2023-04", chips, currency="CNY", budget=None)
    quoted = rate("USD", "CNY", "2023-04").value
    rents = [sum(row.cost.amount for row in p.schedule if row.action == "rent") for p in (usd, cny)]
    assert rents[1] / rents[0] == pytest.approx(quoted, rel=1e-3)


def test_thirty_times_less_money_is_infeasible_and_says_how_much_is_needed():
    rich = plan("cn-2023-04", ("a100-sxm-80",))
    with pytest.raises(Infeasible) as caught:
        plan("cn-2023-04", ("a100-sxm-80",), budget=rich.cash.amount / 30.0)
    again = plan("cn-2023-04", ("a100-sxm-80",), budget=caught.value.nearest["budget"])
    assert again.cash.amount <= caught.value.nearest["budget"]


def test_scenarios_give_a_spread_and_values():
    found = plan("us-2023-04", ("a100-sxm-80", "v100-sxm2-16"), risk=RiskOptions(scenarios=8, values=True, gap=5e-3))
    assert (
        found.cost_interval.p05
        <= found.cost_interval.p50
        <= found.cost_interval.p95
        == pytest.approx(found.cost_p95.amount, abs=0.01)
    )
    assert found.evpi is not None and found.evpi.amount >= -5e-3 * found.cost.amount
    assert found.vss is not None
    assert found.scenarios == 8


def test_unknown_names():
    with pytest.raises(CatalogError):
        plan_purchases(demands(("a100",)), "cn-2032", "cn-east", budget=None, months=2, start="2023-05", currency="CNY")


def test_the_first_interrupt_asks_for_the_best_plan_so_far_and_the_second_ends():
    import signal

    from suanzhang.app.watching import watched

    said = []
    before = signal.getsignal(signal.SIGINT)
    with watched(said.append) as (watch, stop):
        assert not watch.stop()
        signal.raise_signal(signal.SIGINT)
        assert watch.stop()
        assert stop.asked
        found = plan("us-2023-04", ("a100-sxm-80",), watch=watch, risk=RiskOptions(scenarios=6, values=True))
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
    assert found.stopped
    assert found.vss is None
    assert any("the search was stopped: no plan costs less than" in line for line in found.warnings)
    assert stop.early
    assert any("first plan that is found" in line for line in said)


def test_sensitivities_name_the_fact_and_the_decision_and_firm_dates_have_a_worth():
    found = plan("us-2023-04", ("a100-sxm-80",), risk=RiskOptions(scenarios=5, values=True, sensitivity=True, gap=5e-3))
    sizes = [abs(s.cost_high.amount - s.cost_low.amount) for s in found.swings if s.cost_low and s.cost_high]
    assert sizes == sorted(sizes, reverse=True)
    by_fact = {swing.fact: swing for swing in found.swings}
    assert by_fact["rents"].cost_low.amount <= by_fact["rents"].cost_high.amount * 1.01
    assert len(found.two_way) == 9
    assert found.value_of_firm_delivery is not None
    assert len(found.outcomes) == 5
    mean = sum(o.weight * o.cost.amount for o in found.outcomes)
    assert mean == pytest.approx(found.cost_mean.amount, rel=1e-4)
    assert all(row.rent_per_chip_h.amount > 0.0 and row.utilisation > 0.0 for row in found.rent_or_buy)


def test_a_change_for_the_worse_that_lowers_the_cost_says_what_the_owned_chips_fetch(tmp_path):
    from suanzhang.app.verbs import buy
    from suanzhang.report.view_buy import buy as view

    found = buy("examples/2026-10/two-sites.yaml", scenarios=1, sensitivity=True)
    base = next(cell.cost.amount for cell in found.two_way if (cell.factor_a, cell.factor_b) == (1.0, 1.0))
    price = next(swing for swing in found.swings if swing.fact == "purchase prices")
    assert price.cost_low.amount < base < price.cost_high.amount
    assert not price.words
    used = next(swing for swing in found.swings if swing.fact == "what used chips fetch")
    less = next(line for line in used.words if line.startswith("what used chips fetch 25 % less lower the cost by "))
    assert "chips that are there already fetch" in less
    services = next(swing for swing in found.swings if swing.fact == "size of the services")
    assert "size of the services 25 % larger: no plan exists" in services.words
    rents = next(swing for swing in found.swings if swing.fact == "rents")
    assert rents.words == ()
    assert rents.why_high == "the same plan"
    change = next(section for section in view(found).sections if section.title == "What would change it")
    assert less in next(block for block in change.blocks if block.title == "In words").lines


def test_everything_that_people_act_on_stands_in_text_page_and_json():
    import io
    import json

    from suanzhang.report.html import page
    from suanzhang.report.jsonable import to_text
    from suanzhang.report.text import print_report
    from suanzhang.report.views import report_of

    found = plan("us-2023-04", ("a100-sxm-80",), risk=RiskOptions(scenarios=5, values=True, sensitivity=True, gap=5e-3))
    report, text = report_of(found), io.StringIO()
    print_report(report, file=text, width=200, details=True)
    for printed in (text.getvalue(), page(report, found)):
        for words in (
            "(VSS)", "(EVPI)", "value of waiting a month", "value of firm delivery", "Rent or buy", "Each future",
            "Two facts at a time", "One fact at a time", "Change of the cost when one fact",
        ):  # fmt: skip
            assert words in printed, words
        assert ("Worth of limits" in printed) == bool(found.binding)
    body = json.loads(to_text(found))
    assert all(body[key] is not None for key in ("vss", "evpi", "value_of_waiting", "value_of_firm_delivery"))
    assert len(body["outcomes"]) == 5 and len(body["two_way"]) == 9 and len(body["swings"]) == 10
    assert all({"utilisation", "month"} <= set(row) for row in body["rent_or_buy"]) and body["rent_or_buy"]


def test_upkeep_counts_a_server_once_whether_the_price_holds_it_or_not():
    from dataclasses import replace

    where = market("us-2026-10")
    offer = next(one for one in where.offers if one.id == "b200-order")
    host = 6750.0
    bare = replace(offer, price=replace(offer.price, value=offer.price.value - host), includes_host=False)
    chat = Demand("chat", "serve", (Need("b200-sxm-180", 64.0, 0.5),))
    found = []
    for one in (offer, bare):
        now = replace(one, lead=replace(one.lead, median_months=0.0, p90_months=0.0))
        alone = replace(where, offers=(now,))
        found.append(plan_purchases((chat,), alone, "us-texas", budget=None, months=12, start="2026-10", currency="USD"))
    for name in ("spares", "support"):
        share = {"spares": 0.02, "support": 0.03}[name]
        assert [one.lines[name].amount for one in found] == pytest.approx([64.0 * share * offer.price.value] * 2, rel=1e-6)
    assert found[0].cost.amount == pytest.approx(found[1].cost.amount, rel=1e-6)
