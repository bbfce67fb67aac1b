"""From a chip of the catalog to the arguments of the operator formulas, and where they come from."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from suanzhang.app.own_profile import own_profile
from suanzhang.app.physics_carried import host_bound, stand_in
from suanzhang.app.physics_data import (
    Relative,
    backward_over_forward,
    constant,
    cores,
    l2_bytes,
    pcie_link_chip,
    relative,
    relative_when_left_out,
)
from suanzhang.app.surfaces import (
    DECODE_START,
    GEMM_START,
    LINK_START,
    MOE_START,
    PREFILL_START,
    Peaks,
    attention_args,
    gemm_args,
    link_args,
    moe_args,
    peaks_of,
    pooled_tables,
    without_warm,
)
from suanzhang.catalog.chips import chip as catalog_chip
from suanzhang.evidence.calibration.store import shipped_profile, shipped_profiles
from suanzhang.perf.args import AttentionArgs, LinkArgs, MemoryArgs, OperatorArgs, Residual, no_residual
from suanzhang.source import Grade
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.precision import precision_of
from suanzhang.spec.profile import FittedSurface, Profile

Origin = Literal["measured", "relative", "physics"]
_ENGINES = ("vllm", "trtllm", "sglang")
_VENDOR_LIBRARY = "trtllm"
"""The engine whose products in 8 and 4 bit run in the library of the maker of the chips, as those of a training do."""
_WIDE = ("bf16", "fp16", "tf32", "fp32")
_FORMATS: Mapping[str, tuple[str, ...]] = {
    "bf16": ("bf16",),
    "fp16": ("fp16", "bf16"),
    "tf32": ("tf32", "bf16"),
    "fp32": ("fp32", "bf16"),
    "fp8": ("fp8", "fp8_block"),
    "fp8_block": ("fp8_block", "fp8"),
    "int8": ("int8", "fp8"),
    "int8_wo": ("int8_wo", "bf16"),
    "int4": ("int4_wo", "mxfp4_wo", "bf16"),
    "int4_wo": ("int4_wo", "mxfp4_wo", "bf16"),
    "fp4": ("nvfp4", "fp4_mixed", "fp8"),
    "nvfp4": ("nvfp4", "fp4_mixed", "fp8"),
    "mxfp4_wo": ("mxfp4_wo", "int4_wo", "bf16"),
}
"""Which fitted format stands in for a dtype, the nearest first."""
_STORED = {"int4": "int4_wo", "fp4": "nvfp4"}


@dataclass(frozen=True, slots=True)
class Physics:
    """Arguments of the formulas with their origin.

    Args:
        args: what the formulas take.
        origin: "measured" (timings of this chip), "relative" (efficiencies of a relative), "physics" (typical shares only).
        profile: ids of the profiles in use, empty when none.
        grade: how far to trust it.
        note: the choice in words.
        spread: median absolute error that the dense products showed on shapes left out [1].
    """

    args: OperatorArgs
    origin: Origin
    profile: str
    grade: Grade
    note: str
    spread: float = 0.5


def physics(
    chip: ChipSpec,
    dtype: str,
    profile: str = "",
    kv_dtype: str = "",
    *,
    attention_dtype: str = "",
    repeated: bool = False,
) -> Physics:
    """Arguments of the operator formulas for a chip and dtype, and where they come from.

    Args:
        chip: the chip; its peaks and bandwidths are always its own.
        dtype: format of the products ("bf16", "fp8", "fp8_block", "int8", "int8_wo", "int4", "fp4", "nvfp4", ...).
        profile: "" for the chip's default, whose dense products are the mean of what all engines timed (in 8 and 4 bit those of
            the engine that calls the vendor's library); an engine ("vllm"); an engine and version ("vllm-0.14.0", the nearest
            timed one is taken); or the path of a profile file.
        kv_dtype: format of the cached keys and values; "fp8" takes the timings of attention over such a cache where there
            are any, anything else those over a cache in 16 bit.
        attention_dtype: "fp8" for prefill attention that multiplies in 8 bits, where it was timed; 16 bits otherwise.
        repeated: whether the same kernel repeats on the same operands, as when it is timed: a small weight or cache of keys
            and values then stays on the chip. Between two steps of a model everything else passes through, and it does not.

    Raises:
        OutOfDomain: the chip has no arithmetic for the dtype.
        InputError: the profile file cannot be read or is of another chip.
    """
    if precision_of(dtype).surface != dtype:
        chip.peak(dtype)
        dtype = precision_of(dtype).surface
    if peaks_of(chip, "gemm", dtype) is None or (dtype in ("fp8", "fp4", "int8") and dtype not in chip.peak_flop_per_s):
        chip.peak(dtype)
    base, origin = _base(chip)
    kin = relative(chip) if origin == "relative" else None
    found: _Finder = _Finder(_chosen(chip, base, profile), not profile)
    if profile.endswith(".json"):
        origin = "measured"
    elif kin is not None:
        found = _carrying(chip, kin, profile)
    args = _assemble(chip, dtype, base, found, (kv_dtype, attention_dtype))
    if not repeated:
        args = _cold(args)
    gemm = found.first("gemm", _FORMATS.get(dtype, (dtype,)))
    if gemm is None:
        return Physics(args, "physics", "", "assumed", f"typical shares of the peaks of {chip.name}")
    ids = ", ".join(dict.fromkeys(found.sources()))
    spread = (gemm.left_out_pct if np.isfinite(gemm.left_out_pct) else gemm.median_abs_pct) / 100.0
    if origin == "measured":
        return Physics(args, origin, ids, "measured", f"timings of {chip.name} ({ids})", spread)
    close = kin is not None and kin.close
    timed = ", ".join(dict.fromkeys(name.partition("--")[0] for name in found.sources()))
    kindred = f"{base} ({ids})" if close else f"other architectures, the more alike the louder ({timed}),"
    note = f"efficiencies of {kindred} on the peaks of {chip.name}, which has no own timings"
    wider = constant("spread_same_architecture" if close else "spread_other_architecture")
    return Physics(args, origin, ids, "derived" if close else "assumed", note, spread + wider)


def operator_args(chip: ChipSpec, dtype: str, profile: str = "", kv_dtype: str = "", attention_dtype: str = "") -> OperatorArgs:
    """Arguments of the operator formulas for a chip and dtype; see :func:`physics` for their origin.

    ``kv_dtype="fp8"`` gives attention over a cache in 8 bits; say so to the formulas too (``kv_elem_bytes`` 1).
    ``attention_dtype="fp8"`` gives prefill attention whose products are in 8 bits (TensorRT-LLM and SGLang run it when asked);
    where a chip has no such timings, both fall back to the next wider format that was timed.
    """
    return physics(chip, dtype, profile, kv_dtype, attention_dtype=attention_dtype).args


def operator_args_left_out(chip: ChipSpec, dtype: str, profile: str = "") -> OperatorArgs:
    """Arguments of the operator formulas as if a measured chip had no timings: what a chip left out is judged with."""
    kin = relative_when_left_out(chip)
    if kin is None or _base(chip)[1] != "measured":
        return operator_args(chip, dtype, profile)
    found = _carrying(chip, kin, profile)
    args = _assemble(chip, precision_of(dtype).surface, kin.chip, found, ("", ""))
    return _cold(args)


def _cold(args: OperatorArgs) -> OperatorArgs:
    """As in a running model: between two runs of a kernel everything else passes through the on-chip cache."""
    return args._replace(
        gemm=args.gemm._replace(l2_bytes=1.0),
        attention=args.attention._replace(l2_bytes=1.0),
        mla=args.mla._replace(l2_bytes=1.0),
    )


def _base(chip: ChipSpec) -> tuple[str, Origin]:
    """The measured chip that speaks for this one, and whether it is this one."""
    measured = {name.split("--")[0] for name in shipped_profiles()}
    if chip.id in measured:
        return chip.id, "measured"
    kin = relative(chip)
    if kin is not None and kin.chip in measured:
        return kin.chip, "relative"
    return "", "physics"


def stand_ins(chip: ChipSpec, nearest: str = "") -> tuple[str, ...]:
    """Measured chips that speak together for one of an architecture without timings: all that are like it at all.

    Args:
        chip: the chip without timings; measured chips of its own name are left out.
        nearest: the one to name first.
    """
    own = chip.id.split("-")[0]
    measured = sorted({name.split("--")[0] for name in shipped_profiles()})
    kept = [name for name in measured if name.split("-")[0] != own]
    return tuple(sorted(kept, key=lambda name: name != nearest))


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3]) or (0,)


def _distance(have: str, want: str) -> tuple[float, ...]:
    padded = zip((*_version(have), 0, 0, 0)[:3], (*_version(want), 0, 0, 0)[:3], strict=True)
    return tuple(abs(a - b) for a, b in padded)


def _chosen(chip: ChipSpec, base: str, profile: str) -> tuple[Profile, ...]:
    """Profiles in the order in which surfaces are looked for."""
    if profile.endswith(".json"):
        return (own_profile(profile, chip), *_chosen(chip, base, ""))
    stack = profile.split("--")[-1]
    engine, _, version = stack.partition("-")
    order = [engine] if engine in _ENGINES else []
    order += [name for name in _ENGINES if name not in order]
    names: list[str] = []
    for name in order:
        have = [item for item in shipped_profiles() if item.startswith(f"{base}--{name}-")]
        newest_first = sorted(have, key=lambda item: _version(item.split("--")[1]), reverse=True)
        if name == engine and version:
            newest_first.sort(key=lambda item: _distance(item.split("--")[1], version))
        names += newest_first
    names += [item for item in shipped_profiles() if re.fullmatch(rf"{re.escape(base)}--(nccl|oneccl)-.*", item)]
    direct = [] if engine in _ENGINES else ["direct"]
    return tuple(_without(shipped_profile(name), direct) for name in names)


def _without(profile: Profile, ops: Iterable[str]) -> Profile:
    kept = tuple(surface for surface in profile.surfaces if surface.op not in ops)
    return Profile(
        profile.chip, profile.stack, profile.device, profile.source, profile.licence, profile.date, profile.sms, kept
    )


class _Finder:
    """Looks for surfaces in an ordered list of profiles and remembers which it used."""

    def __init__(self, profiles: tuple[Profile, ...], pooled: bool = False) -> None:
        self.profiles = profiles
        self.pooled = pooled
        self.used: list[str] = []

    def first(self, op: str, dtypes: tuple[str, ...]) -> FittedSurface | None:
        """The surface of the nearest dtype; among equals the first that was timed on the chip and not on its host."""
        for dtype in dtypes:
            found = [(profile, profile.surface(op, dtype)) for profile in self.profiles]
            have = [(profile, surface) for profile, surface in found if surface is not None]
            have.sort(key=lambda item: host_bound(item[1]))
            if self.pooled and op == "gemm" and have:
                return self._pool(have)
            if have:
                self.used.append(have[0][0].id)
                return have[0][1]
        return None

    def _pool(self, have: Sequence[tuple[Profile, FittedSurface]]) -> FittedSurface:
        """The mean of the newest timings of each engine; those that wait for their host only where there are no others.

        In 16 bit all engines call the vendor's library, as trainings do. In 8 and 4 bit one of them does, and where it was
        timed it speaks alone: the others bring kernels of their own, tuned for the few rows of decoding.
        """
        newest: dict[str, str] = {}
        for profile, surface in have:
            if host_bound(surface) == host_bound(have[0][1]):
                newest.setdefault(profile.stack.partition("-")[0], profile.id)
        if _VENDOR_LIBRARY in newest and have[0][1].dtype not in _WIDE:
            newest = {_VENDOR_LIBRARY: newest[_VENDOR_LIBRARY]}
        self.used += newest.values()
        return _pooled(tuple(newest.values()), have[0][1].dtype)

    def sources(self) -> list[str]:
        """Ids of the profiles used so far."""
        return self.used


@functools.cache
def _pooled(profiles: tuple[str, ...], dtype: str) -> FittedSurface:
    """The dense products of several engines on one chip as one surface: their geometric mean."""
    timed = [surface for name in profiles if (surface := shipped_profile(name).surface("gemm", dtype)) is not None]
    peaks = peaks_of(catalog_chip(shipped_profile(profiles[0]).chip), "gemm", dtype)
    if peaks is None:
        return timed[0]
    return replace(timed[0], coefficients=without_warm(timed[0].coefficients), tables=pooled_tables(timed, peaks))


def _carrying(chip: ChipSpec, kin: Relative, profile: str) -> _Finder:
    """Looks in the profiles of a chip's relatives for what they say of the chip."""
    names = (kin.chip,) if kin.close else stand_ins(chip, kin.chip)
    return _Relatives(chip, kin, {name: _Finder(_chosen(chip, name, profile), not profile) for name in names})


class _Relatives(_Finder):
    """Looks in the profiles of other chips and returns what they say together of the chip at hand."""

    def __init__(self, chip: ChipSpec, kin: Relative, finders: Mapping[str, _Finder]) -> None:
        self.chip = chip
        self.kin = kin
        self.finders = finders
        super().__init__(tuple(profile for finder in finders.values() for profile in finder.profiles))

    def first(self, op: str, dtypes: tuple[str, ...]) -> FittedSurface | None:
        for dtype in dtypes:
            found = {name: finder.first(op, (dtype,)) for name, finder in self.finders.items()}
            have = {name: surface for name, surface in found.items() if surface is not None}
            mean = stand_in(self.chip, self.kin, have)
            if mean is not None:
                return mean
        return None

    def sources(self) -> list[str]:
        """Ids of the profiles used so far."""
        return [name for finder in self.finders.values() for name in finder.sources()]


def _table(surface: FittedSurface | None, name: str = "") -> Residual:
    if surface is None or name not in surface.tables:
        return no_residual()
    return _built(surface.tables[name], surface.second_axes if name == "second" else surface.axes)


@functools.lru_cache(maxsize=512)
def _built(values: tuple[int, ...], axes: tuple[tuple[float, float, int], ...]) -> Residual:
    (x, y, z) = axes
    table = np.exp(np.array(values, dtype=np.float64).reshape(x[2], y[2], z[2]) / 1000.0)
    return Residual(table, x[0], y[0], z[0], x[1], y[1], z[1])


def _pair(surface: FittedSurface | None) -> tuple[Residual, Residual]:
    return _table(surface), _table(surface, "second")


def _assemble(chip: ChipSpec, dtype: str, base: str, found: _Finder, attended: tuple[str, str]) -> OperatorArgs:
    peaks = peaks_of(chip, "gemm", dtype) or Peaks(chip.peak(dtype), chip.hbm_bytes_per_s, cores(chip), 1.0)
    stored = _STORED.get(dtype, dtype)
    formats = _FORMATS.get(dtype, (dtype,))
    surface = found.first("gemm", formats)
    gemm = gemm_args(peaks, stored, surface.coefficients if surface else GEMM_START, _pair(surface))
    grouped = found.first("moe", formats)
    moe = moe_args(peaks, stored, gemm, grouped.coefficients if grouped else MOE_START, _pair(grouped))
    memory = MemoryArgs(chip.hbm_bytes_per_s, constant("memory_efficiency"), constant("memory_launch_s"))
    kv_dtype, products = attended
    cache = ("bf16-kv8", "bf16") if kv_dtype == "fp8" else ("bf16",)
    prefill = ("fp8", *cache) if products == "fp8" and "fp8" in chip.peak_flop_per_s else cache
    attention = _attention(chip, base, found, ("prefill", "decode"), (prefill, cache))
    mla = _attention(chip, base, found, ("mla_prefill", "mla_decode"), (cache, cache))
    return OperatorArgs(gemm, attention, mla, moe, memory, _links(chip, found))


def _attention(
    chip: ChipSpec, base: str, found: _Finder, ops: tuple[str, str], formats: tuple[tuple[str, ...], tuple[str, ...]]
) -> AttentionArgs:
    half = "bf16" if "bf16" in chip.peak_flop_per_s else "fp16"
    flop = chip.peak_flop_per_s.get(half) or max(chip.peak_flop_per_s.values())
    peaks = Peaks(flop, chip.hbm_bytes_per_s, cores(chip), chip.link_bytes_per_s, l2_bytes(chip))
    prefill, decode = found.first(ops[0], formats[0]), found.first(ops[1], formats[1])
    values = dict(prefill.coefficients if prefill else PREFILL_START)
    if prefill is not None and prefill.dtype == "fp8":
        values["efficiency"] *= chip.peak("fp8") / flop
    values["backward_efficiency"] = backward_over_forward(base) * values["efficiency"]
    return attention_args(peaks, values, decode.coefficients if decode else DECODE_START, _pair(prefill), _pair(decode))


def _links(chip: ChipSpec, found: _Finder) -> LinkArgs:
    """Links inside the node from NCCL and engine timings, and the network from the node's own adapters."""
    if chip.scale_up_domain <= 1 and not any(profile.chip == chip.id for profile in found.profiles):
        found = _Finder(_pcie_profiles())
    rate = chip.link_bytes_per_s or constant("nic_bytes_per_s")
    peaks = Peaks(1.0, chip.hbm_bytes_per_s, cores(chip), rate)
    ring, direct = found.first("link", ("bf16",)), found.first("direct", ("bf16",))
    values = {**LINK_START, **(ring.coefficients if ring else {}), **(direct.coefficients if direct else {})}
    return link_args(peaks, values)._replace(
        node_chips=float(max(chip.scale_up_domain, chip.node.chips, 1)),
        switched=1.0 if chip.scale_up_domain > 1 else 0.0,
        nic_bytes_per_s=chip.node.nic_bytes_per_s or constant("nic_bytes_per_s"),
        nic_efficiency=chip.node.nic_efficiency or constant("nic_efficiency"),
        nic_base_s=constant("nic_base_s"),
        nic_hop_s=constant("nic_hop_s"),
        allreduce=_table(direct) if direct else _over_switch(_table(ring, "all_reduce"), chip.scale_up_domain),
        allgather=_over_switch(_table(ring, "all_gather"), chip.scale_up_domain),
        reducescatter=_over_switch(_table(ring, "reduce_scatter"), chip.scale_up_domain),
        alltoall=_over_switch(_table(ring, "alltoall"), chip.scale_up_domain),
    )


def _over_switch(table: Residual, ranks: int) -> Residual:
    """What was timed with the most ranks, for all numbers of ranks that share the switch beyond it.

    Every chip has a path of its own to a switch, so that more ranks do not slow one; the closed form alone, without what the
    timings of the same chip add, would let them.
    """
    timed = np.abs(np.log(table.values)).max(axis=(0, 2)) > 0.0
    if not timed.any():
        return table
    last = int(np.flatnonzero(timed)[-1])
    columns = max(table.values.shape[1], math.ceil((math.log2(max(ranks, 2)) - table.y0) / table.dy) + 1)
    values = np.concatenate(
        [table.values[:, : last + 1], np.repeat(table.values[:, last : last + 1], columns - last - 1, axis=1)], 1
    )
    return table._replace(values=np.ascontiguousarray(values))


def _pcie_profiles() -> tuple[Profile, ...]:
    names = [name for name in shipped_profiles() if re.fullmatch(rf"{re.escape(pcie_link_chip())}--nccl-.*", name)]
    return tuple(shipped_profile(name) for name in names)
