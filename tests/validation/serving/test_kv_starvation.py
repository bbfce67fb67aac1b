"""Published throughput of Llama-3.1-70B in FP8 on one to eight H100 (TensorRT-LLM 0.17, 1000 in, 1000 out, all queued).

One chip holds the weights and little else: its throughput is a fifth of that of two. It must come out of memory and
batching; there is no special case for it in the formulas.
"""

import numpy as np
import pytest

from suanzhang.app.serve import estimate_serve
from suanzhang.app.serve_sim import table_and_settings
from suanzhang.catalog import chips, models, stacks
from suanzhang.sim.replica import simulate
from suanzhang.spec.layout import ServeLayout
from suanzhang.spec.serve import ClosedLoop, ServeEstimate
from suanzhang.spec.sim import RequestBatch, SimResult

MEASURED = {1: 839.97, 2: 4390.5, 4: 7431.0, 8: 11451.0}
TOLERANCE = 0.25


def _estimate(tp: int) -> ServeEstimate:
    return estimate_serve(
        models.model("llama-3.1-70b"), chips.chip("h100-sxm-80"), ServeLayout(tp=tp),
        stacks.serve_stack_for("TensorRT-LLM 0.17"), "fp8", "fp8", ClosedLoop(1e6, 1000, 1000),
    )  # fmt: skip


@pytest.mark.parametrize("tp", sorted(MEASURED))
def test_throughput_is_near_the_published_one(tp: int) -> None:
    assert _estimate(tp).output_tokens_per_s == pytest.approx(MEASURED[tp], rel=TOLERANCE)


def test_the_second_chip_multiplies_the_throughput_because_of_the_cache() -> None:
    one, two = _estimate(1), _estimate(2)
    assert one.bound_by == "kv-capacity"
    assert one.running_batch < 40
    assert two.running_batch > 200
    assert 4.0 < two.output_tokens_per_s / one.output_tokens_per_s < 7.0


def _simulated(tp: int) -> SimResult:
    """All requests queued at once, followed through the scheduler; the ramps at both ends are a small part."""
    model, chip = models.model("llama-3.1-70b"), chips.chip("h100-sxm-80")
    stack = stacks.serve_stack_for("TensorRT-LLM 0.17")
    table, settings = table_and_settings(model, chip, _estimate(tp), stack, 1000.0, 1000.0)
    count = 30 * int(_estimate(tp).running_batch)
    lengths = np.full(count, 1000, np.int64)
    return simulate(RequestBatch(np.zeros(count), lengths, lengths), table, settings)


@pytest.mark.parametrize("tp", sorted(MEASURED))
def test_the_scheduler_finds_it_too(tp: int) -> None:
    run = _simulated(tp)
    assert run.output_tokens_per_s == pytest.approx(MEASURED[tp], rel=TOLERANCE)
    assert run.output_tokens_per_s == pytest.approx(_estimate(tp).output_tokens_per_s, rel=0.15)


def test_the_single_chip_starves_for_pages_and_the_pair_does_not_starve_as_much() -> None:
    one, two = _simulated(1), _simulated(2)
    assert one.batch_mean < 40
    assert two.batch_mean > 200
    assert one.output_tokens_per_s < 0.3 * two.output_tokens_per_s
