"""One row for each simulated request: whole or not at all, the same bytes for a seed, and the same story as the histograms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import suanzhang as sz
from suanzhang.app import requests_file
from suanzhang.app.requests_file import write_requests
from suanzhang.errors import InputError
from suanzhang.sim.fleet import simulate_fleet
from suanzhang.spec.sim import RequestRecord

COLUMNS = ["request", "arrival_s", "first_token_s", "end_s", "prompt_tokens", "output_tokens", "replica", "preemptions"]
DAY = {"isl": 500, "osl": 60, "isl_p95": 1200, "layout": "tp=1", "follow": 0}


def _record(count: int = 3) -> RequestRecord:
    times, ones = np.arange(float(count)), np.ones(count, np.int64)
    first = np.where(np.arange(count) == 1, np.nan, times + 0.5)
    return RequestRecord(first, first + 1.0, times, 10 * ones, 2 * ones, np.array([0, -1, 3][:count]), 0 * ones)


def test_a_request_without_an_answer_has_no_times(tmp_path: Path) -> None:
    write_requests(tmp_path / "a.parquet", _record(), 0.25)
    found = pl.read_parquet(tmp_path / "a.parquet")
    assert found.columns == COLUMNS
    assert found["first_token_s"].to_list() == [0.75, None, 2.75]
    assert found["end_s"].to_list() == [1.75, None, 3.75]
    assert found["replica"].to_list() == [0, None, 3]


def test_quantiles_agree_with_the_histogram(tmp_path: Path) -> None:
    path = tmp_path / "day.parquet"
    day = sz.simulate("llama-3.1-8b", "h100-sxm-80", rate=3, replicas=2, requests_file=path, **DAY)
    rows = pl.read_parquet(path)
    assert len(rows) == day.requests
    assert rows["end_s"].null_count() == day.requests - day.finished
    assert rows["preemptions"].sum() == day.preemptions
    assert sorted(rows["replica"].unique()) == [0, 1]
    assert rows["arrival_s"].is_sorted()
    gaps = {
        "ttft_s": rows["first_token_s"] - rows["arrival_s"],
        "e2e_s": rows["end_s"] - rows["arrival_s"],
        "tpot_s": (rows["end_s"] - rows["first_token_s"]) / (rows["output_tokens"] - 1),
    }
    for name, values in gaps.items():
        for point, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
            assert getattr(getattr(day, name), point) == pytest.approx(values.quantile(share), rel=0.01), (name, point)


def test_the_same_bytes_on_any_number_of_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def small_cells(*args: object, **named: object) -> object:
        return simulate_fleet(*args, **named, cell_size=2)  # type: ignore[arg-type]

    monkeypatch.setattr("suanzhang.app.serve_verb_day.simulate_fleet", small_cells)
    for workers in (1, 3):
        path = tmp_path / f"{workers}.parquet"
        sz.simulate("llama-3.1-8b", "h100-sxm-80", rate=2, replicas=5, workers=workers, requests_file=path, **DAY)
    sz.simulate("llama-3.1-8b", "h100-sxm-80", rate=2, replicas=5, seed=1, requests_file=tmp_path / "x.parquet", **DAY)
    one, three, other = ((tmp_path / f"{name}.parquet").read_bytes() for name in ("1", "3", "x"))
    assert one == three
    assert one != other
    assert sorted(pl.read_parquet(tmp_path / "1.parquet")["replica"].unique()) == [0, 1, 2, 3, 4]


def test_what_was_there_stays_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "day.parquet"
    path.write_bytes(b"old")

    def full(*_: object, **__: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", full)
    with pytest.raises(InputError, match="no space left"):
        write_requests(path, _record())
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["day.parquet"]


@pytest.mark.parametrize("place", ["day.csv", "none/day.parquet"])
def test_a_file_that_cannot_be_is_refused_first(place: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="requests file"):
        sz.simulate("llama-3.1-8b", "h100-sxm-80", rate=3, requests_file=tmp_path / place, **DAY)


def test_more_than_memory_holds_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests_file, "MOST_REQUESTS", 1000)
    with pytest.raises(InputError, match="at most 1,000"):
        sz.simulate("llama-3.1-8b", "h100-sxm-80", rate=3, replicas=1, requests_file=tmp_path / "a.parquet", **DAY)


def test_serve_writes_what_it_simulated(tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    ask = {"isl": 500, "osl": 60, "isl_p95": 1200, "layout": "tp=2", "rate": 5, "simulated_requests": 5000}
    found = sz.serve("llama-3.1-8b", "h100-sxm-80", requests_file=path, **ask)
    rows = pl.read_parquet(path)
    assert len(rows) == 5000
    warm = rows.filter(pl.col("arrival_s") >= 0.1 * rows["arrival_s"].max())
    assert found.ttft_s.p50 == pytest.approx((warm["first_token_s"] - warm["arrival_s"]).quantile(0.5), rel=0.01)
    with pytest.raises(InputError, match="nothing is simulated"):
        sz.serve("llama-3.1-8b", "h100-sxm-80", requests_file=path, **{**ask, "simulated_requests": 0})
