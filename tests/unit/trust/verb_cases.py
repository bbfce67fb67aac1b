"""One call of every verb of the package that answers with a result."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import suanzhang
from suanzhang.report.jsonable import to_json

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
NO_HEADER = frozenset(("calibrate",))
"""Verbs whose answer is a profile or a file, not a result with a header."""
Case = Callable[[Path, Path], Any]


def measured(folder: Path) -> Path:
    path = folder / "measured.json"
    row = {"op": "memory", "dtype": "bf16", "seconds": 1e-3, "bytes": 1e9}
    body = {
        "device": "a CPU", "kind": "cpu", "dtype": "fp32", "software": "torch 2", "slow": True, "memory_bytes": 1e9,
        "model": {}, "train_step_s": 0.1, "decode_token_s": 0.01, "left_out": {}, "measured_s": 1.0, "rows": [row],
    }  # fmt: skip
    path.write_text(json.dumps(body))
    return path


SCRIPT = """\
#!/bin/bash
torchrun --nproc_per_node 8 --nnodes 16 pretrain_gpt.py --tensor-model-parallel-size 16 --pipeline-model-parallel-size 8 \\
  --num-layers 96 --hidden-size 12288 --num-attention-heads 96 --seq-length 2048 --micro-batch-size 1 --global-batch-size 32 \\
  --recompute-granularity full --recompute-method uniform --recompute-num-layers 1 --train-iters 100000 --bf16
"""
BENCHMARK = {
    "model_id": "meta-llama/Llama-3.1-8B-Instruct", "request_rate": "inf", "max_concurrency": 64, "completed": 512,
    "total_input_tokens": 524288, "total_output_tokens": 131072, "request_throughput": 12.8, "output_throughput": 3276.8,
    "mean_ttft_ms": 310.0, "mean_tpot_ms": 17.1,
}  # fmt: skip
RUNS = "model,chips,layout,global_batch,seq_len,step_s,stack\n" + "".join(
    f'gpt3-175b,a100-sxm-80:1024,"tp=8,pp={stages}",1536,2048,{seconds},megatron-lm-2021\n'
    for stages, seconds in ((8, 36.0), (16, 40.0), (4, 33.0), (32, 45.0))
)


def written(beside: Path, name: str, text: str) -> Path:
    path = beside.parent / name
    path.write_text(text, encoding="utf-8")
    return path


CASES: dict[str, Case] = {
    "audit": lambda question, train: suanzhang.audit(EXAMPLES / "audit-2026" / "claims.yaml"),
    "backtest": lambda question, train: suanzhang.backtest(chips=8, horizon=12),
    "buy": lambda question, train: suanzhang.buy(question, scenarios=1, focus=train.parent / "focus.csv"),
    "calibrate_check": lambda question, train: suanzhang.calibrate_check("h100-sxm-80"),
    "calibrate_runs": lambda question, train: suanzhang.calibrate_runs(written(train, "runs.csv", RUNS)),
    "cite": lambda question, train: suanzhang.cite(train, format="bibtex"),
    "compare_benchmark": lambda question, train: suanzhang.compare_benchmark(
        written(train, "bench.json", json.dumps(BENCHMARK)), "h100-sxm-80"
    ),
    "compare_measured": lambda question, train: suanzhang.compare_measured(measured(train.parent)),
    "diff": lambda question, train: suanzhang.diff(
        train, to_json(suanzhang.train("llama3-8b", "1T", "h100-sxm-80:128", layout="tp=2", price_per_chip_h=2.0))
    ),
    "examine": lambda question, train: suanzhang.examine(written(train, "job.sh", SCRIPT), "a100-sxm-80"),
    "explain": lambda question, train: suanzhang.explain(str(train)),
    "goodput": lambda question, train: suanzhang.goodput("llama3-8b", "1T", "h100-sxm-80:64", replications=20),
    "improve": lambda question, train: suanzhang.improve(question, chip="h100-sxm-80"),
    "launch_serve": lambda question, train: suanzhang.launch_serve(
        "llama3-8b", "h100-sxm-80", "vllm", isl=512, osl=256, rate=5.0
    ),
    "launch_train": lambda question, train: suanzhang.launch_train("llama3-8b", "1T", "h100-sxm-80:64", "megatron"),
    "look_up": lambda question, train: suanzhang.look_up("chips", "h100-sxm-80"),
    "plan": lambda question, train: suanzhang.plan(question),
    "post_train": lambda question, train: suanzhang.post_train("llama3-8b", "h100-sxm-80:16", "sft", examples="100K"),
    "scaling": lambda question, train: suanzhang.scaling(flop=1e23),
    "sensitivity": lambda question, train: suanzhang.sensitivity(train, seed=1),
    "serve": lambda question, train: suanzhang.serve(
        "llama3-8b", "h100-sxm-80", isl=512, osl=256, rate=20.0, layout="tp=1", simulated_requests=2000
    ),
    "serve_kinds": lambda question, train: suanzhang.serve_kinds(
        "llama3-8b", "h100-sxm-80,a100-sxm-80", isl=512, osl=256, rate=20.0
    ),
    "serve_share": lambda question, train: suanzhang.serve_share(question, chip="h100-sxm-80"),
    "serve_units": lambda question, train: suanzhang.serve_units(question, chip="h100-sxm-80"),
    "serve_question": lambda question, train: suanzhang.serve_question(question, "chat", simulated_requests=2000),
    "simulate": lambda question, train: suanzhang.simulate("llama3-8b", "a100-sxm-80", isl=200, osl=40, rate=2.0, workers=1),
    "simulate_question": lambda question, train: suanzhang.simulate_question(
        question, "chat", chip="a100-sxm-80", layout="tp=1", replicas=1, workers=1, replications=1
    ),
    "train": lambda question, train: suanzhang.train("llama3-8b", "1T", "h100-sxm-80:64", price_per_chip_h=2.0),
    "train_mixed": lambda question, train: suanzhang.train_mixed("llama3-8b", "1T", "h100-sxm-80:32+a100-sxm-80:32"),
    "train_question": lambda question, train: suanzhang.train_question(question),
    "variants": lambda question, train: suanzhang.variants("llama3-8b", "1T", 64),
    "validate": lambda question, train: suanzhang.validate(EXAMPLES / "own-data" / "training.jsonl"),
}
