"""The best layouts of a job on a number of chips."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from suanzhang.app.train_input import lists_chunks
from suanzhang.app.train_model import Packed
from suanzhang.perf.training.args import LayoutArgs
from suanzhang.perf.training.batch import evaluate
from suanzhang.perf.training.feasible import OUT_OF_MEMORY, REASONS
from suanzhang.perf.training.pack import SCHEDULE_CODES, unpack_layout
from suanzhang.perf.training.params import layers_for_head
from suanzhang.search.scan import Found, scan
from suanzhang.search.space import Axes, Sizes, batches
from suanzhang.spec.job import TrainJob
from suanzhang.spec.layout import TrainLayout
from suanzhang.spec.stack import TrainStack

EXCHANGES_HEADS = "2023-09"
"""Month from which software exchanges heads between context ranks by all-to-all (DeepSpeed-Ulysses)."""
UNEVEN_STAGES = "2024-10"
"""Month from which software takes a number of layers for the last stage (Megatron-Core 0.9)."""
LONG_CONTEXT = 8192
"""From this sequence length on, context parallelism is looked at."""
MOST_CHUNKS = 24
"""Most chunks of one pipeline stage that are looked at."""
CHIP_COUNTS = 12
"""How many counts of chips in use are looked at when not all can be used."""
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Searched:
    """Result of a search.

    Args:
        layouts: best feasible layouts, fastest first.
        step_s, memory_bytes: of each.
        evaluated: layouts whose time and memory were computed.
        pruned: layouts left out, by reason.
        seconds: wall time.
        leanest: the layout of least memory, None when none divides.
        leanest_bytes: its memory.
        riskier: a faster layout that fits less surely than asked, None when there is none.
        riskier_fits_fraction: share of the cases in which that one fits.
    """

    layouts: tuple[TrainLayout, ...]
    step_s: tuple[float, ...]
    memory_bytes: tuple[float, ...]
    evaluated: int
    pruned: dict[str, int]
    seconds: float
    leanest: TrainLayout | None
    leanest_bytes: float
    riskier: TrainLayout | None = None
    riskier_fits_fraction: float = 0.0


def _powers(limit: int) -> tuple[int, ...]:
    return tuple(2**k for k in range(max(limit, 1).bit_length()) if 2**k <= limit)


def _divisors(number: int, limit: int) -> tuple[int, ...]:
    return tuple(k for k in range(1, min(number, limit) + 1) if number % k == 0)


def default_axes(job: TrainJob, stack: TrainStack, chips: int, domain: int) -> Axes:
    """The axes that a search covers unless told otherwise.

    Tensor groups stay inside the scale-up domain; pipelines take every divisor of the layers (or of the layers and the
    two ends) up to the number of layers; context ranks only for long sequences; experts over powers of two. Interleaved chunks
    hold equally many layers, but for odd numbers of layers where the software takes a list of them.
    """
    model = job.model
    stages = set(_divisors(model.layers, chips)) | set(_divisors(model.layers + 2, chips)) | set(_powers(model.layers))
    chunks = _divisors(model.layers, MOST_CHUNKS)
    experts = model.moe.experts if model.moe else 0
    return Axes(
        tp=_powers(min(domain, chips, 16)),
        pp=tuple(sorted(stage for stage in stages if stage <= min(model.layers, chips, 128))),
        cp=_powers(min(16, chips, job.seq_len // 4096)) if job.seq_len >= LONG_CONTEXT else (1,),
        ep=tuple(k for k in _powers(min(experts, chips)) if experts % k == 0) if experts else (1,),
        etp=(1, 0) if experts else (0,),
        vpp=chunks,
        sp=(1, 0) if stack.sequence_parallel else (0,),
        zero=(0, 1, 2, 3),
        micro_batch=_powers(min(32, job.global_batch)),
        recompute=(0, 1, 2),
        schedule=tuple(int(SCHEDULE_CODES[name]) for name in stack.schedules),
        overlap_tp=(1,),
        overlap_pp=(1,) if "pp" in stack.asked_overlap else (0,),
        cp_a2a=(0, 1) if job.seq_len >= LONG_CONTEXT and stack.released >= EXCHANGES_HEADS else (0,),
        uneven=stack.released >= UNEVEN_STAGES,
        any_chunks=bool(model.layers % 2) and lists_chunks(stack),
    )


def sizes_of(job: TrainJob) -> Sizes:
    """What of the job must divide."""
    model = job.model
    experts = model.moe.experts if model.moe else 0
    kv_heads = model.heads if model.mla else model.kv_heads
    return Sizes(model.layers, model.heads, kv_heads, experts, job.seq_len, job.global_batch)


def chip_counts(job: TrainJob, chips: int, axes: Axes, gang: int = 1) -> tuple[int, ...]:
    """Counts of chips that a layout can use exactly, whole gangs of them, the most first, at most ``chips``.

    The data ranks must divide the global batch: a count that is no such product leaves chips idle.
    """
    ranks = [dp for dp in range(1, min(chips, job.global_batch) + 1) if job.global_batch % dp == 0]
    counts: set[int] = set()
    for tp in axes.tp:
        for pp in axes.pp:
            for cp in axes.cp:
                cut = tp * pp * cp
                fitting = [dp * cut for dp in ranks if dp * cut <= chips and dp * cut % gang == 0]
                counts.update(fitting[-2:])
    ordered = sorted(counts, reverse=True)
    return tuple(ordered[:1] if ordered[:1] == [chips] else ordered[:CHIP_COUNTS])


def search_layouts(packed: Packed, job: TrainJob, axes: Axes, counts: tuple[int, ...], keep: int = 8) -> Searched:
    """Scan every layout of the axes on each count of chips.

    Args:
        packed: the question as numbers.
        job: the job.
        axes: the axes.
        counts: counts of chips in use.
        keep: how many of the best to keep.
    """
    pruned: Counter[str] = Counter()
    start = time.perf_counter()
    ways = [_scan(packed, job, axes, counts, keep, pruned)]
    moving = tuple(pp for pp in axes.pp if axes.uneven and layers_for_head(packed.shape, float(pp)) > 0.0)
    if moving:
        ways.append(_scan(packed, job, replace(axes, pp=moving), counts, keep, pruned, uneven=True))
    best = sorted(
        (step_s, memory, index, place) for index, way in enumerate(ways) for place, (step_s, memory) in enumerate(_figures(way))
    )
    chosen = best[:keep]
    least = min(range(len(ways)), key=lambda index: ways[index].leanest_bytes)
    leanest = _layout(packed, ways[least].leanest, uneven=least > 0) if len(ways[least].leanest) else None
    return Searched(
        tuple(_layout(packed, ways[index].layouts[place], uneven=index > 0) for _, _, index, place in chosen),
        tuple(step_s for step_s, *_ in chosen),
        tuple(memory for _, memory, *_ in chosen),
        sum(way.evaluated for way in ways),
        dict(pruned),
        time.perf_counter() - start,
        leanest,
        ways[least].leanest_bytes,
    )


def _scan(
    packed: Packed, job: TrainJob, axes: Axes, counts: tuple[int, ...], keep: int, pruned: Counter[str], *, uneven: bool = False
) -> Found:
    """Scan the axes with the layers cut evenly, or with a last stage that leaves some for the head that it holds."""
    sizes = sizes_of(job)

    def evaluator(layouts: Floats) -> tuple[Floats, Floats, Floats]:
        return evaluate(packed.shape, packed.run, layouts, packed.ops, packed.ops16, packed.fit, uneven=uneven)

    stream = (batch for count in counts for batch in batches(count, sizes, axes, pruned))
    found = scan(stream, evaluator, keep, int(OUT_OF_MEMORY))
    for code, count in found.refused.items():
        pruned[REASONS[code]] += count
    return found


def _figures(found: Found) -> list[tuple[float, float]]:
    """Step time [s] and memory [bytes] of each layout that a scan kept."""
    return list(zip(found.step_s.tolist(), found.memory_bytes.tolist(), strict=True))


def _layout(packed: Packed, row: Floats, *, uneven: bool) -> TrainLayout:
    found = LayoutArgs(*row)
    return unpack_layout(found._replace(head_layers=layers_for_head(packed.shape, found.pp)) if uneven else found)
