"""The search of the verb against plain Python: every axis in nested loops, every layout by the scalar formulas."""

from __future__ import annotations

import itertools
import math

import pytest

from suanzhang.app.train_model import pack
from suanzhang.app.train_search import search_layouts
from suanzhang.catalog.chips import chip
from suanzhang.catalog.models import model
from suanzhang.catalog.stacks import train_stack
from suanzhang.perf.training.args import LayoutArgs
from suanzhang.perf.training.batch import explain_step
from suanzhang.perf.training.feasible import layout_reason
from suanzhang.perf.training.memory import fullest_stage_bytes
from suanzhang.perf.training.pack import layout_args
from suanzhang.perf.training.step import step_total_s
from suanzhang.search.space import Axes
from suanzhang.spec.job import TrainJob

CASES = {
    "dense on eight": (
        "gpt3-6.7b", "a100-sxm-80", 8, 2048, 64,
        Axes((1, 2, 4, 8), (1, 2, 4), vpp=(1, 2), micro_batch=(1, 2, 4)),
    ),
    "odd count": ("gpt3-2.7b", "v100-sxm2-32", 12, 2048, 96, Axes((1, 2, 4), (1, 2, 3), vpp=(1, 2), micro_batch=(1, 2, 8))),
    "offloaded on one": (
        "gpt3-6.7b", "a100-sxm-80", 1, 2048, 16,
        Axes((1,), (1,), micro_batch=(1, 2, 4), offload_optimizer=(0, 1), offload_activations=(0, 1)),
    ),
    "mixture": (
        "mixtral-8x7b", "h100-sxm-80", 32, 4096, 64,
        Axes((1, 2, 4), (1, 2, 4), ep=(1, 2, 8), etp=(1, 0), vpp=(1, 2), sp=(1, 0), zero=(0, 1), micro_batch=(1, 2)),
    ),
    "long context": (
        "llama-3-8b", "h100-sxm-80", 16, 32768, 16,
        Axes((1, 2, 4, 8), (1, 2), cp=(1, 2, 4), zero=(0, 1, 3), micro_batch=(1,), schedule=(1, 3), overlap_dp=(0, 1)),
    ),
    "heads exchanged": (
        "llama-3-8b", "h100-sxm-80", 32, 32768, 32,
        Axes((1, 2, 8), (1, 2), cp=(1, 2, 4, 8), zero=(0, 1), micro_batch=(1,), cp_a2a=(0, 1)),
    ),
}  # fmt: skip


def _plain(packed, job: TrainJob, axes: Axes, chips: int):
    """The fastest layout by nested loops, in the terms of a reader: what does not divide is passed over."""
    best = (math.inf, None)
    looked = 0
    for tp, pp, cp, ep, etp, vpp in itertools.product(axes.tp, axes.pp, axes.cp, axes.ep, axes.etp, axes.vpp):
        if chips % (tp * pp * cp) or pp * vpp > job.model.layers:
            continue
        dp = chips // (tp * pp * cp)
        for sp, zero, size, again, schedule, odp, otp, opp, oo, oa, a2a in itertools.product(
            axes.sp, axes.zero, axes.micro_batch, axes.recompute, axes.schedule, axes.overlap_dp, axes.overlap_tp,
            axes.overlap_pp, axes.offload_optimizer, axes.offload_activations, axes.cp_a2a,
        ):  # fmt: skip
            if (
                (sp and tp == 1)
                or (zero and dp * cp == 1)
                or (zero >= 2 and pp > 1)
                or (a2a and cp == 1)
                or (schedule == 3 and (pp == 1 or vpp > 1))
            ):
                continue
            if odp and 0 in axes.overlap_dp and dp * cp == 1:  # the same layout stands without the overlap
                continue
            if vpp > 1 and (pp == 1 or job.global_batch % (dp * size * pp)):
                continue
            row = LayoutArgs(*map(float, (
                tp, pp, dp, cp, ep, etp or tp, vpp, sp, zero, size, again, 0, 2 if vpp > 1 else schedule, odp, otp, opp, oo, oa,
                a2a,
            )))  # fmt: skip
            if layout_reason.py_func(packed.shape, packed.run, row) > 0.0:
                continue
            micro_batches = job.global_batch / (dp * size)
            looked += 1
            if fullest_stage_bytes(packed.shape, packed.run, row, micro_batches, packed.run.capacity) > packed.run.hbm_bytes:
                continue
            step = step_total_s(explain_step(packed.shape, packed.run, row, packed.ops, packed.ops16, packed.fit))
            best = min(best, (step, row), key=lambda found: found[0])
    return best, looked


@pytest.mark.parametrize("name", CASES)
def test_the_scan_finds_what_plain_loops_find(name: str) -> None:
    known, kind, chips, seq, batch, axes = CASES[name]
    job = TrainJob(name, model(known), 1e11, seq, batch, "fp16" if "v100" in kind else "bf16")
    packed = pack(job, chip(kind), train_stack("megatron-lm-2024"))
    (step, row), looked = _plain(packed, job, axes, chips)
    found = search_layouts(packed, job, axes, (chips,), 1)
    assert looked > 10
    assert found.evaluated == looked
    assert found.step_s[0] == pytest.approx(step, rel=1e-12)
    again = explain_step(packed.shape, packed.run, layout_args(found.layouts[0]), packed.ops, packed.ops16, packed.fit)
    assert step_total_s(again) == pytest.approx(step, rel=1e-12)
    assert row is not None
