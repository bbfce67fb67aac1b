"""Formats of states and messages that a user gives a training software: ``megatron-lm-2025,moments=bf16,dispatch=fp8``."""

from __future__ import annotations

from dataclasses import replace

from suanzhang.errors import InputError, nearest_names
from suanzhang.spec.stack import TrainStack

_WHOLE = {"fp32": 4.0, "bf16": 2.0}
_NARROW = {"bf16": 0.0, "fp8": 1.03125}
"""Bytes of a value with the share of a 32-bit scale per 128 values; 0 for the format of activations."""
FORMATS = {
    "moments": {**_WHOLE, "fp8": 1.0},
    "gradients": _WHOLE,
    "activations": _NARROW,
    "dispatch": _NARROW,
}
"""What can be set, and the bytes of one value by format: both moments of Adam, gradients as they are kept and summed, what a
layer keeps for its backward pass, and tokens on their way to the experts (the last two in trainings in 8 bit or less)."""
_MOMENTS_BYTES = 8.0


def parse_formats(text: str) -> dict[str, float]:
    """``"moments=bf16,dispatch=fp8"`` as bytes of one value.

    Raises:
        InputError: an unknown word or format, or one that is given twice.
    """
    found: dict[str, float] = {}
    for part in text.split(","):
        key, equals, value = (item.strip().lower() for item in part.partition("="))
        if not equals or key not in FORMATS:
            near = nearest_names(key, list(FORMATS))
            raise InputError(
                f"stack: cannot read {part.strip()[:40]!r}", fix=f"write for example {(near or ['moments'])[0]}=bf16"
            )
        if key in found:
            raise InputError(f"stack: {key} is given twice", fix="keep one of them")
        if value not in FORMATS[key]:
            raise InputError(f"stack {key}: {value[:20]!r} is no format of it", fix=f"use {' or '.join(FORMATS[key])}")
        found[key] = FORMATS[key][value]
    return found


def with_formats(stack: TrainStack, text: str) -> TrainStack:
    """The software with the formats that a user gives it; its id tells them, so that it can be found again.

    Raises:
        InputError: the formats cannot be read.
    """
    given = parse_formats(text)
    changed: dict[str, float] = {}
    if "moments" in given:
        less = _MOMENTS_BYTES - 2.0 * given["moments"]
        changed["optimizer_bytes"] = stack.optimizer_bytes - less
        changed["bf16_optimizer_bytes"] = max(0.0, stack.bf16_optimizer_bytes - less) if stack.bf16_optimizer_bytes else 0.0
    if "gradients" in given:
        changed |= {"grad_bytes": given["gradients"], "bf16_grad_bytes": 0.0, "reduce_bytes": given["gradients"]}
    if "activations" in given:
        changed["saved_bytes"] = given["activations"]
    if "dispatch" in given:
        changed["sent_bytes"] = given["dispatch"]
    told = ",".join(part.replace(" ", "").lower() for part in text.split(","))
    return replace(stack, id=f"{stack.id},{told}", title=f"{stack.title}; {told.replace(',', ', ')}", **changed)  # type: ignore[arg-type]
