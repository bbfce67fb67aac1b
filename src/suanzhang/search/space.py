"""The space of training layouts: all axes, cut by what must divide, with every cut counted by its reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
INNER = (
    "ep",
    "etp",
    "vpp",
    "sp",
    "zero",
    "micro_batch",
    "recompute",
    "schedule",
    "overlap_dp",
    "overlap_tp",
    "overlap_pp",
    "offload_optimizer",
    "offload_activations",
    "cp_a2a",
)
"""Axes that do not change how many chips the model is cut over."""
COLUMNS = (
    "tp",
    "pp",
    "dp",
    "cp",
    "ep",
    "etp",
    "vpp",
    "sp",
    "zero",
    "micro_batch",
    "recompute",
    "recompute_layers",
    "schedule",
    "overlap_dp",
    "overlap_tp",
    "overlap_pp",
    "offload_optimizer",
    "offload_activations",
    "cp_a2a",
)
"""Columns of a batch of layouts."""
SINGLE = (
    "cp_a2a",
    "sp",
    "zero",
    "recompute",
    "offload_optimizer",
    "offload_activations",
    "overlap_dp",
    "overlap_tp",
    "overlap_pp",
)
"""Inner axes that are cut one by one; the others go together."""
ONE_F_ONE_B, INTERLEAVED, DUALPIPE = 1, 2, 4


@dataclass(frozen=True, slots=True)
class Axes:
    """Values that each axis of a layout may take.

    Args:
        tp, pp, cp: sizes that cut the model; data parallel takes the remaining chips.
        ep, etp, vpp, sp, zero, micro_batch: as in ``TrainLayout``.
        recompute: codes 0 none, 1 selective, 2 full.
        schedule: codes 0 GPipe, 1 1F1B, 2 interleaved, 3 zero-bubble, 4 DualPipe; interleaved goes with vpp > 1 and
            1F1B with vpp = 1 by themselves.
        overlap_dp, overlap_tp, overlap_pp, offload_optimizer, offload_activations: 0 or 1.
        cp_a2a: 0 a ring of context ranks, 1 an all-to-all of their heads; a ring stands for both without context ranks.
        uneven: whether the last stage leaves layers to the others for the head that it holds.
        any_chunks: whether interleaved chunks may hold unequal numbers of layers.
    """

    tp: tuple[int, ...]
    pp: tuple[int, ...]
    cp: tuple[int, ...] = (1,)
    ep: tuple[int, ...] = (1,)
    etp: tuple[int, ...] = (0,)
    vpp: tuple[int, ...] = (1,)
    sp: tuple[int, ...] = (0, 1)
    zero: tuple[int, ...] = (0, 1, 2, 3)
    micro_batch: tuple[int, ...] = (1, 2, 4, 8)
    recompute: tuple[int, ...] = (0, 1, 2)
    schedule: tuple[int, ...] = (1,)
    overlap_dp: tuple[int, ...] = (1,)
    overlap_tp: tuple[int, ...] = (1,)
    overlap_pp: tuple[int, ...] = (0,)
    offload_optimizer: tuple[int, ...] = (0,)
    offload_activations: tuple[int, ...] = (0,)
    cp_a2a: tuple[int, ...] = (0,)
    uneven: bool = False
    any_chunks: bool = True

    @property
    def size(self) -> int:
        """Number of combinations before any cut."""
        values = (getattr(self, field.name) for field in fields(self))
        return int(np.prod([len(value) for value in values if isinstance(value, tuple)]))


@dataclass(frozen=True, slots=True)
class Sizes:
    """What of a model and a job must divide.

    Args:
        layers, heads, kv_heads, experts: of the model (0 experts for a dense one).
        seq: tokens of a sequence.
        global_batch: sequences of a step.
    """

    layers: int
    heads: int
    kv_heads: int
    experts: int
    seq: int
    global_batch: int


def outer_reason(chips: int, tp: int, pp: int, cp: int, sizes: Sizes) -> str:
    """Why a cut of the model over chips cannot be, empty when it can."""
    if chips % (tp * pp * cp):
        return "chips do not divide by tp x pp x cp"
    if sizes.heads % tp:
        return "query heads do not divide by tp"
    if sizes.kv_heads % tp and tp % sizes.kv_heads:
        return "key/value heads and tp do not divide one another"
    if pp > sizes.layers:
        return "fewer layers than pipeline chunks"
    if cp > 1 and sizes.seq % cp:
        return "sequence length does not divide by cp"
    if sizes.global_batch % (chips // (tp * pp * cp)):
        return "global batch does not divide by dp x micro_batch"
    return ""


def batches(chips: int, sizes: Sizes, axes: Axes, pruned: Counter[str]) -> Iterator[Floats]:
    """All layouts of a number of chips that divide, one batch per cut (tp, pp, cp).

    Args:
        chips: chips in use, all of them.
        sizes: what must divide.
        axes: values of each axis.
        pruned: receives the count of layouts left out, by reason.

    Yields:
        Arrays of shape (n, 19), columns as ``COLUMNS``.
    """
    inner = int(np.prod([len(getattr(axes, name)) for name in INNER]))
    for tp in axes.tp:
        for pp in axes.pp:
            for cp in axes.cp:
                reason = outer_reason(chips, tp, pp, cp, sizes)
                if reason:
                    pruned[reason] += inner
                    continue
                cut = Cut(tp, pp, chips // (tp * pp * cp), cp)
                layouts = _inner(cut, sizes, axes, pruned)
                if len(layouts):
                    yield layouts


@dataclass(frozen=True, slots=True)
class Cut:
    """One way to cut the model over chips."""

    tp: int
    pp: int
    dp: int
    cp: int


def even_chunks(layers: int, chunks: int) -> bool:
    """Whether chunks of a pipeline hold equally many layers, by themselves or with embedding and head as a layer each."""
    return layers % chunks == 0 or (layers + 2) % chunks == 0


def flow_reason(cut: Cut, sizes: Sizes, vpp: int, schedule: int, micro_batch: int) -> str:
    """Why chunks, schedule and micro-batch do not go together, empty when they do."""
    if sizes.global_batch % (cut.dp * micro_batch):
        return "global batch does not divide by dp x micro_batch"
    if vpp * cut.pp > sizes.layers:
        return "fewer layers than pipeline chunks"
    if vpp > 1 and cut.pp == 1:
        return "interleaving without a pipeline"
    if vpp > 1 and schedule not in (ONE_F_ONE_B, INTERLEAVED):
        return "vpp needs the interleaved schedule"
    micro_batches = sizes.global_batch // (cut.dp * micro_batch)
    if vpp > 1 and micro_batches % cut.pp:
        return "interleaving needs micro-batches divisible by pp"
    if cut.pp == 1 and schedule not in (ONE_F_ONE_B, INTERLEAVED):
        return "schedule without a pipeline"
    if schedule == INTERLEAVED and vpp == 1:
        return "interleaving needs vpp > 1"
    if schedule == DUALPIPE and (cut.pp % 2 or micro_batches < 2 * cut.pp):
        return "dualpipe needs an even pp and twice as many micro-batches"
    return ""


def expert_reason(cut: Cut, sizes: Sizes, ep: int, etp: int) -> str:
    """Why expert parallel sizes cannot be, empty when they can."""
    if not sizes.experts:
        return "ep without experts" if ep > 1 else ""
    if sizes.experts % ep:
        return "experts do not divide by ep"
    if (cut.dp * cut.cp * cut.tp) % (ep * (etp or cut.tp)):
        return "ep x etp does not divide dp x cp x tp"
    return ""


def _single_axes(cut: Cut, sizes: Sizes, axes: Axes) -> dict[str, tuple[tuple[int, ...], str]]:
    """Of each axis that stands alone: the values that make sense here, and why the others do not."""

    def without(values: tuple[int, ...], exists: bool) -> tuple[int, ...]:
        return values if exists else (values if 0 not in values else (0,))

    tensor, pipe, data = cut.tp > 1, cut.pp > 1, cut.dp * cut.cp > 1
    sp = tuple(value for value in axes.sp if not value or (tensor and sizes.seq % cut.tp == 0))
    zero = tuple(value for value in without(axes.zero, data) if value < 2 or not pipe)
    kinds, why = _context_kinds(cut, sizes, axes)
    return {
        "cp_a2a": (kinds, why),
        "sp": (sp, "sequence parallel without a tensor group"),
        "zero": (zero, "sharding without data ranks, or of gradients and parameters inside a pipeline"),
        "recompute": (axes.recompute, ""),
        "overlap_dp": (without(axes.overlap_dp, data), "overlap of data traffic without it"),
        "overlap_tp": (without(axes.overlap_tp, tensor), "overlap of tensor traffic without it"),
        "overlap_pp": (without(axes.overlap_pp, pipe), "overlap of pipeline traffic without it"),
        "offload_optimizer": (axes.offload_optimizer, ""),
        "offload_activations": (axes.offload_activations, ""),
    }


def _context_kinds(cut: Cut, sizes: Sizes, axes: Axes) -> tuple[tuple[int, ...], str]:
    """Ways in which the context ranks of a cut can exchange, and why not the others."""
    if cut.cp == 1:
        return (0,), "all-to-all of context ranks without them"
    heads, keys = sizes.heads // cut.tp, max(1, sizes.kv_heads // cut.tp)
    exchange = heads % cut.cp == 0 and (keys % cut.cp == 0 or cut.cp % keys == 0)
    ring = sizes.seq % (2 * cut.cp) == 0
    kept = tuple(kind for kind in axes.cp_a2a if (exchange if kind else ring))
    why = "heads of a tensor rank do not divide by cp, which an all-to-all needs"
    return kept, why if ring else "sequence length does not divide by 2 x cp, which a ring needs"


def _inner(cut: Cut, sizes: Sizes, axes: Axes, pruned: Counter[str]) -> Floats:
    """All inner combinations of one cut that go together; each one left out is counted once, by its first reason."""
    flows, experts = [], []
    rest = int(np.prod([len(getattr(axes, name)) for name in INNER]))
    flow_size = len(axes.vpp) * len(axes.schedule) * len(axes.micro_batch)
    lost: Counter[str] = Counter()
    for vpp in axes.vpp:
        for schedule in axes.schedule:
            for micro_batch in axes.micro_batch:
                reason = flow_reason(cut, sizes, vpp, schedule, micro_batch)
                if not reason and vpp > 1 and not axes.any_chunks and not even_chunks(sizes.layers, cut.pp * vpp):
                    reason = "layers do not divide by pp x vpp"
                if reason:
                    lost[reason] += rest // flow_size
                else:
                    flows.append((vpp, INTERLEAVED if vpp > 1 else schedule, micro_batch))
    rest = rest // flow_size * len(flows)
    pairs = len(axes.ep) * len(axes.etp)
    for ep in axes.ep:
        for etp in axes.etp:
            reason = expert_reason(cut, sizes, ep, etp)
            if reason:
                lost[reason] += rest // pairs
            else:
                experts.append((ep, etp or cut.tp))
    rest = rest // pairs * len(experts)
    singles: list[tuple[int, ...]] = []
    alone = _single_axes(cut, sizes, axes)
    for name in SINGLE:
        values, reason = alone[name]
        whole = len(getattr(axes, name))
        if len(values) < whole:
            lost[reason] += rest - rest // whole * len(values)
        rest = rest // whole * len(values)
        singles.append(values)
    pruned.update({reason: count for reason, count in lost.items() if count})
    return _product(cut, flows, experts, singles)


def _product(
    cut: Cut, flows: list[tuple[int, int, int]], experts: list[tuple[int, int]], singles: list[tuple[int, ...]]
) -> Floats:
    """The Cartesian product as rows of ``COLUMNS``, the last axis fastest."""
    lengths = [len(flows), len(experts), *[len(values) for values in singles]]
    rows = np.zeros((*lengths, len(COLUMNS)))
    if not rows.size:
        return rows.reshape(0, len(COLUMNS))
    axis_count = len(lengths)

    def put(column: str, values: Floats, axis: int) -> None:
        shape = [1] * axis_count
        shape[axis] = len(values)
        rows[..., COLUMNS.index(column)] = values.reshape(shape)

    for name in ("tp", "pp", "dp", "cp"):
        rows[..., COLUMNS.index(name)] = getattr(cut, name)
    flow = np.asarray(flows, dtype=np.float64)
    for index, name in enumerate(("vpp", "schedule", "micro_batch")):
        put(name, flow[:, index], 0)
    pair = np.asarray(experts, dtype=np.float64)
    for index, name in enumerate(("ep", "etp")):
        put(name, pair[:, index], 1)
    for index, (name, values) in enumerate(zip(SINGLE, singles, strict=True)):
        put(name, np.asarray(values, dtype=np.float64), index + 2)
    return rows.reshape(-1, len(COLUMNS))
