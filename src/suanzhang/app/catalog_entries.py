"""Each kind of catalog entry as one row and as a list of values with their origins."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from suanzhang.catalog.chips import chip, chips
from suanzhang.catalog.models import model, models
from suanzhang.catalog.sources import source, sources
from suanzhang.catalog.stacks import serve_stack, serve_stacks, stack_origin, train_stack, train_stacks
from suanzhang.errors import CatalogError, PlannerError, unknown_name
from suanzhang.source import GRADES, Quoted
from suanzhang.spec.catalog import CatalogValue, Cell
from suanzhang.spec.chip import DTYPE_BYTES, ChipSpec
from suanzhang.spec.market import Market, Offer, Site
from suanzhang.spec.model import ModelSpec
from suanzhang.spec.stack import ServeStack, TrainStack


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: its row in the list, its values with their origins, and notes."""

    row: Mapping[str, Cell]
    values: tuple[CatalogValue, ...]
    notes: tuple[str, ...] = ()


def _value(name: str, quote: Quoted) -> CatalogValue:
    return CatalogValue(name, quote.value, quote.unit, quote.date, quote.source, quote.grade, quote.note)


# ---------------------------------------------------------------- chips


def chip_entries(name: str) -> tuple[Entry, ...]:
    """One chip, or all."""
    return tuple(_chip(item) for item in ([chip(name)] if name else chips().values()))


def _chip(item: ChipSpec) -> Entry:
    peaks = item.peak_flop_per_s
    row: dict[str, Cell] = {
        "id": item.id,
        "name": item.name,
        "vendor": item.vendor,
        "launch": item.launch,
        "peak_16bit_flop_per_s": peaks.get("bf16", peaks.get("fp16")),
        "hbm_bytes": item.hbm_bytes or None,
        "hbm_bytes_per_s": item.hbm_bytes_per_s or None,
        "link_bytes_per_s": item.link_bytes_per_s or None,
        "scale_up_domain": item.scale_up_domain,
        "tdp_w": item.tdp_w or None,
        "weakest_grade": max((quote.grade for quote in item.quotes.values()), key=GRADES.index, default=""),
        "confidence": item.confidence,
        "missing": ", ".join(item.missing),
    }
    values = [_value(name, quote) for name, quote in item.quotes.items()]
    for price in item.prices:
        value = _value(f"price.{price.kind}", price.price)
        spread = f"{price.low:g} to {price.high:g} of {price.offers}" if price.high > price.low else ""
        note = "; ".join(part for part in (price.terms, spread, value.note) if part)
        unit = value.unit + ("/chip_h" if price.kind == "rent" else "/chip")
        values.append(dataclasses.replace(value, unit=unit, note=note))
    for wait in item.deliveries:
        value = _value("delivery", wait.weeks)
        values.append(dataclasses.replace(value, note=f"{wait.low:g} to {wait.high:g}; {value.note}".rstrip("; ")))
    for event in item.exports:
        values.append(
            CatalogValue(f"export.{event.region}", event.state, "", event.date, event.source, event.grade, event.note)
        )
    lacking = (f"not published: {', '.join(item.missing)}",) if item.missing else ()
    return Entry(row, tuple(values), (*lacking, *((item.notes,) if item.notes else ())))


# ---------------------------------------------------------------- models


def model_entries(name: str) -> tuple[Entry, ...]:
    """One model, or all."""
    return tuple(_model(item) for item in ([model(name)] if name else models().values()))


def _model(item: ModelSpec) -> Entry:
    published = item.params_published
    row: dict[str, Cell] = {
        "id": item.id,
        "name": item.name,
        "params": item.params,
        "active_params": item.active_params,
        "params_published": published.value if published else None,
        "layers": item.layers,
        "hidden": item.hidden,
        "heads": item.heads,
        "kv_heads": item.kv_heads,
        "vocab": item.vocab,
        "max_seq": item.max_seq,
        "experts": item.moe.experts if item.moe else None,
        "kv_bytes_per_token_16bit": item.kv_bytes_per_token(DTYPE_BYTES["bf16"]),
        "source": item.source,
    }
    grade = published.grade if published else "published"
    date = sources()[item.source].date if item.source in sources() else ""
    values = [
        CatalogValue(name, cell, "1" if isinstance(cell, int) else "", date, item.source, grade)
        for name, cell in _flat(item).items()
    ]
    counted = CatalogValue("params", item.params, "1", date, item.source, "derived", "counted from the shape")
    values += [counted, dataclasses.replace(counted, name="active_params", value=item.active_params)]
    if published:
        values.append(_value("params_published", published))
    notes = (published.note,) if published and published.note else ()
    return Entry(row, tuple(values), notes)


def _flat(item: ModelSpec) -> dict[str, Cell]:
    skip = {"id", "name", "params_published", "source"}
    found: dict[str, Cell] = {}
    for part in dataclasses.fields(item):
        value = getattr(item, part.name)
        if part.name in skip or value is None:
            continue
        if dataclasses.is_dataclass(value):
            found |= {f"{part.name}.{inner.name}": getattr(value, inner.name) for inner in dataclasses.fields(value)}
        else:
            found[part.name] = value
    return found


# ---------------------------------------------------------------- markets, offers, sites


def market_entries(name: str) -> tuple[Entry, ...]:
    """One market, or all."""
    from suanzhang.catalog.markets import market, markets

    return tuple(_market(item) for item in ([market(name)] if name else markets().values()))


def _market(item: Market) -> Entry:
    row: dict[str, Cell] = {
        "id": item.id,
        "title": item.title,
        "region": item.region,
        "date": item.date,
        "currency": item.currency,
        "offers": len(item.offers),
        "excluded": len(item.excluded),
    }
    quotes = {"price_change_per_year": item.price_change_per_year, "price_sigma_per_year": item.price_sigma_per_year}
    values = [_value(name, quote) for name, quote in quotes.items() if quote is not None]
    values += [_value(f"offer.{offer.id}", offer.price) for offer in item.offers]
    return Entry(row, tuple(values), tuple(f"cannot be had: {key}: {reason}" for key, reason in item.excluded.items()))


def offer_entries(name: str) -> tuple[Entry, ...]:
    """All offers, those of one market, or one offer."""
    from suanzhang.catalog.markets import market, markets

    if name in markets():
        return tuple(_offer(market(name), offer) for offer in market(name).offers)
    found = [(item, offer) for item in markets().values() for offer in item.offers if not name or name == offer.id]
    if not found:
        raise unknown_name("offer", name, {*markets(), *(offer.id for item in markets().values() for offer in item.offers)})
    return tuple(_offer(item, offer) for item, offer in found)


def _offer(item: Market, offer: Offer) -> Entry:
    row: dict[str, Cell] = {
        "id": offer.id,
        "market": item.id,
        "kind": offer.kind,
        "chip": offer.chip,
        "price": offer.price.value,
        "unit": offer.price.unit,
        "price_date": offer.price.date,
        "includes_host": offer.includes_host,
        "term_months": offer.term_months,
        "lead_median_months": offer.lead.median_months,
        "lead_p90_months": offer.lead.p90_months,
        "stock_chips": offer.stock_chips,
        "stock_per_month": offer.stock_per_month,
        "grade": offer.price.grade,
        "source": offer.price.source,
    }
    lead = CatalogValue(
        "lead_median_months",
        offer.lead.median_months,
        "month",
        item.date,
        offer.lead.source,
        offer.lead.grade,
        f"{offer.lead.p90_months:g} in one case of ten",
    )
    return Entry(row, (_value("price", offer.price), lead), (offer.note,) if offer.note else ())


def site_entries(name: str) -> tuple[Entry, ...]:
    """One site, or all."""
    from suanzhang.catalog.sites import site, sites

    return tuple(_site(item) for item in ([site(name)] if name else sites().values()))


def _site(item: Site) -> Entry:
    quotes = {"tariff_per_kwh": item.tariff_per_kwh, "pue": item.pue, "carbon_kg_per_kwh": item.carbon_kg_per_kwh}
    if item.room_per_kw_month is not None:
        quotes["room_per_kw_month"] = item.room_per_kw_month
    row: dict[str, Cell] = {"id": item.id, "title": item.title}
    row |= {name: quote.value for name, quote in quotes.items()}
    row |= {"currency": item.tariff_per_kwh.unit.partition("/")[0], "power_limit_w": item.power_limit_w}
    row["grade"] = max((quote.grade for quote in quotes.values()), key=GRADES.index)
    return Entry(row, tuple(_value(name, quote) for name, quote in quotes.items()))


def figure_entries(name: str) -> tuple[Entry, ...]:
    """One figure that costs rest on, or all."""
    from suanzhang.money.figures import figure, figures

    found = {name: figure(name)} if name else figures()
    return tuple(
        Entry(
            {
                "id": key, "value": item.value, "unit": item.quoted.unit, "low": item.low, "high": item.high,
                "grade": item.quoted.grade, "note": item.quoted.note,
            },
            (_value(key, item.quoted),),
        )
        for key, item in found.items()
    )  # fmt: skip


# ---------------------------------------------------------------- sources and stacks


def source_entries(name: str) -> tuple[Entry, ...]:
    """One source, or all."""
    found = [source(name)] if name else sources().values()
    rows = [{"id": item.key, "title": item.title, "url": item.url, "date": item.date} for item in found]
    return tuple(
        Entry(row, (CatalogValue("title", row["title"], "", row["date"], row["id"], "published", row["url"]),)) for row in rows
    )


def stack_entries(name: str) -> tuple[Entry, ...]:
    """One training or serving stack, or all."""
    if not name:
        training = tuple(_stack(item) for item in train_stacks().values())
        return training + tuple(_stack(item) for item in serve_stacks().values())
    try:
        return (_stack(train_stack(name)),)
    except CatalogError:
        pass
    try:
        return (_stack(serve_stack(name)),)
    except PlannerError:
        raise unknown_name("stack", name, [*train_stacks(), *serve_stacks()]) from None


def _stack(item: TrainStack | ServeStack) -> Entry:
    row: dict[str, Cell] = {
        "id": item.id,
        "phase": "training" if isinstance(item, TrainStack) else "serving",
        "title": item.title,
        "released": item.released,
        "graphs": item.graphs,
        "launch_s": item.launch_s,
        "source": item.source,
    }
    skip = {"id", "title", "source", "released", "asked_overlap"}
    names = [part.name for part in dataclasses.fields(item) if part.name not in skip]
    return Entry(row, tuple(_setting(item, name) for name in names))


def _setting(item: TrainStack | ServeStack, name: str) -> CatalogValue:
    origin = stack_origin(item, name)
    unit = "s" if name.endswith("_s") else "B" if name.endswith("_bytes") else ""
    value = getattr(item, name)
    value = ", ".join(value) if isinstance(value, tuple) else value
    return CatalogValue(name, value, unit, origin.date, origin.source, origin.grade, origin.note)
