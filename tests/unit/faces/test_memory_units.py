"""Memory of a chip stands in binary units wherever it is shown, and never above the capacity that it fits in."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest

import suanzhang
from suanzhang.app.explain_tree import of_chip
from suanzhang.catalog.chips import chip
from suanzhang.errors import Infeasible
from suanzhang.report.blocks import show_fact
from suanzhang.report.text import print_report
from suanzhang.report.views import report_of
from suanzhang.spec.memory import memory_words
from suanzhang.units import GIB


def shown(result: Any) -> str:
    text = io.StringIO()
    print_report(report_of(result), file=text, width=200, details=True)
    return text.getvalue()


def test_words_of_memory_keep_three_digits() -> None:
    amounts = {80.0 * GIB: "80.0 GiB", 1.5 * GIB: "1.50 GiB", 512.0 * GIB: "512 GiB", 0.5 * GIB: "512 MiB", 0.0: "0 B"}
    for amount, words in amounts.items():
        assert memory_words(amount) == words
    assert show_fact(80.0 * GIB, "B") == "80.0 GiB"


def test_a_training_shows_memory_and_capacity_in_one_unit() -> None:
    result = suanzhang.train("llama3-70b", "1T", "h100-sxm-80:128")
    text = shown(result)
    assert not re.search(r"\d GB\b|\[GB\]", text), "decimal gigabytes beside binary ones"
    used, usable = result.memory_bytes["total"], result.memory_bytes["usable"]
    assert isinstance(used, float) and isinstance(usable, float) and used <= usable
    assert f"{memory_words(used)} of {memory_words(usable)} usable" in text


def test_a_refusal_compares_like_with_like() -> None:
    with pytest.raises(Infeasible) as refused:
        suanzhang.train("llama3-70b", "1T", "h100-sxm-80:2")
    line = " ".join(refused.value.binding)
    assert "GiB there (sold as 80 GB)" in line and re.search(r"at least [\d,.]+ [GT]iB per chip", line)


def test_the_catalog_figure_of_a_chip_stays_as_it_is_sold() -> None:
    found = of_chip(chip("h100-sxm-80"), "hbm_bytes", "memory")
    assert show_fact(found.value, found.unit) == "80 GB" and "binary" in found.note
