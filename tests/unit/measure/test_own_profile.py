"""From timings of one's own chip to narrower answers: measure, calibrate, predict with the profile."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import suanzhang
from suanzhang.app.measure_report import predicted_s
from suanzhang.app.physics import operator_args
from suanzhang.catalog.chips import chip
from suanzhang.cli.main import run as command
from suanzhang.errors import InputError
from suanzhang.measure.device import Device
from suanzhang.measure.run import _write_csv
from suanzhang.measure.sweeps import SWEEPS, Row
from suanzhang.rest.bodies import document_of

ASK = {"chip": "rtx4090-24", "concurrency": 4, "isl": 512, "osl": 128, "simulated_requests": 0}


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The profile of a card whose kernels all take 1.15 times as long as predicted, and which no shipped profile timed."""
    folder = tmp_path_factory.mktemp("own")
    device = Device(None, "cuda", "NVIDIA GeForce RTX 4090", "bf16", "torch 0", False)
    args = operator_args(chip("rtx4090-24"), "bf16")
    rows: list[Row] = []
    for sweep in SWEEPS[:3]:
        for row, _ in sweep(device):
            seconds = predicted_s(row, args)
            assert seconds is not None
            rows.append({**row, "dtype": "bf16", "seconds": 1.15 * seconds})
    _write_csv(folder / "timings.csv", rows, device.name)
    path = suanzhang.calibrate([folder / "timings.csv"], "rtx4090-24", "torch-0", folder=folder).path
    assert path is not None
    return path


def test_a_service_on_ones_own_kernels_is_slower_as_they_are_and_surer(profile: Path) -> None:
    shipped = suanzhang.serve("llama-3.1-8b", stack="vllm-0.12", **ASK)
    own = suanzhang.serve("llama-3.1-8b", stack=f"vllm-0.12,profile={profile}", **ASK)
    before, after = shipped.tpot_s.mean_interval, own.tpot_s.mean_interval
    assert before is not None and after is not None
    assert own.tpot_s.mean == pytest.approx(1.13 * shipped.tpot_s.mean, rel=0.03)
    assert after.p95 / after.p05 < 0.8 * before.p95 / before.p05


def test_a_training_on_ones_own_kernels_is_surer(profile: Path) -> None:
    ask = {"tokens": "1B", "chips": "rtx4090-24:64", "layout": "tp=2,pp=4"}
    shipped = suanzhang.train("llama-3.1-8b", stack="megatron-lm-2025", **ask)
    own = suanzhang.train("llama-3.1-8b", stack=f"megatron-lm-2025,moments=bf16,profile={profile}", **ask)
    before, after = shipped.step_s_interval, own.step_s_interval
    assert own.step_s > 1.05 * shipped.step_s
    assert after.p95 / after.p05 < before.p95 / before.p05
    assert own.stack.endswith(f",moments=bf16,profile={profile}")


def test_a_profile_of_another_chip_is_one_line_and_not_a_lack_of_memory(
    profile: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    flags = ["--model", "llama-3.1-8b", "--chip", "h200-sxm-141", "--isl", "512", "--osl", "128", "--concurrency", "4"]
    out = tmp_path / "answer.json"
    assert command(["serve", *flags, "--stack", f"vllm-0.12,profile={profile}", "--out", str(out)]) == 2
    err = capsys.readouterr().err
    assert "is a profile of rtx4090-24, not of h200-sxm-141" in err
    assert err.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda body: "{", "is no calibration profile"),
        (lambda body: json.dumps({**body, "surfaces": []}), "without kernels"),
        (
            lambda body: json.dumps({**body, "surfaces": [{**body["surfaces"][0], "coefficients": {}}]}),
            "a coefficient of decode bf16 is missing",
        ),
        (lambda body: json.dumps({**body, "surfaces": [{**body["surfaces"][0], "op": "dance"}]}), "'dance' are not modelled"),
    ],
)
def test_a_damaged_profile_is_one_line(profile: Path, tmp_path: Path, change: object, words: str) -> None:
    damaged = tmp_path / "damaged.json"
    damaged.write_text(change(json.loads(profile.read_text())))  # type: ignore[operator]
    with pytest.raises(InputError) as caught:
        suanzhang.serve("llama-3.1-8b", stack=f"vllm-0.12,profile={damaged}", **ASK)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_profile_that_is_not_there_is_told() -> None:
    with pytest.raises(InputError, match="no file of a profile"):
        suanzhang.train("llama-3.1-8b", "1B", "rtx4090-24:64", stack="megatron-lm-2025,profile=/nowhere.json")


def test_no_server_reads_a_profile_because_a_caller_names_it(profile: Path) -> None:
    for key in ("stack", "engine"):
        with pytest.raises(InputError, match="the server reads none"):
            document_of(json.dumps({"model": "llama-3.1-8b", key: f"vllm-0.12,profile={profile}"}).encode())
