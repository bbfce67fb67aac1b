"""The exact scan: every layout of every batch goes through the evaluator; nothing is skipped unseen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Evaluator = Callable[[Floats], tuple[Floats, Floats, Floats]]
"""Layouts (n, 19) to step time [s], memory [bytes] and reason code (0 feasible), each (n,)."""
CHUNK = 8192
"""Layouts that are evaluated together: bounds the memory of a search."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a scan found.

    Args:
        layouts: the best feasible layouts, fastest first, shape (k, 19).
        step_s: their step times.
        memory_bytes: their memory.
        evaluated: layouts whose time and memory were computed.
        refused: layouts left out by the evaluator, by reason code.
        leanest: the layout of least memory, shape (19,), empty when none was evaluated.
        leanest_bytes: its memory.
    """

    layouts: Floats
    step_s: Floats
    memory_bytes: Floats
    evaluated: int
    refused: Counter[int]
    leanest: Floats
    leanest_bytes: float


def scan(layouts: Iterable[Floats], evaluate: Evaluator, keep: int = 16, memory_reason: int = -1) -> Found:
    """The fastest feasible layouts of all batches.

    Ties are decided by less memory, then by the order of the columns, so that the answer does not depend on the
    order of the batches.

    Args:
        layouts: batches of layouts.
        evaluate: time, memory and reason of a batch.
        keep: how many layouts to keep.
        memory_reason: code of a layout that does not fit: its time and memory were computed all the same.

    Returns:
        The best, and what was left out.
    """
    best = np.empty((0, 2))
    evaluated = 0
    refused: Counter[int] = Counter()
    leanest, leanest_bytes = np.empty(0), np.inf
    for chunk in _chunks(layouts):
        if best.shape[1] != 2 + chunk.shape[1]:
            best = np.empty((0, 2 + chunk.shape[1]))
        step, memory, reason = evaluate(chunk)
        computed = (reason == 0.0) | (reason == memory_reason)
        evaluated += int(np.count_nonzero(computed))
        for code, count in enumerate(np.bincount(reason.astype(np.int64))):
            if code and count:
                refused[code] += int(count)
        if computed.any():
            index = int(np.argmin(np.where(computed, memory, np.inf)))
            if memory[index] < leanest_bytes:
                leanest, leanest_bytes = chunk[index].copy(), float(memory[index])
        good = np.flatnonzero(reason == 0.0)
        if len(good) > keep:
            limit = np.partition(step[good], keep - 1)[keep - 1]
            good = good[step[good] <= limit]
        rows = np.column_stack((step[good], memory[good], chunk[good]))
        best = np.vstack((best, rows))
        best = best[np.lexsort(best.T[::-1])][:keep]
    return Found(best[:, 2:], best[:, 0], best[:, 1], evaluated, refused, leanest, float(leanest_bytes))


def _chunks(layouts: Iterable[Floats]) -> Iterable[Floats]:
    """Batches joined to about ``CHUNK`` rows: fewer calls, bounded memory."""
    waiting: list[Floats] = []
    rows = 0
    for batch in layouts:
        waiting.append(batch)
        rows += len(batch)
        if rows >= CHUNK:
            yield np.vstack(waiting)
            waiting, rows = [], 0
    if waiting:
        yield np.vstack(waiting)
