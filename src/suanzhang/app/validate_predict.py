"""What the planner predicts for a published row, beside what was measured."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from suanzhang.app.physics import physics
from suanzhang.app.rows_measured import serve_measured, states_metric
from suanzhang.app.rows_serving import ServeCase, serve_case
from suanzhang.app.rows_training import Skip, TrainCase, train_case
from suanzhang.app.validate_traits import serve_traits, train_traits
from suanzhang.errors import PlannerError
from suanzhang.evidence.conformal import Grade
from suanzhang.evidence.metrics import Residual
from suanzhang.evidence.rows import TrainRow, TruthRow
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.layout import Recompute
from suanzhang.spec.serve import OpenLoop, ServeEstimate, StaticBatch
from suanzhang.spec.stack import TrainStack
from suanzhang.spec.train import TrainEstimate

Case = TrainCase | ServeCase
EstimateTraining = Callable[[TrainCase], TrainEstimate]
EstimateServing = Callable[[ServeCase], ServeEstimate]

_LEAST_FIRST: tuple[Recompute, ...] = ("none", "selective", "full")
_BEYOND = 1.1
_DRAFTED = 8.0
_GRADES: Mapping[str, Grade] = {"measured": "calibrated", "relative": "relative", "physics": "physics-only"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """One row after validation.

    Args:
        row: the published row.
        counted: the row states at least one metric.
        skip: why it was not modelled; empty when it was.
        predicted, measured: metric to value in SI units.
        labels: group name to value.
        distance: from the calibrated range.
        fits: whether the planner says that it fits the memory; None when it does not say.
        ran: whether it ran, as published.
        bound_by: what the planner says limits it.
        flags: what was assumed about the row.
        flop: model operations of one step or one output token, for the one-constant baseline; 0 when not known.
        peak_flop_per_s: peak of all chips in the dtype of the row.
        memory_bytes: memory of one chip; 0 when not known.
        weights_s: time in which a chip reads its active weights once; 0 when not known.
        traits: what is known before the run about how far off we may be.
    """

    row: TruthRow
    counted: bool
    skip: str = ""
    predicted: Mapping[str, float] = field(default_factory=dict)
    measured: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    distance: float = 0.0
    fits: bool | None = None
    ran: bool = True
    bound_by: str = ""
    flags: tuple[str, ...] = ()
    flop: float = 0.0
    peak_flop_per_s: float = 0.0
    memory_bytes: float = 0.0
    weights_s: float = 0.0
    traits: Mapping[str, float] = field(default_factory=dict)

    @property
    def residuals(self) -> list[Residual]:
        """One residual for each metric that is both predicted and measured."""
        return [
            Residual(
                row_id=self.row.id,
                source=self.row.source,
                metric=metric,
                predicted=self.predicted[metric],
                measured=value,
                sweep=self.row.sweep,
                labels={**self.labels, "quality": self.row.quality},
                distance=self.distance,
                note="; ".join(self.flags),
                traits=self.traits,
            )
            for metric, value in self.measured.items()
            if metric in self.predicted
        ]


def case_of(row: TruthRow) -> Case | Skip:
    """The question behind a row of either phase, or why there is none."""
    return train_case(row) if isinstance(row, TrainRow) else serve_case(row)


_known_grades: dict[tuple[str, str, str], tuple[ChipSpec, Grade]] = {}
_known_train_grades: dict[tuple[str, str, str], tuple[ChipSpec, Grade]] = {}


def grade_of(chip: ChipSpec, dtype: str, profile: str = "") -> Grade:
    """Grade of the operator timings of a chip: calibrated on it, on a relative, or physics alone."""
    key = (chip.id, dtype, profile)
    known = _known_grades.get(key)
    if known is None or known[0] is not chip:
        known = _known_grades[key] = (chip, _GRADES[physics(chip, dtype, profile).origin])
    return known[1]


def train_grade_of(chip: ChipSpec, dtype: str, profile: str = "") -> Grade:
    """The same for training, where other architectures speak for a chip too little to be more than physics alone.

    What clocks a running step keeps is fitted by generation; a relative of another generation tells nothing of them.
    """
    key = (chip.id, dtype, profile)
    known = _known_train_grades.get(key)
    if known is None or known[0] is not chip:
        found = physics(chip, dtype, profile)
        grade: Grade = "physics-only" if found.grade == "assumed" else _GRADES[found.origin]
        known = _known_train_grades[key] = (chip, grade)
    return known[1]


def train_distance(chips: int, seq_len: int) -> float:
    """How far a training question is from the bulk of the published runs: decades beyond 1,024 chips, doublings beyond 16K."""
    return max(0.0, math.log10(max(chips, 1) / 1024.0)) + 0.5 * max(0.0, math.log2(max(seq_len, 1) / 16384.0))


def serve_distance(isl: float, chips: int) -> float:
    """How far a serving question is from the bulk: doublings of the prompt beyond 8K, doublings beyond one node of 8."""
    return 0.5 * max(0.0, math.log2(max(isl, 1.0) / 8192.0)) + 0.5 * max(0.0, math.log2(max(chips, 1) / 8.0))


def _reason(error: PlannerError) -> str:
    """Why a question has no answer, with its figures."""
    message = re.sub(r"^layout [^:]*: ", "layout: ", error.message)
    return f"{error.kind}: {message}"[:120]


_REFUSED = re.compile(r"[a-z]+: ")
"""How the reason of a question without an answer begins: with the kind of its error."""


def shared_reasons(reasons: Iterable[str]) -> dict[str, int]:
    """How many rows have each reason, the most first; those that differ in figures alone count as one, the first of them.

    Args:
        reasons: one of each row.
    """
    first: dict[str, str] = {}
    alike: dict[str, set[str]] = {}
    counts: Counter[str] = Counter()
    for reason in reasons:
        key = re.sub(r"\d[\d.,e+]*", "#", reason) if _REFUSED.match(reason) else reason
        first.setdefault(key, reason)
        alike.setdefault(key, set()).add(reason)
        counts[key] += 1
    return {first[key] + (", and alike" if len(alike[key]) > 1 else ""): count for key, count in counts.most_common()}


def outcome(row: TruthRow, training: EstimateTraining, serving: EstimateServing) -> Outcome:
    """Predict one row; what cannot be predicted is a skip with its reason, never an exception."""
    counted = bool(row.problem) or (states_metric(row) if isinstance(row, TrainRow) else bool(serve_measured(row)))
    case = case_of(row)
    if isinstance(case, Skip):
        return Outcome(row, counted, skip=case.reason)
    if not counted and not (isinstance(case, TrainCase) and case.out_of_memory):
        return Outcome(row, counted, skip="states none of the metrics")
    try:
        found = _train_outcome(case, training) if isinstance(case, TrainCase) else _serve_outcome(case, serving)
    except PlannerError as error:
        return Outcome(row, counted, skip=_reason(error))
    if impossible := _impossible(found):
        return Outcome(row, counted, skip=impossible)
    return found


def _impossible(found: Outcome) -> str:
    """Why a measurement cannot be (a wrong unit, or a wrong number of chips); empty when it can be.

    A training step takes at least its forward products at the peak of its chips, and so does each token of an answer; a
    decoding step reads the active weights and yields a handful of tokens at most, with drafts; no chip holds more than a
    tenth beyond its memory (gigabytes are read as binary or decimal).
    """
    peak, measured = found.peak_flop_per_s, found.measured
    if "step_s" in measured and 0.25 * found.flop > measured["step_s"] * peak > 0.0:
        return "the step is faster than the peak of its chips: check its unit, the batch and the chips"
    if measured.get("memory_bytes", 0.0) > _BEYOND * found.memory_bytes > 0.0:
        return "the memory is more than its chip holds: check its unit"
    if measured.get("output_tokens_per_s", 0.0) * found.flop > peak > 0.0:
        return "output_tok_s is faster than the peak of its chips: check its unit and the chips"
    if _DRAFTED * measured.get("tpot_s", math.inf) < found.weights_s:
        return "tpot_ms is faster than the memory of its chips: check its unit and the chips"
    return ""


# ---------------------------------------------------------------- training


def estimate_with_recompute(case: TrainCase, training: EstimateTraining) -> tuple[TrainCase, TrainEstimate]:
    """The estimate; when the row leaves open what is recomputed, that of the least that fits."""
    if not case.open_recompute:
        return case, training(case)
    tried: list[tuple[TrainCase, TrainEstimate]] = []
    for recompute in _LEAST_FIRST:
        variant = replace(case, layout=replace(case.layout, recompute=recompute))
        estimate = training(variant)
        if estimate.fits:
            return variant, estimate
        tried.append((variant, estimate))
    return tried[-1]


def _memory_in_scope(estimate: TrainEstimate, stack: TrainStack, scope: str) -> float:
    """Predicted memory of the fullest chip in what the row counts: without the driver's share, or without waste too."""
    fullest = max(estimate.memory, key=lambda stage: stage.total_bytes)
    if scope == "allocated":
        return sum(part.value for part in fullest.parts if part.name != "reserve")
    return fullest.total_bytes - (stack.reserve_bytes if scope == "reserved" else 0.0)


def _train_outcome(case: TrainCase, training: EstimateTraining) -> Outcome:
    case, estimate = estimate_with_recompute(case, training)
    predicted: dict[str, float] = {}
    if "step_s" in case.measured:
        predicted["step_s"] = estimate.step_s
    if "memory_bytes" in case.measured:
        predicted["memory_bytes"] = _memory_in_scope(estimate, case.stack, case.memory_scope)
    layout, model = case.layout, case.job.model
    labels = {
        "chip": case.chip.id,
        "precision": case.job.precision,
        "stack": case.stack.id,
        "architecture": "mixture" if model.moe else "dense",
        "method": case.job.method,
        "recompute": layout.recompute,
        "layout": _layout_class(case),
        "kind": case.row.kind,
        "grade": train_grade_of(case.chip, case.job.precision, case.stack.profile),
        "scale": "one chip" if layout.chips == 1 else "one node" if layout.chips <= case.chip.node.chips else "many nodes",
    }
    tokens = case.job.global_batch * case.job.seq_len
    return Outcome(
        row=case.row,
        counted=states_metric(case.row),
        skip="" if predicted or not states_metric(case.row) else "rate whose count of operations is not stated",
        predicted=predicted,
        measured=case.measured,
        labels=labels,
        distance=train_distance(layout.chips, case.job.seq_len),
        fits=estimate.fits,
        ran=not case.out_of_memory,
        bound_by=estimate.bound_by,
        flags=case.flags,
        flop=8.0 * model.active_params * tokens,
        peak_flop_per_s=case.chip.peak(case.job.precision) * layout.chips,
        memory_bytes=case.chip.hbm_bytes,
        traits=train_traits(
            estimate,
            layout,
            case.job.precision,
            mixture=model.moe is not None,
            adapters=case.job.method != "full",
            open_points=len(case.flags),
        ),
    )


def _layout_class(case: TrainCase) -> str:
    layout = case.layout
    parts = [
        f"{name}{'>1' if value > 1 else '1'}"
        for name, value in (("tp", layout.tp), ("pp", layout.pp), ("cp", layout.cp), ("ep", layout.ep))
        if value > 1
    ]
    return " ".join([*parts, f"zero{layout.zero_stage}"]) if layout.chips > 1 else "one chip"


# ---------------------------------------------------------------- serving


def _serve_outcome(case: ServeCase, serving: EstimateServing) -> Outcome:
    estimate = serving(case)
    predicted = {
        "tpot_s": estimate.tpot_s.mean,
        "ttft_s": estimate.ttft_s.mean,
        "e2e_s": estimate.e2e_s.mean,
        "output_tokens_per_s": estimate.output_tokens_per_s * case.replicas,
    }
    if case.energy_scope == "chip":
        predicted["j_per_output_token"] = estimate.energy_j_per_output_token
    usable = {name: value for name, value in predicted.items() if name in case.measured and value > 0 and math.isfinite(value)}
    work = case.workload
    isl, osl = (work.input.mean, work.output.mean) if isinstance(work, OpenLoop) else (work.isl, work.osl)
    chips = case.layout.chips * case.replicas
    labels = {
        "chip": case.chip.id,
        "precision": case.weight_dtype,
        "engine": case.stack.engine,
        "stack": case.stack.id,
        "architecture": "mixture" if case.model.moe else "dense",
        "workload": "static" if isinstance(work, StaticBatch) else "open" if isinstance(work, OpenLoop) else "closed",
        "layout": "tp1"
        if case.layout.chips == 1
        else f"tp{case.layout.tp} pp{case.layout.pp} dp{case.layout.dp} ep{case.layout.ep}",
        "kind": case.row.kind,
        "grade": grade_of(case.chip, _arithmetic(case), case.stack.profile),
        "scale": "one chip" if case.layout.chips == 1 else "one node" if case.layout.chips <= 8 else "many nodes",
    }
    return Outcome(
        row=case.row,
        counted=True,
        predicted=usable,
        measured=case.measured,
        labels=labels,
        distance=serve_distance(isl, case.layout.chips),
        fits=estimate.memory.fits,
        bound_by=estimate.bound_by,
        flags=case.flags,
        flop=2.0 * case.model.active_params * (isl + osl) / osl,
        peak_flop_per_s=case.chip.peak(_arithmetic(case)) * chips,
        weights_s=estimate.memory.weights_bytes * case.model.active_params / case.model.params / case.chip.hbm_bytes_per_s,
        traits=serve_traits(estimate, work, case.stack, mixture=case.model.moe is not None, open_points=_open_points(case)),
    )


def _open_points(case: ServeCase) -> int:
    """Settings that matter and that the row leaves open: all but the precision of the cache, and the engine's version."""
    unnamed = not re.search(r"\d", case.row.engine)
    return sum("cache precision" not in flag for flag in case.flags) + unnamed


def _arithmetic(case: ServeCase) -> str:
    """The dtype that the products run in: weights in fewer bits than the chip computes with are widened first."""
    if case.weight_dtype in case.chip.peak_flop_per_s and case.weight_dtype not in {"int4"}:
        return case.weight_dtype
    return "bf16" if "bf16" in case.chip.peak_flop_per_s else next(iter(case.chip.peak_flop_per_s))
