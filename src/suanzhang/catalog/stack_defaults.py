"""The training software that is assumed where a question names none: by the maker of the chip and the month of the start."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from suanzhang.catalog.quoted_yaml import load_yaml
from suanzhang.catalog.stacks import _FOLDER, stack_sources, train_stack
from suanzhang.errors import CatalogError
from suanzhang.source import GRADES
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.stack import TrainStack


@dataclass(frozen=True, slots=True)
class DefaultStack:
    """Software that is assumed for a chip and a start.

    Args:
        stack: the software.
        note: what is odd about it: published after the start, or that of another maker; empty when nothing is.
    """

    stack: TrainStack
    note: str = ""


@dataclass(frozen=True, slots=True)
class _Line:
    vendor: str
    chips: str
    stacks: tuple[TrainStack, ...]

    def holds(self, chip: ChipSpec) -> bool:
        return chip.vendor.lower() == self.vendor.lower() and chip.id.startswith(self.chips)


def _line(row: dict[str, Any]) -> _Line:
    where = f"training: default line of {row.get('vendor', '?')!r}"
    if row.get("source") not in stack_sources() or row.get("grade") not in GRADES:
        raise CatalogError(f"{where} has no known source or grade", fix="a value without its origin is not accepted")
    stacks = sorted((train_stack(str(name)) for name in row["stacks"]), key=lambda item: item.released)
    return _Line(str(row["vendor"]), str(row["chips"]), tuple(stacks))


@cache
def _lines() -> tuple[tuple[_Line, ...], _Line]:
    """The lines of software by maker, and the one that makers without their own are given."""
    data = load_yaml(_FOLDER / "training.yaml")
    lines = tuple(_line(row) for row in data["default_lines"])
    return lines, next(line for line in lines if line.vendor == data["default_line_of_others"])


def default_train_stack_on(chip: ChipSpec | None, start: str) -> DefaultStack:
    """The newest software for a chip that was published by the month of a start.

    Args:
        chip: the chip; NVIDIA's software without one.
        start: ISO date, month or year; a year stands for its last month.

    Example:
        >>> from suanzhang.catalog.chips import chip
        >>> default_train_stack_on(chip("tpu-v5p"), "2024-12").stack.id
        'maxtext-2024'
        >>> default_train_stack_on(chip("h100-sxm-80"), "2024-02").stack.id
        'megatron-lm-2023'
    """
    lines, others = _lines()
    own = next((line for line in lines if chip is not None and line.holds(chip)), None)
    line = own or others
    month = start[:7] if len(start) >= 7 else f"{start[:4]}-12"
    published = [item for item in line.stacks if item.released <= month]
    notes = []
    if chip is not None and own is None:
        notes.append(f"that of {others.vendor} chips, for the catalog holds none of {chip.vendor}")
    if not published:
        notes.append(f"the oldest there, published {line.stacks[0].released}, after the start")
    return DefaultStack(published[-1] if published else line.stacks[0], "; ".join(notes))
