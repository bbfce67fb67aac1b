"""Any well-formed file of the documented format is judged, also one of sources that nobody has seen."""

import json
import math

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from suanzhang.app.validate import validate

sizes = st.sampled_from([1, 2, 4, 8])
some = st.sampled_from([None, 1.0, 0.0, -1.0, 1e12, 3.7])


@st.composite
def training_row(draw):
    tp, pp, dp = draw(sizes), draw(sizes), draw(sizes)
    heads = draw(st.sampled_from([8, 12, 32]))
    layers = draw(st.integers(1, 48))
    head_dim = draw(st.sampled_from([64, 100, 128]))
    return {
        "id": draw(st.text(max_size=8)),
        "source": draw(st.sampled_from(["never seen", "another", "Tables of 2031"])),
        "where": "table 1",
        "url": "",
        "year": draw(st.integers(2018, 2031)),
        "verified": draw(st.booleans()),
        "chip": draw(st.sampled_from(["A100-80G-SXM", "H100-80G-SXM", "TPU-v5p", "B200-180G-SXM", "no such chip"])),
        "chips": draw(st.sampled_from([tp * pp * dp, tp * pp * dp, 3, None])),
        "chips_per_node": draw(st.sampled_from([8, 4, None])),
        "intra_link_GBps": draw(st.sampled_from([600, None])),
        "network_Gbps_per_chip": draw(st.sampled_from([200, 0.0, None])),
        "model": {
            "name": "a model",
            "layers": layers,
            "hidden": heads * head_dim,
            "heads": heads,
            "kv_heads": draw(st.sampled_from([heads, 4, None])),
            "head_dim": head_dim,
            "ffn": draw(st.sampled_from([4 * heads * head_dim, None])),
            "gated_mlp": draw(st.booleans()),
            "vocab": 32000,
        },
        "seq_len": draw(st.sampled_from([128, 2048, 131072, None])),
        "precision": draw(st.sampled_from(["bf16", "fp16", "FP8", "MXFP8", "int8", "odd"])),
        "layout": {"tp": tp, "pp": pp, "dp": dp, "zero": draw(st.sampled_from([0, 1, 3, "special", None]))},
        "micro_batch": draw(st.sampled_from([1, 4, None])),
        "global_batch": draw(st.sampled_from([1, 64, 1536, None])),
        "recompute": draw(st.sampled_from(["full", "selective", "none", "not stated", ""])),
        "measured": {
            draw(st.sampled_from(["iter_s", "tokens_per_s_per_chip", "mem_GB", "tflops_per_chip", "oom"])): draw(some)
        },
        "notes": draw(st.sampled_from(["kind=pretrain-bench; quality=A", "quality=C", ""])),
    }


@st.composite
def serving_row(draw):
    tp = draw(sizes)
    return {
        "id": draw(st.text(max_size=8)),
        "source": draw(st.sampled_from(["never seen", "another"])),
        "where": "",
        "url": "",
        "year": draw(st.integers(2021, 2031)),
        "verified": True,
        "chip": draw(st.sampled_from(["H100-SXM", "B200", "MI300X", "A100-SXM-80GB", "no such chip"])),
        "chips": draw(st.sampled_from([tp, 2 * tp, None])),
        "model": draw(st.sampled_from(["Llama-3.1-8B", "Llama-3.1-70B", "DeepSeek-R1", "no such model"])),
        "weight_dtype": draw(st.sampled_from(["bf16", "fp8", "nvfp4", ""])),
        "kv_dtype": draw(st.sampled_from(["auto", "fp8", ""])),
        "engine": draw(st.sampled_from(["vLLM 0.10", "TensorRT-LLM", "SGLang 0.5", "an engine"])),
        "layout": {
            "tp": tp,
            "pp": draw(st.sampled_from([None, 1, 2])),
            "ep": None,
            "dp": draw(st.sampled_from([None, 1, "P8/D1"])),
        },
        "isl": draw(st.sampled_from([1, 128, 8192, 0, None])),
        "osl": draw(st.sampled_from([1, 128, 1024, None])),
        "concurrency_or_batch": draw(st.sampled_from([1, 64, 5000, "max load", None])),
        "request_rate": draw(st.sampled_from([None, "inf", 0.5, 1e4, 0])),
        "measured": {
            draw(st.sampled_from(["tpot_ms", "ttft_ms_mean", "output_tok_s", "e2e_ms", "j_per_output_token"])): draw(some)
        },
        "notes": draw(st.sampled_from(["tier A", "tier B. static batch", ""])),
    }


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(training_row(), min_size=1, max_size=4), st.lists(serving_row(), max_size=4))
def test_each_row_is_modelled_or_skipped_with_a_reason(tmp_path_factory, training, serving):
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in [*training, *serving]), encoding="utf-8")
    result = validate(path, rows=True)
    assert result.rows_total == len(training) + len(serving)
    assert result.modelled + sum(result.skipped.values()) == result.rows == len(result.entries)
    assert all(reason for reason in result.skipped)
    for entry in result.entries:
        assert entry.skipped or entry.predicted
        assert all(math.isfinite(value) and value > 0.0 for value in entry.predicted.values())
    for metric in result.metrics.values():
        assert metric.interval90_coverage is not None
        assert metric.interval_ratio >= 1.0
