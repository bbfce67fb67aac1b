"""What an optimizer costs: states, Newton-Schulz of Muon, and unpacking of 4-bit weights."""

from dataclasses import replace

import pytest

from suanzhang.app.physics import operator_args
from suanzhang.app.train_model import estimate_train
from suanzhang.catalog.chips import chip
from suanzhang.catalog.models import model
from suanzhang.catalog.stacks import train_stack
from suanzhang.perf.gemm import gemm_s
from suanzhang.perf.training.optimizer import newton_schulz_s
from suanzhang.perf.training.pack import run_args
from suanzhang.spec.job import TrainJob
from suanzhang.spec.layout import TrainLayout
from suanzhang.spec.train import TrainEstimate

H100, STACK = chip("h100-sxm-80"), train_stack("megatron-lm-2025")
JOB = TrainJob("job", model("llama-2-13b"), 1e12, 4096, 256, "bf16")
LAYOUT = TrainLayout(tp=4, pp=4, dp=4, zero_stage=0)


def _run(layout: TrainLayout = LAYOUT, job: TrainJob = JOB, **changed: object) -> TrainEstimate:
    return estimate_train(replace(job, **changed), H100, layout, STACK)  # type: ignore[arg-type]


def _term(found: TrainEstimate, name: str) -> float:
    return next(term.value for term in found.terms if term.name == name)


def _states(found: TrainEstimate, stage: int) -> float:
    return next(part.value for part in found.memory[stage].parts if part.name == "optimizer")


def test_newton_schulz_is_five_times_three_products_on_the_short_side() -> None:
    ops = operator_args(H100, "bf16", STACK.profile)
    m, n = 5120.0, 13824.0
    once = gemm_s(m, m, n, 1.0, ops.gemm) + gemm_s(m, m, m, 1.0, ops.gemm) + gemm_s(m, n, m, 1.0, ops.gemm)
    assert newton_schulz_s(m, n, ops) == pytest.approx(5.0 * once)
    assert newton_schulz_s(n, m, ops) == newton_schulz_s(m, n, ops)
    flop = 5.0 * (4.0 * m * m * n + 2.0 * m**3)
    assert 0.4 < flop / newton_schulz_s(m, n, ops) / H100.peak_flop_per_s["bf16"] < 1.0


def test_muon_takes_longer_than_sgd_by_its_products_and_less_where_the_matrices_are_shared_out() -> None:
    sgd, muon = _run(optimizer="sgd"), _run(optimizer="muon")
    extra = _term(muon, "optimizer_s") - _term(sgd, "optimizer_s")
    assert extra > 0.0
    spec = JOB.model
    layers = spec.layers / LAYOUT.pp
    per_layer = 5.0 * (4 * (4.0 + 2.0) * spec.hidden**3 + 3 * (4.0 * spec.hidden**2 * spec.ffn + 2.0 * spec.hidden**3))
    assert extra > layers * per_layer / LAYOUT.tp / H100.peak_flop_per_s["bf16"]
    shared = _run(replace(LAYOUT, zero_stage=1), optimizer="muon")
    own = _run(replace(LAYOUT, zero_stage=1), optimizer="sgd")
    assert 0.0 < _term(shared, "optimizer_s") - _term(own, "optimizer_s") < extra


def test_muon_keeps_one_momentum_and_two_moments_of_the_ends() -> None:
    sgd, muon, adam = (_run(optimizer=name) for name in ("sgd", "muon", "adam"))
    assert _states(muon, 1) == _states(sgd, 1) < _states(adam, 1)
    ends = JOB.model.vocab * JOB.model.hidden / LAYOUT.tp
    assert _states(muon, 0) - _states(sgd, 0) == pytest.approx(4.0 * ends, rel=0.01)
    assert _states(muon, 0) < _states(adam, 0)


def test_a_mixture_takes_newton_schulz_of_its_experts() -> None:
    job = TrainJob("moe", model("mixtral-8x7b"), 1e12, 4096, 256, "bf16")
    layout = TrainLayout(tp=1, pp=4, dp=16, ep=8, zero_stage=1)
    muon, sgd = _run(layout, job, optimizer="muon"), _run(layout, job, optimizer="sgd")
    assert _term(muon, "optimizer_s") > _term(sgd, "optimizer_s")


def test_adafactor_keeps_no_moment_per_parameter() -> None:
    master = run_args(replace(JOB, optimizer="adam"), H100, STACK, 8.0).optimizer_bytes - 8.0
    assert run_args(replace(JOB, optimizer="adafactor"), H100, STACK, 8.0).optimizer_bytes == master
    assert run_args(replace(JOB, optimizer="adam8bit"), H100, STACK, 8.0).optimizer_bytes - master == pytest.approx(
        2.0, abs=0.01
    )


def test_qlora_pays_for_unpacking_and_neither_has_weight_gradients_of_frozen_weights() -> None:
    layout = TrainLayout(tp=1, pp=1, dp=8, zero_stage=1)
    lora, qlora = (_run(layout, JOB, method=method, global_batch=64) for method in ("lora", "qlora"))
    full = _run(replace(layout, zero_stage=3), JOB, global_batch=64)
    assert qlora.step_s > lora.step_s
    assert qlora.memory_bytes < lora.memory_bytes
    assert _term(lora, "backward_weight_s") < 0.05 * _term(full, "backward_weight_s")
    assert _term(qlora, "backward_weight_s") == _term(lora, "backward_weight_s")
