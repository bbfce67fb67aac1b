"""Trainings on chips of AMD that no fit has seen: nothing of their maker was timed, only the best rate of their products.

Rates from AMD's page of performance results as its Primus project prints them in its note on projections, and from the note on
its pipeline schedules; layouts from the configurations in the same repository. The global batch of the runs on several nodes is
that of one node times the nodes.
"""

import json
from pathlib import Path

import numpy as np
import pytest

import suanzhang

LLAMA_8B = {
    "layers": 32,
    "hidden": 4096,
    "heads": 32,
    "kv_heads": 8,
    "head_dim": 128,
    "ffn": 14336,
    "gated_mlp": True,
    "vocab": 128256,
}
MIXTRAL = {
    "layers": 56,
    "hidden": 6144,
    "heads": 48,
    "kv_heads": 8,
    "head_dim": 128,
    "ffn": 16384,
    "gated_mlp": True,
    "vocab": 32768,
}
MIXTRAL["moe"] = {"experts": 8, "topk": 2, "shared": 0, "expert_ffn": 16384, "dense_layers": 0}
QWEN3 = {
    "layers": 94,
    "hidden": 4096,
    "heads": 64,
    "kv_heads": 4,
    "head_dim": 128,
    "ffn": 12288,
    "gated_mlp": True,
    "vocab": 151936,
}
QWEN3["moe"] = {"experts": 128, "topk": 8, "shared": 0, "expert_ffn": 1536, "dense_layers": 0}


def row(number, chip, chips, model, seq_len, precision, batches, tokens_per_s, **layout):
    micro, whole = batches
    return {
        "id": f"amd-{number}",
        "source": "AMD ROCm performance results",
        "where": "AI training",
        "year": 2025,
        "chip": chip,
        "chips": chips,
        "chips_per_node": 8,
        "network_Gbps_per_chip": 400,
        "model": {"name": "as given", **model},
        "seq_len": seq_len,
        "precision": precision,
        "layout": {"tp": 1, "pp": 1, "cp": 1, "zero": 1, **layout},
        "micro_batch": micro,
        "global_batch": whole,
        "recompute": "none",
        "measured": {"tokens_per_s_per_chip": tokens_per_s},
        "notes": "kind=pretrain-bench; quality=B; Megatron-LM",
    }


ROWS = (
    row(1, "MI325X", 8, LLAMA_8B, 8192, "fp8 (tensor-wise)", (2, 128), 16224.0),
    row(2, "MI325X", 64, LLAMA_8B, 8192, "fp8 (tensor-wise)", (2, 1024), 16186.0),
    row(3, "MI355X", 64, MIXTRAL, 8192, "bf16", (2, 1024), 3534.0, pp=4, vpp=2, ep=8),
    row(4, "MI355X", 32, QWEN3, 4096, "bf16", (4, 1024), 2742.4, pp=4, ep=8),
    row(5, "MI355X", 32, QWEN3, 4096, "bf16", (4, 1024), 3012.1, pp=4, vpp=3, ep=8),
    row(6, "MI355X", 32, QWEN3, 4096, "bf16", (4, 1024), 3024.5, pp=4, vpp=4, ep=8),
)


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory):
    path: Path = tmp_path_factory.mktemp("amd") / "runs.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)), encoding="utf-8")
    found = suanzhang.validate(truth=path, rows=True)
    assert found.modelled == len(ROWS)
    return found.entries


def errors(entries):
    return np.array([one.predicted["step_s"] / one.measured["step_s"] - 1.0 for one in entries])


def test_step_times_of_runs_that_no_fit_has_seen(entries) -> None:
    """Mixtures stay a sixth too fast: their experts and exchanges are borrowed too, and three layers were computed again."""
    found = errors(entries)
    assert np.abs(found[:3]).max() < 0.10
    assert np.abs(found).max() < 0.25


def test_they_lie_in_their_intervals(entries) -> None:
    for one in entries:
        span = one.predicted_interval["step_s"]
        assert span.p05 < one.measured["step_s"] < span.p95
