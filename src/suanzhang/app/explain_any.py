"""What an answer is made of where no room of its own tells more: its terms, its formulas, and the figures that were asked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from suanzhang.app.explain_tree import asked
from suanzhang.errors import PlannerError
from suanzhang.source import QUESTION
from suanzhang.spec.trust import Flag, Given, Node
from suanzhang.units import in_words, unit_of_key

FORMULAS: Mapping[str, str] = {
    "backtest": "suanzhang.money.procurement.worth.cost_of_orders",
    "calibrate_runs": "suanzhang.app.calibrate_runs_fit.fit_factors",
    "compare_benchmark": "suanzhang.perf.serving.iteration.iteration_terms",
    "examine": "suanzhang.perf.training.step.step_terms",
    "goodput": "suanzhang.perf.goodput.goodput_fraction",
    "improve": "suanzhang.perf.serving.iteration.iteration_terms",
    "launch_serve": "suanzhang.perf.serving.iteration.iteration_terms",
    "launch_train": "suanzhang.perf.training.step.step_terms",
    "post_train": "suanzhang.perf.post_training.forward_pass_s",
    "scaling": "suanzhang.perf.scaling.best_params",
    "serve_kinds": "suanzhang.perf.serving.iteration.iteration_terms",
    "serve_share": "suanzhang.perf.serving.iteration.iteration_terms",
    "serve_units": "suanzhang.money.economics.cost_per_response",
    "simulate": "suanzhang.perf.serving.iteration.iteration_terms",
    "train_mixed": "suanzhang.perf.mixed.unequal_pipeline_s",
    "variants": "suanzhang.perf.training.step.step_terms",
}
"""Verb to the formula that its answers come down to."""
_TERM_FORMULA = "suanzhang.perf.training.step.step_terms"
_ASKED_UNITS = {
    "isl": "tokens", "osl": "tokens", "isl_p95": "tokens", "osl_p95": "tokens", "seq_len": "tokens", "tokens": "tokens",
    "rate": "requests/s", "concurrency": "requests", "visits_per_day": "requests/d", "global_batch": "sequences",
    "horizon": "months", "budget": "currency", "price_per_chip_h": "currency/chip/h",
    "bubble": "fraction", "gain": "fraction", "best_gain": "fraction",
}  # fmt: skip
"""Units of what is asked or answered whose name does not end in one."""
_PERCENTILES = ("mean", "p50", "p90", "p95", "p99")
_MOST = 120
"""Answers that are shown."""
_SHORT = 300
"""Letters of an input that is shown as given."""
_LISTED = re.compile(r"[,+]")


def any_trees(verb: str, body: Mapping[str, Any], inputs: Mapping[str, Any]) -> list[Node]:
    """A tree for each sum of terms in a result, and one for all figures that carry an interval, grouped by what they are of.

    Args:
        verb: what answered.
        body: the result.
        inputs: what it was asked.
    """
    givens = (*_of_inputs(inputs), *_of_names(body, inputs))
    trees = [_sum(where, terms, verb, givens) for where, terms in _terms(body, "")]
    groups: dict[str, list[Node]] = {}
    answers = (*_answers(body, ""), *(_amounts(body, "") if verb == "backtest" else ()))
    for where, name, value, unit in answers[:_MOST]:
        groups.setdefault(where, []).append(Node(name, value, unit, "formula", FORMULAS[verb]))
    parts = [
        part
        for where, own in groups.items()
        for part in ([Node(where, None, "", "formula", parts=tuple(own))] if where else own)
    ]
    if parts:
        trees.append(Node(f"figures of {in_words(verb)}", None, "", "formula", FORMULAS[verb], givens, tuple(parts)))
    return trees


def any_flags(body: Mapping[str, Any]) -> tuple[Flag, ...]:
    """The weak figures that a result names itself."""
    return tuple(Flag(**flag) for flag in body.get("weak_inputs") or ())


def _named_unit(key: str) -> tuple[str, str]:
    """A key as words without its unit, and the unit; a plain number counts what it is named after."""
    if key in _ASKED_UNITS:
        return in_words(key), _ASKED_UNITS[key]
    unit = unit_of_key(key)
    if unit == "1":
        return in_words(key), in_words(key)
    return in_words(key.removesuffix(f"_{unit}")), unit


def _label(item: Mapping[str, Any], number: int) -> str:
    """What a row of a list is called by: its own name, else its place."""
    for key in ("name", "chip", "lever", "label", "title", "deployment", "need", "hour", "month", "kind"):
        value = item.get(key)
        if isinstance(value, (str, int)) and value != "":
            return f"{value}" if key in ("name", "chip", "lever", "label", "title") else f"{key} {value}"
    return f"row {number + 1}"


def _rows(body: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Parts of a result that are results of their own: their key, what they are called, and themselves."""
    for key, value in body.items():
        if key in ("inputs", "fingerprints", "terms") or key.endswith("_interval"):
            continue
        words = _named_unit(key)[0]
        if isinstance(value, Mapping) and "amount" not in value:
            yield key, words, value
        elif isinstance(value, list):
            rows = [item for item in value if isinstance(item, Mapping)]
            names = [_label(item, number) for number, item in enumerate(rows)]
            for number, item in enumerate(rows):
                twice = names.count(names[number]) > 1
                yield key, f"{words} {number + 1} {names[number]}" if twice else f"{words} {names[number]}", item


def _terms(body: Mapping[str, Any], where: str) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    own = body.get("terms")
    if isinstance(own, list) and own:
        yield where or "the whole", own
    for _, name, part in _rows(body):
        yield from _terms(part, f"{where}, {name}" if where else name)


def _sum(where: str, terms: list[Mapping[str, Any]], verb: str, givens: tuple[Given, ...]) -> Node:
    parts = tuple(
        Node(in_words(str(term["name"])), float(term["value"]), str(term["unit"]), "formula", _formula(term, verb), givens)
        for term in terms
        if term["value"]
    )
    return Node(where, sum(part.value or 0.0 for part in parts), parts[0].unit if parts else "", "sum", parts=parts)


def _formula(term: Mapping[str, Any], verb: str) -> str:
    named = str(term.get("formula") or "")
    if named and _found(named):
        return named
    return _TERM_FORMULA if verb in ("train_mixed", "post_train", "examine", "variants") else FORMULAS[verb]


def _found(name: str) -> bool:
    from suanzhang.app.explain_tree import find_formula

    try:
        return callable(find_formula(name))
    except (ImportError, AttributeError, ValueError):
        return False


def _answers(body: Mapping[str, Any], where: str, of: str = "") -> Iterator[tuple[str, str, float, str]]:
    for key, value in body.items():
        if f"{key}_interval" not in body:
            continue
        if isinstance(value, Mapping) and "amount" in value:
            yield where, in_words(key), float(value["amount"]), str(value["currency"])
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            name, unit = _named_unit(key)
            yield where, name, float(value), unit_of_key(of) if key in _PERCENTILES else unit
    for key, name, part in _rows(body):
        yield from _answers(part, f"{where}, {name}" if where else name, key)


def _amounts(body: Mapping[str, Any], where: str) -> Iterator[tuple[str, str, float, str]]:
    """Amounts of a replay: what was recorded has no interval."""
    for key, value in body.items():
        if isinstance(value, Mapping) and "amount" in value:
            yield where, in_words(key), float(value["amount"]), str(value["currency"])
    for _, name, part in _rows(body):
        yield from _amounts(part, f"{where}, {name}" if where else name)


def _of_inputs(inputs: Mapping[str, Any]) -> Iterator[Given]:
    """What was asked, each by its name."""
    for name, value in inputs.items():
        if name in ("model", "chip", "chips", "stack") or value is None or isinstance(value, (Mapping, list, tuple)):
            continue
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            words, unit = _named_unit(name)
            yield asked(words, float(value), unit, given=True)
        elif isinstance(value, (str, bool)) and len(str(value)) <= _SHORT and "\n" not in str(value):
            yield asked(in_words(name), str(value), "", given=True)


def _of_names(body: Mapping[str, Any], inputs: Mapping[str, Any]) -> Iterator[Given]:
    """The model, the chips and the software that were named, each with the source of its figures."""
    from suanzhang.catalog.chips import chip
    from suanzhang.catalog.models import model
    from suanzhang.catalog.stacks import serve_stack, train_stack

    for name in _named(body, inputs, ("model",)):
        try:
            yield Given("shape of the model", name, "", model(name).source or QUESTION, "published")
        except PlannerError:
            continue
    for name in _named(body, inputs, ("chip", "chips")):
        try:
            found = chip(name)
        except PlannerError:
            continue
        for figure, words in (
            ("hbm_bytes_per_s", "memory bandwidth"),
            ("link_bytes_per_s", "link bandwidth"),
            ("tdp_w", "power"),
        ):
            quote = found.quotes.get(figure)
            if quote is not None:
                yield Given(f"{words} of {found.id}", quote.value, quote.unit, quote.source, quote.grade, quote.date)
        peak = next(
            (found.quotes[key] for key in ("peak_flop_per_s.bf16", "peak_flop_per_s.fp16") if key in found.quotes), None
        )
        if peak is not None:
            yield Given(f"arithmetic of {found.id}", peak.value, peak.unit, peak.source, peak.grade, peak.date)
    for name in _named(body, inputs, ("stack", "engine")):
        for look_up in (train_stack, serve_stack):
            try:
                yield Given(f"settings of {name}", name, "", look_up(name).source, "published")
            except PlannerError:
                continue


def _named(body: Mapping[str, Any], inputs: Mapping[str, Any], keys: tuple[str, ...]) -> list[str]:
    """Names under some keys of what was asked and of what was answered, each once."""
    found: dict[str, None] = {}
    for place in (inputs, body, *(part for _, _, part in _rows(body))):
        for key in keys:
            value = place.get(key)
            if isinstance(value, str):
                found |= dict.fromkeys(part.partition(":")[0].strip() for part in _LISTED.split(value) if part.strip())
    return list(found)
