"""Corrections by one's own runs: what they explain, where they apply, and what files are refused."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from intervals import unspanned

from suanzhang.app.calibrate_runs import calibrate_runs, own_factors, predicted_s, read_calibration, read_runs
from suanzhang.app.train import train
from suanzhang.errors import InputError
from suanzhang.report.blocks import Ranged
from suanzhang.report.text import print_report
from suanzhang.report.views import report_of

HEAD = "model,chips,layout,global_batch,seq_len,step_s,stack\n"
LAYOUTS = ('"tp=8,pp=8"', '"tp=8,pp=16"', '"tp=4,pp=16"', '"tp=8,pp=8,micro_batch=2"')


def _file(folder, steps, head=HEAD, chips="a100-sxm-80:1024"):
    lines = [
        f"gpt3-175b,{chips},{layout},1536,2048,{step},megatron-lm-2021\n" for layout, step in zip(LAYOUTS, steps, strict=True)
    ]
    path = folder / "runs.csv"
    path.write_text(head + "".join(lines), encoding="utf-8")
    return path


@pytest.fixture
def slower(tmp_path):
    """Runs that take 1.2 times what the shipped coefficients say."""
    runs = read_runs(_file(tmp_path, (30, 30, 30, 30)))
    return _file(tmp_path, [1.2 * predicted_s(run) for run in runs])


def test_what_all_runs_share_is_explained_and_carries_over(slower, tmp_path):
    result = calibrate_runs(slower, tmp_path / "own.json")
    assert result.before_pct == pytest.approx(100.0 * (1.0 - 1.0 / 1.2), abs=0.01)
    assert result.after_pct < 4.0
    assert result.left_out_pct < 5.0
    asked = {"layout": "tp=8,pp=8", "global_batch": 1536, "seq_len": 2048, "stack": "megatron-lm-2021"}
    plain = train("gpt3-175b", "300B", "a100-sxm-80:512", **asked)
    own = train("gpt3-175b", "300B", "a100-sxm-80:512", **asked, calibration=tmp_path / "own.json")
    assert 1.10 < own.step_s / plain.step_s < 1.25
    assert "corrected by 4 measured runs" in own.warnings[0]
    widths = [item.step_s_interval.p95 / item.step_s_interval.p05 for item in (plain, own)]
    assert 1.0 < widths[1] < widths[0] ** 0.9
    again = train("gpt3-175b", "300B", "a100-sxm-80:512", **asked)
    assert again.step_s == plain.step_s


def test_less_carries_over_to_another_chip_and_model(slower, tmp_path):
    calibrate_runs(slower, tmp_path / "own.json")
    asked = {"layout": "tp=8,pp=4", "global_batch": 256, "seq_len": 8192, "stack": "nemo-2025", "precision": "fp8"}
    plain = train("llama-3-70b", "1T", "h100-sxm-80:256", **asked)
    own = train("llama-3-70b", "1T", "h100-sxm-80:256", **asked, calibration=tmp_path / "own.json")
    assert 1.0 < own.step_s / plain.step_s < 1.15


def test_one_wild_run_moves_little(slower):
    runs = list(read_runs(slower))
    kept = own_factors(runs[:3])
    wild = own_factors([*runs[:3], replace(runs[3], step_s=10.0 * runs[3].step_s)])
    assert abs(np.log(predicted_s(runs[0], wild) / predicted_s(runs[0], kept))) < 0.05


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "lacks the column"),
        (HEAD, "0 runs"),
        ("model,chip,layout,global_batch,seq_len,step_s\n", "unknown column 'chip'"),
        (HEAD + 'gpt3-175b,a100-sxm-80:1024,"tp=8,pp=8",1536,2048,30,megatron-lm-2021\n' * 2, "2 runs"),
        (HEAD + 'gpt3-175b,a100-sxm-80:1024,"tp=8,pp=8",1536,2048,-3,megatron-lm-2021\n' * 3, "line 2: step_s"),
        (HEAD + 'gpt3-175b,a100-sxm-80:1024,"tp=8,pp=8",0,2048,30,megatron-lm-2021\n' * 3, "line 2: global_batch"),
        (HEAD + 'gpt5,a100-sxm-80:1024,"tp=8,pp=8",1536,2048,30,megatron-lm-2021\n' * 3, "line 2"),
        (HEAD + 'gpt3-175b,a100-sxm-80:1024,"tp=7,pp=8",1536,2048,30,megatron-lm-2021\n' * 3, "line 2: layout"),
        (HEAD + "gpt3-175b,a100-sxm-80:1024,tp=8,pp=8,1536,2048,30,megatron-lm-2021\n" * 3, "line 2: more values"),
        (HEAD + 'gpt3-175b,a100-sxm-80:1024,"tp=8,pp=8",1536,2048,,megatron-lm-2021\n' * 3, "line 2: step_s is empty"),
    ],
)
def test_a_bad_file_of_runs_is_one_clear_line(tmp_path, text, says):
    path = tmp_path / "runs.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        calibrate_runs(path)
    assert says in caught.value.message
    assert "\n" not in caught.value.message


def test_bytes_and_absent_files_are_refused(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_bytes(b"\xff\xfe\x00")
    for given in (path, tmp_path / "none.csv", tmp_path):
        with pytest.raises(InputError):
            read_runs(given)


@pytest.mark.parametrize(
    "body",
    [
        "not json",
        "[]",
        "{}",
        json.dumps({"suanzhang_calibration": 1}),
        json.dumps({"suanzhang_calibration": 2}),
        json.dumps({"suanzhang_calibration": 2, "left": {}, "factors": {"magic": 1.0}}),
        json.dumps({"suanzhang_calibration": 2, "left": {}, "factors": {"compute": 99.0}}),
        json.dumps({"suanzhang_calibration": 2, "left": {}, "factors": {"compute": "1"}}),
        json.dumps({"suanzhang_calibration": 2, "left": {}, "factors": {}}),
        json.dumps({"suanzhang_calibration": 2, "left": {}, "factors": {}, "seen": [{"place": [1.0]}]}),
    ],
)
def test_a_bad_file_of_corrections_is_refused(tmp_path, body):
    path = tmp_path / "own.json"
    path.write_text(body, encoding="utf-8")
    with pytest.raises(InputError):
        read_calibration(path)


OWN_RUNS = {
    "OwnRunsResult.runs": "measured",
    "OwnRunsResult.before_pct": "measured against predicted",
    "OwnRunsResult.after_pct": "measured against predicted",
    "OwnRunsResult.left_out_pct": "measured against predicted",
    "Correction.prior_pct": "a width itself",
    "Correction.left_pct": "a width itself",
    "RunFit.line": "of the file",
    "RunFit.measured_s": "measured",
    "RunFit.before_pct": "measured against predicted",
    "RunFit.after_pct": "measured against predicted",
}


def test_every_figure_has_its_interval_and_runs_narrow_it(slower):
    result = calibrate_runs(slower)
    assert unspanned([result], OWN_RUNS) == []
    for fit in result.fits:
        before, after = fit.before_s_interval, fit.after_s_interval
        assert after.p95 / after.p05 < before.p95 / before.p05
        assert after.p05 < fit.measured_s < after.p95


def test_the_report_shows_before_and_after_with_units(slower, tmp_path):
    report = report_of(calibrate_runs(slower, tmp_path / "own.json"))
    assert "narrow from" in report.verdict and report.main_table.title == "Each run"
    assert all(isinstance(row[index], Ranged) for row in report.main_table.rows for index in (4, 5))
    text = io.StringIO()
    print_report(report, file=text, width=200)
    assert all(words in text.getvalue() for words in ("left out", "before [s]", "after [s]", "in brackets"))


@pytest.mark.parametrize(("factor", "words"), [(1000.0, "milliseconds"), (1.0 / 60.0, "1/50 of"), (80.0, "96 times")])
def test_times_that_cannot_be_meant_are_refused_in_one_line(factor, words, slower, tmp_path):
    right = [run.step_s for run in read_runs(slower)]
    path = _file(tmp_path, [step * factor for step in right])
    with pytest.raises(InputError) as refused:
        calibrate_runs(path, tmp_path / "own.json")
    line = f"{refused.value.message}; {refused.value.fix}"
    assert words in line and "line 2" in line and "3 more lines" in line and "\n" not in line
    assert not (tmp_path / "own.json").exists()


@pytest.mark.parametrize("step", ["0", "-3", "1e12", "nan", "inf"])
def test_times_that_are_no_times_are_refused(step, slower, tmp_path):
    right = [run.step_s for run in read_runs(slower)]
    with pytest.raises(InputError, match="line 2"):
        calibrate_runs(_file(tmp_path, [step, *right[1:]]))
