"""A report as one page that needs nothing from outside: styles, figures and data are in it."""

from __future__ import annotations

import functools
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from suanzhang.report.blocks import (
    PERCENTILES,
    Chart,
    Facts,
    Report,
    Table,
    Tree,
    contents,
    readable,
    show_fact,
    show_interval,
    show_number,
)
from suanzhang.report.figures import svg
from suanzhang.report.jsonable import to_text

_TEMPLATE = Path(__file__).parent / "page.html.jinja"
_JSON_LIMIT = 2_000_000


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters.update(number=show_number, fact=show_fact, interval=show_interval, svg=_inline, readable=readable)
    environment.tests.update(
        facts=lambda block: isinstance(block, Facts),
        table=lambda block: isinstance(block, Table),
        chart=lambda block: isinstance(block, Chart),
        tree=lambda block: isinstance(block, Tree),
    )
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))


def _inline(chart: Chart) -> Markup:
    return _bare(svg(chart))


def _bare(text: str) -> Markup:
    """SVG text without the lines that only a file of its own needs."""
    return Markup(re.sub(r"<\?xml.*?\?>|<!DOCTYPE.*?>", "", text, flags=re.S))


def _filled(report: Report) -> Report:
    """A report without blocks that show nothing, and without sections that are left with none."""
    sections = (replace(part, blocks=tuple(block for block in part.blocks if contents(block))) for part in report.sections)
    return replace(report, sections=tuple(part for part in sections if part.blocks))


def page(report: Report, result: Any = None) -> str:
    """The page of a report.

    Args:
        report: what to show.
        result: the result behind it, put into the page as JSON; None to leave that out.
    """
    body = to_text(result) if result is not None else ""
    from suanzhang.report.figures_more import more_figures

    figures = [(one.title, _bare(one.svg), one.note) for one in more_figures(result)]
    return _template().render(
        report=_filled(report), percentiles=PERCENTILES, figures=figures, json=body if len(body) <= _JSON_LIMIT else ""
    )
