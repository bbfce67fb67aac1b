"""The same requests on DynoSim (``ai-dynamo``) and here, with DynoSim's own built-in iteration times.

DynoSim's built-in times are two published curves: a prompt pass of ``x`` tokens takes
``4.209989e-7 x**2 + 1.518344e-2 x + 16.50142`` ms, a decode pass at a share ``u`` of the cache in use takes
``-25.74 u**2 + 54.01 u + 5.74`` ms, and an iteration with both takes their sum. The table here is linear in the
context for each batch, so the decode curve is replaced by its tangent at the typical context of that batch.
"""

from __future__ import annotations

import csv
import json
import re
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from suanzhang.errors import InputError
from suanzhang.sim.arrivals import Traffic, draw
from suanzhang.sim.replica import simulate
from suanzhang.spec.job import LengthSpec
from suanzhang.spec.sim import EngineSettings, IterationTable, RequestBatch

PAGES, BLOCK, BUDGET, SEQS = 26_000, 16, 2_048, 256
HASH_TOKENS = 512
REQUESTS = 10_000
REPEATS = 100
MS = 1e-3


def lengths(path: str | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    if path is None:
        some = draw(Traffic(1.0, LengthSpec("lognormal", 1155, 3300), LengthSpec("lognormal", 211, 500)), REQUESTS, seed)
        return np.minimum(some.input_tokens, 8000), np.minimum(some.output_tokens, 2000)
    with Path(path).open(newline="") as handle:
        rows = [(int(row["ContextTokens"]), int(row["GeneratedTokens"])) for row in csv.DictReader(handle)]
    kept = np.array([(max(one, 1), max(two, 1)) for one, two in rows[:REQUESTS]], np.int64)
    return kept[:, 0], kept[:, 1]


def built_in_table(context: float) -> IterationTable:
    """DynoSim's built-in times around a typical context of a decoding sequence [tokens]."""
    total = PAGES * BLOCK
    batch = np.arange(SEQS + 1, dtype=float)
    share = np.minimum(batch * context / total, 1.0)
    slope = (54.01 - 2 * 25.74 * share) * MS / total
    base = (-25.74 * share**2 + 54.01 * share + 5.74) * MS - slope * batch * context
    tokens = np.concatenate([[1.0], np.arange(32.0, BUDGET + 1, 32.0)])
    prompt = (4.209989e-7 * tokens**2 + 1.518344e-2 * tokens + 16.50142) * MS
    chord = float(np.polyfit(batch, base, 1)[0])
    return IterationTable(
        decode_base_s=np.maximum(base, 1e-4),
        decode_context_s=slope,
        mixed_tokens=tokens,
        mixed_base_s=prompt + float(np.polyfit(batch, base, 1)[1]),
        mixed_context_s=slope,
        mixed_seq_s=chord - 1.518344e-2 * MS,
    )


def side_by_side(python: str, path: str | None, seed: int) -> dict[str, Any]:
    """Both simulators on the same arrivals and lengths, on one replica and on eight."""
    inputs, outputs = lengths(path, seed)
    table = built_in_table(float(inputs.mean() + 0.5 * (outputs**2).mean() / outputs.mean()))
    settings = EngineSettings(BUDGET, SEQS, PAGES, BLOCK)
    row: dict[str, Any] = {"dynosim_lengths": path and Path(path).name, "dynosim_requests": len(inputs)}
    for workers, rate in ((1, 12.0), (8, 96.0)):
        gaps = np.random.default_rng(seed).exponential(1.0 / rate, len(inputs))
        batch = RequestBatch(np.round(np.cumsum(gaps), 3), inputs, outputs)
        theirs = dynosim(python, batch, workers)
        simulate(batch, table, settings, replicas=workers, router="round-robin")
        began = time.process_time()
        ours = simulate(batch, table, settings, replicas=workers, router="round-robin")
        once = time.process_time() - began
        long = RequestBatch(
            np.concatenate([batch.arrival_s + turn * batch.arrival_s[-1] for turn in range(REPEATS)]),
            np.tile(inputs, REPEATS),
            np.tile(outputs, REPEATS),
        )
        began = time.process_time()
        simulate(long, table, settings, replicas=workers, router="round-robin")
        rate_here = len(long) / (time.process_time() - began)
        tag = "" if workers == 1 else f"_{workers}_workers"
        row |= {
            f"dynosim_requests_per_s{tag}": theirs["requests_per_s"],
            f"suanzhang_requests_per_s{tag}": rate_here,
            f"suanzhang_requests_per_s_once{tag}": len(batch) / once,
            f"ratio{tag}": rate_here / theirs["requests_per_s"],
            f"dynosim_output{tag}": theirs["output"],
            f"suanzhang_output{tag}": {
                "ttft_ms": ours.ttft_s.mean / MS,
                "e2e_ms": ours.e2e_s.mean / MS,
                "tpot_ms": ours.tpot_s.mean / MS,
                "output_tokens_per_s": ours.output_tokens_per_s,
            },
        }
    return row


def dynosim(python: str, batch: RequestBatch, workers: int) -> dict[str, Any]:
    """One replay; its own "Wall Time" leaves its start-up out."""
    engine = {
        "num_gpu_blocks": PAGES,
        "block_size": BLOCK,
        "max_num_batched_tokens": BUDGET,
        "max_num_seqs": SEQS,
        "enable_prefix_caching": True,
        "enable_chunked_prefill": True,
    }
    with tempfile.TemporaryDirectory() as folder:
        trace, first = Path(folder) / "trace.jsonl", 0
        with trace.open("w") as handle:
            for at, inputs, outputs in zip(batch.arrival_s, batch.input_tokens, batch.output_tokens, strict=True):
                blocks = -(-int(inputs) // HASH_TOKENS)
                line = {"timestamp": round(float(at) * 1e3), "input_length": int(inputs), "output_length": int(outputs)}
                handle.write(json.dumps(line | {"hash_ids": list(range(first, first + blocks))}) + "\n")
                first += blocks
        command = [python, "-m", "dynamo.replay", str(trace), "--trace-format", "mooncake", "--trace-block-size"]
        command += [str(HASH_TOKENS), "--num-workers", str(workers), "--extra-engine-args", json.dumps(engine)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        wall = re.search(r"Wall Time \(ms\): ([\d.,]+)", done.stdout)
        reports = sorted(Path(folder).glob("dynamo_replay_report_*.json"))
        if done.returncode != 0 or wall is None or not reports:
            raise InputError(
                f"DynoSim gave no wall time: {done.stderr.strip()[-200:]}", fix="name a Python with ai-dynamo 1.4.2"
            )
        report = json.loads(reports[-1].read_text())
    keys = {
        "ttft_ms": "mean_ttft_ms",
        "e2e_ms": "mean_e2e_latency_ms",
        "tpot_ms": "mean_tpot_ms",
        "output_tokens_per_s": "output_throughput_tok_s",
    }
    return {
        "requests_per_s": len(batch) / (float(wall.group(1).replace(",", "")) * MS),
        "output": {ours: report.get(theirs) for ours, theirs in keys.items()},
    }
