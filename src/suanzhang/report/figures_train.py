"""Figures of a training: one step over the pipeline, the operators below the roof, memory stage by stage."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from suanzhang.app.train_roofline import roofline
from suanzhang.app.train_timeline import KINDS, idle_share, pipeline_spans
from suanzhang.errors import PlannerError
from suanzhang.report.figures import INK, PALETTE, Drawn, drawn
from suanzhang.spec.memory import in_gib
from suanzhang.spec.train import TrainResult
from suanzhang.spec.trust import ExplainResult
from suanzhang.units import MILLI, TERA, format_count

_SPENT = dict.fromkeys(("forward", "backward_input", "backward_weight", "recompute", "embedding_head"), "compute")
_SPENT |= {"bubble": "bubble"}
"""What a part of a step is spent on, communication apart."""


def train_figures(result: TrainResult) -> list[Drawn]:
    """The larger figures of an answer of ``train``."""
    made = []
    if result.layout.pp > 1 and result.global_batch:
        made.append(_timeline(result))
    with contextlib.suppress(PlannerError):  # a model from a file: its operators are not in the catalog
        made += [_roofline(result)] if result.seq_len else []
    stages = result.memory_bytes.get("by_stage")
    if isinstance(stages, (list, tuple)) and len(stages) > 1:
        made.append(_memory([float(stage) for stage in stages], result.memory_bytes.get("part_by_stage")))
    return made


def explain_figures(result: ExplainResult) -> list[Drawn]:
    """The same of the training that an explanation is of."""
    return train_figures(result.trained) if isinstance(result.trained, TrainResult) else []


def _timeline(result: TrainResult) -> Drawn:
    layout = result.layout
    micro = max(1, result.global_batch // (layout.dp * layout.micro_batch))
    spans = pipeline_spans(layout, {term.name: term.value for term in result.terms}, micro)
    rows = [
        {"stage": f"stage {span.stage}", "start": span.start_s / MILLI, "end": span.end_s / MILLI, "kind": span.kind,
         "micro-batch": span.micro_batch}
        for span in spans
    ]  # fmt: skip
    used = {span.kind for span in spans}
    colors = dict(zip(KINDS, (PALETTE[0], PALETTE[2], PALETTE[3], PALETTE[1]), strict=True))
    shown_kinds = [kind for kind in KINDS if kind in used]
    scale = alt.Scale(domain=shown_kinds, range=[colors[kind] for kind in shown_kinds])
    chart = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_bar(stroke="white")
        .encode(
            x=alt.X(
                "start:Q", title="time [ms]", scale=alt.Scale(nice=False), axis=alt.Axis(labelOverlap="greedy", tickCount=8)
            ),
            x2="end:Q",
            y=alt.Y("stage:N", sort=None, title=None),
            color=alt.Color("kind:N", scale=scale, legend=alt.Legend(title=None, orient="bottom")),
            strokeWidth=alt.condition("datum.kind === 'communication'", alt.value(0.0), alt.value(0.15)),
            tooltip=["stage:N", "kind:N", "micro-batch:Q", "start:Q", "end:Q"],
        )
        .properties(title="Micro-batches through the pipeline", width=620, height=max(80, 24 * min(layout.pp, 16)))
    )
    shown = len({span.micro_batch for span in spans})
    note = (
        f"{shown} of {format_count(micro)} micro-batches over {min(layout.pp, 16)} of {layout.pp} stages; the gaps are "
        f"bubble, {100 * idle_share(spans):.0f} % of what is drawn. {_whole_step(result)}"
    )
    return drawn("Micro-batches through the pipeline", chart, note)


def _whole_step(result: TrainResult) -> str:
    """What a step is spent on over all of its micro-batches, in one sentence."""
    shares = {"compute": 0.0, "communication in the open": 0.0, "bubble": 0.0, "the rest": 0.0}
    for term in result.terms:
        name = term.name.removesuffix("_s")
        kind = "communication in the open" if name.endswith("_comm") else _SPENT.get(name, "the rest")
        shares[kind] += term.value / result.step_s
    return f"Of the whole step: {', '.join(f'{kind} {100 * share:.1f} %' for kind, share in shares.items())}."


def _roofline(result: TrainResult) -> Drawn:
    roof = roofline(result)
    rows: list[dict[str, Any]] = [
        {"operator": point.name, "x": point.flop_per_byte, "y": point.flop_per_s / TERA, "share": point.flop_per_s / limit}
        for point in roof.points
        for limit in (min(roof.peak_flop_per_s, point.flop_per_byte * roof.hbm_bytes_per_s),)
    ]
    ridge = roof.peak_flop_per_s / roof.hbm_bytes_per_s
    low = min([row["x"] for row in rows] + [ridge]) / 4.0
    high = max([row["x"] for row in rows] + [ridge]) * 4.0
    peak = roof.peak_flop_per_s / TERA
    limits = [{"x": x, "y": min(peak, x * roof.hbm_bytes_per_s / TERA)} for x in (low, ridge, high)]
    axis_x = alt.X("x:Q", scale=alt.Scale(type="log", nice=False), title="operations per byte of memory [FLOP/B]")
    axis_y = alt.Y("y:Q", scale=alt.Scale(type="log"), title="rate of one chip [TFLOP/s]")
    line = alt.Chart(alt.InlineData(values=limits)).mark_line(color=INK, strokeDash=[5, 3]).encode(x=axis_x, y=axis_y)
    names = list(dict.fromkeys(row["operator"] for row in rows))
    scale = alt.Scale(domain=names, range=[PALETTE[i % len(PALETTE)] for i in range(len(names))])
    color = alt.Color("operator:N", scale=scale, legend=alt.Legend(title=None, orient="bottom", columns=3))
    dots = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_point(filled=True, size=110)
        .encode(x=axis_x, y=axis_y, color=color, tooltip=["operator:N", "x:Q", "y:Q", "share:Q"])
    )
    title = f"Operators of a layer below the roof of {roof.chip}"
    chart = alt.layer(line, dots).properties(title=title, width=620, height=300)
    worst: Any = min(rows, key=lambda row: row["share"])
    note = (
        f"Forward products of one micro-batch on one chip; dashed: {peak:,.0f} TFLOP/s and the memory's rate. Farthest "
        f"below its roof: {worst['operator']}, at {100 * worst['share']:.0f} %."
    )
    return drawn(title, chart, note)


def _memory(stages: list[float], parts: object) -> Drawn:
    held: Mapping[str, Sequence[float]] = parts if isinstance(parts, Mapping) else {"memory": stages}
    names = [name for name, values in held.items() if any(value > 0.0 for value in values)]
    rows = [
        {"stage": str(number), "part": name, "order": names.index(name), "memory": in_gib(held[name][number])}
        for number in range(len(stages))
        for name in names
    ]
    scale = alt.Scale(domain=names, range=[PALETTE[i % len(PALETTE)] for i in range(len(names))])
    chart = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_bar()
        .encode(
            x=alt.X("stage:O", sort=None, title="pipeline stage", axis=alt.Axis(labelAngle=0)),
            y=alt.Y("memory:Q", stack="zero", title="memory [GiB]"),
            color=alt.Color("part:N", scale=scale, legend=alt.Legend(title=None, orient="bottom")),
            order="order:Q",
            tooltip=["stage:N", "part:N", "memory:Q"],
        )
        .properties(title="Memory by stage and part", width=620, height=200)
    )
    fullest = max(range(len(stages)), key=lambda index: stages[index])
    return drawn("Memory by stage and part", chart, f"Stage {fullest} is the fullest, at {in_gib(stages[fullest]):,.1f} GiB.")
