"""Prompts that share an iteration, layouts that a benchmark's script chose, experts that are no fused program."""

import heapq
from dataclasses import replace

import numpy as np
import pytest

from suanzhang.app.serve import estimate_serve
from suanzhang.app.serve_runs import run_layout, run_settings
from suanzhang.catalog import chips, models, stacks
from suanzhang.perf.serving.steady import Pace, balanced_iterations, gated_wait_s
from suanzhang.spec.layout import ServeLayout
from suanzhang.spec.serve import ClosedLoop, StaticBatch

TRTLLM = stacks.serve_stack("trtllm-1.2")
INFERENCEX = {"source": "x (InferenceX database dump)", "engine": "trtllm", "model": "DeepSeek-R1-0528"}


def _wait_step_by_step_s(rate: float, decode_s: float, extra_s: float) -> float:
    """Mean wait beyond decoding and the own prompt, one iteration after the other."""
    draws = np.random.default_rng(3)
    total, count, length = 0.0, 0, decode_s
    for _ in range(200_000):
        came = draws.poisson(rate * length)
        following = decode_s + came * extra_s
        if came:
            total += float(np.sum(length - draws.uniform(0.0, length, came))) + came * (following - decode_s - extra_s)
            count += came
        length = following
    return total / count


@pytest.mark.parametrize("rate", [2.0, 16.0, 40.0])
def test_prompts_of_one_iteration_wait_for_each_other(rate: float) -> None:
    pace = Pace(0.025, 0.012, 0.037, 0.014)
    assert gated_wait_s(rate, 0.0, pace) == pytest.approx(_wait_step_by_step_s(rate, 0.025, 0.012), rel=0.02)


def test_a_lone_prompt_waits_for_half_an_iteration() -> None:
    assert gated_wait_s(1e-9, 0.0, Pace(0.03, 0.01, 0.04, 0.01)) == pytest.approx(0.015, rel=1e-6)


@pytest.mark.parametrize(
    ("numbers", "dtype", "found"),
    [
        ({"isl": 922.0, "osl": 922.0, "users": 8.0, "tp": 8.0}, "fp4", ServeLayout(tp=8)),
        ({"isl": 922.0, "osl": 922.0, "users": 64.0, "tp": 8.0}, "fp4", ServeLayout(tp=8, ep=8)),
        ({"isl": 922.0, "osl": 922.0, "users": 256.0, "tp": 4.0}, "fp4", ServeLayout(tp=1, dp=4, ep=4)),
        ({"isl": 7373.0, "osl": 922.0, "users": 64.0, "tp": 8.0}, "fp4", ServeLayout(tp=1, dp=8, ep=8)),
        ({"isl": 7373.0, "osl": 922.0, "users": 16.0, "tp": 8.0}, "fp8", ServeLayout(tp=8, ep=8)),
    ],
)
def test_the_script_chose_the_layout_by_the_load(numbers: dict[str, float], dtype: str, found: ServeLayout) -> None:
    plain = ServeLayout(tp=int(numbers["tp"]))
    texts = {**INFERENCEX, "measured": "2025-11-02"}
    numbers = {**numbers, "dp": 1.0, "ep": 1.0}
    assert run_layout(plain, texts, numbers, dtype, False) == found
    assert run_layout(plain, {**texts, "measured": "2025-11-03"}, numbers, dtype, False) == plain
    assert run_layout(plain, {**texts, "source": "another"}, numbers, dtype, False) == plain


def test_a_stated_layout_stays() -> None:
    texts = {**INFERENCEX, "measured": "2025-11-02"}
    stated = ServeLayout(tp=8, ep=4)
    assert run_layout(stated, texts, {"isl": 922.0, "osl": 922.0, "users": 64.0, "tp": 8.0}, "fp4", False) == stated


def test_experts_under_python_take_kernels_and_copies() -> None:
    texts = {**INFERENCEX, "measured": "2025-12-15"}
    settings = run_settings(texts, {"isl": 922.0, "osl": 922.0, "users": 8.0, "tp": 8.0, "dp": 1.0}, "fp8", False)
    assert (settings["expert_kernels"], settings["expert_copies"]) == (15, 11)
    model, chip, layout = models.model("deepseek-v3"), chips.chip("b200"), ServeLayout(tp=8, ep=8)
    parts = replace(TRTLLM, expert_kernels=15.0, expert_copies=11.0)
    for work in (ClosedLoop(8.0, 900.0, 900.0), StaticBatch(64, 900.0, 128.0)):
        fused = estimate_serve(model, chip, layout, TRTLLM, "fp8", "fp8", work)
        apart = estimate_serve(model, chip, layout, parts, "fp8", "fp8", work)
        assert 1.05 < apart.tpot_s.mean / fused.tpot_s.mean < 1.6
        assert apart.ttft_s.mean > fused.ttft_s.mean


def test_a_dense_model_knows_nothing_of_it() -> None:
    model, chip, layout = models.model("llama-3.1-70b"), chips.chip("b200"), ServeLayout(tp=4)
    work = ClosedLoop(8.0, 900.0, 900.0)
    parts = replace(TRTLLM, expert_kernels=15.0, expert_copies=11.0)
    fused, apart = (estimate_serve(model, chip, layout, stack, "fp8", "fp8", work) for stack in (TRTLLM, parts))
    assert apart.ttft_s.mean == fused.ttft_s.mean


def _starts_step_by_step(users: int, osl: int, groups: int, hold: int, each: int) -> float:
    """Mean wait of prompts before groups that start together, one iteration after the other."""
    draws = np.random.default_rng(0)
    waiting: list[list[int]] = [[] for _ in range(groups)]
    active = [users // groups] * groups
    ends = [(int(draws.uniform(1, osl)), index % groups) for index in range(users)]
    heapq.heapify(ends)
    waits: list[int] = []
    step = count = 0
    while len(waits) < 30 * users:
        step += 1
        while ends and ends[0][0] <= step:
            active[heapq.heappop(ends)[1]] -= 1
            least = min(active)
            group = int(draws.choice([index for index in range(groups) if active[index] == least]))
            active[group] += 1
            waiting[group].append(step)
        count = 0 if all(waiting) else count + 1
        if count not in (0, hold):
            continue
        count = 0
        for group, queue in enumerate(waiting):
            for came in queue[:each]:
                waits.append(step - came)
                heapq.heappush(ends, (step + int(osl * draws.uniform(8 / 9, 10 / 9)), group))
            del queue[:each]
    return float(np.mean(waits[len(waits) // 5 :]))


@pytest.mark.parametrize(
    ("users", "osl", "groups", "each"),
    [
        (64, 922, 8, 1),
        (128, 922, 8, 1),
        (256, 922, 8, 1),
        (256, 922, 4, 1),
        (256, 922, 8, 8),
        (256, 922, 4, 8),
        (256, 7373, 8, 1),
    ],
)
def test_groups_that_wait_for_each_other_follow_every_step(users: int, osl: int, groups: int, each: int) -> None:
    found = balanced_iterations(users / osl, float(groups), 60.0, float(each))
    assert found == pytest.approx(_starts_step_by_step(users, osl, groups, 60, each), rel=0.15)
