"""Which timings speak for a chip: cache formats, host-bound timings, means over architectures."""

import math
from dataclasses import replace

import polars as pl
import pytest

from suanzhang.app.physics import physics
from suanzhang.app.physics_carried import carry, host_bound, mean_surface
from suanzhang.app.physics_data import clock_hz, cores, likeness
from suanzhang.catalog.chips import chip, chips
from suanzhang.evidence.calibration.readers import read_timings
from suanzhang.evidence.calibration.store import shipped_profile
from suanzhang.perf.args import no_residual
from suanzhang.perf.attention import decode_attention_s, prefill_attention_s
from suanzhang.perf.gemm import gemm_s


def test_an_8_bit_cache_takes_its_own_timings() -> None:
    h100 = chip("h100-sxm-80")
    wide, narrow = (physics(h100, "bf16", "vllm", kv).args.attention for kv in ("", "fp8"))
    assert wide != narrow
    shape = (64.0, 64.0 * 8192.0, 32.0, 8.0, 128.0, 128.0)
    assert decode_attention_s(*shape, 1.0, narrow) < decode_attention_s(*shape, 2.0, wide)


def test_attention_in_8_bits_takes_its_own_timings_of_prefill_alone() -> None:
    h100 = chip("h100-sxm-80")
    wide, narrow = (physics(h100, "bf16", "trtllm", attention_dtype=kind).args.attention for kind in ("", "fp8"))
    assert narrow.decode_efficiency == wide.decode_efficiency and narrow.efficiency != wide.efficiency
    shape = (1.0, 16384.0, 16384.0, 32.0, 8.0, 128.0, 128.0, 1.0, 0.0)
    fast, slow = (prefill_attention_s(*shape, args) for args in (narrow, wide))
    assert 1.1 < slow / fast < 2.1
    a100 = chip("a100-sxm-80")
    assert physics(a100, "bf16", attention_dtype="fp8").args.attention.efficiency == pytest.approx(
        physics(a100, "bf16").args.attention.efficiency
    )


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


def test_fixed_times_carry_over_in_cycles_and_the_feed_of_a_core_within_its_architecture() -> None:
    a100, h100, b300 = (chip(name) for name in ("a100-sxm-80", "h100-sxm-80", "b300-sxm-288"))
    timed = shipped_profile("h100-sxm-80--vllm-0.24.0").surface("gemm", "bf16")
    assert timed is not None
    there = carry(timed, h100, a100, close=False).coefficients
    assert there["launch_s"] * clock_hz(a100) == pytest.approx(timed.coefficients["launch_s"] * clock_hz(h100))
    assert {**there, "launch_s": 0.0} == {**timed.coefficients, "launch_s": 0.0}
    b200 = chip("b200-sxm-180")
    four = shipped_profile("b200-sxm-180--trtllm-1.3.0rc20").surface("gemm", "nvfp4")
    assert four is not None
    kept = carry(four, b200, b300, close=True).coefficients["feed_bytes_per_flop"]
    rates = [
        share * one.peak("fp4") / cores(one) for share, one in ((kept, b300), (four.coefficients["feed_bytes_per_flop"], b200))
    ]
    assert rates[0] == pytest.approx(rates[1])
    assert carry(timed, h100, chip("gaudi2-96"), close=False) == timed, "a clock that is not known changes nothing"


def test_times_that_wait_for_the_host_do_not_follow_the_clock() -> None:
    timed = shipped_profile("l40s-48--vllm-0.24.0").surface("gemm", "fp8_block")
    assert timed is not None and host_bound(timed)
    assert carry(timed, chip("l40s-48"), chip("a100-sxm-80"), close=False) == timed


def test_a_run_without_an_engine_takes_the_dense_products_of_all_engines() -> None:
    """One engine's timings of the GB200 fell to a third of the peak at large sizes; three together are steadier."""
    gb200, shape = chip("gb200-nvl72"), (8192.0, 8192.0, 8192.0, 1.0)
    alone = [gemm_s(*shape, physics(gb200, "bf16", engine).args.gemm) for engine in ("vllm", "trtllm", "sglang")]
    pooled = physics(gb200, "bf16")
    assert min(alone) < gemm_s(*shape, pooled.args.gemm) < max(alone)
    assert {"--vllm-", "--trtllm-", "--sglang-"} == {
        mark for mark in ("--vllm-", "--trtllm-", "--sglang-") if mark in pooled.profile
    }
    assert physics(gb200, "bf16", "vllm").profile.count("gb200-nvl72--") < pooled.profile.count("gb200-nvl72--")


def test_a_run_without_an_engine_multiplies_8_bits_in_the_library_of_the_vendor() -> None:
    """Trainings multiply 8 bits through the vendor's library, as one engine does; the others have kernels for decoding."""
    h200, shape = chip("h200-sxm-141"), (8192.0, 28672.0, 8192.0, 1.0)
    default, alone = (physics(h200, "fp8", engine) for engine in ("", "trtllm"))
    assert gemm_s(*shape, default.args.gemm) == pytest.approx(gemm_s(*shape, alone.args.gemm), rel=1e-3)
    assert gemm_s(*shape, default.args.gemm) < 0.97 * gemm_s(*shape, physics(h200, "fp8", "sglang").args.gemm)


def test_a_last_wave_that_is_hardly_filled_costs_as_measured() -> None:
    """Two products of one timed depth and width, the second with few tiles in its last wave."""
    args = physics(chip("h100-sxm-80"), "bf16", "vllm").args.gemm
    assert args.residual_waves.values.shape == (69, 21, 6)
    without = args._replace(residual_waves=no_residual())
    full, ragged = (gemm_s(m, 4224.0, 8192.0, 1.0, args) / gemm_s(m, 4224.0, 8192.0, 1.0, without) for m in (4096.0, 4224.0))
    assert ragged != pytest.approx(full, rel=1e-3)


def test_a_cache_stays_on_the_chip_only_when_the_step_repeats() -> None:
    l40s = chip("l40s-48")
    timed, served = (physics(l40s, "bf16", "vllm", repeated=again).args.attention for again in (True, False))
    small = (4.0, 4.0 * 4096.0, 32.0, 8.0, 128.0, 128.0, 2.0)  # 67 MB of keys and values, 101 MB of cache
    large = (16.0, 16.0 * 16384.0, 32.0, 8.0, 128.0, 128.0, 2.0)
    assert decode_attention_s(*small, served) > 2.0 * decode_attention_s(*small, timed)
    assert decode_attention_s(*large, served) == pytest.approx(decode_attention_s(*large, timed), rel=1e-3)


def test_attention_of_another_architecture_speaks_by_likeness() -> None:
    v100 = chip(next(name for name in chips() if name.startswith("v100")))
    near, far = (likeness(v100, chip(name)) for name in ("a100-sxm-80", "b200-sxm-180"))
    assert 0.0 < far < near <= 1.0
    assert likeness(v100, v100) == 1.0
    assert physics(v100, "fp16").args.attention.decode.values.shape != (2, 2, 2)


def test_mean_surface_weighs_tables_and_coefficients() -> None:
    one = shipped_profile("h100-sxm-80--vllm-0.24.0").surface("decode", "bf16")
    assert one is not None
    other = replace(
        one,
        coefficients={"efficiency": 16.0 * one.coefficients["efficiency"]},
        tables={"": tuple(x + 100 for x in one.tables[""])},
    )
    mean = mean_surface([one, other], [3.0, 1.0])
    assert mean.coefficients == {"efficiency": pytest.approx(2.0 * one.coefficients["efficiency"])}
    assert mean.tables[""] == tuple(x + 25 for x in one.tables[""])
    assert "second" not in mean.tables


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
