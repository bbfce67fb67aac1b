"""What is known before a run about how far off its prediction may be: the traits that intervals are drawn by.

Each trait is a plain number, mostly a share between 0 and 1, of the question and of our own estimate; none needs a measurement.
"""

from __future__ import annotations

import math

from suanzhang.spec.layout import TrainLayout
from suanzhang.spec.serve import ClosedLoop, OpenLoop, ServeEstimate, StaticBatch, Workload
from suanzhang.spec.stack import ServeStack
from suanzhang.spec.train import TrainEstimate

NARROW = frozenset({"fp8", "fp4", "int8", "int4"})
NEAR_SATURATION = 0.8
"""Share of the capacity from which on waiting times of an open loop are mostly queue."""
_COMMUNICATION = ("tensor_comm_s", "context_comm_s", "expert_comm_s", "pipeline_comm_s", "data_comm_s")


def train_traits(
    estimate: TrainEstimate, layout: TrainLayout, precision: str, *, mixture: bool, adapters: bool, open_points: int = 0
) -> dict[str, float]:
    """Traits of a training question.

    Args:
        estimate: our estimate of it.
        layout: the layout.
        precision: arithmetic of the products.
        mixture: the model is a mixture of experts.
        adapters: only adapters are trained.
        open_points: settings that the question leaves to a default.
    """
    terms = {term.name: term.value for term in estimate.terms}
    step = max(estimate.step_s, 1e-12)
    return {
        "launch share": min(terms.get("launch_s", 0.0) / step, 1.0),
        "communication share": min(sum(terms.get(name, 0.0) for name in _COMMUNICATION) / step, 1.0),
        "bubble share": min(terms.get("bubble_s", 0.0) / step, 1.0),
        "mixture": float(mixture),
        "adapters": float(adapters),
        "narrow arithmetic": float(precision in NARROW),
        "one chip": float(layout.chips == 1),
        "open points": float(min(open_points, 1)),
    }


def serve_traits(
    estimate: ServeEstimate,
    workload: Workload,
    stack: ServeStack,
    *,
    mixture: bool,
    open_points: int = 0,
) -> dict[str, float]:
    """Traits of a serving question.

    Args:
        estimate: our estimate of one replica.
        workload: what the replica is given.
        stack: engine generation.
        mixture: the model is a mixture of experts.
        open_points: settings that the question leaves to a default.
    """
    kinds: dict[str, float] = {}
    for term in estimate.terms:
        kind = "host" if term.name in {"launch", "host"} else "communication" if term.name.endswith("_comm") else "other"
        kinds[kind] = kinds.get(kind, 0.0) + term.value
    whole = max(sum(kinds.values()), 1e-12)
    isl, osl = (workload.input.mean, workload.output.mean) if isinstance(workload, OpenLoop) else (workload.isl, workload.osl)
    full = estimate.running_batch >= 0.999 * estimate.batch_limit
    return {
        "host share": kinds.get("host", 0.0) / whole,
        "communication share": kinds.get("communication", 0.0) / whole,
        "static batch": float(isinstance(workload, StaticBatch)),
        "open loop": float(isinstance(workload, OpenLoop)),
        "near saturation": float(isinstance(workload, OpenLoop) and estimate.utilisation >= NEAR_SATURATION),
        "cache full": float(full and estimate.batch_limited_by == "kv-capacity" and not isinstance(workload, StaticBatch)),
        "all queued": float(isinstance(workload, ClosedLoop) and workload.concurrency > estimate.batch_limit),
        "mixture": float(mixture),
        "narrow weights": float(estimate.weight_dtype in NARROW),
        "one chip": float(estimate.chips == 1),
        "mixed batches": float(stack.mixed_batches),
        "prompt share": isl / (isl + 8.0 * osl),
        "batch": math.log2(max(estimate.running_batch, 1.0)) / 8.0,
        "split workers": float(isinstance(workload, ClosedLoop) and workload.split is not None),
        "open points": float(min(open_points, 1)),
    }
