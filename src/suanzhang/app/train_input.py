"""Reads what a user writes about a training: chips, layout, and defaults that are stated when used."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields

from suanzhang.errors import InputError, nearest_names
from suanzhang.perf.training.pack import NAMEPLATE_BYTES
from suanzhang.search.space import even_chunks
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.layout import TrainLayout
from suanzhang.spec.memory import memory_words
from suanzhang.spec.model import ModelSpec
from suanzhang.spec.stack import TrainStack
from suanzhang.units import GB, parse_quantity

ALIASES = {
    "mbs": "micro_batch",
    "zero": "zero_stage",
    "micro_batch_size": "micro_batch",
    "vp": "vpp",
    "cp_comm_type": "cp_kind",
}
"""Short names of layout keys."""
_WEIGHT_AND_GRADIENT_BYTES = 6.0
"""Bytes of one weight in 16 bit and of its gradient in 32."""
_SHARE_OF_STATES = 0.5
"""Share of the memory that these may take; the rest is for optimizer and activations."""
_PER_REPLICA = 4
_MOST_TIMES_USUAL = 4
UNEQUAL_CHUNKS = "2025-04"
"""Month from which Megatron-Core takes a list of the layers of every pipeline chunk."""
_LISTS_CHUNKS = ("megatron-lm", "megatron-bridge", "nemo", "hai-llm", "mindspeed")
MOST_CHIPS = 10_000_000
"""More chips than one training can be asked for."""
_FLAGS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


def usable_bytes(chip: ChipSpec) -> float:
    """Memory of a chip that a training can fill: its nominal gigabytes are binary ones, less what firmware keeps."""
    return NAMEPLATE_BYTES * chip.hbm_bytes


def memory_there(chip: ChipSpec) -> str:
    """The memory of a chip for an error line, beside what it is sold as."""
    return f"{memory_words(usable_bytes(chip))} there (sold as {chip.hbm_bytes / GB:,.0f} GB)"


def parse_chips(text: str) -> tuple[tuple[str, int], ...]:
    """``"CHIP:N[,CHIP:N]"`` as pairs.

    Raises:
        InputError: no count, or a count that is no positive whole number.
    """
    pairs = []
    for part in text.split(","):
        name, colon, count = part.strip().rpartition(":")
        if not colon or not name:
            raise InputError(f"chips: cannot read {part.strip()!r}", fix="write CHIP:COUNT, for example a100-sxm-80:1024")
        number = parse_quantity(count.strip(), "count", f"chips {name}")
        if number < 1 or number != math.floor(number):
            raise InputError(f"chips {name}: {count.strip()!r} is no positive whole number", fix="write for example 1024")
        if number > MOST_CHIPS:
            raise InputError(
                f"chips {name}: {count.strip()!r} is more than any cluster has", fix=f"give at most {MOST_CHIPS:,}"
            )
        pairs.append((name, int(number)))
    return tuple(pairs)


def parse_layout(text: str) -> dict[str, object]:
    """``"tp=8,pp=8,recompute=full"`` as the fields of a layout that it sets.

    Raises:
        InputError: an unknown key or a value of the wrong kind, naming the nearest key.
    """
    kinds = {field.name: field.default for field in fields(TrainLayout)}
    found: dict[str, object] = {}
    for part in text.split(","):
        key, equals, value = (item.strip() for item in part.partition("="))
        key = ALIASES.get(key.lower(), key.lower())
        if not equals or key not in kinds:
            if not equals and key in kinds:
                raise InputError(f"layout: {part.strip()!r} has no value", fix=f"write {key}={_shown(kinds[key])}")
            near = nearest_names(key, [*kinds, *ALIASES])
            raise InputError(f"layout: cannot read {part.strip()!r}", fix=f"did you mean {' or '.join(near) or 'tp=8'}?")
        if key in found:
            raise InputError(f"layout: {key} is given twice", fix="keep one of them")
        found[key] = _value(key, value, kinds[key])
    return found


def _shown(default: object) -> str:
    """A value of the kind of a default, as an example."""
    return "on" if isinstance(default, bool) else "8" if isinstance(default, int) else str(default)


def _value(key: str, value: str, default: object) -> object:
    if isinstance(default, bool):
        if value.lower() not in _FLAGS:
            raise InputError(f"layout {key}: {value!r} is neither on nor off", fix="write on or off")
        return _FLAGS[value.lower()]
    if isinstance(default, int):
        if not value.isdigit() or (int(value) < 1 and key not in ("zero_stage", "recompute_layers", "etp")):
            raise InputError(f"layout {key}: {value!r} is no positive whole number", fix=f"write for example {key}=8")
        if key == "zero_stage" and int(value) > 3:
            raise InputError(f"layout {key}: there is no stage {value}", fix="write 0, 1, 2 or 3")
        return int(value)
    choices = {
        "recompute": ("none", "selective", "full"),
        "schedule": ("gpipe", "1f1b", "interleaved", "zero-bubble", "dualpipe", "zero-bubble-2p"),
        "cp_kind": ("ring", "a2a"),
    }
    if value not in choices[key]:
        raise InputError(f"layout {key}: unknown {value!r}", fix=f"use one of {', '.join(choices[key])}")
    return value


def complete_layout(given: dict[str, object], chips: int, defaults: TrainLayout) -> TrainLayout:
    """A layout from the fields that were given: data parallel takes the remaining chips.

    Raises:
        InputError: the sizes do not multiply to the number of chips; names the nearest number that does.
    """
    values = {field.name: getattr(defaults, field.name) for field in fields(TrainLayout)} | given
    cut = int(values["tp"]) * int(values["pp"]) * int(values["cp"])
    if "dp" not in given:
        if chips % cut:
            nearest = max(chips // cut, 1) * cut
            raise InputError(
                f"layout: tp x pp x cp = {cut} does not divide {chips} chips", fix=f"use {nearest} chips or other sizes"
            )
        values["dp"] = chips // cut
    if int(values["vpp"]) > 1 and "schedule" not in given:
        values["schedule"] = "interleaved"
    layout = TrainLayout(**values)
    if layout.chips != chips:
        raise InputError(
            f"layout uses {layout.chips} chips, {chips} are given", fix=f"give {layout.chips} chips, or leave dp out"
        )
    return layout


def optimizer_of(name: str) -> str:
    """The optimizer by the name that we know it by; decoupled weight decay changes neither time nor memory."""
    return "adam" if name.strip().lower() in ("adamw", "adam") else name


def check_recompute(layout: TrainLayout, layers: int) -> None:
    """Refuse a number of layers to recompute that does nothing or that no stage has.

    Raises:
        InputError: more layers than a stage holds, or a recompute mode that knows no number of layers.
    """
    fullest = math.ceil(layers / layout.pp)
    if layout.recompute_layers and layout.recompute != "full":
        raise InputError(
            f"layout: recompute_layers={layout.recompute_layers} with recompute={layout.recompute}",
            fix="write recompute=full beside it, or leave it out",
        )
    if layout.recompute_layers > fullest:
        raise InputError(
            f"layout: recompute_layers={layout.recompute_layers}, a stage holds {fullest} layers", fix=f"give at most {fullest}"
        )


def lists_chunks(stack: TrainStack) -> bool:
    """Whether software takes a list of the layers of every pipeline chunk, equal or not."""
    return stack.released >= UNEQUAL_CHUNKS and stack.id.startswith(_LISTS_CHUNKS)


def check_chunks(layout: TrainLayout, layers: int, stack: TrainStack) -> None:
    """Refuse interleaved chunks of unequal layers under software that cannot say them.

    Megatron-Core takes a list of the layers of every chunk since 2025 ([megatron-core], pipeline layout). Older and other
    software that interleaves cuts the stages into equal chunks and stops with an error.

    Raises:
        InputError: layers that do not divide by the chunks, with the nearest ``vpp`` that does.
    """
    if layout.vpp <= 1 or layout.head_layers or even_chunks(layers, layout.pp * layout.vpp):
        return
    if lists_chunks(stack):
        return
    near = [vpp for vpp in range(1, layers // layout.pp + 1) if even_chunks(layers, layout.pp * vpp)]
    best = min(near, key=lambda vpp: abs(vpp - layout.vpp), default=0)
    raise InputError(
        f"layout: {layers} layers do not divide by pp x vpp = {layout.pp * layout.vpp} chunks, which {stack.id} needs",
        fix=f"use vpp={best}" if best else "use a number of stages that divides the layers",
    )


def default_precision(chip: ChipSpec) -> str:
    """16-bit arithmetic of the chip: bf16 where it exists."""
    return "bf16" if "bf16" in chip.peak_flop_per_s else "fp16"


def default_batch(model: ModelSpec, seq_len: int) -> int:
    """Sequences of a step when none is given: the power of two nearest to the usual tokens per step of that size.

    Half a million tokens at a billion active parameters, growing with their cube root, to 16 million at most: GPT-3
    175B took 3.2 million, Llama 3 405B 16 million.
    """
    tokens = min(16e6, 0.5e6 * max(1.0, model.active_params / 1e9) ** (1.0 / 3.0) * 1.4)
    return int(2 ** max(0, round(math.log2(tokens / seq_len))))


def busy_batch(model: ModelSpec, seq_len: int, fleet: Sequence[tuple[ChipSpec, int]], *, together: bool = False) -> int:
    """Sequences of a step when none is given, on a number of chips: the usual ones, more where those leave chips without work.

    Every replica of the model takes four sequences at least, a replica being the fewest chips, a power of two, whose memory
    holds weights and gradients twice over. More than four times the usual tokens teach no more per step, so that a larger fleet
    gets no larger batch ([mccandlish2018], critical batch). A count of chips that is no power of two gets the nearest batch
    that deals evenly.

    Args:
        model: the model.
        seq_len: tokens of a sequence.
        fleet: kinds of chips with the number of each; the one that asks for most counts.
        together: all of the fleet work on one job, so that the replicas on every kind count.
    """
    usual = default_batch(model, seq_len)
    wanted = [0.0]
    for chip, count in fleet:
        held = model.params * _WEIGHT_AND_GRADIENT_BYTES / (_SHARE_OF_STATES * usable_bytes(chip))
        replica = 2 ** max(0, math.ceil(math.log2(held)))
        wanted.append(_PER_REPLICA * count / replica)
    needed = sum(wanted) if together else max(wanted)
    batch = usual if needed <= usual else min(int(2 ** math.ceil(math.log2(needed))), _MOST_TIMES_USUAL * usual)
    return _dealt_evenly(batch, *fleet[0]) if len(fleet) == 1 else batch


def _dealt_evenly(batch: int, chip: ChipSpec, chips: int) -> int:
    """The nearest batch that can be dealt evenly to replicas of a count of chips that is no power of two.

    A batch that is a power of two leaves a third of 96 chips without work. What divides the batch is the count of chips, or of
    those in whole nodes, halved until two of it fit; where neither can be halved so far, the batch stays as it is.
    """
    for count in (chips, chips - chips % chip.node.chips):
        part = count
        while part and 2 * part > batch and part % 2 == 0:
            part //= 2
        if 0 < 2 * part <= batch:
            return round(batch / part) * part
    return batch


def batch_words(model: ModelSpec, seq_len: int, batch: int) -> str:
    """What is assumed about the global batch, in words."""
    return f"global batch assumed: {batch} sequences{busy_words(model, seq_len, batch)}"


def busy_words(model: ModelSpec, seq_len: int, batch: int) -> str:
    """Why an assumed batch is larger than usual, in words; nothing where it is not."""
    usual = default_batch(model, seq_len)
    return f", {batch / usual:.3g} times the usual for its size, to keep that many chips busy" if batch > usual else ""


def sizes_of(
    model: ModelSpec, seq_len: int, global_batch: int, fleet: Sequence[tuple[ChipSpec, int]] = (), *, together: bool = False
) -> tuple[int, int]:
    """Tokens of a sequence and sequences of a step; usual ones for what is 0, for the fleet where one is given.

    Raises:
        InputError: one is below zero.
    """
    for name, value in (("seq_len", seq_len), ("global_batch", global_batch)):
        if value < 0:
            raise InputError(f"{name}: {value} is below zero", fix="give a positive number, or leave it out for the usual one")
    seq = seq_len or min(model.max_seq, 8192)
    return seq, global_batch or busy_batch(model, seq, fleet, together=together)


def tokens_of(tokens: float | str, of_step: int) -> float:
    """Tokens to train on.

    Args:
        tokens: what the user wrote.
        of_step: tokens of one optimizer step.

    Raises:
        InputError: not positive, or less than one step, as when the B of 300B was forgotten.
    """
    amount = parse_quantity(tokens, "count", "tokens")
    if amount <= 0.0:
        raise InputError(f"tokens: {tokens!r} is not positive", fix="write for example 300B")
    if amount < of_step:
        raise InputError(
            f"tokens: {tokens!r} is less than one step, which takes {of_step:,}",
            fix=f"write {amount:g}B if billions were meant, or a smaller batch",
        )
    return amount
