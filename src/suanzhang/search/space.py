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
)
"""Columns of a batch of layouts."""
INTERLEAVED = 2.0


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

    @property
    def size(self) -> int:
        """Number of combinations before any cut."""
        return int(np.prod([len(getattr(self, field.name)) for field in fields(self)]))


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


def inner_grid(axes: Axes) -> dict[str, Floats]:
    """All combinations of the inner axes, one flat array per axis."""
    grids = np.meshgrid(*[np.asarray(getattr(axes, name), dtype=np.float64) for name in INNER], indexing="ij")
    return {name: grid.ravel() for name, grid in zip(INNER, grids, strict=True)}


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
    if cp > 1 and sizes.seq % (2 * cp):
        return "sequence length does not divide by 2 x cp"
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
        Arrays of shape (n, 18), columns as ``COLUMNS``.
    """
    grid = inner_grid(axes)
    count = len(grid["ep"])
    for tp in axes.tp:
        for pp in axes.pp:
            for cp in axes.cp:
                reason = outer_reason(chips, tp, pp, cp, sizes)
                if reason:
                    pruned[reason] += count
                    continue
                layouts = _inner(chips, tp, pp, cp, sizes, grid, pruned)
                if len(layouts):
                    yield layouts


def _inner(chips: int, tp: int, pp: int, cp: int, sizes: Sizes, grid: dict[str, Floats], pruned: Counter[str]) -> Floats:
    dp = chips // (tp * pp * cp)
    keep = np.ones(len(grid["ep"]), dtype=bool)

    def cut(bad: NDArray[np.bool_], reason: str) -> None:
        nonlocal keep
        lost = int(np.count_nonzero(keep & bad))
        if lost:
            pruned[reason] += lost
            keep &= ~bad

    micro_batches = sizes.global_batch / (dp * grid["micro_batch"])
    etp = np.where(grid["etp"] > 0.0, grid["etp"], float(tp))
    vpp, schedule = grid["vpp"], grid["schedule"]
    cut(np.mod(sizes.global_batch, dp * grid["micro_batch"]) != 0.0, "global batch does not divide by dp x micro_batch")
    cut(vpp * pp > sizes.layers, "fewer layers than pipeline chunks")
    cut((vpp > 1.0) & (pp == 1), "interleaving without a pipeline")
    cut(((vpp > 1.0) & (schedule != 1.0) & (schedule != INTERLEAVED)), "vpp needs the interleaved schedule")
    cut((vpp > 1.0) & (np.mod(micro_batches, pp) != 0.0), "interleaving needs micro-batches divisible by pp")
    cut((schedule != 1.0) & (schedule != INTERLEAVED) & (pp == 1), "schedule without a pipeline")
    cut((schedule == INTERLEAVED) & (vpp == 1.0), "interleaving needs vpp > 1")
    cut(
        (schedule == 4.0) & ((pp % 2 != 0) | (micro_batches < 2.0 * pp)),
        "dualpipe needs an even pp and twice as many micro-batches",
    )
    cut((grid["sp"] > 0.0) & (tp == 1), "sequence parallel without a tensor group")
    cut((grid["sp"] > 0.0) & (sizes.seq % tp != 0), "sequence length does not divide by tp")
    cut((grid["overlap_tp"] > 0.0) & (tp == 1) & (len(set(grid["overlap_tp"])) > 1), "overlap of tensor traffic without it")
    cut((grid["overlap_pp"] > 0.0) & (pp == 1) & (len(set(grid["overlap_pp"])) > 1), "overlap of pipeline traffic without it")
    cut((grid["zero"] > 0.0) & (dp * cp == 1) & (0.0 in grid["zero"]), "sharding without data ranks")
    cut((grid["zero"] >= 2.0) & (pp > 1), "gradients or parameters sharded inside a pipeline")
    if sizes.experts > 0:
        cut(np.mod(sizes.experts, grid["ep"]) != 0.0, "experts do not divide by ep")
        cut(np.mod(dp * cp * tp, grid["ep"] * etp) != 0.0, "ep x etp does not divide dp x cp x tp")
    else:
        cut(grid["ep"] > 1.0, "ep without experts")
    rows = np.empty((int(np.count_nonzero(keep)), len(COLUMNS)))
    fixed = {"tp": tp, "pp": pp, "dp": dp, "cp": cp, "recompute_layers": 0}
    code = np.where(vpp > 1.0, INTERLEAVED, schedule)
    for index, name in enumerate(COLUMNS):
        if name in fixed:
            rows[:, index] = fixed[name]
        elif name == "etp":
            rows[:, index] = etp[keep]
        elif name == "schedule":
            rows[:, index] = code[keep]
        else:
            rows[:, index] = grid[name][keep]
    return rows
