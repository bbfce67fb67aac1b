"""Names of the formats that the matrix products of a training run in, and what each costs besides the products."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Precision:
    """A format of the operands of matrix products.

    Attention products, the router and the output head stay in 16 bit under every format of 8 or 4 bit; master weights and the
    moments of the optimizer keep the format of the stack.

    Args:
        name: as a user writes it.
        arithmetic: dtype of the chip's peak.
        surface: format whose kernel timings stand for it.
        value_bytes: bytes of one stored value, its share of the scales included.
        block: values that share a scale; 0 for one scale per matrix.
        reads: times that an operand is read in 16 bit to convert it: once more where its largest value must be known first.
        writes: converted copies that are written: one along each of the two directions in which products read an operand.
        copy_bytes: bytes by which the converted copies of a weight, kept through the step, exceed its 16 bits: two copies of
            8 bits (one along each direction of reading) stand in their place, two of 4 bits stand beside them.
        wide_share: share of the layers whose products stay in 16 bit.
        block_scaled: the products must take the scales of blocks in hardware.
        vendor: the only maker whose chips have it; empty for any.
        source: key of the source.
    """

    name: str
    arithmetic: str
    surface: str
    value_bytes: float
    block: int = 0
    reads: float = 1.0
    writes: float = 2.0
    copy_bytes: float = 0.0
    wide_share: float = 0.0
    block_scaled: bool = False
    vendor: str = ""
    source: str = ""


PRECISIONS: Mapping[str, Precision] = {
    one.name: one
    for one in (
        Precision("fp8", "fp8", "fp8", 1.0, source="transformer-engine"),
        Precision("fp8-block", "fp8", "fp8_block", 1.0 + 4.0 / 128.0, 128, copy_bytes=2.0 * 4.0 / 128.0, source="deepseekv3"),
        Precision("mxfp8", "fp8", "fp8", 1.0 + 1.0 / 32.0, 32, copy_bytes=2.0 / 32.0, block_scaled=True, source="ocp-mx-2023"),
        Precision(
            "nvfp4", "fp4", "nvfp4", 0.5 + 1.0 / 16.0, 16, reads=2.0, copy_bytes=1.125, block_scaled=True, vendor="nvidia",
            source="nvfp4-2025",
        ),
        Precision(
            "nvfp4-mixed", "fp4", "nvfp4", 0.5 + 1.0 / 16.0, 16, reads=2.0, copy_bytes=1.125, wide_share=0.15,
            block_scaled=True, vendor="nvidia", source="nvfp4-2025",
        ),
    )
}  # fmt: skip
"""Formats with a recipe of their own. ``fp8`` has one scale per tensor, ``fp8-block`` a 32-bit one per 128 values (and per
128 x 128 of a weight), ``mxfp8`` an 8-bit power of two per 32, ``nvfp4`` an 8-bit one per 16 under one per tensor, whose
largest value must be known first. ``nvfp4-mixed`` keeps the first and the last layers, about 15 % of them, in 16 bit, as the
published training to the loss of 8 bit did; published speeds run all layers in 4 bit."""
_BYTES: Mapping[str, float] = {"fp64": 8.0, "fp32": 4.0, "tf32": 4.0, "int8": 1.0, "fp4": 0.5, "int4": 0.5}
_OTHER_NAMES: Mapping[str, str] = {
    "fp8_block": "fp8-block",
    "fp8-blockwise": "fp8-block",
    "fp8-tensorwise": "fp8",
    "fp8-mx": "mxfp8",
    "mx-fp8": "mxfp8",
    "bfloat16": "bf16",
    "float16": "fp16",
    "float32": "fp32",
}
NAMES = ("bf16", "fp16", "fp32", "tf32", "fp8", "fp8-block", "mxfp8", "nvfp4", "nvfp4-mixed", "int8")
"""What a user may ask for."""


def canonical(name: str) -> str:
    """The name under which a format is known here: lower case, other spellings resolved."""
    text = name.strip().lower()
    return _OTHER_NAMES.get(text, text)


def precision_of(name: str) -> Precision:
    """The format of a name; a plain dtype is its own arithmetic."""
    return PRECISIONS.get(name) or Precision(name, name, name, _BYTES.get(name, 2.0))


def lacking(name: str, chip: str, vendor: str, peaks: Mapping[str, float]) -> str:
    """Why a chip cannot run a format; empty when it can.

    Args:
        name: the format.
        chip: the chip, in words.
        vendor: its maker.
        peaks: its dense peaks by dtype. Chips with 4-bit floating-point arithmetic scale blocks in hardware, others do not.
    """
    form = precision_of(name)
    if form.arithmetic not in peaks:
        return f"{chip} has no {form.arithmetic} arithmetic" + (f", which {name} needs" if form.arithmetic != name else "")
    if form.block_scaled and "fp4" not in peaks:
        return f"{chip} has no {name}: its 8-bit products take no scale for each block of {form.block} values"
    if form.vendor and vendor.lower() != form.vendor:
        return f"{chip} has no {name}: that format is of another maker"
    return ""
