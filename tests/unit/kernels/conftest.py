"""Chips and files that the tests of the kernel formulas share."""

import csv
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from suanzhang.spec.chip import ChipSpec, NodeSpec


@pytest.fixture
def h100() -> ChipSpec:
    peaks = {"bf16": 989.4e12, "fp16": 989.4e12, "fp8": 1978.9e12, "int8": 1978.9e12}
    node = NodeSpec(chips=8, power_w=10_200.0, nic_bytes_per_s=50e9)
    return ChipSpec(
        "h100-sxm-80", "H100 SXM5 80GB", "NVIDIA", "US", "2022-03", peaks, 80e9, 3.35e12, 450e9, "NVLink 4", 8, 700.0, node
    )


def gemm_rows() -> list[dict[str, float | str]]:
    """Times of an invented chip: 60 % of 989 TFLOP/s and 80 % of 3.35 TB/s, and 4 us."""
    rows: list[dict[str, float | str]] = []
    for m in (1, 16, 64, 256, 1024, 4096):
        for n in (1024, 2048, 4096, 8192):
            for k in (1024, 2048, 4096, 8192):
                seconds = 4e-6 + max(2.0 * m * n * k / (0.6 * 989.4e12), 2.0 * (m * k + n * k + m * n) / (0.8 * 3.35e12))
                rows.append({"op": "gemm", "dtype": "bf16", "m": m, "n": n, "k": k, "seconds": seconds})
    return rows


@pytest.fixture
def own_csv(tmp_path: Path) -> Path:
    path = tmp_path / "mine.csv"
    rows = gemm_rows()
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    path = tmp_path / "gemm_perf.parquet"
    rows = gemm_rows()
    frame = pl.DataFrame(
        {
            "framework": ["VLLM"] * len(rows),
            "version": ["1.0"] * len(rows),
            "device": ["NVIDIA H100 80GB HBM3"] * len(rows),
            "op_name": ["gemm"] * len(rows),
            "kernel_source": ["x"] * len(rows),
            "gemm_dtype": ["bfloat16"] * len(rows),
            "m": [row["m"] for row in rows],
            "n": [row["n"] for row in rows],
            "k": [row["k"] for row in rows],
            "latency": np.array([row["seconds"] for row in rows], dtype=float) * 1e3,
        }
    )
    frame.write_parquet(path)
    return path
