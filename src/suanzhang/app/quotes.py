"""Tables of the user: vendor quotes as offers, chips that are there already, and what was really paid."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from suanzhang.app.question_schema import HoldingModel, OfferModel
from suanzhang.app.tables import Kinds, Row, read_table
from suanzhang.catalog.chips import chip as find_chip
from suanzhang.catalog.currency import rate
from suanzhang.catalog.markets import market as find_market
from suanzhang.errors import CatalogError, InputError
from suanzhang.money.procurement.calendar import month_number
from suanzhang.spec.buy import BuyResult
from suanzhang.spec.buy_worth import ActualRow
from suanzhang.spec.question import Holding, OfferAsk, Question
from suanzhang.spec.result import Money
from suanzhang.units import J_PER_KWH, parse_quantity

Model = TypeVar("Model", bound=BaseModel)

_BESIDE = ("note", "vendor")
"""Columns that a table may have for its reader alone."""
_OFFERS = Kinds(
    ("id", "kind", "chip", "price", "currency", "includes_host", "term_months", "lead_months", "lead_p90_months", "stock_chips",
     "stock_per_month", "min_order_chips", "lot_chips", "first_month", "last_month", "interruption_per_month", "quoted",
     "valid_until", *_BESIDE),
    frozenset(("price", "term_months", "lead_months", "lead_p90_months", "stock_chips", "stock_per_month", "min_order_chips",
               "lot_chips", "interruption_per_month")),
    frozenset(("first_month", "last_month", "valid_until")),
    frozenset(("quoted",)),
)  # fmt: skip
_HAVE = Kinds(
    ("chip", "chips", "kind", "since", "until", "price_per_chip_h", "site", *_BESIDE),
    frozenset(("chips", "price_per_chip_h")),
    frozenset(("since", "until")),
)
_ACTUALS = Kinds(
    ("month", "paid", "chips", "energy_kwh", *_BESIDE), frozenset(("paid", "chips", "energy_kwh")), frozenset(("month",))
)


def _checked(model: type[Model], cells: Mapping[str, Any], where: str) -> Model:
    try:
        return model.model_validate({key: _scalar(value) for key, value in cells.items() if key not in _BESIDE})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        context = first.get("ctx", {})
        words = str(context.get("message") or first["msg"])
        raise InputError(f"{where}, {place}: {words}", fix=str(context.get("fix") or "correct the cell")) from None


def _known_chip(name: str, where: str) -> None:
    try:
        find_chip(name)
    except CatalogError as error:
        raise InputError(f"{where}, chip: {error.message}", fix=error.fix) from None


def _scalar(value: Any) -> Any:
    """A cell as the question file would hold it: numbers in texts become numbers, yes and no become truth values."""
    if not isinstance(value, str):
        return value
    if value.lower() in ("true", "yes", "false", "no"):
        return value.lower() in ("true", "yes")
    try:
        number = float(value) if value.replace(".", "", 1).isdigit() else None
    except ValueError:
        number = None
    if number is None:
        return value
    return int(number) if number.is_integer() and "." not in value else number


def read_offers(path: str | Path, currency: str = "", date: str = "") -> tuple[OfferAsk, ...]:
    """Vendor quotes as offers: one row each, the id of an offer of the market changes it, another id adds one.

    Args:
        path: CSV file or workbook.
        currency: of the question, in which every price must have a rate; not looked at when empty.
        date: day of the rates for rows without a date of their own.

    Raises:
        InputError: a row cannot be used; names file, row and column.
    """
    found: dict[str, OfferAsk] = {}
    rows: dict[str, str] = {}
    for row in read_table(path, _OFFERS):
        offer = _offer_of(row)
        if offer.id in found:
            fix = "give each quote its own id"
            raise InputError(f"{row.where}, id: {offer.id!r} stands in {rows[offer.id].rpartition(', ')[2]} too", fix=fix)
        if currency and offer.currency not in ("", currency):
            try:
                rate(offer.currency, currency, offer.quoted or date)
            except InputError as error:
                raise InputError(f"{row.where}, currency {offer.currency}: {error.message}", fix=error.fix) from None
        found[offer.id], rows[offer.id] = offer, row.where
    return tuple(found.values())


def _offer_of(row: Row) -> OfferAsk:
    """The offer of a row."""
    cells = dict(row.cells)
    leads = [cells.pop(name, None) for name in ("lead_months", "lead_p90_months")]
    months = [None if lead is None else parse_quantity(_scalar(lead), "count", f"{row.where}, lead") for lead in leads]
    quoted, until = str(cells.pop("quoted", "")), str(cells.pop("valid_until", ""))
    if isinstance(cells.get("currency"), str):
        cells["currency"] = cells["currency"].upper()
    part = _checked(OfferModel, cells, row.where)
    if part.chip and part.kind != "api":
        _known_chip(part.chip, row.where)
    last = part.last_month or until
    return OfferAsk(
        id=part.id,
        kind=part.kind,
        chip=part.chip or "",
        price=part.price,
        currency=part.currency or "",
        includes_host=part.includes_host,
        term_months=part.term_months,
        stock_chips=part.stock_chips,
        stock_per_month=part.stock_per_month,
        min_order_chips=part.min_order_chips,
        lot_chips=part.lot_chips,
        lead_months=months[0],
        lead_p90_months=months[1] if months[1] is not None else months[0],
        first_month=part.first_month or "",
        last_month=min(last, until) if until else last,
        interruption_per_month=part.interruption_per_month,
        quoted=quoted,
    )


def read_fleet(path: str | Path) -> tuple[Holding, ...]:
    """Chips that are there already, one row for each lot of them.

    Raises:
        InputError: a row cannot be used; names file, row and column.
    """
    parts = []
    for row in read_table(path, _HAVE):
        parts.append(_checked(HoldingModel, row.cells, row.where))
        _known_chip(parts[-1].chip, row.where)
    return tuple(
        Holding(p.chip, p.chips, p.kind, p.since or "", p.until or "", p.price_per_chip_h, p.site or "") for p in parts
    )


def with_files(question: Question, offers: str | Path | None = None, have: str | Path | None = None) -> Question:
    """A question whose market and fleet are extended by files; an offer of a file replaces one of the same id."""
    if offers is not None:
        dated = find_market(question.market.id).date if question.market.id else question.start
        quoted = read_offers(offers, question.currency, dated)
        ids = {offer.id for offer in quoted}
        kept = tuple(offer for offer in question.market.offers if offer.id not in ids)
        question = replace(question, market=replace(question.market, offers=(*kept, *quoted)))
    if have is not None:
        question = replace(question, have=(*question.have, *read_fleet(have)))
    return question


def compare_actuals(result: BuyResult, path: str | Path) -> tuple[ActualRow, ...]:
    """A plan against what really happened, month by month; months that are not in the file are left out.

    Args:
        result: the plan.
        path: table with month, paid (cash in the currency of the plan), and where known chips and energy_kwh.

    Raises:
        InputError: a row cannot be used, or its month is not one of the plan.
    """
    given = {row.where: row for row in read_table(path, _ACTUALS)}
    by_month: dict[str, tuple[float, float | None, float | None]] = {}
    known = [state.month for state in result.months]
    for where, row in given.items():
        month = str(_scalar(row.cells.get("month", "")))
        month_number(month, where)
        if month not in known or month in by_month:
            problem = "stands twice" if month in by_month else f"is not in the plan ({known[0]} to {known[-1]})"
            raise InputError(f"{where}: {month} {problem}", fix="correct the month")
        if "paid" not in row.cells:
            raise InputError(f"{where}: paid is missing", fix="give what was paid in the month")
        figures = [
            parse_quantity(_scalar(row.cells[name]), "count", f"{where}, {name}") if name in row.cells else None
            for name in ("paid", "chips", "energy_kwh")
        ]
        assert figures[0] is not None
        by_month[month] = (figures[0], figures[1], figures[2])
    return tuple(_actual_rows(result, by_month))


def paid_before(path: str | Path, month: str) -> float:
    """Cash that was paid in the months before one.

    Raises:
        InputError: a row cannot be used.
    """
    total = 0.0
    for row in read_table(path, _ACTUALS):
        when = month_number(str(_scalar(row.cells.get("month", ""))), row.where)
        if "paid" not in row.cells:
            raise InputError(f"{row.where}: paid is missing", fix="give what was paid in the month")
        if when < month_number(month):
            total += parse_quantity(_scalar(row.cells["paid"]), "count", f"{row.where}, paid")
    return total


def _actual_rows(result: BuyResult, by_month: Mapping[str, tuple[float, float | None, float | None]]) -> Iterable[ActualRow]:
    planned_sum = paid_sum = 0.0

    def money(amount: float) -> Money:
        return Money(round(amount, 2), result.cost.currency, result.cost.date)

    for state in result.months:
        if state.month not in by_month:
            continue
        paid, chips, energy = by_month[state.month]
        planned_sum, paid_sum = planned_sum + state.cash, paid_sum + paid
        planned_chips = sum(state.owned.values()) + sum(state.rented.values())
        yield ActualRow(
            state.month, money(state.cash), money(paid), money(paid_sum - planned_sum), planned_chips, chips,
            state.energy_j / J_PER_KWH, energy,
        )  # fmt: skip
