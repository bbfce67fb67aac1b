"""What must hold of every step: more hardware is never slower, parts sum to the whole, the batch equals the single formula."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from suanzhang.app.train_model import estimate_packed, pack
from suanzhang.catalog.chips import chip
from suanzhang.catalog.models import model
from suanzhang.catalog.stacks import train_stack
from suanzhang.perf.training.args import LayoutArgs
from suanzhang.perf.training.batch import evaluate, explain_step
from suanzhang.perf.training.feasible import layout_reason
from suanzhang.perf.training.memory import fullest_stage_bytes, memory_total, stage_memory
from suanzhang.perf.training.pack import layout_args, unpack_layout
from suanzhang.perf.training.step import step_total_s
from suanzhang.spec.job import TrainJob
from suanzhang.spec.layout import TrainLayout

CHIP = chip("a100-sxm-80")
STACK = train_stack("megatron-lm-2024")
JOB = TrainJob("gpt3", model("gpt3-175b"), 300e9, 2048, 1536, "bf16")
PACKED = pack(JOB, CHIP, STACK)
MOE = pack(TrainJob("v3", model("deepseek-v3"), 1e12, 4096, 1024, "bf16"), CHIP, STACK)

QUICK = (Phase.explicit, Phase.generate)
layouts = st.builds(
    TrainLayout,
    tp=st.sampled_from((1, 2, 4, 8)),
    pp=st.sampled_from((1, 2, 4, 8, 12, 16)),
    dp=st.sampled_from((1, 2, 4, 8, 16, 32)),
    vpp=st.sampled_from((1, 2, 3)),
    sp=st.booleans(),
    zero_stage=st.sampled_from((0, 1, 2, 3)),
    micro_batch=st.sampled_from((1, 2, 4)),
    recompute=st.sampled_from(("none", "selective", "full")),
    schedule=st.sampled_from(("1f1b", "gpipe", "zero-bubble")),
    overlap_dp=st.booleans(),
    overlap_pp=st.booleans(),
)


def _step(packed, layout: TrainLayout) -> float:
    return step_total_s(explain_step(packed.shape, packed.run, layout_args(layout), packed.ops, packed.ops16, packed.fit))


def _possible(packed, layout: TrainLayout) -> bool:
    return layout_reason(packed.shape, packed.run, layout_args(layout)) == 0.0


@given(layouts)
@settings(max_examples=30, deadline=None, phases=QUICK)
def test_terms_sum_to_the_step_and_none_is_negative(layout):
    if not _possible(PACKED, layout):
        return
    estimate = estimate_packed(PACKED, layout, CHIP)
    assert sum(term.value for term in estimate.terms) == pytest.approx(estimate.step_s)
    assert all(term.value >= 0.0 for term in estimate.terms)
    assert 0.0 < estimate.mfu <= estimate.hfu < 1.0
    assert len(estimate.memory) == layout.pp


@given(layouts, st.sampled_from(("link_bytes_per_s", "nic_bytes_per_s")), st.floats(1.1, 4.0))
@settings(max_examples=30, deadline=None, phases=QUICK)
def test_faster_links_are_never_slower(layout, name, factor):
    if not _possible(PACKED, layout):
        return
    link = PACKED.ops.link
    faster = PACKED.ops._replace(link=link._replace(**{name: getattr(link, name) * factor}))
    assert _step(replace(PACKED, ops=faster), layout) <= _step(PACKED, layout) * (1.0 + 1e-12)


@given(layouts, st.floats(1.1, 4.0))
@settings(max_examples=25, deadline=None, phases=QUICK)
def test_more_peak_and_more_bandwidth_are_never_slower(layout, factor):
    if not _possible(PACKED, layout):
        return
    gemm = PACKED.ops.gemm
    faster = PACKED.ops._replace(gemm=gemm._replace(peak_flop_per_s=gemm.peak_flop_per_s * factor))
    assert _step(replace(PACKED, ops=faster), layout) <= _step(PACKED, layout) * (1.0 + 1e-12)
    memory = PACKED.ops.memory
    wider = PACKED.ops._replace(memory=memory._replace(hbm_bytes_per_s=memory.hbm_bytes_per_s * factor))
    assert _step(replace(PACKED, ops=wider), layout) <= _step(PACKED, layout) * (1.0 + 1e-12)


@pytest.mark.parametrize("packed", [PACKED, MOE], ids=["dense", "mixture"])
def test_batch_equals_the_single_formula(packed):
    rng = np.random.default_rng(3)
    rows = []
    for _ in range(400):
        rows.append(
            layout_args(
                TrainLayout(
                    tp=int(rng.choice((1, 2, 4, 8))),
                    pp=int(rng.choice((1, 2, 4, 8))),
                    dp=int(rng.choice((1, 8, 32))),
                    ep=int(rng.choice((1, 8, 32))) if packed is MOE else 1,
                    etp=1 if packed is MOE else 0,
                    micro_batch=int(rng.choice((1, 2))),
                    zero_stage=int(rng.choice((0, 1))),
                    recompute=str(rng.choice(("none", "full"))),
                )
            )
        )
    step, memory, reason = evaluate(packed.shape, packed.run, np.array(rows), packed.ops, packed.ops16, packed.fit)
    for index, row in enumerate(rows):
        if layout_reason(packed.shape, packed.run, row) > 0.0:
            assert not np.isfinite(step[index])
            assert reason[index] > 0.0
            continue
        single = explain_step(packed.shape, packed.run, row, packed.ops, packed.ops16, packed.fit)
        assert step[index] == pytest.approx(step_total_s(single), rel=1e-12)
        micro_batches = packed.run.global_batch / (row.dp * row.micro_batch)
        expected = fullest_stage_bytes(packed.shape, packed.run, row, micro_batches, packed.run.capacity)
        assert memory[index] == pytest.approx(expected, rel=1e-12)
        assert (reason[index] > 0.0) == (expected > packed.run.hbm_bytes)


@given(layouts)
@settings(max_examples=30, deadline=None, phases=QUICK)
def test_stages_hold_the_whole_model(layout):
    """Weights over all stages, tensor ranks and shards are the parameters of the model (and a second tied head)."""
    if not _possible(PACKED, layout):
        return
    row = layout_args(layout)
    shards = layout.dp if layout.zero_stage == 3 else 1
    weights = sum(
        stage_memory(PACKED.shape, PACKED.run, row, float(stage), 8.0, 1.0).weights * layout.tp * shards
        for stage in range(layout.pp)
    )
    params = weights / PACKED.run.param_bytes
    assert params == pytest.approx(JOB.model.params, rel=0.01)


def test_layout_survives_packing():
    layout = TrainLayout(
        tp=4, pp=2, dp=8, etp=4, vpp=2, schedule="interleaved", zero_stage=3, recompute="full", overlap_tp=True
    )
    assert unpack_layout(LayoutArgs(*layout_args(layout))) == layout


def test_memory_grows_with_the_micro_batch_and_shrinks_with_recompute():
    def memory(**change) -> float:
        row = layout_args(replace(TrainLayout(tp=8, pp=8, dp=16, recompute="none"), **change))
        return memory_total(stage_memory(PACKED.shape, PACKED.run, row, 0.0, 96.0, 1.0))

    assert memory(micro_batch=2) > memory()
    assert memory(recompute="full") < memory(recompute="selective") < memory()
