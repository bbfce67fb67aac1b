"""Sharing groups, alignment, power and expert overlap: each changes what it should, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from suanzhang.app.train_coefficients import KERNELS, power_factor, shipped_coefficients
from suanzhang.app.train_model import estimate_train
from suanzhang.catalog.chips import chip
from suanzhang.catalog.models import model
from suanzhang.catalog.stacks import train_stack, train_stacks
from suanzhang.perf.training.layer import MISALIGNED, ODD, aligned_dim
from suanzhang.spec.job import TrainJob
from suanzhang.spec.layout import TrainLayout

A100 = chip("a100-sxm-80")
JOB = TrainJob("7b", model("llama-2-7b"), 1e12, 2048, 1024, "bf16")
WIDE = TrainLayout(dp=256, micro_batch=2, recompute="none", zero_stage=1)


def term(estimate, name: str) -> float:
    return next(item.value for item in estimate.terms if item.name == name)


def test_a_sharing_group_trades_memory_for_traffic():
    stack = train_stack("internevo-2023")
    whole = estimate_train(JOB, A100, WIDE, stack)
    group = estimate_train(JOB, A100, replace(WIDE, shard_ranks=8), stack)
    assert group.memory_bytes > whole.memory_bytes
    assert term(group, "data_comm_s") < term(whole, "data_comm_s")
    assert term(group, "forward_s") == term(whole, "forward_s")


def test_a_group_of_all_ranks_is_no_group():
    stack = train_stack("megatron-lm-2024")
    assert (
        estimate_train(JOB, A100, replace(WIDE, shard_ranks=256), stack).step_s == estimate_train(JOB, A100, WIDE, stack).step_s
    )


@pytest.mark.parametrize(("head", "factor"), [(128.0, 1.0), (104.0, 1.0), (108.0, MISALIGNED), (225.0, ODD)])
def test_heads_that_do_not_fill_sixteen_bytes_are_slow(head: float, factor: float):
    assert aligned_dim(head) == head * factor


def test_less_power_makes_products_slower_and_more_never_beyond_bounds():
    h100 = chip("h100-sxm-80")
    assert power_factor(h100) == pytest.approx(1.0, abs=0.01)
    slower = power_factor(chip("h100-sxm-96"))
    assert slower == pytest.approx(((500 / 700 - 0.4) / 0.6) ** (-1 / 3), rel=0.01)
    assert slower > (700 / 500) ** (1 / 3), "memory and links take their power first"
    assert power_factor(replace(h100, tdp_w=100.0)) == 1.35, "less than what does not follow the clock"
    assert 0.85 <= power_factor(chip("h20-96")) < 1.0
    assert power_factor(replace(h100, tdp_w=0.0)) == 1.0


def test_boards_of_ampere_with_power_to_spare_run_at_the_ceiling_of_their_clock():
    a100 = chip("a100-sxm-80")
    assert power_factor(a100) == power_factor(replace(a100, tdp_w=500.0)) == 1.0
    assert power_factor(replace(a100, tdp_w=300.0)) == pytest.approx(271.2 / 252.9, rel=0.01), "best rates of both boards"
    assert 1.15 < power_factor(replace(a100, tdp_w=250.0)) < 1.25


def test_every_stack_names_a_family_whose_factor_ships_and_changes_products_alone():
    fit = shipped_coefficients()
    assert {stack.kernels for stack in train_stacks().values()} <= set(KERNELS)
    assert all(0.8 < fit.gemm[family] < 1.25 for family in KERNELS)
    plain, fused = fit.on(A100, "bf16"), fit.on(A100, "bf16", "megatron-fused")
    assert fused.gemm == pytest.approx(plain.gemm * fit.gemm["megatron-fused"])
    assert fused._replace(gemm=plain.gemm) == plain


def test_expert_traffic_hides_as_far_as_the_stack_lets_it():
    job = TrainJob("v3", model("deepseek-v3"), 1e12, 4096, 8192, "bf16")
    layout = TrainLayout(tp=1, pp=8, dp=128, ep=64, etp=1, zero_stage=1, recompute="selective")
    stack = train_stack("megatron-lm-2025")
    exposed = term(estimate_train(job, chip("h100-sxm-80"), layout, stack), "expert_comm_s")
    hidden = term(estimate_train(job, chip("h100-sxm-80"), layout, replace(stack, overlap_ep=0.8)), "expert_comm_s")
    assert 0.1 * exposed < hidden < exposed


def test_a_sharded_pipeline_keeps_what_it_gathered():
    layout = TrainLayout(tp=8, pp=4, dp=8, zero_stage=3, micro_batch=1, recompute="full")
    job = TrainJob("70b", model("llama-3-70b"), 1e12, 8192, 256, "bf16")
    stack = train_stack("torchtitan-2024")
    sharded, plain = (estimate_train(job, A100, replace(layout, zero_stage=stage), stack) for stage in (3, 1))
    assert sharded.memory_bytes > 0.5 * plain.memory_bytes
    assert term(sharded, "data_comm_s") < 5.0 * term(plain, "data_comm_s")
