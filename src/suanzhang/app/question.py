"""Read a question file into a :class:`suanzhang.spec.question.Question`, or say in one line what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from suanzhang.app import question_schema as schema
from suanzhang.app.price_paths import by_month
from suanzhang.app.serve_input import parse_serve_layout
from suanzhang.app.yamlfile import Document, KeyPath, parse_document, read_document
from suanzhang.catalog.chips import chip as find_chip
from suanzhang.catalog.models import model as find_model
from suanzhang.errors import InputError, nearest_names
from suanzhang.money.figures import check_given
from suanzhang.money.tariff import prices_by_hour
from suanzhang.spec.job import LengthSpec, LoadSpec, SloSpec
from suanzhang.spec.market import ExportChain
from suanzhang.spec.question import (
    ChipFilter,
    Holding,
    MarketAsk,
    OfferAsk,
    OutlookAsk,
    PoolAsk,
    Question,
    ServeAsk,
    SiteAsk,
    TrainAsk,
    WorksAsk,
)
from suanzhang.spec.tariff import HourPrice
from suanzhang.units import MONTH_S


def read_question(source: str | Path) -> Question:
    """The question in a file, or in a text of several lines.

    Args:
        source: path of a YAML or JSON file, or the text itself (which has a line break or starts with a brace).
            Paths of models in a file are meant from the folder of that file.

    Returns:
        The question, models and chips still by name.

    Raises:
        InputError: the file cannot be read, or a key or value in it cannot be used; names the line and the nearest key.
    """
    if isinstance(source, str) and ("\n" in source or source.lstrip().startswith("{")):
        return _question(parse_document(source, "question"), "")
    return _beside(_question(read_document(source), str(source)))


def _beside(question: Question) -> Question:
    """The question with the paths of its models found from its own folder, where they are not found from here."""
    folder = Path(question.origin).parent
    return replace(
        question,
        train=tuple(replace(ask, model=_path_beside(ask.model, folder)) for ask in question.train),
        serve=tuple(replace(ask, model=_path_beside(ask.model, folder)) for ask in question.serve),
    )


def _path_beside(model: str, folder: Path) -> str:
    if not model.lower().endswith(".json") or Path(model).is_absolute():
        return model
    beside = folder / model
    return str(beside) if beside.is_file() else model


def question_from(value: Mapping[str, Any], name: str = "question") -> Question:
    """The question in a parsed body, such as a REST request's.

    Args:
        value: the keys of a question file.
        name: what to call it in error lines.

    Raises:
        InputError: a key or value cannot be used.
    """
    return _question(Document(name, value), "")


def question_schema() -> str:
    """The JSON schema of the question file as text, with what every key means."""
    return json.dumps(schema.QuestionModel.model_json_schema(), indent=2, ensure_ascii=False)


def _question(document: Document, origin: str) -> Question:
    if not isinstance(document.value, Mapping):
        kind = "a list" if isinstance(document.value, list) else "a single value"
        raise InputError(f"{document.name}: is {kind}, not a map of keys", fix="start with `title: ...`")
    if "claims" in document.value and not set(document.value) & {"train", "serve", "have"}:
        raise InputError(f"{document.name}: is a file of claims, not a question", fix=f"suanzhang audit {document.name}")
    try:
        model = schema.QuestionModel.model_validate(document.value)
    except ValidationError as error:
        raise input_error(error, document, schema.QuestionModel) from None
    question = _frozen(model, origin)
    _check_models(question, document)
    for key, amount in question.costs:
        try:
            check_given(key, amount)
        except InputError as error:
            raise InputError(f"{document.where(('costs', key))}: {error.message}", fix=error.fix) from None
    return question


def _check_models(question: Question, document: Document) -> None:
    """Refuse names that the catalog does not have at their line; files are read where they are used."""
    named = [(("train", index, "model"), ask.model) for index, ask in enumerate(question.train)]
    named += [(("serve", index, "model"), ask.model) for index, ask in enumerate(question.serve)]
    for path, name in named:
        if name.lower().endswith(".json"):
            continue
        try:
            find_model(name)
        except InputError as error:
            line = f"{document.where(path)}: {error.message}"
            raise type(error)(line, fix=error.fix, details=error.details) from None
    _check_pools(question, document)


def _check_pools(question: Question, document: Document) -> None:
    """Refuse chips and layouts of pools that are none, at their line."""
    for index, ask in enumerate(question.serve):
        for place, pool in enumerate(ask.pools):
            path: KeyPath = ("serve", index, "pools", place)
            checks: tuple[tuple[str, Callable[[], object]], ...] = (
                ("chip", partial(find_chip, pool.chip)),
                ("layout", partial(parse_serve_layout, pool.layout or "tp=1")),
            )
            for key, check in checks:
                try:
                    check()
                except InputError as error:
                    line = f"{document.where((*path, key))}: {error.message}"
                    raise type(error)(line, fix=error.fix, details=error.details) from None


def input_error(error: ValidationError, document: Document, root: type[BaseModel]) -> InputError:
    """One line for the first complaint; an unknown key goes first, since it explains a missing one."""
    errors = error.errors(include_url=False)
    first = next((item for item in errors if item["type"] == "extra_forbidden"), errors[0])
    path = _plain_path(first["loc"], document.value)
    where = document.where(path)
    details: dict[str, Any] = {"path": list(path), "problems": len(errors)}
    if first["type"] == "extra_forbidden":
        known = _keys_at(path[:-1], root)
        near = nearest_names(str(path[-1]), known)
        fix = f"did you mean {' or '.join(near)}?" if near else f"known keys here: {', '.join(known)}"
        return InputError(
            f"{where}: unknown key {str(path[-1])[:60]!r}", fix=fix, details={**details, "nearest_names": list(near)}
        )
    message, fix = _words(first)
    return InputError(f"{where}: {message}", fix=fix, details=details)


def _plain_path(loc: tuple[int | str, ...], value: Any) -> KeyPath:
    """The part of pydantic's location that exists in the document, with a missing or unknown last key."""
    path: list[int | str] = []
    for part in loc:
        if isinstance(value, Mapping) and isinstance(part, str):
            path.append(part)
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            path.append(part)
            value = value[part]
    return tuple(path)


def _words(item: ErrorDetails) -> tuple[str, str]:
    context = item.get("ctx", {})
    kind = item["type"]
    given = str(item["input"])[:40]
    if kind == "refused":
        return str(context["message"]), str(context["fix"])
    if kind == "missing":
        return "is missing", "add it; `suanzhang plan --schema` says what it means"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return f"expected a map of keys, got {given!r}", "write `key: value` lines below it"
    if kind == "list_type":
        return f"expected a list, got {given!r}", "start each entry with `- `"
    if kind == "literal_error":
        near = nearest_names(given, [word.strip(" '") for word in str(context["expected"]).replace(" or ", ",").split(",")])
        return f"{given!r} is not one of {context['expected']}", f"did you mean {near[0]}?" if near else "use one of them"
    if kind.startswith("bool"):
        return f"expected true or false, got {given!r}", "write true or false"
    return f"{given!r}: {item['msg'][:1].lower()}{item['msg'][1:]}", "correct it; `suanzhang plan --schema` says what is meant"


def _keys_at(path: KeyPath, root: type[BaseModel]) -> tuple[str, ...]:
    """The known keys of the part of the document at a path."""
    model = root
    for part in path:
        if isinstance(part, str) and part in model.model_fields:
            inner = _inner_model(model.model_fields[part].annotation)
            model = inner or model
    return tuple(model.model_fields)


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_inner_model(argument) for argument in get_args(annotation))
    return next((model for model in found if model is not None), None)


def _frozen(model: schema.QuestionModel, origin: str) -> Question:
    moving = model.moving
    return Question(
        title=model.title,
        currency=model.currency,
        start=model.start,
        months=model.months,
        train=tuple(_train(part) for part in model.train),
        serve=tuple(_serve(part) for part in model.serve),
        site=_site(model.site),
        market=MarketAsk(
            model.market.id or "",
            tuple(_offer(part) for part in model.market.offers),
            tuple(model.market.exclude),
            model.market.price_change_per_year,
            model.market.price_sigma_per_year,
            tuple(_outlook(part, model.start, model.months) for part in model.market.outlook),
            tuple(_export(part) for part in model.market.export),
        ),
        budget=model.budget,
        have=tuple(
            Holding(
                part.chip, part.chips, part.kind, part.since or "", part.until or "", part.price_per_chip_h, part.site or ""
            )
            for part in model.have
        ),
        chips=ChipFilter(tuple(model.chips.allow), tuple(model.chips.deny)),
        seed=model.seed,
        deep=model.deep,
        origin=origin,
        sites=tuple(_site(part) for part in model.sites),
        move_cost_per_chip=moving.cost_per_chip if moving else None,
        move_months=moving.months if moving else None,
        budget_by_month=tuple(model.budget_by_month),
        costs=tuple(sorted(model.costs.items())),
    )


def _site(part: schema.SiteModel) -> SiteAsk:
    works = tuple(WorksAsk(one.id, one.power, one.racks, one.cost, one.months, one.most) for one in part.build)
    hours = tuple(HourPrice(*one.hours, one.price) for one in part.tariff_by_hour)
    try:
        prices_by_hour(hours, 0.0)
    except InputError as error:
        raise InputError(f"site {part.id or ''}".rstrip() + f": {error.message}", fix=error.fix) from None
    return SiteAsk(
        part.id or "", part.tariff_per_kwh, part.pue, part.carbon_kg_per_kwh, part.power_limit, part.room_per_kw_month,
        tuple(part.power_by_month), tuple(part.racks), works, tuple(part.exclude), hours,
    )  # fmt: skip


def _train(part: schema.TrainModel) -> TrainAsk:
    return TrainAsk(
        name=part.name,
        model=part.model,
        tokens=part.tokens,
        deadline_s=part.deadline,
        start=part.start or "",
        seq_len=part.seq_len or 0,
        global_batch=part.global_batch or 0,
        precision=part.precision or "",
        optimizer="adam" if part.optimizer == "adamw" else part.optimizer,
        method=part.method,
        lora_rank=part.lora_rank,
        stack=part.stack or "",
        overlap=part.overlap.text if part.overlap else "",
        routing=part.routing.text if part.routing else "",
        offload=part.offload,
        fit_confidence=part.fit_confidence,
        team=part.team or "",
    )


def _length(part: schema.LengthModel) -> LengthSpec:
    return LengthSpec(part.dist, part.mean, part.p95 if part.p95 is not None else part.mean)


def _serve(part: schema.ServeModel) -> ServeAsk:
    slo = part.slo
    return ServeAsk(
        name=part.name,
        model=part.model,
        requests_per_s=part.rate_per_s,
        input_tokens=_length(part.tokens.input),
        output_tokens=_length(part.tokens.output),
        load=LoadSpec(
            part.load.shape,
            part.load.peak_to_mean,
            part.load.growth_per_month,
            part.load.peak_hour,
            part.load.growth_sigma_per_year,
        ),
        slo=SloSpec(slo.ttft_p50, slo.ttft_p99, slo.tpot_p50, slo.tpot_p99, slo.e2e_p99),
        redundancy=part.redundancy,
        weight_dtype=part.weight_dtype or "",
        kv_dtype=part.kv_dtype or "",
        lossy_precision=part.lossy_precision,
        start=part.start or "",
        stack=part.stack or "",
        team=part.team or "",
        waiting_price_per_month=part.waiting_price_per_month,
        pools=tuple(PoolAsk(pool.chip, pool.replicas, pool.role, pool.layout or "") for pool in part.pools),
    )


def _outlook(part: schema.OutlookModel, start: str, months: int) -> OutlookAsk:
    price, rent = (by_month(path, start, months) for path in (part.price or (), part.rent or ()))
    return OutlookAsk(part.chip, price, rent, part.price_change_per_year, part.price_sigma_per_year)


def _export(part: schema.ExportModel) -> ExportChain:
    return ExportChain(
        part.chip or "", part.state, part.open_to_announced_per_year, part.open_to_barred_per_year,
        part.announced_to_barred_per_year, part.announced_to_open_per_year, part.barred_to_open_per_year,
    )  # fmt: skip


def _offer(part: schema.OfferModel) -> OfferAsk:
    lead = part.lead
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
        lead_months=lead.median / MONTH_S if lead else None,
        lead_p90_months=(lead.p90 if lead.p90 is not None else lead.median) / MONTH_S if lead else None,
        first_month=part.first_month or "",
        last_month=part.last_month or "",
        interruption_per_month=part.interruption_per_month,
    )
