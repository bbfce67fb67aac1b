"""One total: objective, printed cost, rows, lines, and the workbook, to the cent."""

import csv
import io
from pathlib import Path

import pytest

from suanzhang.app.buy import plan_purchases
from suanzhang.app.focus import focus_csv
from suanzhang.app.verbs import buy
from suanzhang.catalog.markets import market
from suanzhang.report.views import report_of
from suanzhang.report.xlsx import workbook
from suanzhang.spec.buy import Demand, Need

openpyxl = pytest.importorskip("openpyxl")


def plan(name, chips, **more):
    where = market(name)
    run = Demand("base", "train", tuple(Need(chip, 256.0, 1.0, 1.5) for chip in chips), due_months=6.0)
    chat = Demand("chat", "serve", tuple(Need(chip, 200.0, 0.5) for chip in chips), first_month=2, due_month=8, wait_price=5e6)
    given = {"budget": 1e9, "months": 12, "start": where.date, "currency": where.currency} | more
    return plan_purchases((run, chat), where, "cn-east" if where.region == "CN" else "us-texas", **given)


@pytest.mark.parametrize("name", ["cn-2023-04", "us-2023-04", "us-2026-10"])
def test_the_workbook_holds_the_total_of_the_plan(name):
    where = market(name)
    chips = sorted({o.chip for o in where.offers if o.kind != "api" and o.chip not in where.excluded})[:4]
    found = plan(name, chips)
    cents = round(100 * found.cost.amount)
    book = openpyxl.load_workbook(io.BytesIO(workbook(report_of(found))), data_only=True)
    sheet = book["Schedule"]
    lines = list(sheet.iter_rows(values_only=True))
    head = next(k for k, line in enumerate(lines) if line and line[0] == "month")
    column = next(k for k, name in enumerate(lines[head]) if str(name).startswith("cost"))
    amounts = [line[column] for line in lines[head + 1 :] if isinstance(line[column], (int, float)) and line[0]]
    assert sum(round(100 * amount) for amount in amounts[: len(found.schedule)]) == cents
    assert sum(round(100 * row.cost.amount) for row in found.schedule) == cents
    assert sum(round(100 * money.amount) for money in found.lines.values()) == cents
    parts = (found.cash, found.interest, found.waiting, found.value_left)
    assert sum(round(100 * part.amount) for part in parts) == cents
    summary = {str(line[0]): line[1] for line in book["summary"].iter_rows(values_only=True) if line and line[0]}
    assert round(100 * summary["= cost"]) == cents
    assert round(100 * summary["cash paid out"]) == round(100 * found.cash.amount)


def test_a_plan_over_two_sites_with_moves_and_works_is_one_total_too():
    found = buy(Path("examples/2026-10/two-sites.yaml"), scenarios=1)
    cents = round(100 * found.cost.amount)
    assert {row.action for row in found.schedule} >= {"move", "build", "run", "value left"}
    book = openpyxl.load_workbook(io.BytesIO(workbook(report_of(found))), data_only=True)
    lines = list(book["Schedule"].iter_rows(values_only=True))
    head = next(k for k, line in enumerate(lines) if line and line[0] == "month")
    column = next(k for k, name in enumerate(lines[head]) if str(name).startswith("cost"))
    amounts = [line[column] for line in lines[head + 1 : head + 1 + len(found.schedule)]]
    assert sum(round(100 * amount) for amount in amounts) == cents
    assert sum(round(100 * row.cost.amount) for row in found.schedule) == cents
    assert sum(round(100 * money.amount) for money in found.lines.values()) == cents
    billed = csv.DictReader(io.StringIO(focus_csv(found)))
    assert sum(round(100 * float(row["BilledCost"])) for row in billed) == round(100 * found.cash.amount)
    peaks = {(place.site, state.month): (place.peak_w, place.power_limit_w) for state in found.months for place in state.places}
    assert all(limit is None or peak <= limit * (1.0 + 1e-6) for peak, limit in peaks.values())
