"""Calibration: what it finds on made-up timings, and one clear line for every file it cannot use."""

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from suanzhang.app.calibrate import calibrate, calibrate_tree, device_is
from suanzhang.app.physics import physics
from suanzhang.errors import InputError
from suanzhang.evidence.calibration.readers import read_timings
from suanzhang.evidence.calibration.store import read_profile, write_profile
from suanzhang.perf.gemm import gemm_s
from suanzhang.spec.chip import ChipSpec


def test_own_measurements_become_a_profile_that_predicts_them(own_csv: Path, tmp_path: Path, h100: ChipSpec) -> None:
    found = calibrate([own_csv], h100, "mine-1.0", tmp_path / "profiles")
    assert found.rows == 96
    assert found.path is not None and found.path.name == "h100-sxm-80--mine-1.0.json"
    assert found.profile.surfaces[0].median_abs_pct < 2.0
    args = physics(h100, "bf16", str(found.path)).args.gemm
    assert gemm_s(4096.0, 8192.0, 8192.0, 1.0, args) == pytest.approx(4e-6 + 2 * 4096 * 8192**2 / (0.6 * 989.4e12), rel=0.03)
    assert gemm_s(1.0, 8192.0, 8192.0, 1.0, args) == pytest.approx(4e-6 + 2 * 8192**2 / (0.8 * 3.35e12), rel=0.03)


def test_the_same_profile_comes_back_from_disk(own_csv: Path, tmp_path: Path, h100: ChipSpec) -> None:
    found = calibrate([own_csv], h100, "mine-1.0", tmp_path)
    assert found.path is not None
    assert read_profile(found.path) == found.profile


def test_parquet_and_own_csv_give_the_same_times(own_csv: Path, parquet: Path) -> None:
    (a,), (b,) = read_timings(own_csv), read_timings(parquet)
    assert a.seconds == pytest.approx(b.seconds)
    assert (a.shapes == b.shapes).all()


def test_tree_names_a_profile_by_engine_and_version(parquet: Path, tmp_path: Path, h100: ChipSpec) -> None:
    for version in ("0.9.0", "0.10.0"):
        folder = tmp_path / "root" / "gemm" / "vllm" / version
        folder.mkdir(parents=True)
        (folder / "gemm_perf.parquet").write_bytes(parquet.read_bytes())
    (tmp_path / "root" / "gemm" / "vllm" / "0.10.0" / "odd_perf.parquet").write_bytes(parquet.read_bytes())
    found = calibrate_tree(tmp_path / "root", h100, source="test", licence="none", date="2026-01")
    assert sorted(item.profile.stack for item in found) == ["vllm-0.10.0", "vllm-0.9.0"]
    assert any("odd_perf" in line for item in found for line in item.skipped)


def test_vidur_csv(tmp_path: Path, h100: ChipSpec) -> None:
    path = tmp_path / "mlp.csv"
    head = "n_head,n_kv_head,n_embd,n_expanded_embd,use_gated_mlp,num_tokens,num_tensor_parallel_workers"
    rows = [
        f"32,8,4096,14336,True,{m},{tp},{0.004 + 2e3 * m * 2 * 14336 / tp * 4096 / 6e14}"
        for m in (512, 1024, 2048, 4096, 8192)
        for tp in (1, 2, 4)
    ]
    path.write_text("\n".join([f"{head},time_stats.mlp_up_proj.median", *rows]) + "\n", encoding="utf-8")
    (timing,) = read_timings(path)
    assert timing.shapes[0].tolist() == [512.0, 28672.0, 4096.0]
    assert calibrate([path], h100, "vidur-0.0.1").profile.surfaces[0].median_abs_pct < 3.0


@pytest.mark.parametrize("column", ["n_head", "num_tensor_parallel_workers"])
def test_vidur_csv_of_no_heads_or_workers_is_one_line(tmp_path: Path, column: str) -> None:
    path = tmp_path / "mlp.csv"
    names = ["n_head", "n_kv_head", "n_embd", "n_expanded_embd", "use_gated_mlp", "num_tokens", "num_tensor_parallel_workers"]
    row = ["0" if name == column else "8" for name in names]
    path.write_text(f"{','.join(names)},time_stats.mlp_up_proj.median\n{','.join(row)},0.1\n", encoding="utf-8")
    with pytest.raises(InputError) as error:
        read_timings(path)
    _refused(error, column, "above zero")


def test_a_tree_with_one_bad_file_writes_nothing(parquet: Path, tmp_path: Path, h100: ChipSpec) -> None:
    for version, body in (("0.9.0", parquet.read_bytes()), ("0.10.0", b"PAR1 broken PAR1")):
        folder = tmp_path / "root" / "gemm" / "vllm" / version
        folder.mkdir(parents=True)
        (folder / "gemm_perf.parquet").write_bytes(body)
    with pytest.raises(InputError):
        calibrate_tree(tmp_path / "root", h100, tmp_path / "out", source="test", licence="none", date="2026-01")
    assert not (tmp_path / "out").exists()


def test_a_folder_and_too_few_timings_are_one_line(own_csv: Path, tmp_path: Path, h100: ChipSpec) -> None:
    with pytest.raises(InputError) as error:
        calibrate([own_csv.parent], h100, "x")
    _refused(error, "is a folder")
    few = tmp_path / "few.csv"
    few.write_text("".join(own_csv.read_text(encoding="utf-8").splitlines(keepends=True)[:4]), encoding="utf-8")
    with pytest.raises(InputError) as error:
        calibrate([few], h100, "x")
    _refused(error, "too few", "12 timings")


def _refused(capture: pytest.ExceptionInfo[InputError], *words: str) -> None:
    text = str(capture.value)
    assert "\n" not in text
    for word in words:
        assert word in text


def test_corrupt_parquet_is_one_line(tmp_path: Path, h100: ChipSpec) -> None:
    path = tmp_path / "gemm_perf.parquet"
    path.write_bytes(b"PAR1 not really PAR1")
    with pytest.raises(InputError) as error:
        calibrate([path], h100, "x", tmp_path / "out")
    _refused(error, "gemm_perf.parquet", "cannot be read")
    assert not (tmp_path / "out").exists()


def test_missing_column_is_named(parquet: Path, tmp_path: Path, h100: ChipSpec) -> None:
    pl.read_parquet(parquet).drop("k").write_parquet(tmp_path / "cut.parquet")
    with pytest.raises(InputError) as error:
        calibrate([tmp_path / "cut.parquet"], h100, "x", tmp_path / "out")
    _refused(error, "lacks the column k")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("column", "value", "words"), [("gemm_dtype", 3, "of another kind"), ("m", [1, 2], "no number")])
def test_a_column_of_another_kind_is_one_line(
    parquet: Path, tmp_path: Path, h100: ChipSpec, column: str, value: object, words: str
) -> None:
    pl.read_parquet(parquet).with_columns(pl.lit(value).alias(column)).write_parquet(tmp_path / "kind.parquet")
    with pytest.raises(InputError) as error:
        calibrate([tmp_path / "kind.parquet"], h100, "x", tmp_path / "out")
    _refused(error, "kind.parquet", words)
    assert not (tmp_path / "out").exists()


def test_timings_of_two_devices_in_one_file_are_refused(parquet: Path, tmp_path: Path, h100: ChipSpec) -> None:
    frame = pl.read_parquet(parquet)
    other = frame.tail(5).with_columns(pl.lit("NVIDIA A100-SXM4-80GB").alias("device"))
    pl.concat([frame.head(-5), other]).write_parquet(tmp_path / "two.parquet")
    with pytest.raises(InputError) as error:
        calibrate([tmp_path / "two.parquet"], h100, "x", tmp_path / "out")
    _refused(error, "two.parquet", "2 devices", "A100")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("factor", [1e3, 1e-3, 1e6])
def test_wrong_unit_is_refused(parquet: Path, tmp_path: Path, h100: ChipSpec, factor: float) -> None:
    pl.read_parquet(parquet).with_columns(pl.col("latency") * factor).write_parquet(tmp_path / "unit.parquet")
    with pytest.raises(InputError) as error:
        calibrate([tmp_path / "unit.parquet"], h100, "x", tmp_path / "out")
    _refused(error, "unit")
    assert not (tmp_path / "out").exists()


def test_timings_of_another_chip_are_refused(parquet: Path, h100: ChipSpec) -> None:
    h200 = replace(h100, id="h200-sxm-141", name="H200 SXM 141GB")
    with pytest.raises(InputError) as error:
        calibrate([parquet], h200, "x")
    _refused(error, "H100", "H200")


def test_profile_of_another_chip_is_refused(own_csv: Path, tmp_path: Path, h100: ChipSpec) -> None:
    found = calibrate([own_csv], h100, "mine-1.0", tmp_path)
    other = replace(h100, id="a100-sxm-80")
    with pytest.raises(InputError) as error:
        physics(other, "bf16", str(found.path))
    _refused(error, "h100-sxm-80", "a100-sxm-80")


def test_a_damaged_profile_is_one_line(own_csv: Path, tmp_path: Path, h100: ChipSpec) -> None:
    found = calibrate([own_csv], h100, "mine-1.0", tmp_path)
    assert found.path is not None
    body = json.loads(found.path.read_text(encoding="utf-8"))
    body["surfaces"][0]["tables"][""] = body["surfaces"][0]["tables"][""][:-1]
    found.path.write_text(json.dumps(body), encoding="utf-8")
    with pytest.raises(InputError) as error:
        read_profile(found.path)
    _refused(error, "no calibration profile")


def test_negative_and_missing_times_alone_are_refused(parquet: Path, tmp_path: Path, h100: ChipSpec) -> None:
    pl.read_parquet(parquet).with_columns(pl.lit(-1.0).alias("latency")).write_parquet(tmp_path / "neg.parquet")
    with pytest.raises(InputError) as error:
        calibrate([tmp_path / "neg.parquet"], h100, "x")
    _refused(error, "above zero")


def test_write_leaves_no_partial_file(own_csv: Path, tmp_path: Path, h100: ChipSpec) -> None:
    profile = calibrate([own_csv], h100, "mine-1.0").profile
    write_profile(profile, tmp_path / "p")
    assert [path.name for path in (tmp_path / "p").iterdir()] == ["h100-sxm-80--mine-1.0.json"]


@pytest.mark.parametrize(
    ("device", "id_", "name", "same"),
    [
        ("NVIDIA H100 80GB HBM3", "h100-sxm-80", "H100 SXM5 80GB", True),
        ("NVIDIA H200", "h100-sxm-80", "H100 SXM5 80GB", False),
        ("NVIDIA L40S", "l40-48", "L40 48GB", False),
        ("NVIDIA GB200", "b200-sxm-180", "B200 SXM 180GB", False),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "rtxpro6000-96", "RTX PRO 6000 Blackwell Server 96GB", True),
        ("Intel(R) Arc(TM) Pro B60 Graphics", "arc-b60-24", "Arc Pro B60 24GB", True),
    ],
)
def test_device_names(h100: ChipSpec, device: str, id_: str, name: str, same: bool) -> None:
    assert device_is(device, replace(h100, id=id_, name=name)) is same
