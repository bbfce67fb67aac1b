"""Collectives over the GPUs of this machine, one process each: all-reduce, all-gather, reduce-scatter, all-to-all.

Two processes on a CPU run the same code over Gloo, slow and marked, so that it is tested without GPUs.
"""

from __future__ import annotations

import datetime
import json
import os
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from suanzhang.measure.device import NO_TIME, Device

Row = dict[str, float | str]
KINDS = ("all_reduce", "all_gather", "reduce_scatter", "alltoall")
"""Collectives by the names that files of timings use."""
_ROUNDS = 3
_POLL_S = 0.1
_LEAST_S = 0.02
_MOST_CALLS = 100
_PATIENCE_S = 15.0
"""How long after the end of the budget the processes may take to finish."""
_LEAST_BUDGET_S = 1.0
"""With less no process is started: it would take longer to begin."""


def ranks_of(device: Device) -> tuple[int, ...]:
    """Numbers of the GPUs that a sweep runs over, one process each: those of the same name as the first; two on a CPU."""
    if device.kind != "cuda":
        return (0, 1)
    cuda = device.torch.cuda
    return tuple(index for index in range(int(cuda.device_count())) if str(cuda.get_device_name(index)) == device.name)


def sizes_of(device: Device) -> tuple[int, ...]:
    """Bytes that each rank holds, small to large."""
    return (1 << 12, 1 << 16, 1 << 18) if device.slow else tuple(1 << power for power in range(12, 31, 2))


def collective_rows(device: Device, budget_s: float) -> tuple[list[Row], int, str]:
    """Rows of all collectives, how many shapes were left out, and why.

    Args:
        device: the first of the devices; the others are those of the same name beside it.
        budget_s: longest time of the sweep, the start of its processes included [s].
    """
    ranks = ranks_of(device)
    shapes = len(KINDS) * len(sizes_of(device))
    if len(ranks) < 2:
        return [], 0, ""
    if budget_s < _LEAST_BUDGET_S:
        return [], shapes, NO_TIME
    if not device.torch.distributed.is_available():
        return [], shapes, "this build of PyTorch has no torch.distributed"
    with tempfile.TemporaryDirectory(prefix="suanzhang-") as folder:
        given = (ranks, _free_port(), device.kind, device.dtype, sizes_of(device), budget_s, time.time() + budget_s, folder)
        why = _run(device.torch.multiprocessing.get_context("spawn"), len(ranks), given, budget_s + _PATIENCE_S)
        target, faults = Path(folder) / "rows.json", sorted(Path(folder).glob("fault-*"))
        rows: list[Row] = json.loads(target.read_text(encoding="utf-8")) if target.exists() else []
        if faults:
            why = faults[0].read_text(encoding="utf-8")
    missed = shapes - len(rows)
    return rows, missed, (why or NO_TIME) if missed else ""


def _run(context: Any, ranks: int, given: tuple[Any, ...], most_s: float) -> str:
    """Run all ranks until they end, one fails or the time is up, and leave none behind; what went wrong, if anything did."""
    workers = [context.Process(target=_work, args=(rank, *given), daemon=True) for rank in range(ranks)]
    try:
        for worker in workers:
            worker.start()
        until = time.monotonic() + most_s
        while any(worker.is_alive() for worker in workers) and time.monotonic() < until:
            if any(worker.exitcode for worker in workers):
                break  # the others would wait for it
            workers[0].join(_POLL_S)
            for worker in workers[1:]:
                worker.join(0.0)
        failed = [worker.exitcode for worker in workers if worker.exitcode]
        hung = not failed and any(worker.is_alive() for worker in workers)
    finally:
        _end(workers)
    return f"a process ended with code {failed[0]}" if failed else "a process did not end" if hung else ""


def _end(workers: list[Any]) -> None:
    alive = [worker for worker in workers if worker.is_alive()]
    for worker in alive:
        worker.terminate()
    for worker in alive:
        worker.join(_POLL_S * 10)
        if worker.is_alive():  # one that hangs inside a driver takes no notice of a polite end
            worker.kill()
            worker.join(_POLL_S * 10)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _work(
    rank: int,
    ranks: tuple[int, ...],
    port: int,
    kind: str,
    dtype: str,
    sizes: tuple[int, ...],
    budget_s: float,
    until: float,
    folder: str,
) -> None:
    """One rank: sweep with the others; what goes wrong is written down, and the process ends without waiting for them."""
    import torch

    try:
        sweep(torch, rank, ranks, port, kind, dtype, sizes, budget_s, until, Path(folder))
    except (RuntimeError, ValueError, OSError, TypeError, AttributeError) as error:
        text = " ".join(str(error).split())[:120] or type(error).__name__
        (Path(folder) / f"fault-{rank}").write_text(text, encoding="utf-8")
        os._exit(1)


def sweep(
    torch: Any,
    rank: int,
    ranks: tuple[int, ...],
    port: int,
    kind: str,
    dtype: str,
    sizes: tuple[int, ...],
    budget_s: float,
    until: float,
    folder: Path,
) -> None:
    """Join the group and time every shape with the others; the first rank keeps what is there after each size.

    Args:
        torch: the module.
        rank: of this process.
        ranks: number of the GPU of each rank.
        port: where the ranks meet.
        kind: "cuda" or "cpu".
        dtype: dtype of the products, written into the rows.
        sizes: bytes that each rank holds.
        budget_s: how long a collective may wait for the other ranks [s].
        until: wall-clock time by which to end [s].
        folder: where the rows go.
    """
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    group: Any = torch.distributed
    own: dict[str, Any] = {}
    if kind == "cuda":
        torch.cuda.set_device(ranks[rank])
        own = {"device_id": torch.device("cuda", ranks[rank])}
    wait = datetime.timedelta(seconds=max(budget_s, _LEAST_BUDGET_S))
    group.init_process_group("nccl" if kind == "cuda" else "gloo", rank=rank, world_size=len(ranks), timeout=wait, **own)
    rows: list[Row] = []
    for size in sizes:
        for name in KINDS:
            enough = torch.tensor([float(time.time() < until)], device=kind)
            group.all_reduce(enough, op=group.ReduceOp.MIN)  # all ranks go on, or none
            if float(enough) > 0.0:
                seconds = _seconds(torch, group, kind, _call(torch, group, name, size, len(ranks), kind))
                rows.append({"op": name, "bytes": float(size), "ranks": float(len(ranks)), "dtype": dtype, "seconds": seconds})
        if rank == 0:
            partial = folder / "rows.part"
            partial.write_text(json.dumps(rows), encoding="utf-8")
            partial.replace(folder / "rows.json")
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
