"""What a question expects of its market: price paths, trends, spreads, growth and export rules."""

from dataclasses import replace

import numpy as np
import pytest

from suanzhang.app.buy import uncertainty_of
from suanzhang.app.outlook import with_paths
from suanzhang.app.plan_asks import resolve_world
from suanzhang.app.price_paths import by_month
from suanzhang.app.question import read_question
from suanzhang.app.verbs import buy
from suanzhang.errors import InputError
from suanzhang.money.procurement.calendar import FOREVER
from suanzhang.money.procurement.scenarios import Uncertainty, draw_scenarios
from suanzhang.spec.buy import ChipCosts, Demand, Need, PurchaseProblem
from suanzhang.spec.market import ExportChain

QUESTION = """
title: outlook
currency: USD
start: 2026-10
months: 12
market:
  id: us-2026-10
{market}
chips: [h100-sxm-80]
serve:
  - name: chat
    model: llama-3.1-8b
    requests_per_s: 20
    tokens: {{input: 500, output: 200}}
    load: {{growth_sigma_per_year: 40%}}
    slo: {{ttft_p99: 3 s, tpot_p99: 60 ms}}
"""


def asked(market):
    return read_question(QUESTION.format(market=market))


def problem(question, offers):
    costs = ChipCosts("h100-sxm-80", *[1.0] * 7, 200.0, 700.0, 900.0, 0.1, 1.3, (1.0,) * 13)
    wanted = (Demand("chat", "serve", (Need("h100-sxm-80", 8.0),)),)
    return PurchaseProblem(wanted, offers, {"h100-sxm-80": costs}, 12, question.start, "USD")


OWN = """  outlook:
    - chip: h100-sxm-80
      price: [30000, 24000, 20000]
      rent: "month,price\\n2026-10,2.0\\n2027-10,1.0"
      price_sigma_per_year: 0.6
"""


def test_offers_start_at_the_path_and_follow_it():
    question = asked(OWN)
    market = resolve_world(question).market
    buys = [offer for offer in market.offers if offer.kind == "buy"]
    assert min(offer.price.value for offer in buys) == pytest.approx(30000.0)
    one = with_paths(problem(question, market.offers), market).expected
    assert one.price[buys[0].id][:4] == pytest.approx((1.0, 0.8, 2.0 / 3.0, 2.0 / 3.0))
    rent = next(offer.id for offer in market.offers if offer.kind == "rent")
    assert one.rent[rent][6] == pytest.approx(0.5**0.5)


def test_drawn_prices_keep_their_expected_path_and_have_the_spread_that_is_asked():
    question = asked(OWN)
    market = resolve_world(question).market
    case = problem(question, market.offers)
    drawn = draw_scenarios(case, uncertainty_of(case, market), 200, 1)
    usual = draw_scenarios(case, Uncertainty(0.3), 200, 1)
    name = next(offer.id for offer in market.offers if offer.kind == "buy")
    last = np.array([one.price[name][-1] for one in drawn])
    assert last.mean() == pytest.approx(2.0 / 3.0, rel=1e-9)
    assert np.std(np.log(last)) > 1.5 * np.std(np.log([one.price[name][-1] for one in usual]))


def test_a_fall_of_prices_that_the_user_expects_lowers_the_plan():
    flat, falling = (
        buy(
            asked(f"  exclude: [h100-cloud, h100-spot]\n  outlook: [{{chip: h100-sxm-80, rent: {path}}}]"), scenarios=1
        ).cost.amount
        for path in ([2.0], [2.0] + [1.0] * 11)
    )
    assert falling < flat


def test_export_rules_follow_their_chain():
    question = asked("  export: [{chip: h100-sxm-80, state: announced, announced_to_barred_per_year: 60%}]")
    market = resolve_world(question).market
    case = problem(question, market.offers)
    drawn = draw_scenarios(case, uncertainty_of(case, market), 200, 3)
    name = next(offer.id for offer in market.offers if offer.kind == "buy")
    share = np.mean([one.barred_from[name] < FOREVER for one in drawn])
    assert share == pytest.approx(0.6, abs=0.1)
    never = draw_scenarios(case, Uncertainty(0.3, chains={name: ExportChain(announced_to_barred_per_year=1.0)}), 50, 3)
    assert all(one.barred_from[name] == FOREVER for one in never), "an open state cannot leave by the door of another"


def test_what_is_barred_today_cannot_be_bought():
    market = resolve_world(asked("  export: [{state: barred}]")).market
    assert all(offer.kind != "buy" for offer in market.offers)


def test_growth_has_the_spread_that_is_asked():
    found = read_question(QUESTION.format(market=""))
    assert found.serve[0].load.growth_sigma_per_year == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("market", "words"),
    [
        ("  outlook: [{chip: h100-sxm-80, price: [30000, -1]}]", "above zero"),
        ("  outlook: [{chip: h100-sxm-80, price: []}]", "prices"),
        ('  outlook: [{chip: h100-sxm-80, price: "when,price\\n2026-10,3"}]', "month and price"),
        ('  outlook: [{chip: h100-sxm-80, price: "month,price\\nsoon,3"}]', "month"),
        ('  outlook: [{chip: h100-sxm-80, price: "month,price\\n2027-10,3\\n2026-10,3"}]', "follow"),
        ("  outlook: [{chip: h100-sxm-80, price: [3], price_change_per_year: -10%}]", "keep one"),
        ("  outlook: [{chip: h100-sxm-80, price_sigma_per_year: -1}]", "price_sigma_per_year"),
        ("  outlook: [{chip: ascend-910a, price: [3]}]", "not on offer"),
        ("  outlook: [{chip: h100-sxm-80}, {chip: h100-sxm-80}]", "twice"),
        ("  export: [{state: closed}]", "state"),
        ("  export: [{open_to_announced_per_year: 60%, open_to_barred_per_year: 60%}]", "100 %"),
    ],
)
def test_bad_outlooks_are_one_line(market, words):
    with pytest.raises(InputError) as failure:
        resolve_world(asked(market))
    assert words in str(failure.value)
    assert "\n" not in str(failure.value)


def test_months_between_rows_lie_on_a_line_of_logarithms():
    assert by_month((("2026-01", 100.0), ("2026-03", 400.0)), "2025-12", 5) == pytest.approx(
        (100.0, 100.0, 200.0, 400.0, 400.0)
    )
    assert by_month((("", 5.0), ("", 4.0)), "2026-01", 3) == (5.0, 4.0, 4.0)


def test_what_is_in_stock_comes_at_once():
    market = resolve_world(asked("  offers: [{id: h100-order, lead: {median: 0}}]")).market
    assert next(offer for offer in market.offers if offer.id == "h100-order").lead.median_months == 0.0


def test_what_was_stopped_comes_when_the_border_opens_or_is_paid_back():
    from suanzhang.money.procurement.shape import build
    from suanzhang.source import Quoted
    from suanzhang.spec.buy import Scenario
    from suanzhang.spec.market import LeadTime, Offer

    lead = LeadTime(2.0, 2.0, "t", "assumed")
    offer = Offer("order", "buy", "a", Quoted(100.0, "USD/chip", "t", "assumed"), True, 0, lead)
    table = {"a": ChipCosts("a", *[0.0] * 7, 0.0, 0.0, 0.0, 0.1, 1.0, (0.5,) * 9)}
    bare = PurchaseProblem((Demand("chat", "serve", (Need("a", 10.0),)),), (offer,), table, 8, "2026-01", "USD")
    spells = (
        {},
        {"barred_from": {"order": 1}},
        *({"barred_from": {"order": 1}, "barred_until": {"order": at}} for at in (5, 9)),
        {"barred_from": {"order": 1}, "barred_until": {"order": 5}, "barred_again": {"order": 6}},
    )
    shape = build(bare, tuple(Scenario(0.2, **spell) for spell in spells))
    first, late = (next(order for order in shape.orders if order.month == month) for month in (0, 4))
    assert first.arrival.tolist() == [2, FOREVER, 5, FOREVER, 5]
    assert late.arrival.tolist() == [6, FOREVER, 6, FOREVER, FOREVER], "the border closed again in month 6"
    assert dict(first.lines)["chips"].tolist() == [100.0, 0.0, 100.0, 0.0, 100.0]


def test_markets_with_export_rules_let_chips_through_again_at_the_recorded_rate():
    from suanzhang.catalog.markets import market as find_market

    where = find_market("cn-2023-04")
    assert where.return_per_year is not None and where.return_per_year.value == 0.43
    offers = tuple(offer for offer in where.offers if offer.id not in where.excluded and offer.kind != "api")
    bare = problem(asked(""), offers)
    drawn = draw_scenarios(bare, uncertainty_of(bare, where), 200, 1)
    name = next(iter(drawn[0].barred_until))
    spells = [future.barred_until[name] - future.barred_from[name] for future in drawn]
    assert min(spells) >= 1 and np.mean(spells) == pytest.approx(12.0 / 0.43 + 0.5, rel=0.2)


def test_a_chain_of_the_question_may_open_again():
    chain = "  export: [{chip: h100-sxm-80, state: barred, barred_to_open_per_year: 60%}]"
    question = asked(chain)
    where = resolve_world(question).market
    assert [offer for offer in where.offers if offer.kind == "buy"]
    bare = problem(question, where.offers)
    drawn = draw_scenarios(bare, uncertainty_of(bare, where), 200, 1)
    opened = np.array([future.barred_until["h100-order"] for future in drawn])
    assert all(future.barred_from["h100-order"] == 0 for future in drawn)
    assert np.mean(opened <= 12) == pytest.approx(0.6, abs=0.1)
    shut = asked("  export: [{chip: h100-sxm-80, state: barred}]")
    assert not [offer for offer in resolve_world(shut).market.offers if offer.kind == "buy"]


def test_what_opened_is_stopped_again_as_often_as_the_chain_says():
    """Shares of futures in which the border is shut, month by month, against the chain multiplied out."""
    rules = "{chip: h100-sxm-80, state: barred, barred_to_open_per_year: 70%, open_to_barred_per_year: 50%}"
    question = asked(f"  export: [{rules}]")
    where = resolve_world(question).market
    bare = replace(problem(question, where.offers), months=36)
    drawn = [future for seed in range(10) for future in draw_scenarios(bare, uncertainty_of(bare, where), 200, seed)]
    opening, stopping = (1.0 - (1.0 - chance) ** (1.0 / 12.0) for chance in (0.7, 0.5))
    shut, free, again = 1.0, 0.0, 0.0
    for month in range(1, 36):
        shut, free, again = shut * (1.0 - opening), free * (1.0 - stopping) + shut * opening, again + free * stopping
        if month in (6, 12, 24, 35):
            seen = np.mean([is_shut(future, "h100-order", month) for future in drawn])
            assert seen == pytest.approx(shut + again, abs=0.04)
    assert again > 0.3, "a second stop is common enough to be seen here"


def is_shut(future, name: str, month: int) -> bool:
    return month < future.barred_until[name] or month >= future.barred_again[name]


def test_rules_that_never_stop_draw_no_second_stop():
    bare = problem(asked(""), resolve_world(asked("")).market.offers)
    assert all(not future.barred_again for future in draw_scenarios(bare, Uncertainty(0.1), 20, 1))
