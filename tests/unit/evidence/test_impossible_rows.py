"""A measurement beyond what its chips can do is left out by name, not counted as an error of ours."""

import json

import pytest

from suanzhang.app.validate import validate
from suanzhang.evidence.rows import shipped_rows


def _published(phase, metric):
    from dataclasses import asdict

    return next(
        json.loads(json.dumps(asdict(row), default=str))
        for row in shipped_rows(phase)
        if row.complete and row.measured.get(metric) and (phase == "training" or (row.concurrency or 0) > 1)
    )


def _line(row, phase, measured):
    row = row | {"measured": {**row["measured"], **measured}, "source": "a laboratory"}
    if phase == "training":
        row |= {"intra_link_GBps": row.pop("intra_link_gbyte_per_s"), "network_Gbps_per_chip": row.pop("network_gbit_per_s")}
    else:
        row["concurrency_or_batch"] = row.pop("concurrency")
        row["request_rate"] = "inf" if row["request_rate"] == float("inf") else row["request_rate"]
    return json.dumps(row)


@pytest.mark.parametrize(
    ("phase", "metric", "factor", "word"),
    [
        ("training", "iter_s", 1e-3, "the step is faster"),
        ("training", "mem_GB", 1e3, "the memory is more"),
        ("serving", "output_tok_s", 1e3, "output_tok_s is faster"),
        ("serving", "tpot_ms", 1e-3, "tpot_ms is faster"),
    ],
)
def test_a_unit_wrong_by_a_thousand_is_named(tmp_path, phase, metric, factor, word):
    row = _published(phase, metric)
    right, wrong = tmp_path / "right.jsonl", tmp_path / "wrong.jsonl"
    right.write_text(_line(row, phase, {}), encoding="utf-8")
    wrong.write_text(_line(row, phase, {metric: row["measured"][metric] * factor}), encoding="utf-8")
    assert not validate(right).skipped
    assert any(reason.startswith(word) for reason in validate(wrong).skipped)
