"""Power of a serving replica from how busy its arithmetic and its memory are."""

from __future__ import annotations

from suanzhang.perf.serving.args import IterationArgs
from suanzhang.perf.serving.iteration import iteration_terms
from suanzhang.perf.serving.steady import Steady
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.layout import ServeLayout
from suanzhang.spec.model import ModelSpec

IDLE_SHARE = 0.18
"""Draw of a chip with a loaded model and no work over its nameplate power [derived from idle readings of 70 to 140 W]."""
BUSY_SHARE = 0.30
"""Further draw over nameplate while any kernel runs, whatever it does [assumed]."""
GAP_SHARE = 0.5
"""Share of that step that falls away in the short gaps in which a chip waits for its host [chosen on metered runs]."""
COMPUTE_SHARE = 0.55
MEMORY_SHARE = 0.30
"""Further draw over nameplate at full arithmetic rate and at full memory bandwidth [assumed]."""


def replica_power_w(
    model: ModelSpec, chip: ChipSpec, layout: ServeLayout, args: IterationArgs, s: Steady, isl: float, osl: float
) -> float:
    """Mean draw of one chip of a replica in a steady state [W].

    Idle draw, a step while kernels run (less of it while the chip waits for its host), and parts that grow with the
    arithmetic and the memory traffic actually done.
    """
    tokens = s.requests_per_s * (isl + osl)
    flop = tokens * 2.0 * model.matmul_params / layout.chips
    compute = min(flop / args.ops.gemm_ffn.peak_flop_per_s, 1.0)
    per_iteration = (
        args.ops.gemm_ffn.weight_bytes * min(model.params, model.matmul_params * max(s.decoding, 1.0)) / layout.chips
    )
    per_iteration += s.decoding * (isl + 0.5 * osl) * model.kv_bytes_per_token(args.shape.kv_bytes) / layout.chips
    iterations = s.requests_per_s * osl / max(s.decoding, 1.0)
    memory = min(iterations * per_iteration / chip.hbm_bytes_per_s, 1.0)
    terms = iteration_terms(0.0, 0.0, 0.0, max(s.decoding, 1.0), max(s.decoding, 1.0) * (isl + 0.5 * osl), args)
    waiting = (terms.host + terms.launch) / sum(terms)
    busy = min(s.requests_per_s * s.e2e_s, 1.0) * (1.0 - GAP_SHARE * waiting)
    share = IDLE_SHARE + BUSY_SHARE * busy + COMPUTE_SHARE * compute + MEMORY_SHARE * memory
    return chip.tdp_w * min(share, 1.0)
