"""How a pipeline schedule spends time in bubbles and keeps micro-batches in flight."""

from __future__ import annotations

from suanzhang.jit import formula
from suanzhang.perf.training.args import DUALPIPE, GPIPE, INTERLEAVED, ZERO_BUBBLE, ZERO_BUBBLE_2P


@formula
def bubble_s(
    schedule: float,
    stages: float,
    chunks: float,
    forward_s: float,
    backward_input_s: float,
    backward_weight_s: float,
    others_s: float,
) -> float:
    """Idle time of the slowest stage of a pipeline during one step.

    Model:    fill and drain of the pipeline. Interleaving cuts it by the number of chunks per stage; zero-bubble
              fills the drain with weight gradients; DualPipe fills both ends from the two directions.
              What waits for messages is counted with the messages.

    Args:
        schedule: code of the schedule.
        stages: pipeline stages.
        chunks: virtual chunks of one stage.
        forward_s, backward_input_s, backward_weight_s: one micro-batch on the slowest stage [s].
        others_s: one micro-batch, all passes, summed over all the other stages [s].

    Returns:
        Idle time [s].

    Equation: (p-1)(F+B+W) / v for GPipe, 1F1B and interleaved; (p-1)(F+B-W) for zero-bubble with the memory of
              1F1B and (p-1)(F+B-2W) with twice that; (p/2-1)(F+B+B+W-3W) for DualPipe; the sum over the other
              stages replaces (p-1) times where stages differ.

    Validity: micro-batches >= stages for interleaved.

    Sources:  [narayanan2021] section 2.2; [zerobubble2024] table 2; [deepseekv3] table 2.

    Example:
        >>> round(bubble_s(1.0, 4.0, 1.0, 1.0, 1.0, 1.0, 9.0), 6)
        9.0
        >>> round(bubble_s(2.0, 4.0, 3.0, 1.0, 1.0, 1.0, 9.0), 6)
        3.0
    """
    if stages <= 1.0:
        return 0.0
    total = forward_s + backward_input_s + backward_weight_s
    if schedule == ZERO_BUBBLE:
        return others_s * max(0.0, forward_s + backward_input_s - backward_weight_s) / total
    if schedule == ZERO_BUBBLE_2P:
        return others_s * max(0.0, forward_s + backward_input_s - 2.0 * backward_weight_s) / total
    if schedule == DUALPIPE:
        idle = max(0.0, forward_s + 2.0 * backward_input_s + backward_weight_s - 3.0 * backward_weight_s)
        return max(0.0, stages / 2.0 - 1.0) * idle
    return others_s / chunks


@formula
def in_flight(schedule: float, stages: float, chunks: float, micro_batches: float, stage: float) -> float:
    """Micro-batches whose activations a stage keeps at its fullest moment, in whole-stage units.

    Model:    the warm-up depth of the schedule: forward passes done before the first backward pass frees one.

    Args:
        schedule: code of the schedule.
        stages: pipeline stages.
        chunks: virtual chunks of one stage.
        micro_batches: micro-batches of one step.
        stage: index of the stage from 0.

    Returns:
        Number of micro-batches; fractions are chunks.

    Equation: min(m, p - s) for 1F1B and zero-bubble; m for GPipe; min(m v, (v-1) p + 2 (p-s-1) + 1) / v interleaved;
              p + 1 for DualPipe; 2p - 1 for zero-bubble with twice the memory.

    Validity: all stages; DualPipe holds both directions.

    Sources:  [korthikanti2022] section 4.2.3; [zerobubble2024]; [deepseekv3].

    Example:
        >>> in_flight(1.0, 8.0, 1.0, 96.0, 0.0)
        8.0
        >>> in_flight(2.0, 8.0, 3.0, 96.0, 0.0)
        10.333333333333334
    """
    if stages <= 1.0:
        return 1.0
    if schedule == GPIPE:
        return micro_batches
    if schedule == DUALPIPE:
        return min(micro_batches, stages + 1.0)
    if schedule == ZERO_BUBBLE_2P:
        return min(micro_batches, 2.0 * stages - 1.0)
    if schedule == INTERLEAVED and chunks > 1.0:
        warm_up = (chunks - 1.0) * stages + 2.0 * (stages - stage - 1.0) + 1.0
        return min(micro_batches * chunks, warm_up) / chunks
    return min(micro_batches, stages - stage)
