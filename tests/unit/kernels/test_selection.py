"""Which timings speak for a chip: cache formats, host-bound timings, means over architectures."""

import math
from dataclasses import replace

import polars as pl
import pytest

from suanzhang.app.physics import host_bound, mean_surface, physics
from suanzhang.catalog.chips import chip, chips
from suanzhang.evidence.calibration.readers import read_timings
from suanzhang.evidence.calibration.store import shipped_profile
from suanzhang.perf.attention import decode_attention_s


def test_an_8_bit_cache_takes_its_own_timings() -> None:
    h100 = chip("h100-sxm-80")
    wide, narrow = (physics(h100, "bf16", "vllm", kv).args.attention for kv in ("", "fp8"))
    assert wide != narrow
    shape = (64.0, 64.0 * 8192.0, 32.0, 8.0, 128.0, 128.0)
    assert decode_attention_s(*shape, 1.0, narrow) < decode_attention_s(*shape, 2.0, wide)


def test_timings_of_host_code_give_way() -> None:
    timed = shipped_profile("b200-sxm-180--vllm-0.24.0").surface("gemm", "fp8_block")
    assert timed is not None and host_bound(timed)
    found = physics(chip("b200-sxm-180"), "fp8_block", "vllm-0.24.0")
    assert found.args.gemm.launch_s < 5e-5
    assert "trtllm" in found.profile or "sglang" in found.profile


def test_another_architecture_gets_the_mean_without_tables() -> None:
    name = next(name for name in chips() if name.startswith("v100"))
    found = physics(chip(name), "fp16")
    assert found.origin == "relative" and found.grade == "assumed"
    assert found.args.gemm.residual.values.shape == (2, 2, 2)
    timed = [physics(chip(one), "fp16").args.gemm.efficiency for one in ("a100-sxm-80", "h100-sxm-80")]
    assert found.args.gemm.efficiency == pytest.approx(math.sqrt(timed[0] * timed[1]))
    assert found.spread > physics(chip("a100-sxm-80"), "fp16").spread + 0.1


def test_mean_surface_keeps_what_all_have() -> None:
    one = shipped_profile("h100-sxm-80--vllm-0.24.0").surface("gemm", "bf16")
    assert one is not None
    other = replace(one, coefficients={"efficiency": one.coefficients["efficiency"] / 4.0})
    assert mean_surface([other, one]).coefficients == {"efficiency": pytest.approx(one.coefficients["efficiency"] / 2.0)}


def _frame(path, columns: dict[str, list[object]]):
    pl.DataFrame(columns).write_parquet(path)
    return read_timings(path)


def test_attention_keeps_one_kernel_per_width(tmp_path) -> None:
    rows = 6
    (found,) = _frame(
        tmp_path / "generation_attention_perf.parquet",
        {
            "op_name": ["generation_attention"] * rows,
            "kernel_source": ["main", "main", "main", "other", "other", "other"],
            "batch_size": [1, 2, 4, 1, 2, 4],
            "step": [128] * rows,
            "num_heads": [8] * rows,
            "num_key_value_heads": [8] * rows,
            "head_dim": [128, 128, 128, 128, 128, 256],
            "attn_dtype": ["bfloat16"] * rows,
            "kv_cache_dtype": ["bfloat16"] * rows,
            "latency": [0.01, 0.02, 0.03, 0.5, 0.5, 0.07],
        },
    )
    assert found.seconds.tolist() == pytest.approx([1e-5, 2e-5, 3e-5, 7e-5])


def test_experts_keep_gated_models_even_tokens_and_usual_kernels(tmp_path) -> None:
    usual = {"hidden_size": 4096, "inter_size": 1536, "topk": 8, "num_experts": 128, "distribution": "balanced"}
    rows = [
        usual | {"latency": 0.1, "kernel_source": "a_triton_tritonexperts"},
        usual | {"latency": 0.2, "kernel_source": "a_triton_tritonexperts", "hidden_size": 2048},
        usual | {"latency": 0.3, "kernel_source": "a_triton_tritonexperts", "distribution": "power_law_1.01"},
        usual | {"latency": 0.4, "kernel_source": "a_marlin", "inter_size": 512},
        usual | {"latency": 0.5, "kernel_source": "a_triton_tritonexperts", "topk": 22},
    ]
    table = {key: [row[key] for row in rows] for key in rows[0]}
    fixed = {"op_name": "moe", "moe_dtype": "bfloat16", "num_tokens": 64, "moe_ep_size": 1, "moe_tp_size": 1}
    (found,) = _frame(tmp_path / "moe_perf.parquet", table | {key: [value] * len(rows) for key, value in fixed.items()})
    assert found.seconds.tolist() == pytest.approx([1e-4, 2e-4])
    assert found.shapes[:, 7].tolist() == [1.0, 1.0]
