"""Tables that come in (quotes, fleets, actuals) and rows that go out (FOCUS, charge-back)."""

import csv
import io
import json

import pytest

from suanzhang.app.buy import plan_purchases
from suanzhang.app.focus import FOCUS_COLUMNS, charge_back, divided, focus_csv
from suanzhang.app.quotes import compare_actuals, read_fleet, read_offers, with_files
from suanzhang.catalog.markets import market
from suanzhang.errors import InputError
from suanzhang.spec.buy import Demand, Need
from suanzhang.spec.question import MarketAsk, OfferAsk


def plan(name, chips, **more):
    where = market(name)
    run = Demand("base", "train", tuple(Need(chip, 256.0, 1.0, 1.5) for chip in chips), due_months=6.0)
    chat = Demand("chat", "serve", tuple(Need(chip, 200.0, 0.5) for chip in chips), first_month=2, due_month=8, wait_price=5e6)
    given = {"budget": 1e9, "months": 12, "start": where.date, "currency": where.currency} | more
    return plan_purchases((run, chat), where, "cn-east" if where.region == "CN" else "us-texas", **given)


@pytest.fixture(scope="module")
def bought():
    return plan("cn-2023-04", ("a100-sxm-80", "a800-sxm-80"))


QUOTE = "id,kind,chip,price,currency,lead_months,lead_p90_months,lot_chips,first_month\n"


def test_quotes_become_offers(tmp_path):
    path = tmp_path / "quotes.csv"
    path.write_text(QUOTE + 'v1,buy,a800-sxm-80,"98,000",CNY,2,4.5,8,2023-06\nv2,rent,a100-sxm-80,17.5,,,,,\n')
    first, second = read_offers(path)
    assert (first.id, first.kind, first.price, first.lead_months, first.lead_p90_months) == ("v1", "buy", 98000.0, 2.0, 4.5)
    assert (first.lot_chips, first.first_month) == (8, "2023-06")
    assert (second.price, second.lead_months, second.currency) == (17.5, None, "")


def test_a_workbook_reads_as_the_same_table(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["id", "kind", "chip", "price"])
    book.active.append(["v1", "buy", "a800-sxm-80", 98000])
    book.save(tmp_path / "q.xlsx")
    (tmp_path / "q.csv").write_text("id,kind,chip,price\nv1,buy,a800-sxm-80,98000\n")
    assert read_offers(tmp_path / "q.xlsx") == read_offers(tmp_path / "q.csv")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id,kind,chip,prise\n", "did you mean price"),
        (QUOTE + "v1,buys,a800,1\n", "row 2, kind"),
        (QUOTE + "v1,buy,a800,minus\n", "row 2, price"),
        ("", "is empty"),
    ],
)
def test_a_bad_table_is_one_line_that_names_the_cell(tmp_path, text, words):
    path = tmp_path / "quotes.csv"
    path.write_text(text)
    with pytest.raises(InputError) as failure:
        read_offers(path)
    assert words in f"{failure.value} {failure.value.fix}"
    with pytest.raises(InputError, match="no such file"):
        read_offers(tmp_path / "none.csv")


def test_quotes_and_fleet_join_the_question(tmp_path):
    from suanzhang.app.question import read_question

    (tmp_path / "q.csv").write_text("id,kind,chip,price\nv1,buy,a800-sxm-80,98000\n")
    (tmp_path / "h.csv").write_text("chip,chips,kind,until\na100-sxm-80,640,own,\nv100-sxm2-32,64,rent,2023-12\n")
    asked = read_question("examples/gpu-rush-2023/question.yaml")
    more = with_files(asked, tmp_path / "q.csv", tmp_path / "h.csv")
    assert more.market.offers[-1] == OfferAsk("v1", "buy", "a800-sxm-80", 98000.0)
    assert [(h.chip, h.chips, h.until) for h in more.have[-2:]] == [("a100-sxm-80", 640, ""), ("v100-sxm2-32", 64, "2023-12")]
    assert isinstance(more.market, MarketAsk)
    assert len(read_fleet(tmp_path / "h.csv")) == 2


def test_focus_rows_sum_to_the_cash_to_the_cent(bought):
    rows = list(csv.DictReader(io.StringIO(focus_csv(bought))))
    assert tuple(rows[0]) == FOCUS_COLUMNS
    assert sum(round(100 * float(row["BilledCost"])) for row in rows) == round(100 * bought.cash.amount)
    for row in rows:
        assert row["ChargeCategory"] in ("Usage", "Purchase", "Credit")
        assert row["BillingPeriodStart"] < row["BillingPeriodEnd"]
        assert row["BillingCurrency"] == bought.cost.currency
        assert json.loads(row["Tags"])["job"] == row["SubAccountName"]
        if row["ChargeCategory"] == "Purchase":
            assert not row["ConsumedQuantity"]


def test_charge_back_sums_to_cash_and_cost(bought):
    parts = charge_back(bought)
    assert sum(round(100 * part.cash.amount) for part in parts) == round(100 * bought.cash.amount)
    assert sum(part.cost.amount for part in parts) == pytest.approx(bought.cost.amount, abs=0.05)
    assert {"base", "chat"} <= {part.demand for part in parts}
    assert all(part.cost_per_chip_h.amount > 0.0 for part in parts if part.chip_months)


def test_cents_are_divided_whole():
    assert divided(100, {"a": 1.0, "b": 1.0, "c": 1.0}) == {"a": 34, "b": 33, "c": 33}
    assert sum(divided(-101, {"a": 2.0, "b": 1.0}).values()) == -101


def test_actuals_stand_beside_the_plan(bought, tmp_path):
    month = bought.months[0].month
    path = tmp_path / "paid.csv"
    path.write_text(f"month,paid,chips\n{month},1000000,12\n")
    (row,) = compare_actuals(bought, path)
    assert row.planned.amount == pytest.approx(bought.months[0].cash, abs=0.01)
    assert row.ahead.amount == pytest.approx(1e6 - bought.months[0].cash, abs=0.02)
    assert (row.chips, row.energy_kwh) == (12.0, None)
    path.write_text("month,paid\n2031-01,5\n")
    with pytest.raises(InputError, match="not in the plan"):
        compare_actuals(bought, path)
