"""The shipped errors hold: no figure gets worse than the record allows, in all and for any one source."""

import json
import re
from pathlib import Path

import pytest
import yaml

from suanzhang.app.validate import validate
from suanzhang.app.validate_drift import DRIFT_FILE, compare, drift_figures, shipped_drift
from suanzhang.app.validate_record import INTERVALS_FILE

PAGE = Path(__file__).resolve().parents[3] / "docs" / "accuracy.md"


@pytest.fixture(scope="module", params=["training", "serving"])
def judged(request):
    return request.param, validate(phase=request.param)


def test_no_shipped_figure_got_worse(judged):
    phase, result = judged
    now = drift_figures({phase: result})
    worse = [item for item in compare(shipped_drift(), now) if item.worse]
    lines = [
        f"{item.phase} {item.metric} {item.source}: {item.recorded_pct:.1f} % shipped, {item.now_pct} % now, "
        f"{item.allowed_pct:.1f} % allowed"
        for item in worse
    ]
    assert not lines, "errors grew; mend the physics, or record anew and say why under 'Numbers moved':\n" + "\n".join(lines)


def test_no_row_is_lost(judged):
    phase, result = judged
    kept = shipped_drift()[phase]
    assert result.rows >= kept["rows"]
    assert result.modelled >= kept["modelled"]
    assert result.modelled + sum(result.skipped.values()) == result.rows


def test_rows_with_their_whole_configuration_are_modelled(judged):
    phase, result = judged
    assert result.complete_modelled >= {"training": 0.95, "serving": 0.90}[phase] * result.complete_rows
    assert result.complete_rows > 1000
    assert all(reason for reason in result.skipped)


def test_intervals_hold_as_often_as_they_say(judged):
    phase, result = judged
    for name in {"training": ("step_s", "memory_bytes"), "serving": ("tpot_s", "output_tokens_per_s")}[phase]:
        assert 0.85 <= result.metrics[name].interval90_coverage <= 0.95, name


def test_prediction_beats_one_constant(judged):
    _, result = judged
    for name, constant in result.baseline.items():
        assert result.metrics[name].median_abs_pct < constant.median_abs_pct, name


def test_no_source_of_trainings_is_better_served_by_one_constant(judged):
    """Ours is ahead of one fitted constant, or within two points of it, on every source of five rows or more."""
    phase, result = judged
    if phase != "training":
        return
    constants = result.baseline_by_source["step_s"]
    ours = {name: group.metrics["step_s"] for name, group in result.by_source.items() if "step_s" in group.metrics}
    judged_on = {name: (found.median_abs_pct, constants[name]) for name, found in ours.items() if found.n >= 5}
    assert len(judged_on) > 20
    assert not {name: pair for name, pair in judged_on.items() if pair[0] > pair[1] + 2.0}, judged_on


def test_noise_is_not_drift():
    kept = shipped_drift()
    jitter = json.loads(json.dumps(kept), parse_float=lambda text: float(text) * (1.0 + 1e-6) + 1e-6)
    assert not [item for item in compare(kept, jitter) if item.worse]


def test_a_source_made_worse_for_another_is_seen():
    kept = shipped_drift()
    now = json.loads(json.dumps(kept))
    source = next(iter(now["training"]["by_source"]))
    now["training"]["by_source"][source]["step_s"]["median_abs_pct"] += (
        4.0 + 0.2 * now["training"]["by_source"][source]["step_s"]["median_abs_pct"]
    )
    worse = [(item.phase, item.metric, item.source) for item in compare(kept, now) if item.worse]
    assert worse == [("training", "step_s", source)]


def test_the_record_says_how_it_was_made():
    for path in (DRIFT_FILE, INTERVALS_FILE):
        assert "never edited by hand" in yaml.safe_load(path.read_text())["generated_by"]


def test_the_accuracy_page_shows_the_recorded_figures():
    text = PAGE.read_text(encoding="utf-8")
    for phase, kept in shipped_drift().items():
        part = text[text.index(f"## {phase.capitalize()}\n") :]
        for metric, item in kept["metrics"].items():
            row = re.search(rf"^\|[^|]*\(`{metric}`\) \| {item['n']:,} \|[^|]*\| \*\*([\d.]+)\*\* ", part, re.MULTILINE)
            assert row, f"{phase} {metric} with {item['n']} rows is not on the page"
            assert abs(float(row.group(1)) - item["median_abs_pct"]) <= 0.051


def test_no_source_holds_up_another(judged):
    _, result = judged
    found = result.stability
    assert found["pairs"] > 500
    assert found["pairs_beyond_3_points"] <= 0.005 * found["pairs"]
    assert found["largest_move_points"] <= 4.0
    assert found["largest_growth_elsewhere"] <= 2.0


def test_the_shipped_rows_are_judged_by_fits_that_never_saw_them(judged):
    _, result = judged
    assert result.judged == "coefficients fitted to the other sources"


def test_intervals_are_not_bought_by_width(judged):
    phase, result = judged
    for name in {"training": ("step_s", "memory_bytes"), "serving": ("tpot_s", "output_tokens_per_s")}[phase]:
        assert result.metrics[name].calibrated_ratio <= 2.0, name


def test_validate_shows_every_recorded_figure_beside_its_own(judged):
    phase, result = judged
    kept = shipped_drift()[phase]
    figures = len(kept["metrics"]) + sum(len(item) for item in kept["by_source"].values())
    assert len(result.changes) == figures
    over_all = {item.metric: item for item in result.changes if not item.source}
    assert {name: round(item.median_abs_pct, 2) for name, item in result.metrics.items()} == {
        name: item.now_pct for name, item in over_all.items()
    }


def test_a_source_that_is_predicted_no_more_is_worse():
    kept = shipped_drift()
    now = json.loads(json.dumps(kept))
    source = next(iter(now["serving"]["by_source"]))
    lost = now["serving"]["by_source"].pop(source)
    assert sum(item.worse for item in compare(kept, now)) == len(lost)
