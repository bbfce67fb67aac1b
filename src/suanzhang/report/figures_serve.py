"""Figures of a service: latency against load with its knee, batch and queue over time, the front of the layouts."""

from __future__ import annotations

from typing import Any

import altair as alt

from suanzhang.app.serve_curves import KNEE, front, knee, load_curve, over_time
from suanzhang.errors import PlannerError
from suanzhang.report.figures import INK, PALETTE, Drawn, drawn
from suanzhang.spec.figures import FrontPoint, LoadPoint, Moment
from suanzhang.spec.result import Interval
from suanzhang.spec.serve import ServeResult


def serve_figures(result: ServeResult) -> list[Drawn]:
    """The larger figures of an answer of ``serve``."""
    if not (result.isl and result.osl):
        return []
    try:
        curve, moments, points = load_curve(result), over_time(result), front(result)
    except PlannerError:
        return []  # a model or chip from a file: it is not in the catalog
    made = [_latency(curve, result)] if len(curve) > 2 else []
    made += [_over_time(moments)] if moments else []
    return made + ([_front(points, result)] if points else [])


def _ends(value: float, interval: Interval | None) -> tuple[float, float]:
    """The ends of an interval over its value; ones where there is none."""
    return (1.0, 1.0) if interval is None or value <= 0.0 else (interval.p05 / value, interval.p95 / value)


def _latency(points: tuple[LoadPoint, ...], result: ServeResult) -> Drawn:
    first, each = _ends(result.ttft_s.mean, result.ttft_s_interval), _ends(result.tpot_s.mean, result.tpot_s_interval)
    rows: list[dict[str, Any]] = [
        {"rate": point.requests_per_s, "latency": value, "which": which, "low": value * ends[0], "high": value * ends[1]}
        for point in points
        for which, value, ends in (
            ("first token, median", point.ttft_p50_s, first),
            ("first token, 99th percentile", point.ttft_p99_s, first),
            ("per further token, times ten", 10.0 * point.tpot_s, each),
        )
    ]
    names = list(dict.fromkeys(row["which"] for row in rows))
    color = alt.Color(
        "which:N",
        scale=alt.Scale(domain=names, range=list(PALETTE[:3])),
        legend=alt.Legend(title=None, orient="bottom", labelLimit=260),
    )
    lines = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_line(point=True)
        .encode(
            x=alt.X("rate:Q", title="load of one replica [requests/s]"),
            y=alt.Y("latency:Q", title="latency [s]"),
            color=color,
            tooltip=["which:N", "rate:Q", "latency:Q"],
        )
    )
    bands = [
        alt.Chart(alt.InlineData(values=[row for row in rows if row["which"] == name]))
        .mark_area(color=shade, opacity=0.15)
        .encode(x="rate:Q", y=alt.Y("low:Q", title="latency [s]"), y2="high:Q")
        for name, shade in zip(names[1:], PALETTE[1:3], strict=True)
    ]
    at = knee(points)
    assert at is not None
    rule = (
        alt.Chart(alt.InlineData(values=[{"rate": at.requests_per_s}]))
        .mark_rule(strokeDash=[6, 4], color=INK)
        .encode(x="rate:Q")
    )
    chart = alt.layer(*bands, lines, rule).properties(title="Latency against load", width=620, height=260)
    note = (
        f"Dashed: the knee at {at.requests_per_s:.2f} requests/s, {100 * at.load:.0f} % of the capacity; beyond it the 99th "
        f"percentile of the first token is more than {KNEE:g} times that of an idle replica. "
        "Bands: 5th to 95th percentile of our prediction. Formulas, equal lengths."
    )
    return drawn("Latency against load", chart, note)


def _over_time(moments: tuple[Moment, ...]) -> Drawn:
    rows = [
        {"time": moment.time_s, "requests": value, "which": which}
        for moment in moments
        for which, value in (("running", moment.running), ("waiting", moment.waiting))
    ]
    color = alt.Color(
        "which:N", scale=alt.Scale(domain=["running", "waiting"], range=[PALETTE[0], PALETTE[1]]),
        legend=alt.Legend(title=None, orient="bottom"),
    )  # fmt: skip
    chart = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_line(interpolate="step-after")
        .encode(
            x=alt.X("time:Q", title="time [s]"),
            y=alt.Y("requests:Q", title="requests in one replica"),
            color=color,
            tooltip=["which:N", "time:Q", "requests:Q"],
        )
        .properties(title="Batch and queue over time", width=620, height=220)
    )
    return drawn(
        "Batch and queue over time", chart, "One replica under its own load, 3,000 requests followed by the simulator."
    )


def _front(points: tuple[FrontPoint, ...], result: ServeResult) -> Drawn:
    each = _ends(result.tpot_s.mean, result.tpot_s_interval)
    rate = _ends(result.replica.capacity_requests_per_s, result.capacity_requests_per_s_interval)
    rows: list[dict[str, Any]] = [
        {
            "layout": one.layout, "user": one.per_user, "chip": one.per_chip, "users": one.users, "best": one.best,
            "left": one.per_user / each[1], "right": one.per_user / each[0], "low": one.per_chip * rate[0],
            "high": one.per_chip * rate[1],
        }
        for one in points
    ]  # fmt: skip
    x = alt.X("user:Q", title="tokens/s of one user")
    y = alt.Y("chip:Q", title="tokens/s of one chip")
    names = list(dict.fromkeys(row["layout"] for row in rows))
    scale = alt.Scale(domain=names, range=[PALETTE[i % len(PALETTE)] for i in range(len(names))])
    color = alt.Color("layout:N", scale=scale, legend=alt.Legend(title=None, orient="bottom", columns=5))
    dots = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_point(filled=True, size=45)
        .encode(
            x=x, y=y, color=color, opacity=alt.condition("datum.best", alt.value(1.0), alt.value(0.3)),
            tooltip=["layout:N", "users:Q", "user:Q", "chip:Q"],
        )
    )  # fmt: skip
    best = sorted((row for row in rows if row["best"]), key=lambda row: row["user"])
    line = alt.Chart(alt.InlineData(values=best)).mark_line(color=INK, strokeDash=[4, 3], opacity=0.6).encode(x=x, y=y)
    whiskers = alt.Chart(alt.InlineData(values=best))
    up = whiskers.mark_rule(color=INK, opacity=0.5).encode(x=x, y=alt.Y("low:Q", title="tokens/s of one chip"), y2="high:Q")
    across = whiskers.mark_rule(color=INK, opacity=0.5).encode(
        x=alt.X("left:Q", title="tokens/s of one user"), x2="right:Q", y=y
    )
    chart = alt.layer(line, up, across, dots).properties(
        title="Throughput of a chip against speed of a user", width=620, height=300
    )
    note = (
        f"{result.model} in {result.weight_dtype}, layouts of up to eight chips under 1 to 512 users each; dashed: no other "
        "layout gives both more. Whiskers: 5th to 95th percentile of our prediction, as at the load asked about."
    )
    return drawn("Throughput of a chip against speed of a user", chart, note)
