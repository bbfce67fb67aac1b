"""Charts as Altair descriptions, and those as SVG without a browser or a network."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import altair as alt

from suanzhang.report.blocks import Chart, Column

PALETTE = ("#3b7dd8", "#e08a2e", "#3a9d6e", "#c2517f", "#8268c9", "#7f8c2d", "#4aa8b8", "#a0664b", "#8a8f98")
_FONT = "system-ui, 'Noto Sans', 'Noto Sans CJK SC', 'PingFang SC', 'Microsoft YaHei', sans-serif"
_INK = "currentColor"
INK = _INK


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure that is drawn: its title, its SVG text, and what a reader must know."""

    title: str
    svg: str
    note: str


def figure(chart: Chart) -> alt.LayerChart | alt.FacetChart:
    """The Altair description of a chart; axis titles carry the unit, our intervals are drawn as whiskers."""
    rows = [
        {
            "x": float(point.x) if chart.numbers else point.x,
            "series": point.series,
            "y": point.y,
            "low": point.interval.p05 if point.interval else None,
            "high": point.interval.p95 if point.interval else None,
        }
        for point in chart.points
    ]
    base = alt.Chart(alt.InlineData(values=rows))
    return _horizontal(chart, base, rows) if chart.kind == "bars" else _over_time(chart, base, rows)


def _color(chart: Chart) -> alt.Color:
    series = list(dict.fromkeys(point.series for point in chart.points))
    legend = alt.Legend(title=None, orient="bottom", columns=4) if len(series) > 1 else None
    scale = alt.Scale(domain=series, range=[PALETTE[i % len(PALETTE)] for i in range(len(series))])
    return alt.Color("series:N", scale=scale, legend=legend)


def _horizontal(chart: Chart, base: alt.Chart, rows: list[dict[str, Any]]) -> alt.LayerChart | alt.FacetChart:
    y = alt.Y("x:N", sort=None, title=None, axis=alt.Axis(labelLimit=260))
    bars = base.mark_bar().encode(
        x=alt.X("sum(y):Q", title=Column(chart.y, chart.unit).header, axis=alt.Axis(labelOverlap="greedy", tickCount=7)),
        y=y,
        color=_color(chart),
        tooltip=["x:N", "series:N", "y:Q"],
    )
    layers: list[Any] = [bars]
    if any(row["low"] is not None for row in rows):
        layers.append(
            base.transform_filter("datum.low != null").mark_rule(color=_INK).encode(x=alt.X("low:Q"), x2="high:Q", y=y)
        )
    height = max(60, 24 * len({row["x"] for row in rows}))
    return alt.layer(*layers).properties(title=chart.title, width=560, height=height)


def _over_time(chart: Chart, base: alt.Chart, rows: list[dict[str, Any]]) -> alt.LayerChart | alt.FacetChart:
    x = alt.X("x:O", sort=None, title=chart.x, axis=alt.Axis(labelAngle=-45))
    if chart.numbers:
        x = alt.X("x:Q", title=chart.x)
    scale = alt.Scale(type="log") if chart.log else alt.Undefined
    y = alt.Y("y:Q", title=Column(chart.y, chart.unit).header, scale=scale)
    mark = base.mark_bar() if chart.kind == "stacked" else base.mark_line(point=True)
    layers: list[Any] = [mark.encode(x=x, y=y, color=_color(chart), tooltip=["x:N", "series:N", "y:Q"])]
    if any(row["low"] is not None for row in rows):
        layers.append(
            base.transform_filter("datum.low != null")
            .mark_rule(color=_INK)
            .encode(x=x, y=alt.Y("low:Q", title=Column(chart.y, chart.unit).header, scale=scale), y2="high:Q")
        )
    if chart.limit is not None:
        limit = alt.Chart(alt.InlineData(values=[{"limit": chart.limit}]))
        layers.append(limit.mark_rule(strokeDash=[6, 4], color="#d04040").encode(y="limit:Q"))
    return alt.layer(*layers).properties(title=chart.title, width=560, height=240)


def description(chart: Chart) -> dict[str, Any]:
    """The Vega-Lite description of a chart as a plain map."""
    return _styled(figure(chart))


def _styled(plain: Any) -> dict[str, Any]:
    """A drawing in our fonts, whose ink takes the colour of the page around it."""
    styled = plain.configure(
        background="transparent",
        font=_FONT,
        view=alt.ViewConfig(stroke=None),
        axis=alt.AxisConfig(
            labelColor=_INK,
            titleColor=_INK,
            domainColor=_INK,
            tickColor=_INK,
            gridColor=_INK,
            gridOpacity=0.12,
            domainOpacity=0.4,
        ),
        legend=alt.LegendConfig(labelColor=_INK, titleColor=_INK),
        title=alt.TitleConfig(color=_INK, anchor="start", fontSize=14),
    )
    return dict(json.loads(styled.to_json()))


def drawn(title: str, plain: Any, note: str = "") -> Drawn:
    """A drawing of Altair as SVG, with its note."""
    import vl_convert

    return Drawn(title, str(vl_convert.vegalite_to_svg(json.dumps(_styled(plain)))), note)


def svg(chart: Chart) -> str:
    """The chart as SVG text whose ink takes the colour of the page around it."""
    import vl_convert

    return str(vl_convert.vegalite_to_svg(json.dumps(description(chart))))
