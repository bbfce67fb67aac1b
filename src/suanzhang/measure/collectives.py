"""Collectives over the GPUs of this machine, one process each: all-reduce, all-gather, reduce-scatter, all-to-all.

Two processes on a CPU run the same code over Gloo, slow and marked, so that it is tested without GPUs.
"""

from __future__ import annotations

import json
import os
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from suanzhang.measure.device import Device

Row = dict[str, float | str]
KINDS = ("all_reduce", "all_gather", "reduce_scatter", "alltoall")
"""Collectives by the names that files of timings use."""
_ROUNDS = 3
_LEAST_S = 0.02
_MOST_CALLS = 100
_PATIENCE_S = 90.0
_LEAST_BUDGET_S = 1.0
"""With less no process is started: it would take longer to begin."""


def ranks_of(device: Device) -> int:
    """Processes that a sweep runs: one per GPU, two on a CPU; below two there is nothing to time."""
    return int(device.torch.cuda.device_count()) if device.kind == "cuda" else 2


def sizes_of(device: Device) -> tuple[int, ...]:
    """Bytes that each rank holds, small to large."""
    return (1 << 12, 1 << 16, 1 << 18) if device.slow else tuple(1 << power for power in range(12, 31, 2))


def collective_rows(device: Device, budget_s: float) -> tuple[list[Row], int]:
    """Rows of all collectives, and how many shapes were left out.

    Args:
        device: the first of the devices; the others are those of the same kind beside it.
        budget_s: longest time of the sweep [s].
    """
    ranks = ranks_of(device)
    shapes = len(KINDS) * len(sizes_of(device))
    if ranks < 2 or budget_s < _LEAST_BUDGET_S or not device.torch.distributed.is_available():
        return [], shapes if ranks >= 2 else 0
    context = device.torch.multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="suanzhang-") as folder:
        target = Path(folder) / "rows.json"
        given = (ranks, _free_port(), device.kind, device.dtype, sizes_of(device), budget_s, str(target))
        workers = [context.Process(target=_work, args=(rank, *given), daemon=True) for rank in range(ranks)]
        for worker in workers:
            worker.start()
        until = time.monotonic() + budget_s + _PATIENCE_S  # for all together: eight that hang must not wait eight times
        for worker in workers:
            worker.join(max(until - time.monotonic(), 0.0))
        stuck = [worker for worker in workers if worker.is_alive()]
        for worker in stuck:
            worker.terminate()
        rows: list[Row] = json.loads(target.read_text(encoding="utf-8")) if target.exists() and not stuck else []
    return rows, shapes - len(rows)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _work(
    rank: int, ranks: int, port: int, kind: str, dtype: str, sizes: tuple[int, ...], budget_s: float, target: str
) -> None:
    """One rank: join the group, time every shape with the others, let the first write what it saw."""
    import torch

    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    group: Any = torch.distributed
    if kind == "cuda":
        torch.cuda.set_device(rank)
    group.init_process_group("nccl" if kind == "cuda" else "gloo", rank=rank, world_size=ranks)
    until = time.monotonic() + budget_s
    rows: list[Row] = []
    for size in sizes:
        for name in KINDS:
            enough = torch.tensor([float(time.monotonic() < until)], device=kind)
            group.all_reduce(enough, op=group.ReduceOp.MIN)  # all ranks go on, or none
            if float(enough) > 0.0:
                seconds = _seconds(torch, group, kind, _call(torch, group, name, size, ranks, kind))
                rows.append({"op": name, "bytes": float(size), "ranks": float(ranks), "dtype": dtype, "seconds": seconds})
    if rank == 0:
        partial = Path(target).with_suffix(".part")
        partial.write_text(json.dumps(rows), encoding="utf-8")
        partial.replace(target)
    group.barrier()
    group.destroy_process_group()


def _call(torch: Any, group: Any, name: str, size: int, ranks: int, kind: str) -> Callable[[], object]:
    """One collective over ``size`` bytes a rank; reduce-scatter and all-to-all divide them over the ranks."""
    count = max(size // 4 // ranks, 1) * ranks
    whole = torch.ones(count, device=kind)
    if name == "all_reduce":
        return lambda: group.all_reduce(whole)
    if name == "all_gather":
        own = torch.ones(count // ranks, device=kind)
        gather = _named(group, "all_gather_single", "all_gather_into_tensor")  # lists of tensors would be copied besides
        return lambda: gather(whole, own)
    if name == "reduce_scatter":
        mine = torch.empty(count // ranks, device=kind)
        scatter = _named(group, "reduce_scatter_single", "reduce_scatter_tensor")
        return lambda: scatter(mine, whole)
    received = torch.empty_like(whole)
    return lambda: group.all_to_all_single(received, whole)


def _named(group: Any, now: str, before: str) -> Callable[..., object]:
    """A collective by the name that this version of PyTorch has for it."""
    found: Callable[..., object] = getattr(group, now, None) or getattr(group, before)
    return found


def _seconds(torch: Any, group: Any, kind: str, call: Callable[[], object]) -> float:
    """Time of one call as the slowest rank sees it: median of three rounds after a warm-up."""

    def wall(calls: int) -> float:
        group.barrier()
        begin = time.perf_counter()
        for _ in range(calls):
            call()
        if kind == "cuda":
            torch.cuda.synchronize()
        slowest = torch.tensor([(time.perf_counter() - begin) / calls], device=kind, dtype=torch.float32)
        group.all_reduce(slowest, op=group.ReduceOp.MAX)
        return float(slowest)

    once = wall(1)
    calls = max(1, min(_MOST_CALLS, int(_LEAST_S / max(once, 1e-7))))
    return sorted(wall(calls) for _ in range(_ROUNDS))[_ROUNDS // 2]
