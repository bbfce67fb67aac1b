"""The CUDA path of ``measure``, on a GPU whose clocks and memory are counted by hand."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_gpu import FakeGpu, InlineContext

from suanzhang.cli.main import run as command
from suanzhang.errors import InputError
from suanzhang.measure import collectives, device, run
from suanzhang.measure.collectives import KINDS, collective_rows, sizes_of
from suanzhang.measure.device import NO_MEMORY, Device, find_device
from suanzhang.measure.run import measure
from suanzhang.measure.sweeps import _attention, _copy, _gemm, decode_points, graph_points, launch_points, notes, timed


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> FakeGpu:
    return installed(FakeGpu(), monkeypatch)


def installed(gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch) -> FakeGpu:
    monkeypatch.setitem(sys.modules, "torch", gpu)
    monkeypatch.setattr(device, "_WARM_UP_S", 0.001)
    monkeypatch.setattr(run, "train_step_s", lambda *_: 0.05)
    monkeypatch.setattr(run, "decode_token_s", lambda *_: 0.004)
    return gpu


def seconds(found: Any) -> float:
    assert found.value is not None
    return float(found.value["seconds"])


def test_a_short_kernel_is_timed_without_its_launch(gpu: FakeGpu) -> None:
    work = _gemm(find_device(), 1, 1024, 1024)  # 2 MiB read at 4 TB/s: half a microsecond, far below a launch
    found = find_device().timing(work)
    assert found.seconds == pytest.approx((2 << 20) / gpu.bandwidth, rel=0.15)
    assert not found.launched
    assert gpu.launch_s > 10 * found.seconds


def test_a_weight_that_fits_into_the_cache_is_read_from_memory(gpu: FakeGpu) -> None:
    read = (1 << 13) * (1 << 12) / gpu.bandwidth  # 32 MiB, of a cache of 50
    assert find_device().timing(_gemm(find_device(), 1, 4096, 4096)).seconds == pytest.approx(read, rel=0.05)


def test_a_cache_of_keys_and_values_and_a_copy_are_read_from_memory(gpu: FakeGpu) -> None:
    keys = 2 * 2 * 4 * 8 * 256 * 128
    assert find_device().timing(_attention(find_device(), 4, 1, 256, 32, 8, 128)).seconds == pytest.approx(
        keys / gpu.bandwidth, rel=0.15
    )
    assert find_device().timing(_copy(find_device(), 1 << 22)).seconds == pytest.approx((2 << 22) / gpu.bandwidth, rel=0.15)


def test_a_long_kernel_is_launched_as_it_comes(gpu: FakeGpu) -> None:
    found = find_device().timing(_gemm(find_device(), 16384, 57344, 8192))
    assert found.seconds == pytest.approx(2.0 * 16384 * 57344 * 8192 / gpu.rate, rel=0.01)
    assert gpu.replays == 0


def test_launches_are_timed_apart(gpu: FakeGpu) -> None:
    row, prepare = next(launch_points(find_device()))
    assert seconds(timed(find_device(), (row, prepare))) == pytest.approx(gpu.launch_s, rel=0.05)
    chain, graph = (
        seconds(timed(find_device(), point)) for point, _ in zip(graph_points(find_device()), range(2), strict=False)
    )
    assert chain == pytest.approx(16 * gpu.launch_s, rel=0.05)
    assert graph == pytest.approx(max(16 * gpu.tiny_s, gpu.launch_s), rel=0.05)


def test_what_cannot_be_captured_is_launched_and_says_so(gpu: FakeGpu) -> None:
    gpu.can_capture = False
    found = timed(find_device(), ({"op": "gemm"}, lambda: _gemm(find_device(), 1, 1024, 1024)))
    assert found.value is not None
    assert found.value["launched"] == 1.0
    assert seconds(found) == pytest.approx(gpu.launch_s, rel=0.1)
    assert gpu.current is gpu.own  # a failed capture leaves its stream behind


def test_captures_share_one_stream(gpu: FakeGpu) -> None:
    found = find_device()
    for _ in range(3):
        found.captured(_gemm(found, 1, 1024, 1024))
    assert len(gpu.streams) == 1


def test_memory_is_free_again_when_it_is_given_back(gpu: FakeGpu) -> None:
    def too_large() -> Any:
        first = gpu.randn(30 << 30, device="cuda", dtype=2)
        return _gemm(Device(gpu, "cuda", "x", "bf16", "", False), 1, first.shape[0], 4)

    found = timed(find_device(), ({"op": "gemm"}, too_large))
    assert (found.value, found.why) == (None, NO_MEMORY)
    assert gpu.at_empty < 1 << 20  # the error, which holds on to the first block, was gone by then


def test_a_device_that_failed_leaves_its_shapes_out_with_the_reason(gpu: FakeGpu) -> None:
    found = find_device()
    gpu.broken = "CUDA error: an illegal memory access was encountered"
    assert timed(found, ({"op": "gemm"}, lambda: _gemm(found, 1, 1024, 1024))).why == gpu.broken


def test_a_gpu_without_kernels_is_told_in_one_line(gpu: FakeGpu, tmp_path: Path) -> None:
    gpu.broken = "CUDA error: no kernel image is available for execution on the device\nCompile with `TORCH_USE_CUDA_DSA`"
    with pytest.raises(InputError, match="no kernel image") as caught:
        measure(tmp_path / "m")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "m").exists()


def test_grouped_heads_are_left_out_where_no_kernel_is_fused_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    volta = installed(FakeGpu("Tesla V100-SXM2-32GB", (7, 0)), monkeypatch)
    found = find_device()
    assert found.dtype == "fp16"
    assert all(row["heads"] == row["kv_heads"] for row, _ in decode_points(found))
    assert notes(found)
    volta.capability = (6, 1)
    assert find_device().dtype == "fp32"


def test_rocm_is_named_and_its_larger_cache_passed_by(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(FakeGpu("AMD Instinct MI300X", (9, 4), hip="6.4"), monkeypatch)
    found = find_device()
    assert found.software == "torch 2.13.0, ROCm 6.4"
    assert (found.dtype, found.fused) == ("bf16", True)
    assert found.cache_bytes >= 256 << 20


def test_a_whole_measurement_becomes_a_profile(
    gpu: FakeGpu, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "SWEEPS", run.SWEEPS[1:])  # the products take long to count by hand
    monkeypatch.setattr(device, "_MOST_CALLS", 20)
    assert command(["measure", "--folder", str(tmp_path), "--chip", "h200-sxm-141", "--json"]) == 0
    out = json.loads(capsys.readouterr().out)
    assert out["warnings"] == ["the small model runs plain PyTorch: no engine, no fused kernels, every launch from the host"]
    assert out["profile"] == "h200-sxm-141--torch-2.13.0.json"
    body = json.loads((tmp_path / "measured.json").read_text())
    assert body["left_out"] == {}
    assert {row["op"] for row in body["rows"]} == {"prefill", "decode", "memory", "launch", "chain", "graph"}
    assert gpu.used < 1 << 20


def test_no_time_leaves_everything_out_and_says_so(gpu: FakeGpu, tmp_path: Path) -> None:
    body = json.loads(measure(tmp_path, budget_s=1e-6).read_text())
    assert body["rows"] == []
    assert set(body["reasons"]["gemm"]) == {"no time left"}
    assert body["whole_why"] == {"train_step_s": "no time left", "decode_token_s": "no time left"}


@pytest.mark.parametrize("chip", ["h100-sxm-80", "h200-nvl-141x", "a100-sxm-80"])
def test_another_chip_is_one_line_before_anything_is_timed(
    chip: str, gpu: FakeGpu, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(["measure", "--folder", str(tmp_path / "m"), "--chip", chip]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "m").exists()
    assert gpu.replays == 0


def test_a_slice_of_a_gpu_is_not_the_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    installed(FakeGpu("NVIDIA H200 MIG 1g.18gb"), monkeypatch)
    assert command(["measure", "--folder", str(tmp_path / "m"), "--chip", "h200-sxm-141"]) == 2


def test_collectives_run_over_the_gpus_of_one_name(gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu.names = ["NVIDIA H200", "NVIDIA T400", "NVIDIA H200"]
    gpu.multiprocessing = InlineContext()  # type: ignore[attr-defined]
    set_to: list[int] = []
    monkeypatch.setattr(gpu.cuda, "set_device", set_to.append)
    found = find_device()
    rows, missed, why = collective_rows(found, 60.0)
    assert (missed, why) == (0, "")
    assert len(rows) == len(KINDS) * len(sizes_of(found))
    assert {row["ranks"] for row in rows} == {2.0}
    assert set_to == [0, 2]
    assert [backend for backend, _ in gpu.groups] == ["nccl", "nccl"]
    assert gpu.groups[1][1]["device_id"] == "cuda:2"


def test_one_gpu_times_no_collectives(gpu: FakeGpu) -> None:
    assert collective_rows(find_device(), 60.0) == ([], 0, "")


def test_a_rank_that_fails_says_why_and_ends(gpu: FakeGpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr(collectives.os, "_exit", gone)
    monkeypatch.setattr(gpu.distributed, "init_process_group", lambda *_, **__: _fail())
    with pytest.raises(SystemExit):
        collectives._work(0, (0, 1), 1, "cuda", "bf16", (4096,), 1.0, 1e12, str(tmp_path))
    assert (tmp_path / "fault-0").read_text() == "NCCL error: unhandled system error"


def _fail() -> None:
    raise RuntimeError("NCCL error:\n unhandled system error")
