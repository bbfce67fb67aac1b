from __future__ import annotations

import csv
import dataclasses
import importlib.util
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, cast

import pytest
from fake_gpu import FakeGpu

import suanzhang
from suanzhang.app.measure_report import predicted_s
from suanzhang.app.physics import operator_args
from suanzhang.catalog.chips import chip
from suanzhang.cli.main import run as command
from suanzhang.errors import InputError
from suanzhang.evidence.calibration.readers import read_timings
from suanzhang.measure.collectives import KINDS, collective_rows, sizes_of
from suanzhang.measure.device import NO_TIME, Device, find_device
from suanzhang.measure.run import CALIBRATED, _write_csv, measure
from suanzhang.measure.sweeps import SWEEPS, _graph
from suanzhang.report.views import report_of
from suanzhang.rest.bodies import body_of

HAS_TORCH = importlib.util.find_spec("torch") is not None


@pytest.fixture
def torch() -> None:
    if HAS_TORCH:
        return
    if "torch" in os.environ.get("SUANZHANG_REQUIRE", "").split(","):
        pytest.fail("PyTorch is not installed, and SUANZHANG_REQUIRE asks for it")
    pytest.skip("PyTorch is not installed: pip install 'suanzhang[measure]'")


needs_torch = pytest.mark.usefixtures("torch")


def gpu() -> Device:
    return Device(None, "cuda", "NVIDIA H100 80GB HBM3", "bf16", "torch 0", False, 85e9)


def rows_of(device: Device, factor: float) -> list[dict[str, Any]]:
    """Rows that a GPU would leave if it took ``factor`` times what is predicted."""
    args = operator_args(chip("h100-sxm-80"), "bf16")
    rows = []
    for sweep in SWEEPS:
        for row, _ in sweep(device):
            seconds = predicted_s(row, args)
            rows.append({**row, "dtype": device.dtype, "seconds": 5e-6 if seconds is None else factor * seconds})
    return rows


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    rows = rows_of(gpu(), 1.25)
    model = {"layers": 8, "hidden": 2048, "heads": 16, "ffn": 8192, "vocab": 32000, "batch": 4, "seq_len": 2048, "prompt": 1024}
    body = {
        "device": gpu().name, "kind": "cuda", "dtype": "bf16", "software": "torch 0", "slow": False,
        "date": "2026-11-20", "memory_bytes": 85e9,
        "model": {**model, "answer": 64}, "train_step_s": 0.08, "decode_token_s": 0.004, "left_out": {"gemm": 2},
        "measured_s": 300.0, "rows": rows,
    }  # fmt: skip
    _write_csv(tmp_path / "timings.csv", rows, gpu().name)
    path = tmp_path / "measured.json"
    path.write_text(json.dumps(body))
    return path


def test_report_sets_measured_beside_predicted(measured: Path) -> None:
    result = suanzhang.compare_measured(measured)
    assert result.chip == "h100-sxm-80"
    by_kind = {kind.kind: kind for kind in result.kinds}
    for name in ("gemm", "prefill", "decode", "memory"):
        assert by_kind[name].median_abs_pct == pytest.approx(20.0, abs=1e-6)
        assert by_kind[name].ratio_p95 == pytest.approx(1.25)
    assert by_kind["launch"].median_predicted_s is None
    assert by_kind["training step"].median_predicted_s is not None
    assert by_kind["decode loop"].median_predicted_s is not None
    assert any("2 shapes of gemm" in line for line in result.warnings)
    assert report_of(result).main_table is not None


def test_timings_are_what_calibrate_reads(measured: Path) -> None:
    found = {item.op: item for item in read_timings(measured.parent / "timings.csv")}
    assert set(found) == set(CALIBRATED)
    assert found["gemm"].device == gpu().name
    assert found["gemm"].dtype == "bf16"
    assert len(found["gemm"].seconds) > 100
    profile = suanzhang.calibrate([measured.parent / "timings.csv"], "h100-sxm-80", "torch-0").profile
    assert {surface.op for surface in profile.surfaces} == set(CALIBRATED)
    assert max(surface.median_abs_pct for surface in profile.surfaces) < 15.0


def test_a_measured_chip_gets_a_profile_beside_its_report(measured: Path) -> None:
    result = suanzhang.compare_measured(measured, profiles=measured.parent)
    assert result.profile == "h100-sxm-80--torch-0.json"
    fitted = json.loads((measured.parent / result.profile).read_text())
    assert (fitted["device"], fitted["date"]) == (gpu().name, "2026-11-20")
    assert not any("no profile" in line for line in result.warnings)


def test_why_there_is_no_profile_is_told(measured: Path) -> None:
    before = sorted(measured.parent.iterdir())
    measured.write_text(json.dumps({**json.loads(measured.read_text()), "kind": "cpu"}))
    assert suanzhang.compare_measured(measured, profiles=measured.parent).profile == ""
    assert sorted(measured.parent.iterdir()) == before


@pytest.mark.parametrize("other", ["a100-sxm-80", "h100-nvl-94"])
def test_a_measurement_of_another_chip_is_refused_unless_it_is_held_against_it(other: str, measured: Path) -> None:
    before = sorted(measured.parent.iterdir())
    with pytest.raises(InputError, match="the device is NVIDIA H100 80GB HBM3 with 85 GB, not") as caught:
        suanzhang.compare_measured(measured, chip=other, profiles=measured.parent)
    assert "name h100-sxm-80" in str(caught.value)
    assert sorted(measured.parent.iterdir()) == before
    held = suanzhang.compare_measured(measured, chip=other, profiles=measured.parent, same_device=False)
    assert (held.chip, held.profile) == (other, f"{other}--torch-0.json")


def test_timings_of_another_chip_are_refused(measured: Path) -> None:
    with pytest.raises(InputError, match="not of"):
        suanzhang.calibrate([measured.parent / "timings.csv"], "a100-sxm-80", "torch-0")


@pytest.mark.parametrize("text", ["", "{}", '{"rows": 3}', '{"rows": [{"seconds": "x"}]}'])
def test_what_is_no_measurement_is_refused_in_one_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "measured.json"
    path.write_text(text)
    with pytest.raises(InputError, match="no measurement"):
        suanzhang.compare_measured(path)


def test_without_pytorch_one_line_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert command(["measure", "--folder", str(tmp_path / "m"), "--json"]) == 2
    out, err = capsys.readouterr()
    assert json.loads(out)["error"]["fix"] == "pip install 'suanzhang[measure]'"
    assert err.count("\n") == 1
    assert not (tmp_path / "m").exists()


@needs_torch
def test_a_cpu_is_measured_and_marked(tmp_path: Path) -> None:
    path = measure(tmp_path, device="cpu", budget_s=8.0)
    result = suanzhang.compare_measured(path)
    assert result.slow
    assert result.chip == ""
    assert any("CPU" in line for line in result.warnings)
    assert {kind.kind for kind in result.kinds} >= {"gemm", "training step", "decode loop"}
    assert all(kind.median_measured_s > 0.0 for kind in result.kinds)
    with (tmp_path / "timings.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["op"] for row in rows} <= set(CALIBRATED)
    assert rows[0]["dtype"] == "fp32"


@needs_torch
def test_a_gpu_that_is_not_there_is_told() -> None:
    with pytest.raises(InputError):
        find_device("tpu")


@needs_torch
def test_the_budget_leaves_shapes_out_and_counts_them(tmp_path: Path) -> None:
    body = json.loads(measure(tmp_path, device="cpu", budget_s=0.05).read_text())
    shapes = sum(1 for sweep in SWEEPS for _ in sweep(find_device("cpu")))
    collectives = len(KINDS) * len(sizes_of(find_device("cpu")))
    assert body["left_out"]["collectives"] == collectives
    assert len(body["rows"]) + sum(body["left_out"].values()) == shapes + collectives


@needs_torch
def test_collectives_of_two_processes_are_timed_on_a_cpu() -> None:
    device = find_device("cpu")
    rows, missed, why = collective_rows(device, 60.0)
    assert (missed, why) == (0, "")
    assert {row["op"] for row in rows} == set(KINDS)
    assert {row["bytes"] for row in rows} == {float(size) for size in sizes_of(device)}
    assert all(row["ranks"] == 2.0 and float(row["seconds"]) > 0.0 for row in rows)


@needs_torch
def test_without_time_no_process_is_started() -> None:
    device = find_device("cpu")
    assert collective_rows(device, 0.0) == ([], len(KINDS) * len(sizes_of(device)), NO_TIME)


@needs_torch
def test_a_process_that_fails_does_not_keep_the_other_waiting() -> None:
    device = dataclasses.replace(find_device("cpu"), dtype=cast("str", object()))  # no JSON: the first rank fails alone
    begin = time.monotonic()
    rows, missed, why = collective_rows(device, 300.0)
    assert (rows, missed) == ([], len(KINDS) * len(sizes_of(device)))
    assert "JSON" in why
    assert time.monotonic() - begin < 200.0


@pytest.mark.parametrize(
    ("capability", "hip", "dtype"),
    [
        ((6, 1), None, "fp32"), ((7, 0), None, "fp16"), ((7, 5), None, "fp16"), ((8, 0), None, "bf16"), ((8, 9), None, "bf16"),
        ((9, 0), None, "bf16"), ((9, 4), "6.2", "bf16"), ((10, 0), None, "bf16"),
    ],
)  # fmt: skip
def test_a_gpu_that_only_emulates_bf16_is_measured_in_fp16(
    capability: tuple[int, int], hip: str | None, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", FakeGpu("a GPU", capability, hip=hip))
    assert find_device().dtype == dtype


def test_a_training_step_that_did_not_fit_is_told(measured: Path) -> None:
    body = json.loads(measured.read_text())
    measured.write_text(json.dumps({**body, "train_step_s": None}))
    result = suanzhang.compare_measured(measured)
    assert "training step" not in {kind.kind for kind in result.kinds}
    assert "the training step was left out: no memory left" in result.warnings


def test_a_replayed_graph_keeps_the_memory_that_it_writes_to() -> None:
    gpu = FakeGpu()
    replay = _graph(Device(gpu, "cuda", "a GPU", "bf16", "torch 0", False), 4)
    replay()
    assert gpu.used == 4
    del replay
    assert gpu.used == 0


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", FakeGpu())  # can time nothing: timing would fail otherwise

    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(InputError, match="cannot write into"):
        measure(tmp_path)


def test_collectives_are_predicted_for_a_chip_of_the_catalog() -> None:
    args = operator_args(chip("h100-sxm-80"), "bf16")
    row = {"op": "all_reduce", "bytes": float(1 << 28), "ranks": 8.0}
    small, large = predicted_s({**row, "bytes": 4096.0}, args), predicted_s(row, args)
    assert small is not None and large is not None and 0.0 < small < large < 0.01
    assert predicted_s({"op": "graph", "kernels": 64.0}, args) is None


def test_no_profile_is_written_for_who_asks_over_http() -> None:
    assert set(body_of("compare_measured").model_fields) == {"path", "name", "chip", "same_device"}
