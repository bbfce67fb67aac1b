"""A few runs of one's own narrow the error on the others, and the interval: every source plays the user."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
import pytest

from suanzhang.app.calibrate_runs import OwnRun, own_factors, predicted_s, seen_of
from suanzhang.app.calibrate_runs_fit import NOTHING, Question, narrowing
from suanzhang.app.train_fit import coefficients_of, fit_prepared, prepare, shipped_runs
from suanzhang.app.train_model import estimate_train
from suanzhang.app.train_spread import interval_factors

ROWS, DRAWS, JUDGED = 5, 20, 30
"""Runs that the user measures, how often they are drawn, and how many of the others are judged each time."""
SPANNED_DRAWS, SPANNED = 3, 12
"""The same where intervals are judged."""


@pytest.fixture(scope="module")
def published():
    """Runs by user, and the coefficients fitted without the user's source."""
    runs, _ = shipped_runs()
    prepared = prepare(runs)
    start, _ = fit_prepared(prepared)
    bases = {}

    def base_of(source):
        if source not in bases:
            values, rows = fit_prepared(prepared, source, start)
            bases[source] = coefficients_of(values, rows, 1, "", "")
        return bases[source]

    return runs, base_of


def _users(runs, name):
    users = defaultdict(list)
    for run in runs:
        users[name(run)].append(OwnRun(0, Question(run.job, run.chip, run.stack), run.layout, run.step_s))
    return sorted((user, own) for user, own in users.items() if len(own) >= 10)


def _off(run, own, base):
    return abs(predicted_s(run, own, base) / run.step_s - 1.0)


@pytest.mark.parametrize("name", [lambda run: (run.source,), lambda run: (run.source, run.chip.id)], ids=["source", "chip"])
def test_five_runs_narrow_the_error_of_the_rest(published, name):
    runs, base_of = published
    generator = np.random.default_rng(7)
    before, after, mean, lines = [], [], [], []
    for user, asked in _users(runs, name):
        base = base_of(user[0])
        first, then = [], []
        for _ in range(DRAWS):
            order = generator.permutation(len(asked))
            own = own_factors([asked[i] for i in order[:ROWS]], base)
            rest = [asked[i] for i in order[ROWS : ROWS + JUDGED]]
            first.append(np.median([_off(run, NOTHING, base) for run in rest]))
            then.append(np.median([_off(run, own, base) for run in rest]))
        before.append(float(np.median(first)))
        after.append(float(np.median(then)))
        mean.append(float(np.mean(then)))
        lines.append(f"{' | '.join(user)[:70]:70s} {len(asked):4d} runs {before[-1]:6.1%} -> {after[-1]:6.1%}")
    assert np.median(after) <= 0.06, lines
    assert np.median(after) < np.median(before), lines
    assert np.median(mean) <= 0.064, (np.median(mean), lines)


def test_the_narrowed_interval_holds_as_often_as_it_says(published):
    runs, base_of = published
    generator = np.random.default_rng(8)
    held, widths, plain = [], [], []
    for user, asked in _users(runs, lambda run: (run.source,)):
        base, inside = base_of(user[0]), []
        for _ in range(SPANNED_DRAWS):
            order = generator.permutation(len(asked))
            own = own_factors([asked[i] for i in order[:ROWS]], base)
            for run in (asked[i] for i in order[ROWS : ROWS + SPANNED]):
                job, chip, stack = run.question.job, run.question.chip, run.question.stack
                estimate = estimate_train(job, chip, run.layout, stack, base)
                factors = interval_factors(chip, job, stack, run.layout.chips, estimate)
                told = narrowing(own, seen_of(run.question, run.layout, base)[0])
                ratio = run.step_s / predicted_s(run, own, base)
                inside.append(factors.p05**told <= ratio <= factors.p95**told)
                plain.append(math.log(factors.p95 / factors.p05))
                widths.append(told * plain[-1])
        held.append(float(np.mean(inside)))
    assert 0.85 <= np.mean(held) <= 0.95, held
    assert np.median(widths) < 0.85 * np.median(plain)
