"""Markets by id: what one region offered at one date, with prices, lead times, stock and export state."""

from __future__ import annotations

import csv
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

from suanzhang.catalog.quoted_yaml import load_yaml, read_quoted, read_sources
from suanzhang.errors import CatalogError, unknown_name
from suanzhang.source import Quoted, Source
from suanzhang.spec.market import LeadTime, Market, Offer, OfferKind

_FOLDER = Path(__file__).resolve().parent / "data" / "markets"
_OFFER_KEYS = {
    "id", "kind", "chip", "price", "includes_host", "term_months", "lead", "stock_chips", "stock_per_month",
    "min_order_chips", "lot_chips", "first_month", "last_month", "interruption_per_month", "note", "price_in",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PricePoint:
    """One dated point of a recorded price path.

    Args:
        series: id of the path, such as ``a100-sxm-80/rent/world``.
        chip: catalog id of the chip.
        kind: "buy", "rent", "reserve" or "lead" (months of delivery).
        region: ISO country, or "world".
        price: the value with its unit, date, source and grade.
        low: lowest of the range.
        high: highest of the range.
        offers: how many offers it summarises.
    """

    series: str
    chip: str
    kind: str
    region: str
    price: Quoted
    low: float
    high: float
    offers: int


@functools.cache
def market_sources() -> Mapping[str, Source]:
    """The sources of all offers and price paths."""
    return MappingProxyType(read_sources(load_yaml(_FOLDER / "sources.yaml"), "markets"))


def _lead(raw: Mapping[str, Any], where: str) -> LeadTime:
    missing = [key for key in ("median_months", "p90_months", "source", "grade") if raw.get(key) is None]
    if missing:
        raise CatalogError(f"{where}: lead time has no {', '.join(missing)}", fix="a value without its origin is not accepted")
    if raw["source"] not in market_sources():
        raise CatalogError(f"{where}: unknown source {raw['source']!r}", fix="list it among the sources")
    return LeadTime(float(raw["median_months"]), float(raw["p90_months"]), str(raw["source"]), str(raw["grade"]))


def _optional(raw: Mapping[str, Any], key: str) -> float | None:
    return None if raw.get(key) is None else float(raw[key])


def _optional_quoted(raw: Mapping[str, Any], key: str, where: str) -> Quoted | None:
    return None if raw.get(key) is None else read_quoted(raw[key], where, market_sources())


def _offer(raw: Mapping[str, Any], market_id: str) -> Offer:
    where = f"market {market_id}, offer {raw.get('id', '?')}"
    unknown = sorted(set(raw) - _OFFER_KEYS)
    if unknown:
        raise CatalogError(f"{where}: unknown key {unknown[0]!r}", fix=f"use {', '.join(sorted(_OFFER_KEYS))}")
    if raw["kind"] not in get_args(OfferKind):
        raise unknown_name("kind of offer", str(raw["kind"]), get_args(OfferKind), where)
    return Offer(
        id=str(raw["id"]),
        kind=raw["kind"],
        chip=str(raw["chip"]),
        price=read_quoted(raw["price"], f"{where}: price", market_sources()),
        includes_host=bool(raw["includes_host"]),
        term_months=int(raw["term_months"]),
        lead=_lead(raw["lead"], where),
        stock_chips=_optional(raw, "stock_chips"),
        stock_per_month=_optional(raw, "stock_per_month"),
        min_order_chips=int(raw.get("min_order_chips", 1)),
        lot_chips=int(raw.get("lot_chips", 1)),
        first_month=str(raw.get("first_month", "")),
        last_month=str(raw.get("last_month", "")),
        interruption_per_month=float(raw.get("interruption_per_month", 0.0)),
        note=str(raw.get("note", "")),
        price_in=_optional_quoted(raw, "price_in", f"{where}: price of input"),
    )


def _market(path: Path) -> Market:
    raw = load_yaml(path)
    offers = tuple(_offer(row, raw["id"]) for row in raw["offers"])
    if len({offer.id for offer in offers}) != len(offers):
        raise CatalogError(f"market {raw['id']}: two offers share one id", fix="give each its own")
    return Market(
        id=raw["id"],
        title=raw["title"],
        region=raw["region"],
        date=str(raw["date"]),
        currency=raw["currency"],
        offers=offers,
        excluded=MappingProxyType(dict(raw["excluded"])),
        price_change_per_year=read_quoted(raw["price_change_per_year"], f"market {raw['id']}: price change", market_sources()),
        price_sigma_per_year=read_quoted(raw["price_sigma_per_year"], f"market {raw['id']}: price spread", market_sources()),
        bar_per_year=_optional_quoted(raw, "bar_per_year", f"market {raw['id']}: rate of export rules"),
        return_per_year=_optional_quoted(raw, "return_per_year", f"market {raw['id']}: rate of return after export rules"),
    )


@functools.cache
def _paths() -> Mapping[str, Path]:
    return {path.stem: path for path in sorted(_FOLDER.glob("*.yaml")) if path.stem != "sources"}


@functools.cache
def market(name: str) -> Market:
    """The market with this id.

    Raises:
        CatalogError: there is none (names the nearest), or one of its values has no source.
    """
    key = name.strip().lower()
    if key not in _paths():
        raise unknown_name("market", name, _paths())
    return _market(_paths()[key])


def markets() -> Mapping[str, Market]:
    """All markets by id."""
    return MappingProxyType({key: market(key) for key in _paths()})


@functools.cache
def price_history() -> tuple[PricePoint, ...]:
    """Recorded price and delivery paths 2019 to 2026, by series and date.

    Raises:
        CatalogError: a row has no source.
    """
    points = []
    with (_FOLDER / "history.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            raw = {key: row[key] for key in ("value", "unit", "source", "grade", "date")} | {"note": row["note"]}
            price = read_quoted(raw, f"price path {row['series']} {row['date']}", market_sources())
            low, high = float(row["low"] or price.value), float(row["high"] or price.value)
            points.append(
                PricePoint(row["series"], row["chip"], row["kind"], row["region"], price, low, high, int(row["offers"] or 1))
            )
    return tuple(sorted(points, key=lambda point: (point.series, point.price.date)))
