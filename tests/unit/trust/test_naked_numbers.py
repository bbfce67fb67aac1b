"""No figure without its unit: what every verb answers, on every face."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import openpyxl
import pytest
from verb_cases import CASES

from suanzhang.report.blocks import Branch, Chart, Facts, Report, Table, Tree, with_ends
from suanzhang.report.csv import report_csv
from suanzhang.report.html import page
from suanzhang.report.jsonable import to_json
from suanzhang.report.text import print_report
from suanzhang.report.views import report_of
from suanzhang.report.xlsx import workbook


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


NUMBER = re.compile(r"[-+−]?\d[\d,]*(\.\d*)?(e[-+]?\d+)?")
"""A cell that is a number and nothing else."""
ENDINGS = (
    "_s", "_w", "_j", "_bytes", "_flop", "_tokens", "_pct", "_fraction", "_months", "_days", "_cny", "_usd", "_kg", "_kwh",
    "_per_s", "_per_chip", "_per_response", "_per_output_token", "_per_chip_h", "_per_chip_day", "_per_user", "_ms_mean",
    "_per_seq", "_per_month", "_per_token", "_per_param",
    "_per_replica", "_per_day", "_ratio", "_factor", "_years", "_points", "_per_s_no_slo", "_share", "_s_no_slo",
)  # fmt: skip
"""Endings of JSON keys that say the unit."""
COUNTED = words(
    """chips replicas layers shapes rows runs scenarios steps months days tokens params flop hidden losses modelled times
    rows_total complete_rows complete_modelled layouts_evaluated requests_simulated requests_counted chips_mean
    chips_mean_no_slo replicas_mean spare_replicas chips_per_run inputs_swung evaluations
    keys claims consistent inconsistent too_wide not_checkable seed
    batch_limit
    running_batch micro_batch recompute_layers shard_ranks head_layers zero_stage global_batch seq_len
    visits_per_day fewest_chips scale_up_domain chips_change batch
    alternatives n sources pairs layouts stages counts pruned rented owned memory_verdicts
    tp pp dp cp ep etp vpp failures requests concurrency hours nodes replications spares ways_evaluated
    chips_apart chips_shared chips_needed saved_chips idle_chips cells finished moved preemptions rejected replicas_followed
    responses timed_out unfinished isl osl rollout_chips train_chips chip_hours evaluated ffn head_dim heads kv_heads max_seq
    mtp_layers vocab chips_per_node concurrency_or_batch host_bound surfaces line tokens_per_step"""
)
"""Keys whose noun is what they count, sizes of a layout among them."""
PLAIN = words(
    """mfu hfu share utilisation utilisation_mean gap served first_order total_order first_order_error mean_regret worst_regret
    regret_buy regret_planned regret_rent loss rank_corr peak_to_mean interval_ratio interval90_coverage coverage_low
    coverage_high ratio_now ratio_then factors factor_a factor_b weight stability lost month from to factor
    bubble gain best_gain median_error tail_weight"""
)
"""Keys of shares and ratios, which have no unit, and of months counted from the start."""
IN_CURRENCY = frozenset(("lines", "cash", "bound", "amount", "worth", "rent_per_month"))
"""Amounts in the currency that the result says once, beside its cost."""


VERBS = sorted(CASES)


def reported(answers: dict[str, Any], verb: str) -> Report:
    return report_of(answers[verb], command="suanzhang x", call="sz.x()")


def is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


@pytest.mark.parametrize("verb", VERBS)
def test_every_number_of_a_report_has_a_unit(verb: str, answers: dict[str, Any]) -> None:
    for section in reported(answers, verb).sections:
        for block in section.blocks:
            where = f"{verb}: {section.title}: {block.title}"
            if isinstance(block, Table):
                for index, column in enumerate(block.columns):
                    naked = [row[index] for row in block.rows if is_number(row[index])]
                    assert not naked or column.unit not in ("", "1"), f"{where}: {column.name} has {naked[:3]} and no unit"
            elif isinstance(block, Facts):
                for fact in block.facts:
                    assert not is_number(fact.value) or fact.unit not in ("", "1"), f"{where}: {fact.name}: {fact.value}"
            elif isinstance(block, Chart):
                assert block.unit not in ("", "1"), where
            elif isinstance(block, Tree):
                for branch in branches(block.lines):
                    assert not NUMBER.fullmatch(branch.value), f"{where}: {branch.name}: {branch.value}"


def branches(lines: tuple[Branch, ...]) -> Iterator[Branch]:
    for line in lines:
        yield line
        yield from branches(line.below)


class Tables(HTMLParser):
    """The rows of every table of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self.inside = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.tables[-1][-1][-1] += data


def says_its_unit(header: str, names: frozenset[str]) -> bool:
    """Whether a header ends in a unit, or is the noun that it counts."""
    return bool(re.search(r"\[[^\]]+\]$", header)) or header in names


def own_units(report: Report) -> frozenset[str]:
    """Headers of columns whose name is their unit, such as chips."""
    return frozenset(column.name for table in report.tables for column in table.columns if column.unit == column.name)


@pytest.mark.parametrize("verb", VERBS)
def test_no_table_of_the_page_has_a_naked_number(verb: str, answers: dict[str, Any]) -> None:
    report = reported(answers, verb)
    parser = Tables()
    parser.feed(page(report, None))
    dates = {"date", "month", "year", "unit"}
    for head, *rows in parser.tables:
        for row in rows:
            for header, cell in zip(head, row, strict=False):
                if NUMBER.fullmatch(cell.strip()) and header not in dates and row[0] != "seed":
                    assert says_its_unit(header, own_units(report)), f"{verb}: {header or head}: {cell} in {row}"


@pytest.mark.parametrize("verb", VERBS)
def test_no_sheet_of_the_workbook_has_a_naked_number(verb: str, answers: dict[str, Any]) -> None:
    report = reported(answers, verb)
    book = openpyxl.load_workbook(io.BytesIO(workbook(report)))
    for sheet in book.worksheets:
        rows = list(sheet.iter_rows(values_only=True))
        if sheet.title == "summary":
            for name, value, unit, *_ in rows[4:]:
                assert not is_number(value) or unit not in (None, "", "1"), f"{verb}: summary: {name}: {value}"
            continue
        head, *body = rows
        for row in body:
            for header, cell in zip(head, row, strict=False):
                assert not is_number(cell) or says_its_unit(str(header), own_units(report)), f"{verb}: {sheet.title}: {header}"


@pytest.mark.parametrize("verb", VERBS)
def test_the_main_table_as_csv_has_units(verb: str, answers: dict[str, Any]) -> None:
    report = reported(answers, verb)
    table = report.main_table
    if table is None or not table.rows:
        return
    head = next(csv.reader(io.StringIO(report_csv(report))))
    for name, *cells in zip(head, *with_ends(table).rows, strict=True):
        assert not any(is_number(cell) for cell in cells) or says_its_unit(name, own_units(report)), f"{verb}: {name}"


@pytest.mark.parametrize("verb", VERBS)
def test_the_terminal_shows_units_beside_facts(verb: str, answers: dict[str, Any]) -> None:
    text = io.StringIO()
    report = reported(answers, verb)
    print_report(report, file=text, details=True)
    shown = text.getvalue()
    for table in report.tables:
        for column in table.columns:
            if table.rows and column.unit and column.unit != column.name and not column.optional:
                assert f"{column.unit.split()[0]}" in shown, f"{verb}: {table.title}: {column.header}"


def naked_keys(value: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Paths of numbers whose key, and those above it, say no unit."""
    if isinstance(value, dict):
        if {"unit", "currency", "metric"} & set(value):
            return
        for key, item in value.items():
            yield from naked_keys(item, (*path, str(key)))
    elif isinstance(value, list):
        for item in value:
            yield from naked_keys(item, path)
    elif is_number(value) and not any(known(key) for key in path[-3:]):
        yield ".".join(path)


def known(key: str) -> bool:
    return key.endswith(ENDINGS) or key in COUNTED or key in PLAIN or key in IN_CURRENCY or key.endswith("_interval")


@pytest.mark.parametrize("verb", VERBS)
def test_every_number_of_the_json_has_a_key_that_says_its_unit(verb: str, answers: dict[str, Any]) -> None:
    body = {key: item for key, item in to_json(answers[verb]).items() if key not in ("inputs", "header_inputs")}
    assert sorted(set(naked_keys(body))) == []


def test_the_scan_finds_what_is_naked() -> None:
    assert list(naked_keys({"speed": 3.0, "step_s": 2.0, "cost": {"amount": 3.0, "currency": "USD"}})) == ["speed"]
    assert not says_its_unit("speed", frozenset()) and says_its_unit("speed [m/s]", frozenset())
