"""The beginning of a run that starts with empty engines: found, left out, and told."""

import numpy as np
import pytest

import suanzhang as sz
from suanzhang.app.serve_verb_warm import settled_s
from suanzhang.errors import InputError
from suanzhang.sim.statistics import settled_after

DAY = {"isl": 300, "osl": 300, "osl_p95": 900, "rate": 14.0, "layout": "tp=1", "replicas": 1, "follow": 1, "replications": 1}


def _slow_rule(values: np.ndarray, batch: int) -> int:
    means = [float(np.mean(values[low : low + batch])) for low in range(0, len(values) - batch + 1, batch)]
    scores = [float(np.sum((np.array(means[cut:]) - np.mean(means[cut:])) ** 2)) / (len(means) - cut) ** 2
              for cut in range(len(means) // 2)]  # fmt: skip
    return int(np.argmin(scores)) * batch


@pytest.mark.parametrize("seed", range(6))
def test_the_rule_is_its_definition(seed: int) -> None:
    draws = np.random.default_rng(seed)
    series = 1e3 + 20.0 * draws.standard_normal(600) - 300.0 * np.exp(-np.arange(600) / 40.0)
    assert settled_after(series, 5) == _slow_rule(series, 5)


def test_a_run_that_rises_from_nothing_is_cut_where_it_has_risen() -> None:
    draws, at = np.random.default_rng(1), np.arange(20_000.0)
    rising = 10.0 - 9.0 * np.exp(-at / 300.0) + 0.5 * draws.standard_normal(20_000)
    cut = settled_s(at, rising)
    assert 600.0 < cut < 2000.0
    assert settled_s(at, np.full(20_000, np.nan)) == 0.0
    assert settled_s(at[:50], rising[:50]) == 0.0
    assert settled_s(at * 10.0, np.sort(draws.random(20_000))) <= 3600.0


def test_a_day_leaves_its_empty_start_out_and_says_so() -> None:
    found, whole, asked = (sz.simulate("llama-3.1-8b", "a100-sxm-80", warmup_s=start, **DAY) for start in (None, 0.0, 1800.0))
    assert 0.0 < found.warmup_s <= 3600.0
    assert (whole.warmup_s, asked.warmup_s) == (0.0, 1800.0)
    assert whole.requests_counted == whole.finished == found.finished
    assert asked.requests_counted == pytest.approx(whole.finished * (1.0 - 1800.0 / 86400.0), rel=0.01)
    assert found.e2e_s.mean > whole.e2e_s.mean
    again = sz.simulate("llama-3.1-8b", "a100-sxm-80", workers=1, **DAY)
    assert (again.warmup_s, again.e2e_s) == (found.warmup_s, found.e2e_s)


@pytest.mark.parametrize("wrong", [-1.0, 86400.0, float("nan")])
def test_a_warm_up_that_leaves_nothing_is_refused(wrong: float) -> None:
    with pytest.raises(InputError, match="warm-up"):
        sz.simulate("llama-3.1-8b", "a100-sxm-80", warmup_s=wrong, **DAY)


def test_the_cells_of_a_long_day_stand_for_days() -> None:
    ask = {"isl": 64, "osl": 4, "rate": 130.0, "layout": "tp=1", "replicas": 256, "follow": 0}
    found = sz.simulate("qwen2.5-0.5b", "h100-sxm-80", **ask)
    assert found.cells == 4
    assert {(line.days, line.over) for line in found.chance} == {(4, "cells")}
    late, rate = found.chance[0], found.chance[-1]
    assert late.value_interval.p05 <= found.ttft_s.p99 * 1.05
    assert late.value_interval.p95 >= late.value * (1.0 + 1.0 / 128.0) * (1.0 - 1e-9)
    assert rate.value == pytest.approx(found.output_tokens_per_s, rel=0.01)
