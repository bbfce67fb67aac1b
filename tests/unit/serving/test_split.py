"""Prefill and decode on chips of their own."""

from __future__ import annotations

import pytest
from serving_shapes import H100, LLAMA_70B, VLLM

from suanzhang.app.serve_estimate import estimate_serve
from suanzhang.spec.layout import ServeLayout
from suanzhang.spec.serve import ClosedLoop, ServeCoefficients, ServeEstimate, Split

PLAIN = ServeCoefficients()
TP4 = ServeLayout(tp=4)


def _split(users: float, prefills: int, decodes: int, isl: float = 4096.0) -> ServeEstimate:
    work = ClosedLoop(users, isl, 256.0, split=Split(TP4, prefills, decodes))
    return estimate_serve(LLAMA_70B, H100, TP4, VLLM, "bf16", "bf16", work, PLAIN)


def test_prompts_do_not_hold_up_decoding() -> None:
    together = estimate_serve(LLAMA_70B, H100, TP4, VLLM, "bf16", "bf16", ClosedLoop(32.0, 4096.0, 256.0), PLAIN)
    assert _split(32.0, 8, 1).tpot_s.mean < 0.9 * together.tpot_s.mean


def test_too_few_prefill_workers_make_requests_wait() -> None:
    starved, ample = _split(64.0, 1, 4), _split(64.0, 16, 4)
    assert starved.ttft_s.mean > 3.0 * ample.ttft_s.mean
    assert starved.requests_per_s < ample.requests_per_s
    assert starved.running_batch < ample.running_batch


def test_users_are_all_somewhere() -> None:
    found = _split(64.0, 2, 4)
    assert found.requests_per_s * found.e2e_s.mean == pytest.approx(64.0 / 4, rel=0.02)
