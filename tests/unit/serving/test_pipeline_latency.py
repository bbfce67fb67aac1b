"""A prompt passes every stage of a pipeline: once in the formulas, once in the simulation, and never in the time per token."""

import pytest

from suanzhang.app.serve_estimate import estimate_serve
from suanzhang.app.serve_sim import pipeline_s, simulate_serve, table_and_settings
from suanzhang.catalog.chips import chip
from suanzhang.catalog.models import model
from suanzhang.catalog.stacks import serve_stack
from suanzhang.spec.job import LengthSpec
from suanzhang.spec.layout import ServeLayout
from suanzhang.spec.serve import OpenLoop

MODEL, CHIP, STACK = model("llama-3.1-70b"), chip("h100-sxm-80"), serve_stack("vllm-0.12")
INPUT, OUTPUT = LengthSpec("fixed", 2000, 2000), LengthSpec("fixed", 200, 200)


@pytest.mark.parametrize("stages", [1, 2, 4])
def test_the_simulation_and_the_formulas_agree_on_an_idle_pipeline(stages: int) -> None:
    layout, work = ServeLayout(tp=2, pp=stages), OpenLoop(0.05, INPUT, OUTPUT)
    found, _ = simulate_serve(MODEL, CHIP, layout, STACK, "fp8", "bf16", work, requests=200)
    closed = estimate_serve(MODEL, CHIP, layout, STACK, "fp8", "bf16", work)
    assert found.ttft_s.mean == pytest.approx(closed.ttft_s.mean, rel=0.1)
    assert found.tpot_s.mean == pytest.approx(closed.tpot_s.mean, rel=0.03)


def test_the_stages_are_added_to_the_first_token_and_the_end_alone() -> None:
    layout, work = ServeLayout(tp=2, pp=4), OpenLoop(0.5, INPUT, OUTPUT)
    estimate = estimate_serve(MODEL, CHIP, layout, STACK, "fp8", "bf16", work)
    table, settings = table_and_settings(MODEL, CHIP, estimate, STACK, 2000.0, 200.0)
    extra = pipeline_s(4, table, settings, INPUT, OUTPUT)
    assert min(extra) > 0.0
    assert pipeline_s(1, table, settings, INPUT, OUTPUT) == (0.0, 0.0, 0.0, 0.0)
    assert pipeline_s(4, table, settings, INPUT, OUTPUT, 0.5)[0] < extra[0]
    found, result = simulate_serve(MODEL, CHIP, layout, STACK, "fp8", "bf16", work, requests=200)
    assert found.tpot_s.mean == pytest.approx(result.tpot_s.mean)
    front = found.ttft_s.mean - result.ttft_s.mean - extra[0]
    assert found.e2e_s.mean - result.e2e_s.mean == pytest.approx(front + extra[0])
