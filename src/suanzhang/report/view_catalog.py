"""The report of ``catalog``."""

from __future__ import annotations

from suanzhang.report.blocks import Column, Notes, Report, Scalar, Section, Table, show_fact, show_number
from suanzhang.report.common import sources_section
from suanzhang.spec.catalog import CatalogResult, CatalogValue
from suanzhang.units import GIGA, TERA, in_words, unit_of_key

_ALL = 1000
_SCALED: dict[str, tuple[str, float]] = {
    "FLOP/s": ("TFLOP/s", TERA),
    "B/s": ("GB/s", GIGA),
    "B": ("GB", GIGA),
    "params": ("billion", GIGA),
}
_UNITS = {
    "params": "params",
    "active_params": "params",
    "params_published": "params",
    "price": "in its unit",
    "tariff_per_kwh": "its currency/kWh",
    "room_per_kw_month": "its currency/kW/month",
    "kv_bytes_per_token_16bit": "B ",
    "max_seq": "tokens",
    "vocab": "tokens",
}
_NAMES = {"hbm_bytes_per_s": "hbm_bandwidth", "link_bytes_per_s": "link_bandwidth", "tdp_w": "tdp", "launch_s": "launch"}
_FIRST = {"id", "name", "kind", "chip", "market", "price", "unit", "title"}


def catalog(result: CatalogResult) -> Report:
    """All entries of one kind, or every value of one entry with unit, date, source and grade."""
    title = f"{result.kind}: {result.id}" if result.id else f"{len(result.rows)} {result.kind}"
    if not result.values:
        table = _rows(result)
        return Report(title, "", (Section(table.title, (table,)), sources_section(result.sources)), main=table.title)
    sections = (
        Section("Values", (_values(result.values),)),
        Section("Notes", (Notes("Notes", result.notes),)),
        sources_section(result.sources),
    )
    return Report(title, "", sections, main="Values")


def _rows(result: CatalogResult) -> Table:
    columns, cells = [], []
    for key in result.columns:
        values = [row.get(key) for row in result.rows]
        numeric = any(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
        unit, scale = _unit(key) if numeric else ("", 1.0)
        name = in_words(_NAMES.get(key, key.removesuffix("_flop_per_s").removesuffix("_bytes")) if numeric else key)
        columns.append(Column(name, unit.strip(), optional=key not in _FIRST))
        cells.append([_scaled(value, scale) for value in values])
    return Table(result.kind.capitalize(), tuple(columns), tuple(zip(*cells, strict=True)), limit=_ALL)


def _unit(key: str) -> tuple[str, float]:
    unit = _UNITS.get(key) or unit_of_key(key)
    return _SCALED.get(unit, (unit, 1.0))


def _scaled(value: Scalar, scale: float) -> Scalar:
    return value / scale if scale != 1.0 and isinstance(value, (int, float)) and not isinstance(value, bool) else value


def _values(values: tuple[CatalogValue, ...]) -> Table:
    columns = (
        Column("value of"),
        Column("figure"),
        Column("unit"),
        Column("date"),
        Column("source"),
        Column("grade"),
        Column("note"),
    )
    rows = tuple((v.name, _figure(v), v.unit, v.date, v.source, v.grade, v.note) for v in values)
    return Table("Values", columns, rows, limit=_ALL)


def _figure(value: CatalogValue) -> str:
    if isinstance(value.value, (int, float)) and not isinstance(value.value, bool):
        return show_fact(value.value, value.unit) if value.unit not in ("", "1") else show_number(value.value, 4)
    return show_number(value.value)
