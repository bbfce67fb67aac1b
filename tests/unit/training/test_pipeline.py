"""Bubbles of the schedules against their published forms, and reasons why a layout cannot be."""

import pytest

from suanzhang.perf.training.examples import EXAMPLE_LAYOUT, EXAMPLE_RUN, GPT3
from suanzhang.perf.training.feasible import REASONS, layout_reason
from suanzhang.perf.training.pipeline import bubble_s

STAGES, F, B, W = 8.0, 1.0, 1.1, 0.9
OTHERS = (STAGES - 1.0) * (F + B + W)


@pytest.mark.parametrize(
    ("schedule", "chunks", "expected"),
    [
        (0.0, 1.0, OTHERS),
        (1.0, 1.0, OTHERS),
        (2.0, 4.0, OTHERS / 4.0),
        (3.0, 1.0, (STAGES - 1.0) * (F + B - W)),
        (5.0, 1.0, (STAGES - 1.0) * (F + B - 2.0 * W)),
    ],
)
def test_bubble(schedule, chunks, expected):
    assert bubble_s(schedule, STAGES, chunks, F, B, W, OTHERS) == pytest.approx(expected)


def test_no_bubble_without_a_pipeline():
    assert bubble_s(1.0, 1.0, 1.0, F, B, W, 0.0) == 0.0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tp": 7.0}, "query heads"),
        ({"pp": 128.0}, "fewer layers"),
        ({"dp": 7.0}, "global batch"),
        ({"ep": 2.0}, "ep without experts"),
        ({"vpp": 2.0}, "vpp needs"),
        ({"vpp": 2.0, "schedule": 2.0, "pp": 1.0}, "interleaving needs"),
        ({"schedule": 4.0, "pp": 7.0}, "dualpipe"),
        ({"cp": 3.0}, "sequence length"),
    ],
)
def test_reason_in_words(change, words):
    reason = REASONS[int(layout_reason(GPT3, EXAMPLE_RUN, EXAMPLE_LAYOUT._replace(**change)))]
    assert words in reason


def test_published_layout_has_no_reason():
    assert layout_reason(GPT3, EXAMPLE_RUN, EXAMPLE_LAYOUT) == 0.0
