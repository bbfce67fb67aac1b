"""What a board reads first: what is to be signed, the cash that it takes, and what the plan leans on."""

from types import SimpleNamespace

import pytest

import suanzhang
from suanzhang.app.plan_flips import _other_way
from suanzhang.catalog.markets import market
from suanzhang.report.blocks import Facts, Notes, Table
from suanzhang.report.view_plan import plan as view


@pytest.fixture(scope="module")
def founder():
    return suanzhang.plan("examples/gpu-rush-2023/startup.yaml")


@pytest.fixture(scope="module")
def buyer():
    return suanzhang.plan("examples/2026-10/question.yaml")


def section(result, title):
    return next(section for section in view(result).sections if section.title == title)


@pytest.mark.parametrize("who", ["founder", "buyer"])
def test_the_orders_of_the_first_months_are_those_of_the_schedule(who, request):
    result = request.getfixturevalue(who)
    facts, orders = section(result, "What to decide first").blocks
    assert isinstance(facts, Facts)
    first = [month.month for month in result.buy.months[:3]]
    signed = [row for row in result.buy.schedule if row.month in first and row.action in ("buy", "lease", "reserve", "resell")]
    assert isinstance(orders, Table)
    assert [(row[0], row[1], row[2], row[4]) for row in orders.rows] == [
        (row.month, row.action, row.offer, round(row.chips)) for row in signed
    ]
    assert facts.facts[0].value == pytest.approx(sum(month.cash for month in result.buy.months[:3]), rel=1e-6)
    top = max(result.buy.months, key=lambda month: month.cash)
    assert (facts.facts[1].value, facts.facts[1].note) == (pytest.approx(top.cash, rel=1e-6), top.month)


def test_a_plan_that_signs_nothing_says_so(founder):
    from dataclasses import replace

    kept = tuple(row for row in founder.buy.schedule if row.action not in ("buy", "lease", "reserve", "resell"))
    (_, note) = section(replace(founder, buy=replace(founder.buy, schedule=kept)), "What to decide first").blocks
    assert isinstance(note, Notes)
    assert note.lines == (
        "nothing is to be ordered, signed or sold in the first 3 months; no order or sale comes later",
    )  # fmt: skip


def test_chips_rented_by_the_hour_are_a_risk_with_what_the_market_holds(buyer):
    risks = [risk for risk in buyer.risks if risk.name.endswith("is sold out or dearer")]
    assert 1 <= len(risks) <= 2
    top = risks[0]
    offer = top.name.removesuffix(" is sold out or dearer")
    assert top.value == max(row.chips for row in buyer.buy.schedule if row.offer == offer and row.action == "rent")
    assert "the market is put at" in top.explanation
    assert top.value >= risks[-1].value


def test_how_much_waits_before_a_service_runs_in_full(buyer):
    (service,) = buyer.serve
    least = min(share for share in service.served if share > 0.0)
    words = f"in full from {service.full_from} (before that as little as {least:.1%})"
    assert (words in view(buyer).verdict) == (least < 0.9995)


def test_amounts_of_some_millions_are_printed_in_millions(buyer):
    chart = next(block for block in section(buyer, "The plan").blocks if block.title == "Cost by line")
    assert chart.unit == "million USD"


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("74% bought, most of them x", "98% rented by the hour, most of them y", ["mostly rented by the hour"]),
        ("74% bought, most of them x", "51% bought, most of them y", []),
        ("51% rented by the hour, most of them y", "60% under contract, most of them y", ["mostly under contract"]),
        ("nothing", "98% bought, most of them y", []),
    ],
)
def test_another_way_to_have_chips_is_named(before, after, words):
    assert _other_way(SimpleNamespace(decision=before), SimpleNamespace(decision=after)) == words


def test_the_headline_says_what_to_sign_and_which_training_may_end_late(founder):
    risk = next(risk for risk in founder.risks if risk.name == "base misses its deadline")
    words = view(founder).verdict
    assert words.startswith("Decide in 2023-05: buy 160 x h100-sxm-80 (h100-order), in use from 2023-09.")
    assert risk.value >= 0.05 and f"days, {risk.value:.0%} likely to end after its deadline" in words
    assert "pilot misses its deadline" in [risk.name for risk in founder.risks] and words.count("likely to end") == 1


@pytest.mark.parametrize("who", ["founder", "buyer"])
def test_every_offer_of_the_schedule_has_its_price_its_date_and_its_source(who, request):
    result = request.getfixturevalue(who)
    taken = {row.offer for row in result.buy.schedule if row.action in ("buy", "rent", "reserve", "lease", "spot", "api")}
    offers = {one.offer: one for one in result.buy.offers}
    assert set(offers) == taken and all(one.date and one.source_title and one.grade and one.unit for one in offers.values())
    quoted = {one.id: one for one in market(result.market).offers}
    assert all((one.price, one.date) == (quoted[name].price.value, quoted[name].price.date) for name, one in offers.items())
    table = next(block for block in section(result, "Purchases and rents").blocks if block.title == "Prices that it rests on")
    assert [row[0] for row in table.rows] == list(offers)


def test_a_training_within_one_month_names_it_once_and_a_replica_its_chip(founder):
    facts = {fact.name: fact for fact in section(founder, "Training pilot").blocks[0].facts}
    assert facts["months"].value == "2023-05"
    facts = {fact.name: fact for fact in section(founder, "Service beta").blocks[0].facts}
    chip = founder.serve[0].sized.chip
    assert facts["layout of a replica"].note == f"on {chip}" and f"all of it on {chip}" in facts["replicas at peak"].note


@pytest.mark.parametrize("who", ["founder", "buyer"])
def test_the_cash_of_the_months_sums_to_the_cash_of_the_plan(who, request):
    result = request.getfixturevalue(who)
    table = section(result, "Cash by month").blocks[0]
    scale = 1e6
    assert len(table.rows) == result.months and table.columns[1].unit == f"million {result.currency}"
    assert sum(row[1] for row in table.rows) * scale == pytest.approx(result.cash.amount, abs=0.01)
    assert table.rows[-1][2] * scale == pytest.approx(result.cash.amount, abs=0.01)
