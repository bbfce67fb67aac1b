"""Names of chips as drivers, vendors and people write them: the words that tell nothing apart, the memory and the form."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

_IDLE = frozenset(
    [
        "nvidia",
        "amd",
        "intel",
        "google",
        "cloud",
        "huawei",
        "instinct",
        "radeon",
        "geforce",
        "tesla",
        "quadro",
        "tensor",
        "core",
        "gpu",
        "gpus",
        "accelerator",
        "per",
        "edition",
        "generation",
        "server",
        "blackwell",
        "hbm2",
        "hbm2e",
        "hbm3",
        "hbm3e",
        "gddr6",
        "gddr6x",
        "gddr7",
    ]
)
"""Words that stand in names of chips and part none of the same family, memory and form from another."""
_MEMORY = re.compile(r"(\d+)(?:g|gb|gib)")
_APART = re.compile(r"(?<=\d)\s+(?=(?:gb|gib)\b)")
_FORM = re.compile(r"(sxm|pcie|nvl|oam)\d?")


class Spelled(NamedTuple):
    """A name in parts; an empty part is not stated.

    Args:
        family: what is left, without spaces.
        memory_gb: in words.
        form: sxm, pcie, nvl or oam.
        short: the name without idle words.
    """

    family: str
    memory_gb: str
    form: str
    short: str


def spelled(name: str) -> Spelled:
    """A name in parts: ``spelled("NVIDIA H100 80 GB HBM3")`` is the family h100 with 80 GB, of no stated form."""
    words = [word for word in re.split(r"[\W_]+", _APART.sub("", name.casefold())) if word and word not in _IDLE]
    memory = form = ""
    family: list[str] = []
    for word in words:
        if not memory and (found := _MEMORY.fullmatch(word)):
            memory = found[1]
        elif not form and (found := _FORM.fullmatch(word)):
            form = found[1]
        else:
            family.append(word)
    return Spelled("".join(family), memory, form, " ".join(words))


def meant(name: str, titles: Mapping[str, str], usual: str | None) -> str | None:
    """The catalog id that a name can only mean, or None.

    Args:
        name: as written.
        titles: catalog ids and the title of each.
        usual: the id that the family alone stands for, where several are left.
    """
    asked = spelled(name)
    if not asked.family:
        return None
    left = []
    for identity, title in titles.items():
        item = spelled(title)
        same = item.family == asked.family and (not asked.memory_gb or asked.memory_gb == item.memory_gb)
        if same and (not asked.form or item.form in ("", asked.form)):
            left.append(identity)
    if len(left) == 1:
        return left[0]
    return usual if usual in left else None
