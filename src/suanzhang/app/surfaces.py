"""Which coefficients, shapes and table each kind of kernel timing is fitted with: the join of formulas and fits."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from suanzhang.app.physics_data import constant, cores, l2_bytes
from suanzhang.evidence.calibration.fit import Axis, Coefficient
from suanzhang.jit import formula
from suanzhang.perf.args import AttentionArgs, GemmArgs, LinkArgs, MoeArgs, Residual, no_residual
from suanzhang.perf.attention import decode_closed_s, mla_closed_s, prefill_closed_s
from suanzhang.perf.collectives import node_allgather_s, node_allreduce_s, node_alltoall_s
from suanzhang.perf.gemm import gemm_closed_s, gemm_waves
from suanzhang.perf.moe import moe_closed_s
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.profile import FittedSurface

Floats = NDArray[np.float64]
Values = Mapping[str, float]

STORED_BYTES: Mapping[str, tuple[float, float, float]] = {
    "bf16": (2.0, 2.0, 2.0),
    "fp16": (2.0, 2.0, 2.0),
    "tf32": (4.0, 4.0, 4.0),
    "fp32": (4.0, 4.0, 4.0),
    "fp8": (1.0, 1.0, 2.0),
    "fp8_block": (1.0, 1.0, 2.0),
    "int8": (1.0, 1.0, 2.0),
    "int8_wo": (2.0, 1.0, 2.0),
    "int4_wo": (2.0, 0.53125, 2.0),
    "nvfp4": (0.5625, 0.5625, 2.0),
    "mxfp4_wo": (2.0, 0.53125, 2.0),
    "fp4_mixed": (1.0, 0.53125, 2.0),
}
"""Bytes of one value of activations, weights and result; scales of blocks of 16 or 32 values are added."""

ARITHMETIC: Mapping[str, str] = {
    "fp8_block": "fp8",
    "int8_wo": "bf16",
    "int4": "bf16",
    "int4_wo": "bf16",
    "nvfp4": "fp4",
    "mxfp4_wo": "bf16",
    "fp4_mixed": "fp8",
}
"""Dtype whose peak bounds the products of a storage format; formats that are not named are their own."""


@dataclass(frozen=True, slots=True)
class Peaks:
    """What a formula needs of a chip besides coefficients.

    Args:
        flop_per_s: dense peak of the arithmetic dtype [FLOP/s].
        hbm_bytes_per_s: memory bandwidth [B/s].
        sms: multiprocessors [1].
        link_bytes_per_s: scale-up bandwidth, one direction [B/s].
        l2_bytes: on-chip cache that all multiprocessors share [B]; 0 when it does not matter.
    """

    flop_per_s: float
    hbm_bytes_per_s: float
    sms: float
    link_bytes_per_s: float
    l2_bytes: float = 0.0


@dataclass(frozen=True, slots=True)
class Surface:
    """How one kind of timing is fitted.

    Args:
        op: name of the kind.
        columns: shape columns, in the order of the formula.
        coefficients: what is fitted, with the range that makes sense.
        axes: grid of the residual table.
        groups: columns that are left out whole when the fit is judged.
        predict: peaks, dtype, coefficients and shapes to seconds by the closed form.
        points: shapes to places in the table.
        second_axes, second_points: grid and places (from peaks and shapes) of a second table over what the first leaves;
            empty without one.
        finer_groups: columns that are left out instead when there are fewer than five of those groups.
        ridge: weight that pulls the tables to the closed form where little was timed.
        turns: times that two tables are fitted again, each to what the other leaves.
        warm: further coefficients, of a cache that keeps operands from one run to the next; fitted where it shows.
        outruns_memory: from peaks, dtype, shapes and seconds, whether it does: bytes move faster than the memory can.
    """

    op: str
    columns: tuple[str, ...]
    coefficients: tuple[Coefficient, ...]
    axes: tuple[Axis, Axis, Axis]
    groups: tuple[int, ...]
    predict: Callable[[Peaks, str, Values, Floats], Floats]
    points: Callable[[Floats], Floats]
    second_axes: tuple[Axis, ...] = ()
    second_points: Callable[[Peaks, Floats], Floats] | None = None
    finer_groups: tuple[int, ...] = ()
    ridge: float = 1e-3
    turns: int = 0
    warm: tuple[Coefficient, ...] = ()
    outruns_memory: Callable[[Peaks, str, Floats, Floats], bool] | None = None

    def fitted(self, peaks: Peaks, dtype: str, shapes: Floats, seconds: Floats) -> tuple[Coefficient, ...]:
        """The coefficients that some timings are fitted with."""
        shows = self.outruns_memory is not None and self.outruns_memory(peaks, dtype, shapes, seconds)
        return (*self.coefficients, *self.warm) if shows else self.coefficients


def gemm_args(peaks: Peaks, dtype: str, v: Values, tables: tuple[Residual, Residual] | None = None) -> GemmArgs:
    """Arguments of the dense product from peaks and coefficients."""
    first, second = tables or (no_residual(), no_residual())
    inside, weight, out = STORED_BYTES[dtype]
    return GemmArgs(
        peak_flop_per_s=peaks.flop_per_s,
        hbm_bytes_per_s=peaks.hbm_bytes_per_s,
        sms=peaks.sms,
        in_bytes=inside,
        weight_bytes=weight,
        out_bytes=out,
        efficiency=v["efficiency"],
        hbm_efficiency=v["hbm_efficiency"],
        ramp_k=v["ramp_k"],
        launch_s=v["launch_s"],
        wave_weight=v["wave_weight"],
        feed_bytes_per_s=v["feed_bytes_per_flop"] * peaks.flop_per_s,
        exposed=v["exposed"],
        residual=first,
        residual_waves=second,
        l2_bytes=max(v.get("l2_share", 0.0) * peaks.l2_bytes, 1.0),
        l2_gain=v.get("l2_gain", 1.0),
    )


def attention_args(
    peaks: Peaks,
    prefill: Values,
    decode: Values,
    prefill_tables: tuple[Residual, Residual] | None = None,
    decode_tables: tuple[Residual, Residual] | None = None,
) -> AttentionArgs:
    """Arguments of attention from peaks and the coefficients of prefill and decode."""
    first, second = prefill_tables or (no_residual(), no_residual())
    first_decode, second_decode = decode_tables or (no_residual(), no_residual())
    return AttentionArgs(
        peak_flop_per_s=peaks.flop_per_s,
        hbm_bytes_per_s=peaks.hbm_bytes_per_s,
        sms=peaks.sms,
        elem_bytes=2.0,
        efficiency=prefill["efficiency"],
        backward_efficiency=prefill.get("backward_efficiency", 0.8 * prefill["efficiency"]),
        hbm_efficiency=decode["hbm_efficiency"],
        ramp_len=prefill["ramp_len"],
        wave_weight=prefill["wave_weight"],
        prefill_hbm_efficiency=prefill["hbm_efficiency"],
        kv_passes=prefill["kv_passes"],
        launch_s=prefill["launch_s"],
        decode_launch_s=decode["launch_s"],
        decode_spread=decode["spread"],
        decode_pair_s=decode["pair_s"],
        decode_efficiency=decode["efficiency"],
        decode_wave_weight=decode.get("wave_weight", 0.0),
        prefill=first,
        decode=first_decode,
        prefill_group=second,
        decode_width=second_decode,
        l2_bytes=max(decode.get("l2_share", 0.0) * peaks.l2_bytes, 1.0),
        l2_gain=decode.get("l2_gain", 1.0),
    )


def moe_args(peaks: Peaks, dtype: str, gemm: GemmArgs, v: Values, tables: tuple[Residual, Residual] | None = None) -> MoeArgs:
    """Arguments of the grouped product from those of the dense one and the coefficients."""
    first, second = tables or (no_residual(), no_residual())
    return MoeArgs(
        gemm=gemm._replace(
            l2_bytes=1.0, launch_s=v["launch_s"], ramp_k=v["ramp_k"], wave_weight=v["wave_weight"], exposed=v["exposed"]
        ),
        efficiency=v["efficiency"],
        hbm_efficiency=v["hbm_efficiency"],
        tile_half=v["tile_half"],
        fixed_s=v["launch_s"],
        row_passes=v["row_passes"],
        pair_passes=v["pair_passes"],
        width_passes=v["width_passes"],
        gathered_ranks=constant("moe_gathered_ranks"),
        even=0.0,
        residual=first,
        residual_width=second,
    )


def peaks_of(chip: ChipSpec, op: str, dtype: str) -> Peaks | None:
    """Peaks of a chip for a kind of kernel; None when it has neither the arithmetic nor a wider one."""
    half = chip.peak_flop_per_s.get("bf16", chip.peak_flop_per_s.get("fp16"))
    arithmetic = ARITHMETIC.get(dtype, dtype)
    flop = half if dtype.endswith("-kv8") or op in ("link", "direct") else chip.peak_flop_per_s.get(arithmetic, None)
    if flop is None and arithmetic in ("fp8", "fp4", "int8", "bf16"):
        flop = half
    if flop is None:
        return None
    return Peaks(flop, chip.hbm_bytes_per_s, cores(chip), chip.link_bytes_per_s or chip.hbm_bytes_per_s, l2_bytes(chip))


PREFILL_START: Values = {
    "efficiency": 0.6,
    "ramp_len": 100.0,
    "wave_weight": 0.5,
    "hbm_efficiency": 0.7,
    "kv_passes": 2.0,
    "launch_s": 6e-6,
}
DECODE_START: Values = {
    "efficiency": 0.3,
    "hbm_efficiency": 0.8,
    "spread": 0.5,
    "pair_s": 1e-6,
    "launch_s": 6e-6,
    "wave_weight": 0.5,
    "l2_share": 1.0,
    "l2_gain": 3.0,
}
WARM_START: Values = {"l2_share": 0.2, "l2_gain": 2.0}
WARM = tuple(WARM_START)
"""Coefficients of operands that the on-chip cache keeps from one run of a kernel to the next: the share of the cache that one
product's may fill, as timings run several products in turn, and the rate of the cache over that of memory."""
GEMM_START: Values = {
    "efficiency": 0.8,
    "hbm_efficiency": 0.8,
    "ramp_k": 128.0,
    "launch_s": 3e-6,
    "wave_weight": 0.4,
    "feed_bytes_per_flop": 0.03,
    "exposed": 0.4,
}
MOE_START: Values = {
    "efficiency": 0.6,
    "hbm_efficiency": 0.7,
    "ramp_k": 128.0,
    "launch_s": 4e-6,
    "tile_half": 16.0,
    "wave_weight": 0.3,
    "exposed": 0.4,
    "row_passes": 2.0,
    "pair_passes": 0.5,
    "width_passes": 0.5,
}
LINK_START: Values = {
    "link_efficiency": 0.75,
    "half_bytes": 2e5,
    "base_s": 1e-5,
    "hop_s": 1.5e-6,
    "multicast_gain": 1.2,
    "alltoall_efficiency": 0.6,
}
DIRECT_START: Values = {"direct_base_s": 4e-6, "direct_rank_s": 2e-7, "direct_link_share": 0.5}


def link_args(peaks: Peaks, v: Values) -> LinkArgs:
    """Arguments of collectives inside one node from peaks and coefficients, without a network and tables."""
    t = no_residual()
    return LinkArgs(
        node_chips=8.0,
        link_bytes_per_s=peaks.link_bytes_per_s,
        link_efficiency=v["link_efficiency"],
        link_half_bytes=v["half_bytes"],
        base_s=v["base_s"],
        hop_s=v["hop_s"],
        switched=1.0,
        multicast_gain=v["multicast_gain"],
        direct_base_s=v.get("direct_base_s", 0.0),
        direct_rank_s=v.get("direct_rank_s", 0.0),
        direct_bytes_per_s=v.get("direct_link_share", 0.5) * peaks.link_bytes_per_s,
        nic_bytes_per_s=0.0,
        nic_efficiency=1.0,
        nic_base_s=0.0,
        nic_hop_s=0.0,
        alltoall_efficiency=v["alltoall_efficiency"],
        allreduce=t,
        allgather=t,
        reducescatter=t,
        alltoall=t,
    )


@formula
def _gemm_rows(shapes: Floats, args: GemmArgs) -> Floats:
    out = np.empty(shapes.shape[0])
    for i in range(shapes.shape[0]):
        out[i] = gemm_closed_s(shapes[i, 0], shapes[i, 1], shapes[i, 2], 1.0, args)
    return out


@formula
def _gemm_wave_rows(shapes: Floats, sms: float) -> Floats:
    out = np.empty(shapes.shape[0])
    for i in range(shapes.shape[0]):
        out[i] = gemm_waves(shapes[i, 0], shapes[i, 1], 1.0, sms)
    return out


@formula
def _prefill_rows(shapes: Floats, args: AttentionArgs) -> Floats:
    out = np.empty(shapes.shape[0])
    for i in range(shapes.shape[0]):
        batch, length, heads, kv_heads, qk_dim, v_dim, window = shapes[i]
        out[i] = prefill_closed_s(batch, length, length, heads, kv_heads, qk_dim, v_dim, 1.0, window, args)
    return out


@formula
def _decode_rows(shapes: Floats, args: AttentionArgs) -> Floats:
    out = np.empty(shapes.shape[0])
    for i in range(shapes.shape[0]):
        batch, context, heads, kv_heads, qk_dim, elem_bytes = shapes[i]
        out[i] = decode_closed_s(batch, batch * context, heads, kv_heads, qk_dim, qk_dim, elem_bytes, args)
    return out


@formula
def _latent_rows(shapes: Floats, args: AttentionArgs) -> Floats:
    out = np.empty(shapes.shape[0])
    for i in range(shapes.shape[0]):
        batch, context, heads, elem_bytes = shapes[i]
        out[i] = mla_closed_s(batch, batch * context, heads, 512.0, 64.0, elem_bytes, args)
    return out


@formula
def _moe_rows(shapes: Floats, args: MoeArgs) -> Floats:
    out = np.empty(shapes.shape[0])
    for i in range(shapes.shape[0]):
        tokens, hidden, ffn, topk, experts, ep, etp = shapes[i, :7]
        out[i] = moe_closed_s(tokens, hidden, ffn, topk, experts, ep, etp, 1.0, 1.0, args)
    return out


@formula
def _link_rows(shapes: Floats, args: LinkArgs) -> Floats:
    out = np.empty(shapes.shape[0])
    for i in range(shapes.shape[0]):
        size, ranks, kind = shapes[i]
        if kind == 0.0:
            out[i] = node_allreduce_s(size, ranks, args)
        elif kind == 3.0:
            out[i] = node_alltoall_s(size, ranks, args)
        else:
            out[i] = node_allgather_s(size, ranks, args)
    return out


def _coefficients(start: Values, **ranges: tuple[float, float]) -> tuple[Coefficient, ...]:
    return tuple(Coefficient(name, value, *ranges[name]) for name, value in start.items())


def _predict_moe(peaks: Peaks, dtype: str, v: Values, shapes: Floats) -> Floats:
    gemm = gemm_args(peaks, dtype, GEMM_START)
    out = np.empty(len(shapes))
    for even in (0.0, 1.0):
        pick = shapes[:, 7] == even
        if pick.any():
            out[pick] = _moe_rows(
                shapes[pick], moe_args(peaks, dtype, gemm, v)._replace(even=even, gathered_ranks=_TIMED_RANKS)
            )
    return out


def _octaves(sizes: Floats) -> Floats:
    """The axis of the residual tables (see :func:`suanzhang.perf.residual.octave`)."""
    mantissa, exponent = np.frexp(sizes)
    return np.asarray(exponent - 2.0 + 2.0 * mantissa, dtype=np.float64)


def _by_width(shapes: Floats) -> Floats:
    return _octaves(np.column_stack([shapes[:, 0] * shapes[:, 2], shapes[:, 1], shapes[:, 4]]))


def _by_wave(peaks: Peaks, shapes: Floats) -> Floats:
    waves = _gemm_wave_rows(shapes, peaks.sms)
    return np.column_stack([_octaves(waves), waves / np.ceil(waves), _octaves(shapes[:, 2])])


def _by_cache_width(_peaks: Peaks, shapes: Floats) -> Floats:
    return _octaves(np.column_stack([shapes[:, 0] * shapes[:, 3], shapes[:, 1], shapes[:, 4]]))


def _by_group(_peaks: Peaks, shapes: Floats) -> Floats:
    return _by_heads(shapes)


def _by_heads(shapes: Floats) -> Floats:
    return _octaves(np.column_stack([shapes[:, 0] * shapes[:, 3], shapes[:, 1], shapes[:, 2] / shapes[:, 3]]))


def _outruns_memory(peaks: Peaks, dtype: str, shapes: Floats, seconds: Floats) -> bool:
    m, n, k = shapes[:, 0], shapes[:, 1], shapes[:, 2]
    inside, weight, out = STORED_BYTES[dtype]
    moved = m * k * inside + n * k * weight + m * n * out
    return float(np.mean(moved / seconds > peaks.hbm_bytes_per_s)) > _OUTRUNS_SHARE


_OUTRUNS_SHARE = 0.02
"""Share of timings beyond the bandwidth of the memory above which the on-chip cache must have kept operands."""
_LAUNCH = (2e-7, 1e-3)
_TIMED_RANKS = 1e9
"""Expert kernels are timed with the tokens of the whole group, however wide."""
_FLAT = Axis(0.0, 1.0, 2, 0.0)

GEMM = Surface(
    "gemm",
    ("m", "n", "k"),
    _coefficients(
        GEMM_START,
        efficiency=(0.05, 1.0),
        hbm_efficiency=(0.1, 1.0),
        ramp_k=(4.0, 4096.0),
        launch_s=_LAUNCH,
        wave_weight=(0.01, 1.0),
        feed_bytes_per_flop=(0.002, 1.0),
        exposed=(0.01, 1.0),
    ),
    (Axis(0.0, 0.5, 31, 0.1), Axis(5.0, 1.0, 12, 0.02), Axis(5.0, 1.0, 12, 0.02)),
    (1, 2),
    lambda peaks, dtype, v, shapes: _gemm_rows(shapes, gemm_args(peaks, dtype, v)),
    lambda shapes: _octaves(shapes),
    (Axis(-8.0, 0.25, 69, 0.05), Axis(0.0, 0.05, 21, 0.01), Axis(5.0, 2.0, 6, 0.05)),
    _by_wave,
    turns=3,
    warm=_coefficients(WARM_START, l2_share=(0.05, 0.4), l2_gain=(1.0, 10.0)),
    outruns_memory=_outruns_memory,
)


def pooled_tables(surfaces: Sequence[FittedSurface], peaks: Peaks) -> dict[str, tuple[int, ...]]:
    """Tables that make the closed form of the first of some surfaces of dense products give the geometric mean of all.

    Args:
        surfaces: of one chip and dtype, on the same axes, at least one.
        peaks: of that chip.

    Returns:
        The tables [1/1000], by name.
    """
    axes = [[low + step * number for number in range(count)] for low, step, count in surfaces[0].axes]
    shapes = np.array(list(itertools.product(*([_size(place) for place in axis] for axis in axes))))
    cold = [np.log(GEMM.predict(peaks, one.dtype, without_warm(one.coefficients), shapes)) for one in surfaces]
    logs = [closed + np.array(one.tables[""]) / 1e3 for closed, one in zip(cold, surfaces, strict=True)]
    tables = {"": np.mean(logs, axis=0) - cold[0], "second": np.mean([one.tables["second"] for one in surfaces], axis=0) / 1e3}
    return {name: tuple(int(value) for value in np.round(1e3 * table)) for name, table in tables.items()}


def without_warm(values: Values) -> dict[str, float]:
    """Coefficients as they are in a running model, where everything else passes through the on-chip cache in between."""
    return {name: value for name, value in values.items() if name not in WARM}


def _size(place: float) -> float:
    """The size at a place of the axis of the residual tables: linear between powers of two."""
    whole = math.floor(place)
    return 2.0**whole * (1.0 + place - whole)


PREFILL = Surface(
    "prefill",
    ("batch", "q_len", "heads", "kv_heads", "qk_dim", "v_dim", "window"),
    _coefficients(
        PREFILL_START,
        efficiency=(0.05, 1.0),
        ramp_len=(1.0, 4096.0),
        wave_weight=(0.01, 1.0),
        hbm_efficiency=(0.02, 1.0),
        kv_passes=(0.5, 20.0),
        launch_s=_LAUNCH,
    ),
    (Axis(0.0, 1.0, 16, 0.05), Axis(0.0, 1.0, 16, 0.05), Axis(6.0, 0.5, 7, 0.05)),
    (2, 3),
    lambda peaks, dtype, v, shapes: _prefill_rows(shapes, attention_args(peaks, v, DECODE_START)),
    _by_width,
    (Axis(0.0, 1.0, 15, 0.05), Axis(0.0, 1.0, 16, 0.05), Axis(0.0, 1.0, 7, 0.05)),
    _by_group,
)
DECODE = Surface(
    "decode",
    ("batch", "context", "heads", "kv_heads", "qk_dim", "kv_elem_bytes"),
    _coefficients(
        DECODE_START,
        efficiency=(0.01, 1.0),
        hbm_efficiency=(0.05, 1.0),
        spread=(1e-3, 20.0),
        pair_s=(1e-9, 1e-4),
        launch_s=_LAUNCH,
        wave_weight=(0.01, 1.0),
        l2_share=(0.3, 2.0),
        l2_gain=(1.0, 10.0),
    ),
    (Axis(0.0, 1.0, 15, 0.05), Axis(0.0, 1.0, 18, 0.05), Axis(0.0, 1.0, 7, 0.05)),
    (2, 3),
    lambda peaks, dtype, v, shapes: _decode_rows(shapes, attention_args(peaks, PREFILL_START, v)),
    _by_heads,
    (Axis(0.0, 1.0, 16, 0.05), Axis(0.0, 1.0, 18, 0.05), Axis(6.0, 0.5, 7, 0.01)),
    _by_cache_width,
    turns=3,
)
MLA_PREFILL = Surface(
    "mla_prefill",
    PREFILL.columns,
    PREFILL.coefficients,
    (Axis(0.0, 1.0, 16, 0.05), Axis(0.0, 1.0, 16, 0.05), Axis(7.0, 1.0, 2, 0.0)),
    (2,),
    PREFILL.predict,
    PREFILL.points,
)
MLA_DECODE = Surface(
    "mla_decode",
    ("batch", "context", "heads", "kv_elem_bytes"),
    tuple(c for c in DECODE.coefficients if c.name not in ("wave_weight", "l2_share", "l2_gain")),
    (Axis(0.0, 1.0, 11, 0.05), Axis(0.0, 1.0, 18, 0.05), Axis(0.0, 1.0, 8, 0.05)),
    (2,),
    lambda peaks, dtype, v, shapes: _latent_rows(shapes, attention_args(peaks, PREFILL_START, v)),
    lambda shapes: _octaves(shapes[:, :3]),
)
MOE = Surface(
    "moe",
    ("tokens", "hidden", "expert_ffn", "topk", "experts", "ep", "etp", "even"),
    _coefficients(
        MOE_START,
        efficiency=(0.02, 1.0),
        hbm_efficiency=(0.05, 1.0),
        ramp_k=(4.0, 4096.0),
        launch_s=_LAUNCH,
        tile_half=(0.1, 500.0),
        wave_weight=(0.01, 1.0),
        exposed=(0.01, 1.0),
        row_passes=(0.01, 200.0),
        pair_passes=(0.001, 100.0),
        width_passes=(0.001, 200.0),
    ),
    (Axis(0.0, 1.0, 18, 0.5), Axis(0.0, 1.0, 10, 0.25), Axis(16.0, 1.0, 12, 0.25)),
    (1, 2, 4),
    _predict_moe,
    lambda s: _octaves(
        np.column_stack(
            [np.maximum(s[:, 0] * s[:, 3] / s[:, 5], 1.0), np.maximum(s[:, 4] / s[:, 5], 1.0), s[:, 1] * s[:, 2] / s[:, 6]]
        )
    ),
    (Axis(-6.0, 1.0, 22, 0.5), Axis(10.0, 0.5, 8, 0.25), Axis(6.0, 1.0, 10, 0.25)),
    lambda _peaks, s: _octaves(np.column_stack([np.maximum(s[:, 0] * s[:, 3] / s[:, 4], 2.0**-8), s[:, 1], s[:, 2] / s[:, 6]])),
    finer_groups=(5, 6),
    ridge=1e-2,
)
_LINK_AXES = (Axis(8.0, 1.0, 23, 0.1), Axis(1.0, 1.0, 3, 0.0), _FLAT)
_LINK_RANGES = {
    "link_efficiency": (0.001, 1.0),
    "half_bytes": (1.0, 1e8),
    "base_s": (1e-6, 1e-3),
    "hop_s": (1e-8, 1e-3),
    "multicast_gain": (0.3, 4.0),
    "alltoall_efficiency": (0.001, 1.0),
    "direct_base_s": (1e-6, 1e-3),
    "direct_rank_s": (1e-9, 1e-4),
    "direct_link_share": (0.001, 2.0),
}


def _link_points(shapes: Floats) -> Floats:
    return np.column_stack([_octaves(shapes[:, 0]), _octaves(shapes[:, 1]), np.zeros(len(shapes))])


LINK = Surface(
    "link",
    ("size_bytes", "ranks", "kind"),
    tuple(Coefficient(name, value, *_LINK_RANGES[name]) for name, value in LINK_START.items()),
    _LINK_AXES,
    (0,),
    lambda peaks, dtype, v, shapes: _link_rows(shapes, link_args(peaks, v)),
    _link_points,
)
DIRECT = Surface(
    "direct",
    LINK.columns,
    tuple(Coefficient(name, value, *_LINK_RANGES[name]) for name, value in DIRECT_START.items()),
    (Axis(8.0, 1.0, 23, 0.01, order=1), Axis(1.0, 1.0, 3, 0.0), _FLAT),
    (0,),
    lambda peaks, dtype, v, shapes: _link_rows(shapes, link_args(peaks, {**LINK_START, **v})),
    _link_points,
)
SURFACES: Mapping[str, Surface] = {s.op: s for s in (GEMM, PREFILL, DECODE, MLA_PREFILL, MLA_DECODE, MOE, LINK, DIRECT)}
COLLECTIVE_KINDS: Mapping[str, float] = {"all_reduce": 0.0, "all_gather": 1.0, "reduce_scatter": 2.0, "alltoall": 3.0}
