"""Months from order to use as the plan for the expected future counts them."""

from types import SimpleNamespace

import numpy as np
import pytest

from suanzhang.catalog.markets import market
from suanzhang.money.procurement.calendar import FOREVER, nominal_delay
from suanzhang.money.procurement.schedule import _arrival_words, _in_futures
from suanzhang.spec.market import LeadTime, Offer


@pytest.mark.parametrize(("median", "months"), [(0.0, 0), (0.4, 0), (0.5, 1), (2.0, 2), (3.4, 3), (3.5, 4), (6.2, 6)])
def test_half_a_month_counts_as_one(median: float, months: int) -> None:
    price = market("us-2023-04").offers[0].price
    offer = Offer("order", "buy", "h100-sxm-80", price, True, 0, LeadTime(median, 2.0 * median, "quote", "quoted"))
    assert nominal_delay(offer) == months


@pytest.mark.parametrize(
    ("arrival", "words"),
    [
        ([3, 3, 3, 3], "in use from 2023-08"),
        ([5, 2, 3, 4], "in use from 2023-08 (2023-07 to 2023-10)"),
        ([2, 2, FOREVER, 2], "in use from 2023-07 (2023-07 to after the plan)"),
        ([FOREVER] * 4, "not delivered"),
    ],
)
def test_a_schedule_says_from_when_an_order_is_in_use_over_the_futures(arrival: list[int], words: str) -> None:
    shape = SimpleNamespace(months=12, weights=np.full(4, 0.25), problem=SimpleNamespace(start="2023-05"))
    assert _arrival_words(shape, np.array(arrival)) == words  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("chips", "words"),
    [([0, 0, 0, 300], "in 25% of the futures, then 300"), ([0, 8, 16, 0], "in 50% of the futures, then 12"), ([8] * 4, "")],
)
def test_a_schedule_says_in_how_many_futures_chips_are_rented(chips: list[int], words: str) -> None:
    shape = SimpleNamespace(weights=np.full(4, 0.25))
    assert _in_futures(shape, np.array(chips, dtype=float)) == words  # type: ignore[arg-type]
