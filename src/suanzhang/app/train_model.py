"""One step of one layout: from specs to the estimate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache

from suanzhang.app.physics import operator_args, operator_args_left_out
from suanzhang.app.train_coefficients import TrainCoefficients, coefficients_for
from suanzhang.errors import InputError, OutOfDomain
from suanzhang.perf.args import OperatorArgs
from suanzhang.perf.training.args import Coefficients, RunArgs, ShapeArgs, StepTerms
from suanzhang.perf.training.batch import explain_step
from suanzhang.perf.training.feasible import REASONS, layout_reason
from suanzhang.perf.training.flop import recomputed_flop_per_token, step_flop
from suanzhang.perf.training.memory import memory_total, stage_memory
from suanzhang.perf.training.optimizer import newton_times
from suanzhang.perf.training.pack import layout_args, run_args, shape_args
from suanzhang.perf.training.step import step_total_s
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.job import TrainJob
from suanzhang.spec.layout import TrainLayout
from suanzhang.spec.precision import precision_of
from suanzhang.spec.result import Term
from suanzhang.spec.stack import TrainStack
from suanzhang.spec.train import StageMemory, TrainEstimate

BOUND_BY = {
    "forward_s": "compute",
    "backward_input_s": "compute",
    "backward_weight_s": "compute",
    "recompute_s": "recompute",
    "embedding_head_s": "embedding and head",
    "launch_s": "host launch",
    "tensor_comm_s": "tensor-parallel communication",
    "context_comm_s": "context-parallel communication",
    "expert_comm_s": "expert all-to-all",
    "pipeline_comm_s": "pipeline messages",
    "bubble_s": "pipeline bubble",
    "data_comm_s": "data-parallel communication",
    "optimizer_s": "optimizer",
    "offload_s": "offload",
    "overhead_s": "framework overhead",
    "jitter_s": "stragglers",
}
"""What each term of a step means as a bound."""
_COMPUTE = ("forward_s", "backward_input_s", "backward_weight_s", "recompute_s", "embedding_head_s")
_FORMULA = "suanzhang.perf.training.step.step_terms"


@dataclass(frozen=True, slots=True)
class Packed:
    """Everything of a question that does not change with the layout, as the formulas take it.

    Args:
        shape, run: model, job, stack and chip.
        ops: operators at the dtype of the products.
        ops16: operators in 16 bit, for the head.
        fit: fitted coefficients.
        dense_peak: dense peak of the dtype in use [FLOP/s].
    """

    shape: ShapeArgs
    run: RunArgs
    ops: OperatorArgs
    ops16: OperatorArgs
    fit: Coefficients
    dense_peak: float


def sixteen_bit(chip: ChipSpec, precision: str) -> str:
    """The dtype of what is not quantised: the precision itself, or the chip's 16-bit format under 8 and 4 bit."""
    if precision_of(precision).value_bytes >= 2.0:
        return precision
    return "bf16" if "bf16" in chip.peak_flop_per_s else "fp16"


@lru_cache(maxsize=256)
def _operators(chip_id: str, dtype: str, profile: str, key: _ByIdentity) -> OperatorArgs:
    return operator_args(key.chip, dtype, profile)


class _ByIdentity:
    """A chip as a cache key: equal when it is the very same object (chips hold mappings, which do not hash)."""

    def __init__(self, chip: ChipSpec) -> None:
        self.chip = chip

    def __hash__(self) -> int:
        return id(self.chip)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByIdentity) and other.chip is self.chip


@lru_cache(maxsize=256)
def _operators_left_out(chip_id: str, dtype: str, profile: str, key: _ByIdentity) -> OperatorArgs:
    return operator_args_left_out(key.chip, dtype, profile)


_OPERATORS: ContextVar[Callable[[str, str, str, _ByIdentity], OperatorArgs]] = ContextVar("operators", default=_operators)


@contextmanager
def without_own_timings() -> Iterator[None]:
    """Answer what is asked inside as if the kernels of the chip had never been timed: by its relatives."""
    token = _OPERATORS.set(_operators_left_out)
    try:
        yield
    finally:
        _OPERATORS.reset(token)


def pack(
    job: TrainJob,
    chip: ChipSpec,
    stack: TrainStack,
    coefficients: TrainCoefficients | None = None,
    imbalance: float = 1.0,
) -> Packed:
    """The numbers of a question that all its layouts share.

    Raises:
        OutOfDomain: the chip lacks the arithmetic that the job asks for.
        InputError: a size that must be positive is not.
    """
    coefficients = coefficients or coefficients_for(job, chip, stack)
    key = _ByIdentity(chip)
    operators = _OPERATORS.get()
    ops = operators(chip.id, job.precision, stack.profile, key)
    ops16 = operators(chip.id, sixteen_bit(chip, job.precision), stack.profile, key)
    run = run_args(job, chip, stack, max(1.0, ops.link.node_chips), imbalance)
    shape = shape_args(job.model)
    if job.optimizer == "muon" and job.method == "full":
        newton = newton_times(shape, ops16)
        run = run._replace(
            newton_dense_s=newton.dense,
            newton_mixture_s=newton.mixture,
            newton_routed_s=newton.routed,
            newton_largest_s=newton.largest,
        )
    return Packed(shape, run, ops, ops16, coefficients.on(chip, job.precision, stack.kernels), chip.peak(job.precision))


def check_layout(packed: Packed, layout: TrainLayout) -> None:
    """Raise when a layout cannot be.

    Raises:
        InputError: what does not divide, in words.
    """
    reason = REASONS[int(layout_reason(packed.shape, packed.run, layout_args(layout)))] or _unmeant(packed, layout)
    if reason:
        raise InputError(
            f"layout {describe(layout)}: {reason}", fix="choose sizes that divide, or leave the layout out to search"
        )


def _unmeant(packed: Packed, layout: TrainLayout) -> str:
    """Why a layout says something that cannot be meant, empty when it does not. The search never makes such a layout."""
    if layout.zero_stage > 3:
        return f"there is no zero_stage {layout.zero_stage}"
    if layout.shard_ranks and layout.dp * layout.cp % layout.shard_ranks:
        return f"{layout.dp * layout.cp} data ranks do not divide by shard_ranks={layout.shard_ranks}"
    if layout.head_layers and not 0 < layout.head_layers <= packed.shape.layers // layout.pp * (layout.pp > 1):
        return f"the last of {layout.pp} stages cannot leave {layout.head_layers} layers to the others"
    if layout.etp not in (0, layout.tp) and not packed.shape.experts:
        return "etp without experts"
    return ""


def describe(layout: TrainLayout) -> str:
    """A layout in one short line."""
    parts = [f"tp={layout.tp}", f"pp={layout.pp}", f"dp={layout.dp}"]
    parts += [f"cp={layout.cp}"] if layout.cp > 1 else []
    parts += [f"cp_kind={layout.cp_kind}"] if layout.cp > 1 and layout.cp_kind != "ring" else []
    parts += [f"ep={layout.ep}"] if layout.ep > 1 else []
    parts += [f"vpp={layout.vpp}"] if layout.vpp > 1 else []
    parts += [f"head_layers={layout.head_layers}"] if layout.head_layers else []
    return ",".join([*parts, f"mbs={layout.micro_batch}", f"zero={layout.zero_stage}", f"recompute={layout.recompute}"])


def estimate_packed(packed: Packed, layout: TrainLayout, chip: ChipSpec) -> TrainEstimate:
    """The estimate of one layout of a packed question (see :func:`estimate_train`)."""
    check_layout(packed, layout)
    row = layout_args(layout)
    terms = explain_step(packed.shape, packed.run, row, packed.ops, packed.ops16, packed.fit)
    step_s = step_total_s(terms)
    flop = step_flop(packed.shape, packed.run)
    rate = step_s * layout.chips * packed.dense_peak
    again = recomputed_flop_per_token(packed.shape, packed.run, row) * packed.run.seq * packed.run.global_batch
    memory = _memory(packed, layout)
    worst = max(stage.total_bytes for stage in memory)
    compute = sum(getattr(terms, name) for name in _COMPUTE)
    named = tuple(Term(name, value, "s", _FORMULA) for name, value in terms._asdict().items())
    return TrainEstimate(
        layout=layout,
        chips=layout.chips,
        step_s=step_s,
        terms=named,
        memory=memory,
        memory_bytes=worst,
        fits=worst <= packed.run.hbm_bytes,
        mfu=flop / rate,
        hfu=(flop + again) / rate,
        tokens_per_s_per_chip=packed.run.seq * packed.run.global_batch / step_s / layout.chips,
        model_flop=flop,
        bound_by=_bound_by(terms),
        utilisation=compute / step_s,
        warnings=_warnings(packed, layout),
    )


def estimate_train(
    job: TrainJob,
    chip: ChipSpec,
    layout: TrainLayout,
    stack: TrainStack,
    coefficients: TrainCoefficients | None = None,
    imbalance: float = 1.0,
) -> TrainEstimate:
    """Time, memory and utilisation of one optimizer step of a layout.

    Args:
        job: what is trained; its global batch in sequences.
        chip: the chip.
        layout: the layout.
        stack: the generation of software.
        coefficients: fitted coefficients; those shipped when left out.
        imbalance: tokens of the fullest expert rank over the mean.

    Raises:
        InputError: the layout cannot be, with the reason.
        OutOfDomain: the chip lacks the arithmetic.
    """
    return estimate_packed(pack(job, chip, stack, coefficients, imbalance), layout, chip)


def _memory(packed: Packed, layout: TrainLayout) -> tuple[StageMemory, ...]:
    row = layout_args(layout)
    micro_batches = packed.run.global_batch / (row.dp * row.micro_batch)
    stages = []
    for stage in range(layout.pp):
        parts = stage_memory(packed.shape, packed.run, row, float(stage), micro_batches, packed.run.capacity)
        terms = tuple(
            Term(name, value, "bytes", "suanzhang.perf.training.memory.stage_memory") for name, value in parts._asdict().items()
        )
        stages.append(StageMemory(stage, memory_total(parts), terms))
    return tuple(stages)


def _bound_by(terms: StepTerms) -> str:
    sums: dict[str, float] = {}
    for name, value in terms._asdict().items():
        sums[BOUND_BY[name]] = sums.get(BOUND_BY[name], 0.0) + value
    return max(sums, key=lambda name: sums[name])


def _warnings(packed: Packed, layout: TrainLayout) -> tuple[str, ...]:
    warnings = []
    chunks = layout.pp * layout.vpp
    if packed.shape.layers % chunks and (packed.shape.layers + 2) % chunks == 0:
        warnings.append(f"embedding and head count as a layer each among {chunks} equal chunks")
    elif packed.shape.layers % layout.pp:
        warnings.append(
            f"{packed.shape.layers:.0f} layers do not divide by {layout.pp} stages: the fullest stage sets the pace"
        )
    elif packed.shape.layers % (layout.pp * layout.vpp):
        warnings.append(f"{packed.shape.layers:.0f} layers do not divide by {layout.pp * layout.vpp} chunks")
    if packed.run.global_batch / (layout.dp * layout.micro_batch) < layout.pp:
        warnings.append("fewer micro-batches than pipeline stages")
    return tuple(warnings)


__all__ = ["InputError", "OutOfDomain", "Packed", "check_layout", "describe", "estimate_packed", "estimate_train", "pack"]
