"""The share of their error that runs of one source, chip and model have in common, from the published runs."""

from __future__ import annotations

import math
from collections import defaultdict

import pytest

from suanzhang.app.serve_futures import COMMON_SHARE, common_share


def test_the_common_share_is_that_of_the_published_runs() -> None:
    import suanzhang

    groups: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for entry in suanzhang.validate(phase="serving", rows=True).entries:
        name = "output_tokens_per_s"
        if name in entry.predicted and name in entry.measured and not entry.skipped:
            ratio = entry.measured[name] / entry.predicted[name]
            groups[entry.source, entry.chip, entry.model].append(math.log(ratio))
    assert len(groups) > 100
    assert common_share(groups.values()) == pytest.approx(COMMON_SHARE, abs=0.1)
