"""One step of a pipeline as bars over time, stage by stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from suanzhang.spec.figures import Span
from suanzhang.spec.layout import TrainLayout

MOST_STAGES, MOST_MICRO_BATCHES = 16, 16
KINDS = ("forward", "backward", "weight gradient", "communication")
"""What is drawn; weight gradients stand apart where the schedule moves them."""
_FORWARD = ("forward_s",)
_BACKWARD = ("backward_input_s", "backward_weight_s", "recompute_s")
_INPUT, _WEIGHT = ("backward_input_s", "recompute_s"), ("backward_weight_s",)
_TALK = ("tensor_comm_s", "context_comm_s", "expert_comm_s")
_HELD: Mapping[str, tuple[float, float]] = {"zero-bubble": (1.0, 0.0), "zero-bubble-2p": (2.0, 0.0), "dualpipe": (1.0, 1.0)}
"""Micro-batches that a stage may hold at once, in stages and beyond: what bounds how far weight gradients are put off."""

Pass = tuple[str, int, int]
"""A pass of a stage: its kind, its chunk of layers, its micro-batch."""


def _order(stage: int, stages: int, count: int, chunks: int, schedule: str) -> list[Pass]:
    """The passes of one stage in order: all forward first, or one forward and one backward in turn after a warm-up.

    Interleaved, a stage owns several chunks of layers and takes the micro-batches in rounds of as many as there are stages.
    """
    if schedule == "gpipe":
        return [("forward", 0, m) for m in range(count)] + [("backward", 0, m) for m in range(count)]
    total = count * chunks
    turn = [(k // stages % chunks, k // (stages * chunks) * stages + k % stages) for k in range(total)]
    forward: list[Pass] = [("forward", chunk, micro) for chunk, micro in turn]
    backward: list[Pass] = [("backward", chunks - 1 - chunk, micro) for chunk, micro in turn]
    first = stages - stage if chunks == 1 else (stages - stage - 1) * 2 + (chunks - 1) * stages + 1
    ahead = min(first, total)
    order = forward[:ahead]
    for done in range(total):
        order.append(backward[done])
        order += forward[ahead + done : ahead + done + 1]
    return order


def _ready(ends: Mapping[tuple[str, int, int, int], float], one: Pass, stage: int, stages: int, chunks: int) -> float | None:
    """When the input of a pass is there; None while it is not known."""
    what, chunk, micro = one
    if what == "forward":
        if stage > 0:
            return ends.get(("forward", stage - 1, chunk, micro))
        return 0.0 if chunk == 0 else ends.get(("forward", stages - 1, chunk - 1, micro))
    if stage < stages - 1:
        return ends.get(("backward", stage + 1, chunk, micro))
    return ends.get(("forward", stage, chunk, micro) if chunk == chunks - 1 else ("backward", 0, chunk + 1, micro))


def pipeline_spans(layout: TrainLayout, terms: Mapping[str, float], micro_batches: int) -> tuple[Span, ...]:
    """The bars of one step: forward, backward and exposed communication of each micro-batch on each stage.

    Times are those of the estimate over its micro-batches. The passes are placed by the schedule: all forward first for GPipe;
    one forward and one backward in turn; interleaved chunks in rounds; with zero bubbles and DualPipe weight gradients fill the
    gaps, as far as the micro-batches that a stage may hold allow, and DualPipe feeds micro-batches from both ends. At most
    sixteen stages and micro-batches are drawn.

    Args:
        layout: the layout.
        terms: parts of the step [s] by name.
        micro_batches: of one data rank.

    Sources:
        [megatron-sc21] interleaving; [zerobubble2024]; [deepseekv3] DualPipe.
    """
    stages, count = min(layout.pp, MOST_STAGES), max(1, min(micro_batches, MOST_MICRO_BATCHES))
    each = 1.0 / max(1, micro_batches)

    def part(names: Sequence[str]) -> float:
        return sum(terms.get(name, 0.0) for name in names) * each

    talk, message = part(_TALK), (terms.get("pipeline_comm_s", 0.0) * each / 2.0 if stages > 1 else 0.0)
    if layout.schedule in _HELD and stages > 1:
        length = {
            "forward": (part(_FORWARD), talk / 3.0),
            "backward": (part(_INPUT), talk / 3.0),
            "weight gradient": (part(_WEIGHT), talk / 3.0),
        }
        share, more = _HELD[layout.schedule]
        held = int(share * stages + more)
        return _filled(stages, count, length, message, held, both_ends=layout.schedule == "dualpipe" and count > 1)
    whole_rounds = count // stages * stages
    chunks = layout.vpp if layout.schedule == "interleaved" and layout.vpp > 1 and whole_rounds else 1
    if chunks > 1:
        count = whole_rounds
    length = {
        "forward": (part(_FORWARD) / chunks, talk / 3.0 / chunks),
        "backward": (part(_BACKWARD) / chunks, 2.0 * talk / 3.0 / chunks),
    }
    queues = [_order(stage, stages, count, chunks, layout.schedule) for stage in range(stages)]
    free = [0.0] * stages
    ends: dict[tuple[str, int, int, int], float] = {}
    spans: list[Span] = []
    moved = True
    while any(queues) and moved:
        moved = False
        for stage, queue in enumerate(queues):
            while queue and (ready := _ready(ends, queue[0], stage, stages, chunks)) is not None:
                what, chunk, micro = queue.pop(0)
                free[stage] = _drawn(spans, stage, what, micro, max(free[stage], ready), length[what])
                ends[what, stage, chunk, micro] = free[stage] + message
                moved = True
    return tuple(spans)


def _drawn(spans: list[Span], stage: int, what: str, micro: int, start: float, length: tuple[float, float]) -> float:
    """Draw a pass and the communication behind it; gives its end."""
    work, talk = length
    spans.append(Span(stage, what, micro, start, start + work))
    if talk > 0.0:
        spans.append(Span(stage, "communication", micro, start + work, start + work + talk))
    return start + work + talk


def _filled(
    stages: int, count: int, length: Mapping[str, tuple[float, float]], message: float, held: int, *, both_ends: bool
) -> tuple[Span, ...]:
    """Passes placed as early as they can be, backward before forward before weight gradients.

    A stage starts no forward pass while it holds ``held`` micro-batches whose weight gradients are not done, or while it is as
    far ahead of its backward passes as the warm-up goes.
    """
    half = count // 2 if both_ends else count
    ahead = [max(1, held // stages * (stages - depth) - (held // stages - 1)) for depth in range(stages)]
    ways = ([*range(half)], [*range(half, count)])
    done = {(stage, way, what): 0 for stage in range(stages) for way in (0, 1) for what in KINDS}
    free = [0.0] * stages
    ends: dict[tuple[str, int, int], float] = {}
    spans: list[Span] = []

    def candidates(stage: int) -> list[tuple[float, int, int, str, int, int]]:
        found = []
        holds = sum(done[stage, way, "forward"] - done[stage, way, "weight gradient"] for way in (0, 1))
        for way, micros in enumerate(ways):
            depth = stage if way == 0 else stages - 1 - stage
            for rank, what in enumerate(("backward", "forward", "weight gradient")):
                index = done[stage, way, what]
                full = holds >= held or index - done[stage, way, "backward"] >= ahead[depth]
                if index >= len(micros) or (what == "forward" and full):
                    continue
                ready = _input(ends, what, depth, stages, micros[index])
                if ready is not None:
                    found.append((max(free[stage], ready), rank, way, what, depth, micros[index]))
        return found

    while len(ends) < 3 * stages * count:
        options = [(*one, stage) for stage in range(stages) for one in candidates(stage)]
        if not options:
            break
        start, _, way, what, depth, micro, stage = min(options)
        free[stage] = _drawn(spans, stage, what, micro, start, length[what])
        ends[what, depth, micro] = free[stage] + (0.0 if what == "weight gradient" else message)
        done[stage, way, what] += 1
    return tuple(spans)


def _input(ends: Mapping[tuple[str, int, int], float], what: str, depth: int, stages: int, micro: int) -> float | None:
    """When the input of a pass at a depth of the model is there; None while it is not known."""
    if what == "forward":
        return 0.0 if depth == 0 else ends.get(("forward", depth - 1, micro))
    if what == "weight gradient":
        return ends.get(("backward", depth, micro))
    return ends.get(("forward", depth, micro) if depth == stages - 1 else ("backward", depth + 1, micro))


def idle_share(spans: Sequence[Span]) -> float:
    """Share of the stages' time in which nothing is drawn: the bubble."""
    if not spans:
        return 0.0
    stages, end = {span.stage for span in spans}, max(span.end_s for span in spans)
    if end <= 0.0:
        return 0.0
    busy = sum(span.end_s - span.start_s for span in spans)
    return 1.0 - busy / (end * len(stages))
