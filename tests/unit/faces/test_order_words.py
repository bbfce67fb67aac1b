"""The first sentence of a plan: what is to be signed first."""

from dataclasses import replace

from faces_samples import sample

from suanzhang.report.view_orders import order_words
from suanzhang.report.views import report_of
from suanzhang.spec.buy import BuyResult, ScheduleRow
from suanzhang.spec.result import Interval, Money

BUY = ScheduleRow(
    "2023-05", "h100-order", "buy", "h100-sxm-80", 160.0, Money(6.8e6, "USD", "2023-05"), note="in use from 2023-09"
)
SELL = replace(BUY, offer="own", action="resell", chip="a100-sxm-80", chips=64.0, cost=Money(-7e5, "USD", "2023-05"), note="")
RENT = replace(BUY, offer="h100-cloud", action="rent", chips=24.0, note="")


def test_orders_and_sales_of_the_first_month_are_named_the_dearest_first() -> None:
    assert order_words([RENT, SELL, BUY]) == (
        "Decide in 2023-05: buy 160 x h100-sxm-80 (h100-order), in use from 2023-09; sell 64 x a100-sxm-80."
    )


def test_what_follows_is_counted() -> None:
    later = [replace(BUY, month=month) for month in ("2023-11", "2023-07")]
    assert order_words([*later, BUY]).endswith(" Later: 2 more orders and sales, the last in 2023-11.")
    assert order_words([later[0], BUY]).endswith(" Later: 1 more order or sale, in 2023-11.")


def test_a_later_order_that_is_dearer_than_the_first_is_named() -> None:
    later = replace(BUY, month="2023-06", offer="stock", chips=30000.0, cost=Money(7e6, "USD", "2023-05"), note="")
    assert order_words([BUY, later]).endswith(
        " Later: 1 more order or sale, in 2023-06; the dearest, in 2023-06: buy 30,000 x h100-sxm-80 (stock)."
    )


def test_chips_by_the_hour_and_sales_that_futures_decide_are_no_decision_of_today() -> None:
    words = "Nothing is to be ordered or signed for longer than a month."
    assert order_words([RENT]) == words
    assert order_words([RENT, replace(SELL, chips_interval=Interval(0.0, 8.0, 64.0))]) == words
    assert order_words([]) == ""


def test_the_site_and_what_has_no_chips_are_named() -> None:
    assert "(h100-order, us-texas)" in order_words([replace(BUY, site="us-texas")])
    assert order_words([replace(BUY, action="build", chip="", offer="hall-2")]).startswith("Decide in 2023-05: build hall-2,")


def test_the_report_of_buy_has_the_title_the_market_and_the_site_of_the_question() -> None:
    result = replace(sample(BuyResult), title="A service", market="us-2026-10", site="us-texas")
    report = report_of(result)
    facts = next(section.blocks[0].facts for section in report.sections if section.title == "What was asked")
    assert report.title == "A service" and facts[0].value == "us-2026-10, us-texas"
    assert report_of(replace(result, title="")).title == "What to get, when"
