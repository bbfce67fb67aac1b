"""Many layouts at once: the compiled loop over the scalar formulas."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from suanzhang.jit import formula
from suanzhang.perf.args import LinkArgs, MemoryArgs, OperatorArgs
from suanzhang.perf.training.args import (
    COLUMNS,
    DUALPIPE,
    Coefficients,
    HeadTimes,
    LayerTimes,
    LayoutArgs,
    RunArgs,
    ShapeArgs,
    StepTerms,
    TrafficTimes,
)
from suanzhang.perf.training.feasible import OUT_OF_MEMORY, layout_reason
from suanzhang.perf.training.head import head_times
from suanzhang.perf.training.layer import mixed_layer_times
from suanzhang.perf.training.memory import fullest_stage_bytes
from suanzhang.perf.training.params import layers_for_head
from suanzhang.perf.training.step import step_terms, step_total_s, traffic_times

Floats = NDArray[np.float64]
BLOCK_COLUMNS = (0, 3, 4, 5, 7, 8, 9, 12, 14, 18)
"""Columns of a layout that the time of a layer depends on: tp, cp, ep, etp, sp, zero (sharded parameters or not), micro_batch,
schedule (DualPipe or not), overlap_tp, cp_a2a."""
TRAFFIC_COLUMNS = (0, 1, 2, 3, 4, 5, 7, 8, 9)
"""Columns of a layout that its messages depend on: tp, pp, dp, cp, ep, etp, sp, zero, micro_batch."""
TERMS = StepTerms._fields


@formula
def explain_step(
    shape: ShapeArgs, run: RunArgs, layout: LayoutArgs, ops: OperatorArgs, ops16: OperatorArgs, fit: Coefficients
) -> StepTerms:
    """Parts of one optimizer step of one layout [s]; see :func:`suanzhang.perf.training.step.step_terms`.

    Sources:  [derived] :func:`step_terms` of one layout.
    """
    dense = mixed_layer_times(shape, run, layout, ops, ops16, fit, 0.0)
    mixture = mixed_layer_times(shape, run, layout, ops, ops16, fit, 1.0) if shape.experts > 0.0 else dense
    ends = head_times(shape, run, layout, ops16, fit)
    traffic = traffic_times(shape, run, layout, ops.link, fit)
    return step_terms(shape, run, layout, traffic, ops.memory, fit, dense, mixture, ends)


@formula
def row_layout(shape: ShapeArgs, row: Floats, uneven: bool) -> LayoutArgs:
    """A layout from one row of a batch; where stages may be ``uneven`` the last one leaves layers for the head that it holds.

    Sources:  [derived] a row of numbers as a layout.
    """
    head_layers = layers_for_head(shape, row[1]) if uneven else 0.0
    return LayoutArgs(
        row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7], row[8], row[9],
        row[10], row[11], row[12], row[13], row[14], row[15], row[16], row[17], row[18], 0.0, head_layers,
    )  # fmt: skip


@formula
def _layer_row(row: Floats) -> LayerTimes:
    return LayerTimes(
        row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7],
        row[8], row[9], row[10], row[11], row[12], row[13], row[14], row[15],
    )  # fmt: skip


@formula
def _head_row(row: Floats) -> HeadTimes:
    return HeadTimes(row[0], row[1], row[2], row[3], row[4], row[5])


@formula
def _traffic_row(row: Floats) -> TrafficTimes:
    return TrafficTimes(row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7], row[8], row[9])


@formula
def _store(target: Floats, values: tuple[float, ...]) -> None:
    for index, value in enumerate(values):
        target[index] = value


@formula
def _blocks(
    shape: ShapeArgs,
    run: RunArgs,
    kinds: Floats,
    ops: OperatorArgs,
    ops16: OperatorArgs,
    fit: Coefficients,
    dense: Floats,
    mixture: Floats,
    ends: Floats,
) -> None:
    for index in range(kinds.shape[0]):
        layout = row_layout(shape, kinds[index], False)
        _store(dense[index], mixed_layer_times(shape, run, layout, ops, ops16, fit, 0.0))
        if shape.experts > 0.0:
            _store(mixture[index], mixed_layer_times(shape, run, layout, ops, ops16, fit, 1.0))
        _store(ends[index], head_times(shape, run, layout, ops16, fit))


@formula
def _messages(
    shape: ShapeArgs, run: RunArgs, kinds: Floats, link: LinkArgs, fit: Coefficients, traffic: Floats, uneven: bool
) -> None:
    for index in range(kinds.shape[0]):
        _store(traffic[index], traffic_times(shape, run, row_layout(shape, kinds[index], uneven), link, fit))


@formula
def _kind_value(row: Floats, column: int, whole: bool) -> float:
    """What of a column a layer can tell: whether parameters are sharded, and DualPipe. Messages tell columns ``whole``."""
    if column == 8 and not whole:
        return 1.0 if row[column] >= 3.0 else 0.0
    if column == 12 and not whole:
        return 1.0 if row[column] == DUALPIPE else 0.0
    return float(row[column])


@formula
def _kinds(layouts: Floats, columns: tuple[int, ...], whole: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First row of each kind among the layouts, told apart by some columns, and the kind of each (by a hash table)."""
    count = layouts.shape[0]
    slots = 1024
    while slots < 2 * count:
        slots *= 2
    table = np.full(slots, -1, dtype=np.int64)
    first = np.empty(count, dtype=np.int64)
    kind_of = np.empty(count, dtype=np.int64)
    found = 0
    for index in range(count):
        row = layouts[index]
        if index > 0:
            same = True
            for column in columns:
                same = same and layouts[index - 1, column] == row[column]
            if same:
                kind_of[index] = kind_of[index - 1]
                continue
        key = 0
        for column in columns:
            key = key * 1000003 + int(_kind_value(row, column, whole))
        slot = (key ^ (key >> 17)) % slots
        while table[slot] >= 0:
            other = layouts[first[table[slot]]]
            same = True
            for column in columns:
                same = same and _kind_value(other, column, whole) == _kind_value(row, column, whole)
            if same:
                break
            slot = (slot + 1) % slots
        if table[slot] < 0:
            table[slot] = found
            first[found] = index
            found += 1
        kind_of[index] = table[slot]
    return first[:found], kind_of


@formula
def _scan(
    shape: ShapeArgs,
    run: RunArgs,
    layouts: Floats,
    kind_of: NDArray[np.int64],
    way_of: NDArray[np.int64],
    moved: MemoryArgs,
    fit: Coefficients,
    dense: Floats,
    mixture: Floats,
    ends: Floats,
    traffic: Floats,
    step: Floats,
    memory: Floats,
    reason: Floats,
    uneven: bool,
) -> None:
    for index in range(layouts.shape[0]):
        layout = row_layout(shape, layouts[index], uneven)
        code = layout_reason(shape, run, layout)
        reason[index] = code
        if code > 0.0:
            step[index] = np.inf
            memory[index] = np.inf
            continue
        micro_batches = run.global_batch / (layout.dp * layout.micro_batch)
        memory[index] = fullest_stage_bytes(shape, run, layout, micro_batches, run.capacity)
        if memory[index] > run.hbm_bytes:
            reason[index] = OUT_OF_MEMORY
        kind = kind_of[index]
        one = _layer_row(dense[kind])
        mixed = _layer_row(mixture[kind])
        way = _traffic_row(traffic[way_of[index]])
        step[index] = step_total_s(step_terms(shape, run, layout, way, moved, fit, one, mixed, _head_row(ends[kind])))


def evaluate(
    shape: ShapeArgs,
    run: RunArgs,
    layouts: Floats,
    ops: OperatorArgs,
    ops16: OperatorArgs,
    fit: Coefficients,
    *,
    uneven: bool = False,
) -> tuple[Floats, Floats, Floats]:
    """Step time, memory of the fullest chip and reason code of each layout.

    Model:    layers of equal tensor, context and expert sizes, sequence parallel and micro-batch take equal time, so
              that time is computed once per such kind, by the same formula, and so are messages of layouts of equal
              sizes and sharding; the step and the memory of each layout are computed in full.

    Args:
        shape, run: model, job, stack and chip.
        layouts: one row per layout in the order of ``LayoutArgs``, shape (n, 19).
        ops, ops16: operators at the dtype of the products and in 16 bit.
        fit: fitted coefficients.
        uneven: whether the last stage leaves :func:`layers_for_head` layers to the others.

    Returns:
        Step [s], memory [bytes] and reason code, each of shape (n,). A layout that cannot be has infinite step and
        memory; one that does not fit has both and the last code.

    Equation: :func:`suanzhang.perf.training.step.step_terms` and
              :func:`suanzhang.perf.training.memory.fullest_stage_bytes` per row.

    Validity: equal to :func:`explain_step` on each row.

    Sources:  [derived] :func:`step_terms` and :func:`fullest_stage_bytes` of many layouts.
    """
    count, width = layouts.shape
    if width < len(COLUMNS):
        raise ValueError(f"layouts have {width} columns, {len(COLUMNS)} are needed")
    first, kind_of = _kinds(layouts, BLOCK_COLUMNS, False)
    kinds = np.ascontiguousarray(layouts[first])
    dense = np.zeros((len(first), len(LayerTimes._fields)))
    mixture = np.zeros_like(dense)
    ends = np.zeros((len(first), len(HeadTimes._fields)))
    _blocks(shape, run, kinds, ops, ops16, fit, dense, mixture, ends)
    ways, way_of = _kinds(layouts, TRAFFIC_COLUMNS, True)
    traffic = np.zeros((len(ways), len(TrafficTimes._fields)))
    _messages(shape, run, np.ascontiguousarray(layouts[ways]), ops.link, fit, traffic, uneven)
    step, memory, reason = np.empty(count), np.empty(count), np.empty(count)
    _scan(shape, run, layouts, kind_of, way_of, ops.memory, fit, dense, mixture, ends, traffic, step, memory, reason, uneven)
    return step, memory, reason


@formula
def many_steps(
    questions: list[tuple[ShapeArgs, RunArgs, LayoutArgs, OperatorArgs, OperatorArgs]],
    gemm: Floats,
    attention: Floats,
    fit: Coefficients,
) -> Floats:
    """Step time of many unlike questions [s], each with its own factors of products and attention.

    Sources:  [derived] :func:`step_terms` of many layouts.
    """
    result = np.empty(len(questions))
    for index in range(len(questions)):
        shape, run, layout, ops, ops16 = questions[index]
        own = Coefficients(
            gemm[index], attention[index], fit.memory, fit.tensor, fit.data, fit.expert, fit.pipeline,
            fit.hidden, fit.jitter, fit.launch, fit.quantize, fit.narrow,
        )  # fmt: skip
        result[index] = step_total_s(explain_step(shape, run, layout, ops, ops16, own))
    return result
