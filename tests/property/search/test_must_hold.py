"""What must hold of every training: better hardware is never slower, times scale, what does not divide has a reason."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from suanzhang.app.train import train
from suanzhang.app.train_asked import routing_note, with_overlap, with_routing
from suanzhang.app.train_model import estimate_packed, pack
from suanzhang.catalog.chips import chip
from suanzhang.catalog.models import model, models
from suanzhang.catalog.stacks import train_stack
from suanzhang.errors import InputError
from suanzhang.perf.training.args import COLUMNS, LayoutArgs
from suanzhang.perf.training.batch import evaluate, explain_step
from suanzhang.perf.training.feasible import REASONS, layout_reason
from suanzhang.perf.training.pack import layout_args, shape_args
from suanzhang.perf.training.params import dense_layer_params, moe_layers, stage_dense_layers, stage_layers
from suanzhang.perf.training.pipeline import bubble_s
from suanzhang.perf.training.routing import routed_share
from suanzhang.perf.training.step import step_total_s
from suanzhang.sim.run import RunArgs, draws, simulate_runs
from suanzhang.spec.job import TrainJob
from suanzhang.spec.layout import TrainLayout

CHIP = chip("h100-sxm-80")
STACK = train_stack("megatron-lm-2024")
DENSE = pack(TrainJob("70b", model("llama-3-70b"), 1e12, 8192, 512, "bf16"), CHIP, STACK)
MIXTURE = pack(TrainJob("mix", model("mixtral-8x7b"), 1e12, 4096, 512, "bf16"), CHIP, STACK)
QUICK = (Phase.explicit, Phase.generate)

sizes = st.sampled_from((1, 2, 3, 4, 5, 7, 8, 12, 16))
layouts = st.builds(
    TrainLayout,
    tp=sizes,
    pp=sizes,
    dp=st.sampled_from((1, 2, 3, 8, 16, 32)),
    cp=st.sampled_from((1, 2, 3)),
    ep=st.sampled_from((1, 2, 3, 8)),
    vpp=st.sampled_from((1, 2, 5)),
    zero_stage=st.sampled_from((0, 1, 2, 3)),
    micro_batch=st.sampled_from((1, 2, 3)),
    recompute=st.sampled_from(("none", "selective", "full")),
    schedule=st.sampled_from(("1f1b", "gpipe", "zero-bubble", "dualpipe")),
    overlap_dp=st.booleans(),
    overlap_tp=st.booleans(),
)
even = st.builds(
    TrainLayout,
    tp=st.sampled_from((1, 2, 4, 8)),
    pp=st.sampled_from((1, 2, 4, 8)),
    dp=st.sampled_from((1, 4, 16, 64)),
    cp=st.sampled_from((1, 2)),
    ep=st.sampled_from((1, 2, 4)),
    zero_stage=st.sampled_from((0, 1, 3)),
    micro_batch=st.sampled_from((1, 2)),
    recompute=st.sampled_from(("none", "selective", "full")),
    overlap_dp=st.booleans(),
)
SPEEDS = (
    ("gemm", "peak_flop_per_s"), ("gemm", "hbm_bytes_per_s"), ("gemm", "feed_bytes_per_s"), ("attention", "peak_flop_per_s"),
    ("attention", "hbm_bytes_per_s"), ("memory", "hbm_bytes_per_s"), ("link", "link_bytes_per_s"), ("link", "nic_bytes_per_s"),
)  # fmt: skip
WAITS = (
    ("gemm", "launch_s"), ("attention", "launch_s"), ("memory", "launch_s"), ("link", "base_s"), ("link", "hop_s"),
    ("link", "nic_base_s"), ("link", "nic_hop_s"),
)  # fmt: skip


def _step(packed, layout: TrainLayout) -> float:
    return step_total_s(explain_step(packed.shape, packed.run, layout_args(layout), packed.ops, packed.ops16, packed.fit))


def _changed(packed, part: str, name: str, factor: float):
    def of(ops):
        own = getattr(ops, part)
        return ops._replace(**{part: own._replace(**{name: getattr(own, name) * factor})})

    return replace(packed, ops=of(packed.ops), ops16=of(packed.ops16))


def _leeway(packed) -> float:
    """The traffic counted is that of the slowest stage: where another becomes the slowest, it may move by a thousandth."""
    return 1e-12 if packed is DENSE else 1e-3


def _possible(packed, layout: TrainLayout) -> bool:
    return layout_reason(packed.shape, packed.run, layout_args(layout)) == 0.0


@pytest.mark.parametrize("packed", [DENSE, MIXTURE], ids=["dense", "mixture"])
@given(layout=even, change=st.sampled_from(SPEEDS), factor=st.floats(1.05, 8.0))
@settings(max_examples=60, deadline=None, phases=QUICK)
def test_more_of_any_rate_is_never_slower(packed, layout, change, factor) -> None:
    if _possible(packed, layout):
        assert _step(_changed(packed, *change, factor), layout) <= _step(packed, layout) * (1.0 + _leeway(packed))


@pytest.mark.parametrize("packed", [DENSE, MIXTURE], ids=["dense", "mixture"])
@given(layout=even, change=st.sampled_from(WAITS), factor=st.floats(0.0, 0.95))
@settings(max_examples=60, deadline=None, phases=QUICK)
def test_less_of_any_latency_is_never_slower(packed, layout, change, factor) -> None:
    if _possible(packed, layout):
        assert _step(_changed(packed, *change, factor), layout) <= _step(packed, layout) * (1.0 + _leeway(packed))


@pytest.mark.parametrize("packed", [DENSE, MIXTURE], ids=["dense", "mixture"])
def test_many_layouts_at_once_equal_each_by_itself(packed) -> None:
    """Every column varies, so that none is forgotten among those that tell kinds of layers apart."""
    rng = np.random.default_rng(11)
    choices = {
        "tp": (1, 2, 8), "pp": (1, 4), "dp": (1, 8, 32), "cp": (1, 2), "ep": (1, 4) if packed is MIXTURE else (1,), "vpp": (1,),
        "sp": (0, 1), "zero": (0, 1, 2, 3), "micro_batch": (1, 2), "recompute": (0, 1, 2), "recompute_layers": (0, 1),
        "schedule": (0, 1, 3), "overlap_dp": (0, 1), "overlap_tp": (0, 1), "overlap_pp": (0, 1), "offload_optimizer": (0, 1),
        "offload_activations": (0, 1), "cp_a2a": (0, 1),
    }  # fmt: skip
    rows = []
    while len(rows) < 3000:
        row = {name: float(rng.choice(values)) for name, values in choices.items()}
        row["etp"] = float(rng.choice((1.0, row["tp"])))
        one = LayoutArgs(**row)
        if layout_reason(packed.shape, packed.run, one) == 0.0:
            rows.append(one)
    step, _, _ = evaluate(
        packed.shape, packed.run, np.array([row[: len(COLUMNS)] for row in rows]), packed.ops, packed.ops16, packed.fit
    )
    single = [step_total_s(explain_step(packed.shape, packed.run, r, packed.ops, packed.ops16, packed.fit)) for r in rows]
    assert np.allclose(step, single, rtol=1e-12)


SEQ32 = pack(TrainJob("long", model("llama-3-8b"), 1e12, 32768, 256, "bf16"), CHIP, STACK)
exchanging = st.builds(
    TrainLayout,
    tp=st.sampled_from((1, 2, 4)),
    pp=st.sampled_from((1, 2, 4)),
    dp=st.sampled_from((1, 4, 16)),
    cp=st.sampled_from((2, 4, 8)),
    cp_kind=st.just("a2a"),
    zero_stage=st.sampled_from((0, 1)),
    recompute=st.sampled_from(("none", "selective", "full")),
)


@given(layout=exchanging, change=st.sampled_from((*SPEEDS, *WAITS)), factor=st.floats(1.05, 8.0))
@settings(max_examples=60, deadline=None, phases=QUICK)
def test_an_exchange_of_heads_gains_from_every_rate_and_loses_by_every_wait(layout, change, factor) -> None:
    if not _possible(SEQ32, layout):
        return
    one, other = _step(SEQ32, layout), _step(_changed(SEQ32, *change, factor), layout)
    assert other <= one * (1.0 + 1e-12) if change in SPEEDS else other >= one * (1.0 - 1e-12)


@given(layout=exchanging)
@settings(max_examples=40, deadline=None, phases=QUICK)
def test_an_exchange_of_heads_sums_and_moves_only_its_own_terms(layout) -> None:
    """Both kinds divide the same work: parameters and products are equal, messages and attention kernels differ."""
    if not _possible(SEQ32, layout):
        assert SEQ32.shape.heads / layout.tp % layout.cp or SEQ32.run.global_batch % (layout.dp * layout.micro_batch)
        return
    estimate, ring = (estimate_packed(SEQ32, replace(layout, cp_kind=kind), CHIP) for kind in ("a2a", "ring"))
    assert sum(term.value for term in estimate.terms) == pytest.approx(estimate.step_s)
    assert all(term.value >= 0.0 for term in estimate.terms)
    terms, other = ({term.name: term.value for term in one.terms} for one in (estimate, ring))
    assert terms["context_comm_s"] > 0.0
    for name in ("backward_weight_s", "embedding_head_s", "tensor_comm_s", "optimizer_s"):
        assert terms[name] == pytest.approx(other[name])
    for one, two in zip(estimate.memory, ring.memory, strict=True):
        first, second = ({part.name: part.value for part in stage.parts} for stage in (one, two))
        assert first["weights"] == second["weights"]
        assert first["buffers"] > second["buffers"]


def test_an_exchange_needs_heads_that_divide() -> None:
    layout = TrainLayout(tp=8, cp=8, dp=1, cp_kind="a2a")
    with pytest.raises(InputError, match="heads of a tensor rank do not divide by cp"):
        estimate_packed(SEQ32, layout, CHIP)
    assert estimate_packed(SEQ32, replace(layout, cp_kind="ring"), CHIP).step_s > 0.0


@pytest.mark.parametrize("name", ["dp", "tp", "pp", "cp", "ep"])
@given(share=st.floats(0.0, 0.95), more=st.floats(0.01, 1.0))
@settings(max_examples=15, deadline=None, phases=QUICK)
def test_more_overlap_is_never_slower(name, share, more) -> None:
    job = TrainJob("mix", model("mixtral-8x7b"), 1e12, 16384, 512, "bf16")
    layout = TrainLayout(tp=2, cp=2, pp=2, dp=8, ep=8, etp=1, overlap_tp=True, overlap_pp=True)

    def step(value: float) -> float:
        return _step(pack(job, CHIP, with_overlap(STACK, f"{name}={value}")), layout)

    assert step(min(1.0, share + more)) <= step(share) * (1.0 + 1e-12)
    assert step(1.0) < step(0.0)


def test_overlap_left_out_is_that_of_the_software() -> None:
    assert with_overlap(STACK, "") is STACK
    same = ",".join(f"{key}={getattr(STACK, f'overlap_{key}')}" for key in ("dp", "pp", "cp", "ep"))
    job = TrainJob("mix", model("mixtral-8x7b"), 1e12, 4096, 512, "bf16")
    assert _step(pack(job, CHIP, with_overlap(STACK, same)), TrainLayout(dp=8, ep=8)) == _step(MIXTURE, TrainLayout(dp=8, ep=8))


@given(st.floats(1.0, 6.0), st.floats(0.1, 8.0), st.booleans())
@settings(max_examples=100, deadline=None, phases=QUICK)
def test_tokens_of_a_capacity_are_taken_dropped_or_padded(imbalance, capacity, padded) -> None:
    load, dropped, padding = routed_share(imbalance, capacity, float(padded))
    assert 0.0 <= dropped < 1.0
    assert 0.0 <= padding < 1.0
    assert load <= max(imbalance, capacity)
    assert load >= 1.0 - dropped - 1e-12
    if padded:
        assert load * (1.0 - padding) == pytest.approx(1.0 - dropped, abs=1e-9)
    even_spread = (np.arange(20000) + 0.5) / 20000
    loads = (
        2.0 - imbalance + (2.0 * imbalance - 2.0) * even_spread
        if imbalance <= 2.0
        else imbalance * even_spread ** (imbalance - 1.0)
    )
    assert loads.mean() == pytest.approx(1.0, abs=1e-3)
    assert dropped == pytest.approx(float(np.maximum(loads - capacity, 0.0).mean()), abs=2e-3)


@pytest.mark.parametrize("routing", ["imbalance=1.4", "capacity=1.0,imbalance=1.4", "capacity=1.3,pad,imbalance=1.4"])
def test_routing_moves_experts_and_their_messages_alone(routing: str) -> None:
    job = TrainJob("mix", model("mixtral-8x7b"), 1e12, 4096, 512, "bf16")
    layout = TrainLayout(dp=16, ep=8, etp=1)
    plain, routed = (estimate_packed(pack(one, CHIP, STACK), layout, CHIP) for one in (job, with_routing(job, routing)))
    terms, other = ({term.name: term.value for term in one.terms} for one in (routed, plain))
    assert sum(terms.values()) == pytest.approx(routed.step_s)
    assert terms["tensor_comm_s"] == other["tensor_comm_s"]
    assert terms["optimizer_s"] == other["optimizer_s"]
    if "capacity=1.0" in routing:
        assert routed.step_s == pytest.approx(plain.step_s)
    else:
        assert terms["expert_comm_s"] > other["expert_comm_s"]
        assert routed.step_s > plain.step_s
        assert routed.memory_bytes > plain.memory_bytes
    assert routing_note(with_routing(job, routing))
    assert not routing_note(job)


@pytest.mark.parametrize(
    ("overlap", "fix"), [("dq=1", "dp"), ("dp=2", "0.5"), ("dp=0.1,dp=1", "one"), ("tp", "tp=0.5"), ("dp=-1", "off")]
)
def test_an_overlap_that_is_none_is_refused(overlap: str, fix: str) -> None:
    with pytest.raises(InputError) as refused:
        with_overlap(STACK, overlap)
    assert fix in refused.value.fix


@given(layout=layouts)
@settings(max_examples=150, deadline=None, phases=QUICK)
def test_what_does_not_divide_is_a_reason_and_never_a_rounding(layout) -> None:
    """Either every size divides what it cuts, or the refusal says in words which does not."""
    for packed, spec in ((DENSE, model("llama-3-70b")), (MIXTURE, model("mixtral-8x7b"))):
        batch, seq = int(packed.run.global_batch), int(packed.run.seq)
        experts = spec.moe.experts if spec.moe else 0
        divides = (
            spec.heads % layout.tp == 0
            and batch % (layout.dp * layout.micro_batch) == 0
            and (layout.cp == 1 or seq % (2 * layout.cp) == 0)
            and (layout.ep == 1 or (experts > 0 and experts % layout.ep == 0))
            and layout.pp * layout.vpp <= spec.layers + 2
        )
        if _possible(packed, layout):
            assert divides
            estimate = estimate_packed(packed, layout, CHIP)
            assert sum(term.value for term in estimate.terms) == pytest.approx(estimate.step_s)
            continue
        with pytest.raises(InputError) as refused:
            estimate_packed(packed, layout, CHIP)
        assert any(reason and reason in refused.value.message for reason in REASONS)


@given(st.sampled_from(sorted(models())), st.sampled_from((1, 2, 3, 4, 6, 8, 12, 16)))
@settings(max_examples=80, deadline=None, phases=QUICK)
def test_stages_sum_to_the_model(name: str, stages: int) -> None:
    spec = model(name)
    if spec.layers < stages:
        return
    shape, row = shape_args(spec), layout_args(TrainLayout(pp=stages))
    assert sum(stage_layers(shape, row, float(s)) for s in range(stages)) == spec.layers
    if spec.moe and spec.moe.every == 1 and stage_layers(shape, row, 0.0) >= spec.moe.dense_layers:
        dense = sum(stage_dense_layers(shape, row, float(s)) for s in range(stages))
        assert spec.layers - dense == moe_layers(shape)


@given(st.sampled_from(sorted(name for name, spec in models().items() if spec.params_published and not spec.moe)))
@settings(max_examples=60, deadline=None, phases=QUICK)
def test_layers_and_ends_sum_to_the_parameters_of_the_model(name: str) -> None:
    """What the chips of a plain layout hold is the count of the model: within one in a thousand of the catalog's count."""
    spec = model(name)
    if spec.linear or spec.encoder_only:
        return
    shape, row = shape_args(spec), layout_args(TrainLayout())
    held = spec.layers * dense_layer_params(shape, row) + spec.embedding_params + spec.head_params
    assert held == pytest.approx(spec.params, rel=2e-3)


@given(
    st.sampled_from((0.0, 1.0, 2.0, 3.0, 4.0)),
    st.floats(0.1, 5.0),
    st.floats(0.1, 5.0),
    st.floats(0.1, 5.0),
    st.floats(0.01, 100.0),
)
@settings(max_examples=60, deadline=None, phases=QUICK)
def test_scaling_all_times_scales_the_bubble(schedule, forward, by_input, by_weight, factor) -> None:
    times = (forward, by_input, by_weight, 7.0 * (forward + by_input + by_weight))
    one = bubble_s(schedule, 8.0, 2.0, *times)
    assert bubble_s(schedule, 8.0, 2.0, *(factor * time for time in times)) == pytest.approx(factor * one)


@given(layout=even, factor=st.floats(0.1, 10.0))
@settings(max_examples=30, deadline=None, phases=QUICK)
def test_hardware_slower_throughout_scales_the_step(layout, factor) -> None:
    """All rates over f and all fixed times f-fold: the step takes f times as long."""
    if not _possible(DENSE, layout):
        return

    def slower(ops):
        for part in ("gemm", "attention", "memory", "link"):
            own = getattr(ops, part)
            changes = {name: value / factor for name, value in own._asdict().items() if name.endswith("_per_s")}
            changes |= {
                name: value * factor
                for name, value in own._asdict().items()
                if name.endswith("_s") and not name.endswith("_per_s")
            }
            ops = ops._replace(**{part: own._replace(**changes)})
        return ops

    run = DENSE.run._replace(
        launch_s=DENSE.run.launch_s * factor, step_overhead_s=DENSE.run.step_overhead_s * factor,
        owner_s=DENSE.run.owner_s * factor, hbm_bytes_per_s=DENSE.run.hbm_bytes_per_s / factor,
        host_bytes_per_s=DENSE.run.host_bytes_per_s / factor,
    )  # fmt: skip
    scaled = replace(DENSE, run=run, ops=slower(DENSE.ops), ops16=slower(DENSE.ops16))
    expected = factor * _step(DENSE, layout)
    assert _step(scaled, layout) == pytest.approx(expected, rel=0.02 if layout.zero_stage == 3 else 1e-6)


@given(st.floats(0.01, 100.0))
@settings(max_examples=20, deadline=None, phases=QUICK)
def test_scaling_all_times_scales_the_run(factor) -> None:
    args = RunArgs(1.0007e6, 2000.0, 20.0, 60.0, 30000.0, 600.0, 0.8, 86400.0, 3.0)
    times = RunArgs(*(value * factor if name.endswith("_s") else value for name, value in args._asdict().items()))
    random = draws(5, 200.0, 1)
    assert np.allclose(simulate_runs(times, random).calendar_s, factor * simulate_runs(args, random).calendar_s, rtol=1e-6)


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_more_tokens_scale_days_energy_and_cost(factor) -> None:
    def ask(tokens: float):
        return train(
            "llama-2-7b", tokens, "a100-sxm-80:64", global_batch=512, seq_len=4096, price_per_chip_h=1.5, layout="tp=2"
        )

    one, other = ask(1e11), ask(factor * 1e11)
    assert other.days == pytest.approx(factor * one.days)
    assert other.energy_j == pytest.approx(factor * one.energy_j)
    assert other.cost.amount == pytest.approx(factor * one.cost.amount)
    assert one.cost.amount == pytest.approx(one.days * 24.0 * one.chips * 1.5)
