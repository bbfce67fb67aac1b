"""Chips by id: dense peaks, memory, links, power, prices and export states, each figure with its origin.

The records are JSON lines in catalog units (TFLOP/s, GB, GB/s, kW), one chip per line: all of them are read in a few
milliseconds, where YAML takes hundreds. A figure is ``[value, grade, source, note]``; one without grade or source is refused.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from suanzhang.catalog.aliases import resolve
from suanzhang.catalog.sources import figure_sources
from suanzhang.errors import CatalogError
from suanzhang.source import GRADES, Grade, Quoted
from suanzhang.spec.chip import ChipSpec, DatedPrice, DeliveryQuote, ExportEvent, NodeSpec
from suanzhang.units import BITS_PER_BYTE, GB, GIGA, KILO, TFLOP

_FOLDER = Path(__file__).resolve().parent / "data" / "chips"

_FIGURES: Mapping[str, tuple[str, float, str]] = {
    "memory_gb": ("hbm_bytes", GB, "B"),
    "memory_gb_per_s": ("hbm_bytes_per_s", GB, "B/s"),
    "link_gb_per_s": ("link_bytes_per_s", GB, "B/s"),
    "tdp_w": ("tdp_w", 1.0, "W"),
    "node_power_kw": ("node.power_w", KILO, "W"),
    "nic_gbit_per_s": ("node.nic_bytes_per_s", GIGA / BITS_PER_BYTE, "B/s"),
}
"""Catalog name of a figure: its name in the specification, its factor to SI, its SI unit."""
_PEAK = "peak_tflop_per_s."


def chip(name: str) -> ChipSpec:
    """The chip of a catalog id or of one of its other names; case, spaces and dashes do not matter.

    Args:
        name: such as ``a100-sxm-80``, ``A100-80G-SXM`` or ``h20 96``.

    Raises:
        CatalogError: no such chip, with the nearest names; or it is known and left out, with the reason.
    """
    return chips()[resolve("chip", name, _titles())]


@functools.cache
def _titles() -> Mapping[str, str]:
    return {identity: item.name for identity, item in chips().items()}


@functools.cache
def chips() -> Mapping[str, ChipSpec]:
    """Every chip of the catalog by id."""
    found: dict[str, ChipSpec] = {}
    for path in sorted(_FOLDER.glob("*.jsonl")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            item = read_chip(json.loads(line), f"{path.name}, line {number}")
            if item.id in found:
                raise CatalogError(f"{path.name}: two chips have the id {item.id!r}", fix="remove one")
            found[item.id] = item
    return MappingProxyType(found)


def read_chip(raw: Mapping[str, Any], where: str) -> ChipSpec:
    """A chip from its record.

    Args:
        raw: the record, in catalog units.
        where: file and line, for the error.

    Raises:
        CatalogError: a figure has no source or grade, is not positive, or its name is unknown.
    """
    where = f"{where}, chip {raw.get('id', '?')!r}"
    try:
        quotes = {name: quote for key, cell in raw["figures"].items() for name, quote in [_figure(key, cell, raw, where)]}
        value = {name: quote.value for name, quote in quotes.items()}
        node = raw["node"]
        return ChipSpec(
            id=raw["id"],
            name=raw["name"],
            vendor=raw["vendor"],
            country=raw["country"],
            launch=raw["launch"],
            peak_flop_per_s=MappingProxyType(
                {name.partition(".")[2]: peak for name, peak in value.items() if name.startswith("peak_flop_per_s.")}
            ),
            hbm_bytes=value.get("hbm_bytes", 0.0),
            hbm_bytes_per_s=value.get("hbm_bytes_per_s", 0.0),
            link_bytes_per_s=value.get("link_bytes_per_s", 0.0),
            link_name=raw["link"],
            scale_up_domain=int(raw["domain"]),
            tdp_w=value.get("tdp_w", 0.0),
            node=NodeSpec(int(node["chips"]), value.get("node.power_w", 0.0), value.get("node.nic_bytes_per_s", 0.0)),
            quotes=MappingProxyType(quotes),
            prices=tuple(_price(row, where) for row in raw["prices"]),
            exports=tuple(_export(row, where) for row in raw["exports"]),
            confidence=raw["confidence"],
            notes=raw["notes"],
            role=raw["role"],
            form=raw["form"],
            memory_type=raw["memory_type"],
            topology=raw["topology"],
            deliveries=tuple(_delivery(row, where) for row in raw["lead_times"]),
            sources=tuple(_known(key, where) for key in raw["sources"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CatalogError(f"{where}: bad or missing entry ({error})", fix="restore the file of the package") from error


def _known(key: str, where: str) -> str:
    if not key:
        raise CatalogError(f"{where}: a value has no source", fix="a value without its origin is not accepted")
    if key not in figure_sources():
        raise CatalogError(f"{where}: unknown source {key!r}", fix="list it in sources.yaml")
    return key


def _grade(text: str, where: str) -> Grade:
    if text not in GRADES:
        raise CatalogError(f"{where}: unknown grade {text!r}", fix=f"use one of {', '.join(GRADES)}")
    return text


def _figure(key: str, cell: list[Any], raw: Mapping[str, Any], where: str) -> tuple[str, Quoted]:
    value, grade, source, note = cell
    if not value > 0:
        raise CatalogError(f"{where}: {key} is {value}", fix="leave out what is unknown")
    if key.startswith(_PEAK):
        name, factor, unit = "peak_flop_per_s." + key.removeprefix(_PEAK), TFLOP, "FLOP/s"
    elif key in _FIGURES:
        name, factor, unit = _FIGURES[key]
    else:
        raise CatalogError(f"{where}: unknown figure {key!r}", fix=f"use {', '.join(_FIGURES)} or {_PEAK}DTYPE")
    quote = Quoted(value * factor, unit, _known(source, where), _grade(grade, where), str(raw["launch"]), note)
    return name, quote


def _price(row: Mapping[str, Any], where: str) -> DatedPrice:
    source, grade = _known(row["source"], where), _grade(row["grade"], where)
    note = "; ".join(part for part in (row.get("note", ""), row.get("via", "")) if part)
    quote = Quoted(float(row["value"]), row["unit"], source, grade, row["date"], note)
    return DatedPrice(row["kind"], quote, float(row["low"]), float(row["high"]), int(row["offers"]), row["terms"])


def _delivery(row: Mapping[str, Any], where: str) -> DeliveryQuote:
    source, grade = _known(row["source"], where), _grade(row["grade"], where)
    low, high = float(row["low_weeks"]), float(row["high_weeks"])
    return DeliveryQuote(Quoted((low + high) / 2.0, "week", source, grade, row["date"], row["note"]), low, high)


def _export(row: Mapping[str, Any], where: str) -> ExportEvent:
    source, grade = _known(row["source"], where), _grade(row["grade"], where)
    return ExportEvent(row["date"], row["state"], row.get("region", "CN"), source, row["note"], grade)
