"""First tokens of runs whose users start together: bursts, clusters, engines that schedule ahead, and cold engines."""

import heapq
from dataclasses import replace

import numpy as np
import pytest

from suanzhang.app.rows_serving import ServeCase, serve_case
from suanzhang.app.serve import estimate_serve
from suanzhang.app.serve_args import batch_rules, iteration_args
from suanzhang.app.serve_estimate import fitted, serve_memory
from suanzhang.app.serve_runs import run_settings
from suanzhang.app.serve_sim import simulate_serve
from suanzhang.catalog import chips, models, stacks
from suanzhang.evidence.rows import ServeRow, shipped_rows
from suanzhang.perf.serving.iteration import iteration_s
from suanzhang.perf.serving.rounds import cluster_ttft_s, queue_s
from suanzhang.spec.job import LengthSpec
from suanzhang.spec.layout import ServeLayout
from suanzhang.spec.serve import ClosedLoop, OpenLoop
from suanzhang.spec.stack import ServeStack

MODEL, CHIP, LAYOUT = models.model("llama-3.1-70b"), chips.chip("b200"), ServeLayout(tp=4)
SGLANG = replace(stacks.serve_stack("sglang-0.5.9"), request_s=0.0, request_per_seq_s=0.0)
TRTLLM = replace(stacks.serve_stack("trtllm-1.2"), request_s=0.0, request_per_seq_s=0.0)
ROUNDS, SPREAD = 10, 1.0 / 9.0


def _first_token_s(stack: ServeStack, users: int, isl: float, osl: float = 900.0) -> float:
    work = ClosedLoop(users, isl, osl, float(ROUNDS * users), together=True, spread=SPREAD)
    return estimate_serve(MODEL, CHIP, LAYOUT, stack, "fp8", "fp8", work).ttft_s.mean


def _step_by_step_s(stack: ServeStack, users: int, isl: float, osl: float = 900.0) -> float:
    """The same run, one iteration after the other, in plain Python."""
    args, _ = iteration_args(MODEL, CHIP, LAYOUT, stack, "fp8", "fp8", fitted())
    memory = serve_memory(MODEL, CHIP, LAYOUT, stack, "fp8", "fp8", ClosedLoop(users, isl, osl))
    rules, _ = batch_rules(stack, memory, LAYOUT, isl, osl)
    draws = np.random.default_rng(5)
    total = ROUNDS * users
    answers = np.round(osl * (1.0 + SPREAD * (2.0 * draws.random(total) - 1.0)))
    waiting = [(0.0, i) for i in range(users)]
    running: dict[int, float] = {}
    came, first = np.zeros(total), np.zeros(total)
    now = scheduled = 0.0
    sent, done, looks = users, 0, 0
    while done < total:
        if not running and waiting[0][0] > now:
            now = waiting[0][0]
        seen = scheduled if rules.ahead > 0.0 and running else now
        room = rules.budget - (len(running) if rules.mixed > 0.0 else 0)
        taken: list[int] = []
        if looks % int(rules.poll) == 0 or not running:
            while waiting and waiting[0][0] <= seen and (len(taken) + 1) * isl <= room:
                taken.append(heapq.heappop(waiting)[1])
        scheduled = now
        decoding = float(len(running)) if rules.mixed > 0.0 or not taken else 0.0
        now += iteration_s(float(len(taken)), len(taken) * isl, 0.0, decoding, decoding * (isl + 0.5 * osl), args)
        if decoding > 0.0 or not taken:
            looks += not taken
            for i in [i for i in running if running[i] <= 1.0]:
                del running[i]
                done += 1
                if sent < total:
                    came[sent] = now
                    heapq.heappush(waiting, (now, sent))
                    sent += 1
            for i in running:
                running[i] -= 1.0
        for i in taken:
            first[i], running[i] = now - came[i], answers[i] - 1.0
    return float(first.mean())


@pytest.mark.parametrize("users", [4, 32, 96])
@pytest.mark.parametrize("isl", [900.0, 7000.0])
@pytest.mark.parametrize("poll", [1.0, 30.0])
def test_prompts_first_agrees_with_a_simulation_of_every_step(users: int, isl: float, poll: float) -> None:
    stack = replace(SGLANG, poll_iterations=poll)
    assert _first_token_s(stack, users, isl) == pytest.approx(_step_by_step_s(stack, users, isl), rel=0.2)


@pytest.mark.parametrize("users", [4, 32, 96])
@pytest.mark.parametrize("isl", [900.0, 7000.0])
def test_mixed_iterations_agree_with_a_simulation_of_every_step(users: int, isl: float) -> None:
    assert _first_token_s(TRTLLM, users, isl) == pytest.approx(_step_by_step_s(TRTLLM, users, isl), rel=0.2)


def test_an_engine_that_schedules_ahead_lets_a_request_wait_one_iteration_longer() -> None:
    work = ClosedLoop(64.0, 900.0, 900.0)
    ahead = estimate_serve(MODEL, CHIP, LAYOUT, TRTLLM, "fp8", "fp8", work)
    behind = estimate_serve(MODEL, CHIP, LAYOUT, replace(TRTLLM, ahead_iterations=0.0), "fp8", "fp8", work)
    assert ahead.ttft_s.mean - behind.ttft_s.mean == pytest.approx(ahead.decode_iteration_s, rel=0.05)


def test_the_simulation_shows_the_same_wait() -> None:
    prompt, answer = LengthSpec("fixed", 900.0, 900.0), LengthSpec("fixed", 200.0, 200.0)
    work = OpenLoop(8.0, prompt, answer)
    stacks_ = (TRTLLM, replace(TRTLLM, ahead_iterations=0.0))
    found = [simulate_serve(MODEL, CHIP, LAYOUT, stack, "fp8", "fp8", work, requests=400)[0] for stack in stacks_]
    wait = found[0].ttft_s.mean - found[1].ttft_s.mean
    assert 0.8 * found[0].decode_iteration_s < wait < 2.0 * found[0].decode_iteration_s


def test_a_lone_user_meets_an_idle_engine() -> None:
    behind = replace(TRTLLM, ahead_iterations=0.0)
    one = ClosedLoop(1.0, 900.0, 900.0)
    found = [estimate_serve(MODEL, CHIP, LAYOUT, stack, "fp8", "fp8", one).ttft_s.mean for stack in (TRTLLM, behind)]
    assert found[0] == pytest.approx(found[1])


def test_a_cold_engine_stands_still_only_where_the_burst_cuts_a_prompt() -> None:
    cold = replace(SGLANG, first_use_s=50.0)
    few, many = 4, 64
    assert _first_token_s(cold, few, 900.0) == pytest.approx(_first_token_s(SGLANG, few, 900.0))
    assert _first_token_s(cold, many, 900.0) - _first_token_s(SGLANG, many, 900.0) == pytest.approx(50.0 / ROUNDS)


def test_prompts_that_share_an_iteration_with_decoding_make_a_burst_longer() -> None:
    small = replace(TRTLLM, max_batched_tokens=1100)
    assert _first_token_s(small, 64, 900.0) > 1.05 * _first_token_s(TRTLLM, 64, 900.0)


def test_a_window_too_narrow_for_its_prompts_waits_for_what_is_too_much() -> None:
    assert queue_s(100.0, 1000.0, 1.0) == pytest.approx(0.5 * 0.1 / 0.9)
    assert queue_s(100.0, 1.0, 1.0) == pytest.approx(0.5 * 99.0 + 4.0)


def test_a_narrow_cluster_is_computed_at_one_look() -> None:
    args, _ = iteration_args(MODEL, CHIP, LAYOUT, SGLANG, "fp8", "fp8", fitted())
    memory = serve_memory(MODEL, CHIP, LAYOUT, SGLANG, "fp8", "fp8", ClosedLoop(64.0, 900.0, 300.0))
    rules, _ = batch_rules(SGLANG, memory, LAYOUT, 900.0, 300.0)
    narrow, wide = (cluster_ttft_s(64.0, window, 900.0, 0.01, rules, args) for window in (0.01, 10.0))
    assert narrow > 3.0 * wide > 0.0


def test_scripts_change_with_the_day_of_the_run_and_compute_from_the_load() -> None:
    texts = {"source": "x (InferenceX database dump)", "engine": "trtllm", "model": "DeepSeek-R1-0528"}
    numbers = {"isl": 922.0, "osl": 922.0, "users": 128.0, "tp": 8.0, "dp": 1.0, "ep": 1.0}
    old = run_settings({**texts, "measured": "2025-11-02"}, numbers, "fp4", False)
    new = run_settings({**texts, "measured": "2026-02-03"}, numbers, "fp4", False)
    assert old["max_batched_tokens"] == pytest.approx(128 + 1024 + 64, abs=4)
    assert "max_batched_tokens" not in new
    groups = run_settings({**texts, "measured": "2026-02-03"}, {**numbers, "tp": 1.0, "dp": 8.0}, "fp4", False)
    assert (groups["hold_iterations"], groups["hold_tokens"]) == (60, 8 * 922)


def test_a_row_without_a_version_runs_on_an_engine_of_its_day() -> None:
    rows = [row for row in shipped_rows("serving") if isinstance(row, ServeRow)]
    unversioned = [row for row in rows if row.engine == "vllm" and "measured 2025-10" in row.notes]
    cases = [case for row in unversioned[:20] if isinstance(case := serve_case(row), ServeCase)]
    assert cases
    assert {case.stack.id for case in cases} == {"vllm-0.10"}
    assert {case.stack.ahead_iterations for case in cases} == {1.0}
