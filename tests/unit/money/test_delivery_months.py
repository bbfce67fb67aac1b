"""Months from order to use as the plan for the expected future counts them."""

import pytest

from suanzhang.catalog.markets import market
from suanzhang.money.procurement.calendar import nominal_delay
from suanzhang.spec.market import LeadTime, Offer


@pytest.mark.parametrize(("median", "months"), [(0.0, 0), (0.4, 0), (0.5, 1), (2.0, 2), (3.4, 3), (3.5, 4), (6.2, 6)])
def test_half_a_month_counts_as_one(median: float, months: int) -> None:
    price = market("us-2023-04").offers[0].price
    offer = Offer("order", "buy", "h100-sxm-80", price, True, 0, LeadTime(median, 2.0 * median, "quote", "quoted"))
    assert nominal_delay(offer) == months
