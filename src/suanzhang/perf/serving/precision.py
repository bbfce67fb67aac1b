"""Serving formats of weights and cache: what is stored, what computes, and on which chip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from suanzhang.errors import InputError, OutOfDomain, nearest_names
from suanzhang.spec.chip import ChipSpec


@dataclass(frozen=True, slots=True)
class Format:
    """A storage format of weights.

    Args:
        name: as users write it.
        bytes: of one weight with its scales.
        computes: dtypes that its products can run in, the best first; the chip's first one that it has is used.
        experts_only: in a mixture of experts only the experts are stored so, the rest in 16 bit.
    """

    name: str
    bytes: float
    computes: tuple[str, ...]
    experts_only: bool = False


FORMATS: Mapping[str, Format] = {
    item.name: item
    for item in (
        Format("fp32", 4.0, ("tf32", "fp32")),
        Format("bf16", 2.0, ("bf16", "fp16")),
        Format("fp16", 2.0, ("fp16", "bf16")),
        Format("fp8", 1.0, ("fp8", "bf16", "fp16")),
        Format("int8", 1.0, ("int8", "bf16", "fp16")),
        Format("int8-wo", 1.0, ("bf16", "fp16")),
        Format("int4", 0.5 + 2.5 / 128.0, ("bf16", "fp16")),
        Format("awq", 0.5 + 2.5 / 128.0, ("fp16", "bf16")),
        Format("gptq", 0.5 + 2.5 / 128.0, ("fp16", "bf16")),
        Format("nvfp4", 0.5 + 1.0 / 16.0, ("fp4", "bf16", "fp16"), experts_only=True),
        Format("fp4", 0.5 + 1.0 / 16.0, ("fp4", "bf16", "fp16"), experts_only=True),
        Format("mxfp4", 0.5 + 1.0 / 32.0, ("fp4", "bf16", "fp16"), experts_only=True),
    )
}
"""Block scales: one 16-bit scale and a 4-bit zero per 128 (AWQ, GPTQ), one byte per 16 (NVFP4) or 32 (MXFP4)."""

KV_BYTES: Mapping[str, float] = {"fp16": 2.0, "bf16": 2.0, "fp8": 1.0, "int8": 1.0, "int4": 0.5 + 2.0 / 64.0, "fp32": 4.0}


def weight_format(name: str) -> Format:
    """The format of that name.

    Raises:
        InputError: no such format; names the nearest.
    """
    if name not in FORMATS:
        near = nearest_names(name, FORMATS)
        raise InputError(f"unknown weight dtype {name!r}", fix=f"use {' or '.join(near or tuple(FORMATS))}")
    return FORMATS[name]


def kv_bytes(name: str) -> float:
    """Bytes of one cached value.

    Raises:
        InputError: no such cache dtype.
    """
    if name not in KV_BYTES:
        raise InputError(f"unknown cache dtype {name!r}", fix=f"use one of {', '.join(KV_BYTES)}")
    return KV_BYTES[name]


def compute_dtype(chip: ChipSpec, name: str) -> str:
    """Dtype in which a chip multiplies weights of a format.

    Raises:
        OutOfDomain: the chip has none of the arithmetic that the format can run in.
    """
    for dtype in weight_format(name).computes:
        if dtype in chip.peak_flop_per_s:
            return dtype
    raise OutOfDomain(f"{chip.name} cannot run {name} weights", fix=f"it has {', '.join(chip.peak_flop_per_s)}")
