"""The interval of a ratio of two runs holds as often as it says: pairs of published runs of one source."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from suanzhang.app.train_fit import shipped_runs
from suanzhang.app.train_model import estimate_train
from suanzhang.app.train_spread import against, errors_of
from suanzhang.errors import PlannerError
from suanzhang.spec.draws import interval_of

MOST = 20
"""Pairs of each kind and source, so that no source speaks for all."""


def _kind(one, other):
    """What differs between two runs of a source; empty for the same question."""
    job, same = one.job, other.job
    if (job.model.id, job.seq_len, job.precision, one.stack.id) != (
        same.model.id,
        same.seq_len,
        same.precision,
        other.stack.id,
    ):
        return "job"
    if one.chip.id != other.chip.id:
        return "chip"
    if (one.layout.chips, job.global_batch) != (other.layout.chips, same.global_batch):
        return "size"
    return "layout" if one.layout != other.layout else ""


def _estimated(run):
    estimate = estimate_train(run.job, run.chip, run.layout, run.stack)
    return estimate, errors_of(run.job, run.chip, run.stack, run.layout, estimate)


@pytest.fixture(scope="module")
def held():
    """Kind to, by source, whether the measured ratio lies in the interval, and how wide that is."""
    by_source = defaultdict(list)
    for run in shipped_runs()[0]:
        by_source[run.source].append(run)
    generator = np.random.default_rng(5)
    found = defaultdict(lambda: defaultdict(list))
    for source, runs in sorted(by_source.items()):
        pairs = [(i, j) for i in range(len(runs)) for j in range(i)]
        generator.shuffle(pairs)
        for i, j in pairs[:4000]:
            one, other = runs[i], runs[j]
            kind = _kind(one, other)
            if not kind or len(found[kind][source]) >= MOST:
                continue
            try:
                (first, ours), (second, theirs) = _estimated(one), _estimated(other)
            except PlannerError:
                continue
            predicted = first.step_s / second.step_s
            span = interval_of(predicted * against(ours, theirs).draws() / theirs.draws())
            found[kind][source].append((span.p05 <= one.step_s / other.step_s <= span.p95, span.p95 / span.p05))
    return found


@pytest.mark.parametrize("kind", ["layout", "size", "chip", "job"])
def test_ratios_are_held_as_often_as_said(held, kind):
    inside = [hit for pairs in held[kind].values() for hit, _ in pairs]
    assert len(inside) > 50 and len(held[kind]) >= 5
    assert 0.83 <= np.mean(inside) <= 0.97, (kind, np.mean(inside), len(inside))


def test_a_ratio_is_surer_the_more_its_sides_share(held):
    width = {kind: np.median([wide for pairs in found.values() for _, wide in pairs]) for kind, found in held.items()}
    assert width["layout"] < width["size"] < width["chip"], width
