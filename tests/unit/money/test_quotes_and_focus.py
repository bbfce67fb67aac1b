"""Tables that come in (quotes, fleets, actuals) and rows that go out (FOCUS, charge-back)."""

import csv
import io
import json

import pytest

from suanzhang.app.buy import plan_purchases
from suanzhang.app.focus import FOCUS_COLUMNS, charge_back, divided, focus_csv
from suanzhang.app.plan_asks import resolve_world
from suanzhang.app.question import read_question
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


def test_a_new_offer_comes_in_whole_servers_unless_it_says_otherwise(tmp_path):
    """A quote without a lot is one of servers: nobody rents 115 chips of a kind that stands eight in a box."""
    path = tmp_path / "quotes.csv"
    path.write_text(
        "id,kind,chip,price,lot_chips\nv1,rent,h100-sxm-80,3.1,\nv2,rent,h100-sxm-80,3.2,4\nh100-cloud,rent,h100-sxm-80,4,\n"
    )
    text = "currency: USD\nstart: 2023-05\nmonths: 6\nmarket: us-2023-04\ntrain:\n  - {name: a, model: gpt3-13b, tokens: 1B}\n"
    offers = {offer.id: offer for offer in resolve_world(with_files(read_question(text), path)).market.offers}
    assert (offers["v1"].lot_chips, offers["v2"].lot_chips) == (8, 4)
    known = next(offer for offer in market("us-2023-04").offers if offer.id == "h100-cloud")
    assert offers["h100-cloud"].lot_chips == known.lot_chips


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
        (QUOTE + "v1,buy,h900,30000\n", "row 2, chip: unknown chip 'h900'"),
        ("", "is empty"),
        ("id,kind,chip,price\n\n,,,\n", "has a line of columns and no rows"),
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


PLAIN = "id,kind,chip,price,currency,lead_months\nv1,buy,h100-sxm-80,30500.5,USD,2.5\nv2,rent,h100-sxm-80,2.75,USD,\n"
SEMICOLONS = "id;kind;chip;price;currency;lead_months\nv1;buy;h100-sxm-80;30.500,5;USD;2,5\nv2;rent;h100-sxm-80;2,75;USD;\n"
QUOTED = 'id,kind,chip,price,currency,lead_months\nv1,buy,h100-sxm-80,"30.500,5",USD,"2,5"\nv2,rent,h100-sxm-80,"2,75",USD,\n'
CHINESE = "编号;方式;芯片;价格;货币;交货期\nv1;采购;h100-sxm-80;30500,5;美元;2,5\nv2;租用;h100-sxm-80;2,75;USD;\n"


@pytest.mark.parametrize(
    "raw",
    [
        SEMICOLONS.encode(),
        b"\xef\xbb\xbf" + SEMICOLONS.encode(),
        b"\xef\xbb\xbf" + PLAIN.encode(),
        SEMICOLONS.encode("utf-16"),
        ("sep=;\n" + SEMICOLONS).encode(),
        PLAIN.replace(",", "\t").encode(),
        PLAIN.replace(",", ";").replace("30500.5", "30 500.5").encode(),
        QUOTED.encode(),
        ("编号,方式,芯片,价格,币种,交货期(月)\nv1,购买,h100-sxm-80,30500.5,美元,2.5\nv2,租用,h100-sxm-80,2.75,usd,\n").encode("gbk"),
        CHINESE.encode("utf-8-sig"),
        CHINESE.encode("gbk"),
        ("\n\n" + PLAIN.replace("\n", "\r\n")).encode(),
    ],
)  # fmt: skip
def test_what_spreadsheets_of_many_countries_write_is_one_table(tmp_path, raw):
    path = tmp_path / "quotes.csv"
    path.write_bytes(raw)
    first, second = read_offers(path)
    assert (first.id, first.kind, first.chip, first.price, first.currency) == ("v1", "buy", "h100-sxm-80", 30500.5, "USD")
    assert (first.lead_months, second.kind, second.price, second.currency) == (2.5, "rent", 2.75, "USD")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id;kind;chip;price\nv1;buy;a800;98,000\n", ("row 2, price", "98000 or 98.000", "without a separator")),
        ("id;kind;chip;price\nv1;buy;a800;98.000,5\nv2;buy;a100;98,000.5\n", ("row 2, price", "row 3, price", "two decimal")),
        ("id,kind,chip,price\nv1,buy,a800,98,000\n", ("row 2", "more cells", "between quotes")),
        ("id;kind;chip;price\nv1;buy;a800;1.2.3,4\n", ("row 2, price", "no number")),
        ("id,kind,chip,price,first_month\nv1,buy,a800,1,05/06/2026\n", ("row 2, first_month", "two dates", "2026-05-06")),
        ("id,kind,chip,price,first_month\nv1,buy,a800,1,soon\n", ("row 2, first_month", "no date", "2026-10")),
        ("id,kind,chip,price\nv1,buy,a800,1\nv1,buy,a800,2\n", ("row 3, id", "row 2 too", "own id")),
        ("id,price,price\nv1,1,2\n", ("'price' stands twice",)),
    ],
)
def test_what_is_not_clear_is_refused_with_a_way_out(tmp_path, text, words):
    path = tmp_path / "quotes.csv"
    path.write_text(text)
    with pytest.raises(InputError) as failure:
        read_offers(path)
    line = f"{failure.value} {failure.value.fix}"
    assert all(word in line for word in words), line
    assert "\n" not in line


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "quotes.csv"
    path.write_bytes(b"PK\x03\x04\x00\x00")
    with pytest.raises(InputError, match="not CSV"):
        read_offers(path)


@pytest.mark.parametrize("number", ["98,000", "98,000.00", "98000", "98 000", "98'000", "９８０００"])
def test_thousands_of_a_file_with_commas_are_read_as_before(tmp_path, number):
    path = tmp_path / "quotes.csv"
    path.write_text(f'id,kind,chip,price\nv1,buy,a800,"{number}"\n')
    assert read_offers(path)[0].price == 98000.0


@pytest.mark.parametrize(
    ("written", "month"),
    [
        ("2026-12", "2026-12"),
        ("2026/12/3", "2026-12"),
        ("2026年12月", "2026-12"),
        ("3.12.2026", "2026-12"),
        ("12/31/2026", "2026-12"),
    ],
)
def test_dates_are_read_as_people_write_them(tmp_path, written, month):
    path = tmp_path / "quotes.csv"
    path.write_text(f"id,kind,chip,price,first_month,note,vendor\nv1,buy,a800,1,{written},as agreed,one\n")
    assert read_offers(path)[0].first_month == month


def test_days_of_a_workbook_are_read(tmp_path):
    import datetime

    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["id", "kind", "chip", "price", "currency", "quoted", "valid_until"])
    book.active.append(["v1", "buy", "h100", 30000.5, "USD", datetime.datetime(2026, 9, 3), datetime.date(2026, 11, 30)])
    book.save(tmp_path / "q.xlsx")
    (offer,) = read_offers(tmp_path / "q.xlsx")
    assert (offer.price, offer.quoted, offer.last_month) == (30000.5, "2026-09-03", "2026-11")


def test_a_currency_without_a_rate_names_its_row(tmp_path):
    from suanzhang.app.question import read_question

    path = tmp_path / "q.csv"
    path.write_text("id,kind,chip,price,currency\nv1,buy,a800,98000,CNY\nv2,buy,a800,14000,USD\nv3,buy,a800,14000,ZZZ\n")
    asked = read_question("examples/gpu-rush-2023/question.yaml")
    with pytest.raises(InputError, match=r"row 4, currency ZZZ: no exchange rate"):
        with_files(asked, path)
    path.write_text("id,kind,chip,price,currency,quoted\nv2,buy,a800,14000,USD,1980-01-01\n")
    with pytest.raises(InputError, match=r"row 2, currency USD: no USD rate is known for 1980"):
        with_files(asked, path)


def test_a_dated_price_is_turned_at_the_rate_of_its_day(tmp_path):
    from suanzhang.app.plan_asks import resolve_world
    from suanzhang.app.question import read_question
    from suanzhang.catalog.currency import rate

    path = tmp_path / "q.csv"
    path.write_text("id;kind;chip;price;currency;quoted\nv1;buy;a800;14000;USD;2023-01-16\nv2;buy;a800;99000;CNY;2023-02-01\n")
    world = resolve_world(with_files(read_question("examples/gpu-rush-2023/question.yaml"), path))
    first, second = (next(offer for offer in world.market.offers if offer.id == name) for name in ("v1", "v2"))
    turned = rate("USD", "CNY", "2023-01-16").value
    assert first.price.value == pytest.approx(14000 * turned)
    assert (first.price.unit, first.price.date) == ("CNY/chip", "2023-01-16")
    assert f"{turned:.4f} CNY/USD of 2023-01-16" in first.price.note
    assert (second.price.value, second.price.date) == (99000.0, "2023-02-01")


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
