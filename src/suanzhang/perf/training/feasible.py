"""Why a layout cannot be: one reason in words, or none."""

from __future__ import annotations

import math

from suanzhang.jit import formula
from suanzhang.perf.training.args import DUALPIPE, INTERLEAVED, LayoutArgs, RunArgs, ShapeArgs

REASONS = (
    "",
    "query heads do not divide by tp",
    "key/value heads and tp do not divide one another",
    "feed-forward width does not divide by tp",
    "fewer layers than pipeline chunks",
    "global batch does not divide by dp x micro_batch",
    "sequence length does not divide by 2 x cp",
    "experts do not divide by ep",
    "ep x etp does not divide dp x cp x tp",
    "expert width does not divide by etp",
    "interleaving needs pp > 1 and micro-batches divisible by pp",
    "dualpipe needs an even pp and twice as many micro-batches",
    "sequence length does not divide by tp",
    "ep without experts",
    "vpp needs the interleaved schedule",
    "heads of a tensor rank do not divide by cp, which an all-to-all needs",
    "key/value heads of a tensor rank and cp do not divide one another, which an all-to-all needs",
    "memory",
)
"""Reason of each code; 0 is feasible, the last is out of memory."""

OUT_OF_MEMORY = float(len(REASONS) - 1)


@formula
def _uneven(whole: float, part: float) -> bool:
    return math.floor(whole / part) * part != whole


@formula
def layout_reason(shape: ShapeArgs, run: RunArgs, layout: LayoutArgs) -> float:
    """Code of the first reason why a layout cannot be, 0 when it can (memory is not looked at).

    Model:    what must divide divides; nothing is rounded. An all-to-all of context ranks gives each a part of the heads; a
              key/value head that several ranks need is copied.

    Args:
        shape: the model.
        run: job, stack and chip.
        layout: the layout.

    Returns:
        Index into ``REASONS``.

    Equation: divisibility of heads by t, of the batch by d b, of the sequence by 2 c, of experts by e, ...

    Validity: all layouts.

    Sources:  [megatron-core] argument checks; [ulysses2023] section 3.

    Example:
        >>> from suanzhang.perf.training.examples import EXAMPLE_LAYOUT, EXAMPLE_RUN, GPT3
        >>> REASONS[int(layout_reason(GPT3, EXAMPLE_RUN, EXAMPLE_LAYOUT._replace(tp=7.0)))]
        'query heads do not divide by tp'
    """
    if _uneven(shape.heads, layout.tp):
        return 1.0
    if shape.kv_lora <= 0.0 and _uneven(shape.kv_heads, layout.tp) and _uneven(layout.tp, shape.kv_heads):
        return 2.0
    if (shape.ffn > 0.0 and _uneven(shape.ffn, layout.tp)) or _uneven(shape.shared_ffn, layout.tp):
        return 3.0
    if shape.layers < layout.pp or shape.layers + 2.0 < layout.pp * layout.vpp:  # only a chunk may be the embedding or the head
        return 4.0
    if _uneven(run.global_batch, layout.dp * layout.micro_batch):
        return 5.0
    if layout.cp > 1.0:
        if _uneven(run.seq, layout.cp if layout.cp_a2a > 0.0 else 2.0 * layout.cp):
            return 6.0
        if layout.cp_a2a > 0.0:
            if _uneven(shape.heads / layout.tp, layout.cp):
                return 15.0
            own = max(1.0, shape.kv_heads / layout.tp)
            if shape.kv_lora <= 0.0 and _uneven(own, layout.cp) and _uneven(layout.cp, own):
                return 16.0
    if shape.experts > 0.0:
        if _uneven(shape.experts, layout.ep):
            return 7.0
        if _uneven(layout.dp * layout.cp * layout.tp, layout.ep * layout.etp):
            return 8.0
        if _uneven(shape.expert_ffn, layout.etp):
            return 9.0
    elif layout.ep > 1.0:
        return 13.0
    micro_batches = run.global_batch / (layout.dp * layout.micro_batch)
    if layout.vpp > 1.0 and layout.schedule != INTERLEAVED:
        return 14.0
    if layout.schedule == INTERLEAVED and layout.vpp > 1.0 and (layout.pp <= 1.0 or _uneven(micro_batches, layout.pp)):
        return 10.0
    if layout.schedule == DUALPIPE and (_uneven(layout.pp, 2.0) or micro_batches < 2.0 * layout.pp):
        return 11.0
    if layout.sp > 0.0 and _uneven(run.seq, layout.tp):
        return 12.0
    return 0.0
