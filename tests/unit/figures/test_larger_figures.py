"""The larger figures of a page: what they are drawn from, and that only the page pays for them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import pairwise

import pytest

import suanzhang
from suanzhang.app.serve import serve
from suanzhang.app.serve_curves import front, knee, load_curve, over_time
from suanzhang.app.train import train
from suanzhang.app.train_roofline import roofline
from suanzhang.app.train_timeline import idle_share, pipeline_spans
from suanzhang.report.figures_more import more_figures
from suanzhang.report.html import page
from suanzhang.report.jsonable import to_text
from suanzhang.report.views import report_of
from suanzhang.spec.figures import LoadPoint, Span
from suanzhang.spec.layout import TrainLayout
from suanzhang.spec.serve import ServeResult
from suanzhang.spec.train import TrainResult

TERMS = {"forward_s": 8.0, "backward_input_s": 8.0, "backward_weight_s": 8.0, "tensor_comm_s": 2.4}


@pytest.fixture(scope="module")
def trained() -> TrainResult:
    return train("gpt3-175b", "300B", "a100-sxm-80:1024", layout="tp=8,pp=8", global_batch=1536)


@pytest.fixture(scope="module")
def served() -> ServeResult:
    return serve("llama-3-8b", "h100-sxm-80", isl=512, osl=128, rate=10, layout="tp=1", simulated_requests=0)


def _spans(schedule: str, stages: int, count: int, chunks: int = 1) -> tuple[Span, ...]:
    return pipeline_spans(TrainLayout(pp=stages, vpp=chunks, schedule=schedule), TERMS, count)  # type: ignore[arg-type]


@pytest.mark.parametrize("schedule", ["gpipe", "1f1b"])
def test_every_pass_is_drawn_once_and_none_overlap(schedule: str) -> None:
    spans = _spans(schedule, 4, 8)
    for stage in range(4):
        own = sorted((span for span in spans if span.stage == stage), key=lambda span: span.start_s)
        assert sorted(s.micro_batch for s in own if s.kind == "forward") == list(range(8))
        assert sorted(s.micro_batch for s in own if s.kind == "backward") == list(range(8))
        assert all(a.end_s <= b.start_s + 1e-12 for a, b in pairwise(own))


def test_no_stage_starts_before_its_input() -> None:
    spans = _spans("1f1b", 4, 8)
    ends = {(s.stage, s.micro_batch): s.end_s for s in spans if s.kind == "forward"}
    for span in spans:
        if span.kind == "forward" and span.stage:
            assert span.start_s >= ends[span.stage - 1, span.micro_batch]


def test_the_bubble_is_that_of_the_textbook() -> None:
    stages, count = 4, 12
    for schedule in ("gpipe", "1f1b"):
        assert idle_share(_spans(schedule, stages, count)) == pytest.approx((stages - 1) / (count + stages - 1), rel=1e-9)


@pytest.mark.parametrize(("stages", "count", "chunks"), [(4, 12, 2), (4, 8, 4), (8, 16, 3), (2, 6, 5)])
def test_interleaved_chunks_divide_the_bubble(stages: int, count: int, chunks: int) -> None:
    spans = _spans("interleaved", stages, count, chunks)
    bubble = (stages - 1) / chunks
    assert idle_share(spans) == pytest.approx(bubble / (count + bubble), rel=1e-9)
    for stage in range(stages):
        own = sorted((span for span in spans if span.stage == stage), key=lambda span: span.start_s)
        for kind in ("forward", "backward"):
            assert sorted(s.micro_batch for s in own if s.kind == kind) == sorted([*range(count)] * chunks)
        assert all(a.end_s <= b.start_s + 1e-12 for a, b in pairwise(own))


@pytest.mark.parametrize("schedule", ["zero-bubble", "zero-bubble-2p", "dualpipe"])
def test_weight_gradients_fill_the_gaps(schedule: str) -> None:
    stages, count = 4, 12
    spans = _spans(schedule, stages, count)
    ends = {(s.stage, s.kind, s.micro_batch): s.end_s for s in spans}
    for stage in range(stages):
        own = sorted((span for span in spans if span.stage == stage), key=lambda span: span.start_s)
        for kind in ("forward", "backward", "weight gradient"):
            assert sorted(s.micro_batch for s in own if s.kind == kind) == list(range(count))
        assert all(a.end_s <= b.start_s + 1e-12 for a, b in pairwise(own))
        for span in own:
            if span.kind == "weight gradient":
                assert span.start_s >= ends[stage, "backward", span.micro_batch] - 1e-12
    assert idle_share(spans) < idle_share(_spans("1f1b", stages, count))


@pytest.mark.parametrize(("stages", "count"), [(4, 12), (8, 16)])
def test_zero_bubbles_shrink_to_the_way_in_and_out(stages: int, count: int) -> None:
    """With passes of one length, twice the memory leaves the way through the stages alone, less memory two passes more."""
    terms = {"forward_s": 8.0, "backward_input_s": 8.0, "backward_weight_s": 8.0}

    def idle_passes(schedule: str) -> float:
        spans = pipeline_spans(TrainLayout(pp=stages, schedule=schedule), terms, count)  # type: ignore[arg-type]
        return (max(span.end_s for span in spans) - 24.0) / (8.0 / count)

    assert idle_passes("1f1b") == pytest.approx(3.0 * (stages - 1))
    assert idle_passes("zero-bubble-2p") == pytest.approx(stages - 1)
    assert stages - 1 - 1e-9 <= idle_passes("zero-bubble") <= stages + 1 + 1e-9
    assert idle_passes("dualpipe") < stages - 1


def test_one_stage_has_no_bubble_and_nothing_gives_nothing() -> None:
    assert idle_share(_spans("1f1b", 1, 4)) == pytest.approx(0.0)
    assert idle_share(()) == 0.0
    assert idle_share(pipeline_spans(TrainLayout(pp=2), {}, 4)) == 0.0


def test_no_operator_stands_above_its_roof(trained: TrainResult) -> None:
    roof = roofline(trained)
    assert {"attention", "output head"} <= {point.name for point in roof.points}
    for point in roof.points:
        assert point.flop_per_s <= roof.peak_flop_per_s
        assert point.time_s > 0.0


def test_latency_grows_with_load_and_the_knee_lies_between(served: ServeResult) -> None:
    points = load_curve(served)
    assert [point.load for point in points] == sorted(point.load for point in points)
    assert points[-1].ttft_p99_s > points[0].ttft_p99_s
    at = knee(points)
    assert at is not None
    assert at in points
    assert at.ttft_p99_s <= 2.0 * points[0].ttft_p99_s
    assert knee(()) is None
    assert knee([LoadPoint(0.1, 1, 1, 1, 1), LoadPoint(0.2, 2, 9, 9, 1)]) == LoadPoint(0.1, 1, 1, 1, 1)


def test_no_point_beats_the_front(served: ServeResult) -> None:
    points = front(served)
    best = [point for point in points if point.best]
    assert best
    for one in best:
        assert not any(other.per_user >= one.per_user and other.per_chip > one.per_chip for other in points)


def test_the_replica_over_time_runs_at_its_batch(served: ServeResult) -> None:
    moments = over_time(served)
    middle = [moment.running for moment in moments[len(moments) // 4 : -len(moments) // 4]]
    assert sum(middle) / len(middle) == pytest.approx(served.replica.running_batch, rel=0.25)


def test_the_page_holds_the_figures_and_their_colours_follow_it(trained: TrainResult, served: ServeResult) -> None:
    for result, titles in (
        (trained, ("Micro-batches through the pipeline", "Operators of a layer", "Memory by stage")),
        (served, ("Latency against load", "Batch and queue over time", "Throughput of a chip")),
    ):
        drawings = more_figures(result)
        assert len(drawings) == len(titles)
        body = page(report_of(result))
        assert not any(title in body for title in titles[:1])
        body = page(report_of(result), result)
        for title, drawing in zip(titles, drawings, strict=True):
            assert title in drawing.title
            assert f"<h2>{drawing.title}</h2>" in body
            assert "currentColor" in drawing.svg
            assert not re.search(r'fill="(black|#000)"', drawing.svg)


def test_a_model_from_a_file_has_the_figures_that_need_no_catalog(trained: TrainResult) -> None:
    titles = [drawing.title for drawing in more_figures(replace(trained, model="my-own-model"))]
    assert titles == ["Micro-batches through the pipeline", "Memory by stage and part"]


def test_parts_of_each_stage_add_up_to_the_stage(trained: TrainResult) -> None:
    held = trained.memory_bytes
    parts, stages = held["part_by_stage"], held["by_stage"]
    assert [sum(own) for own in zip(*parts.values(), strict=True)] == pytest.approx(stages)  # type: ignore[attr-defined]
    fullest = stages.index(max(stages))  # type: ignore[attr-defined]
    assert {part: values[fullest] for part, values in parts.items()} == held["by_part"]  # type: ignore[attr-defined]
    drawing = next(one for one in more_figures(trained) if one.title == "Memory by stage and part")
    assert all(part in drawing.svg for part in ("weights", "activations"))


def test_the_timeline_says_what_the_whole_step_is_spent_on(trained: TrainResult) -> None:
    note = more_figures(trained)[0].note
    shares = [float(share) for share in re.findall(r"([0-9.]+) %", note.partition("whole step")[2])]
    assert len(shares) == 4 and sum(shares) == pytest.approx(100.0, abs=0.3)
    bubble = next(term.value for term in trained.terms if term.name == "bubble_s")
    assert shares[2] == pytest.approx(100 * bubble / trained.step_s, abs=0.06)


def test_other_results_have_none() -> None:
    assert more_figures(object()) == []


def test_an_explanation_draws_the_same_figures(trained: TrainResult) -> None:
    asked = suanzhang.train("gpt3-175b", "300B", "a100-sxm-80:1024", layout="tp=8,pp=8", global_batch=1536)
    explained = suanzhang.explain(json.loads(to_text(asked)))
    assert [one.title for one in more_figures(explained)] == [one.title for one in more_figures(trained)]
    assert [one.note for one in more_figures(explained)] == [one.note for one in more_figures(trained)]
    assert "<h2>Micro-batches through the pipeline</h2>" in page(report_of(explained), explained)
    assert more_figures(replace(explained, trained=None)) == []
