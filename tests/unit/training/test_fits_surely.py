"""The layout that is recommended fits in most of the cases of our interval, and the faster doubtful one is shown beside it."""

import itertools

import pytest

from suanzhang.app.train import train
from suanzhang.app.train_deadline import chance_below
from suanzhang.app.train_fits import FIT_CONFIDENCE, NOT_SURE, needed_factor
from suanzhang.app.train_input import usable_bytes
from suanzhang.app.train_model import estimate_packed, pack
from suanzhang.app.train_option import stack_for
from suanzhang.app.train_search import chip_counts, default_axes, search_layouts
from suanzhang.app.train_spread import memory_factors
from suanzhang.catalog.chips import chip
from suanzhang.catalog.models import model
from suanzhang.errors import InputError
from suanzhang.report.view_train import train as view
from suanzhang.spec.job import TrainJob
from suanzhang.spec.result import Interval

ASK = {"global_batch": 512, "seq_len": 4096}


def test_the_recommended_layout_fits_in_most_cases_and_the_faster_one_is_beside_it() -> None:
    found = train("llama-2-70b", "1T", "h800-sxm-80:256", **ASK)  # type: ignore[arg-type]
    assert found.fits_fraction >= FIT_CONFIDENCE
    assert found.riskier is not None
    assert found.riskier.step_s < found.step_s
    assert found.riskier_fits_fraction < FIT_CONFIDENCE
    assert any("fit_confidence" in note for note in found.warnings)
    assert found.pruned[NOT_SURE] > 0
    titles = [str(block.title) for section in view(found).sections for block in section.blocks]  # type: ignore[attr-defined]
    assert any(title.startswith("Faster, but fits in only") for title in titles)


def test_what_was_asked_before_is_found_without_confidence() -> None:
    bold = train("llama-2-70b", "1T", "h800-sxm-80:256", fit_confidence=0.0, **ASK)  # type: ignore[arg-type]
    sure = train("llama-2-70b", "1T", "h800-sxm-80:256", **ASK)  # type: ignore[arg-type]
    assert sure.riskier is not None
    assert bold.layout == sure.riskier.layout
    assert bold.riskier is None


def test_no_other_layout_that_fits_as_surely_is_faster() -> None:
    """Plain Python over all layouts that fit at all."""
    spec, kind = model("llama-2-13b"), chip("a100-sxm-40")
    job = TrainJob("plain", spec, 1e12, 4096, 64, "bf16")
    stack = stack_for(job, "", kind)
    packed = pack(job, kind, stack)
    axes = default_axes(job, stack, 16, int(packed.run.domain))
    every = search_layouts(packed, job, axes, chip_counts(job, 16, axes), 1_000_000)
    best = None
    for layout, step_s, size in zip(every.layouts, every.step_s, every.memory_bytes, strict=True):
        estimate = estimate_packed(packed, layout, kind)
        span = memory_factors(kind, job, stack, layout.chips, estimate).scaled(size)
        if chance_below(span, usable_bytes(kind)) >= FIT_CONFIDENCE:
            best = (step_s, layout)
            break
    found = train(spec, "1T", "a100-sxm-40:16", global_batch=64, seq_len=4096)
    assert best is not None
    assert found.step_s == pytest.approx(best[0], rel=1e-12)
    assert found.riskier is not None


def test_where_none_is_sure_the_answer_says_so() -> None:
    found = train("llama-2-70b", "1T", "h100-sxm-80:16", global_batch=512, seq_len=4096)
    assert found.fits_fraction < FIT_CONFIDENCE
    assert any(note.startswith("no layout fits in 90 of 100 cases") for note in found.warnings)


def test_more_confidence_never_makes_it_faster() -> None:
    steps = [
        train("llama-2-70b", "1T", "h800-sxm-80:256", fit_confidence=share, **ASK).step_s  # type: ignore[arg-type]
        for share in (0.0, 0.5, 0.8, 0.9, 0.99)
    ]
    assert all(one <= two for one, two in itertools.pairwise(steps))


def test_a_share_beyond_all_cases_is_refused() -> None:
    with pytest.raises(InputError, match="fit_confidence"):
        train("llama-2-7b", "1T", "h100-sxm-80:8", fit_confidence=1.5)


def test_the_needed_factor_is_where_the_cases_end() -> None:
    span = Interval(0.8, 1.1, 1.5)
    for share in (0.2, 0.5, 0.9, 0.99):
        assert chance_below(span, needed_factor(span, share)) == pytest.approx(share, abs=1e-9)
