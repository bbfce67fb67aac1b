"""Pools of a mixed training as numbers: what a part of a pipeline costs on each, per layer and per micro-batch."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from suanzhang.app.train_model import Packed
from suanzhang.perf.training.activations import tokens_per_micro_batch
from suanzhang.perf.training.args import LayoutArgs
from suanzhang.perf.training.head import head_times
from suanzhang.perf.training.layer import mixed_layer_times
from suanzhang.perf.training.memory import memory_total, stage_memory
from suanzhang.perf.training.pack import layout_args
from suanzhang.perf.training.params import dense_layer_params, embedding_params, moe_layer_params, moe_layers, routed_params
from suanzhang.perf.training.step import layer_total_s, stage_message_s
from suanzhang.spec.layout import TrainLayout

_FAR_STAGES = 8.0
_ROOMY = 10**6


@dataclass(frozen=True, slots=True)
class Links:
    """The link between zones: rate of one direction [B/s] and time of an empty message [s]."""

    bytes_per_s: float
    latency_s: float


@dataclass(frozen=True, slots=True)
class PoolArgs:
    """A pool with the job as numbers.

    Args:
        index: its place in what was asked.
        chips: chips of it.
        zone: where it stands.
        packed: the job on its chip.
    """

    index: int
    chips: int
    zone: str
    packed: Packed


@dataclass(frozen=True, slots=True)
class PoolCosts:
    """What one pool's part of a pipeline costs, per layer and per micro-batch.

    Args:
        layer_s: one layer, all passes [s].
        first_s, last_s: what the embedding and the head add [s].
        message_s: one message to a stage of the same pool [s].
        message_bytes: bytes that one data rank sends to the next stage [B].
        plain, routed: parameters of one layer on one chip, outside and inside the routed experts.
        embedding: parameters of the embedding (and as many of the head) on one chip.
        fixed_bytes, layer_bytes, flight_bytes, layer_flight_bytes: memory of an inner stage by layers q and micro-batches
            in flight f: a + b q + c f + d q f [B].
        first_bytes, last_bytes: what embedding and head add to it [B].
    """

    layer_s: float
    first_s: float
    last_s: float
    message_s: float
    message_bytes: float
    plain: float
    routed: float
    embedding: float
    fixed_bytes: float
    layer_bytes: float
    flight_bytes: float
    layer_flight_bytes: float
    first_bytes: float
    last_bytes: float

    def most_layers(self, flight: float, extra_bytes: float, room_bytes: float) -> int:
        """Layers of one stage that fit beside what it holds anyway."""
        left = room_bytes - extra_bytes - self.fixed_bytes - self.flight_bytes * flight
        each = self.layer_bytes + self.layer_flight_bytes * flight
        return 0 if left < 0.0 else min(_ROOMY, math.floor(left / each))

    def memory_bytes(self, layers: int, flight: float, extra_bytes: float) -> float:
        """Memory of one stage [B]."""
        each = self.layer_bytes + self.layer_flight_bytes * flight
        return self.fixed_bytes + self.flight_bytes * flight + each * layers + extra_bytes


CostCache = dict[tuple[int, int, int, int, str], PoolCosts]
"""Costs by pool, tensor size, data ranks, micro-batch and recompute; they do not depend on the batch."""


def pool_costs(packed: Packed, layout: TrainLayout) -> PoolCosts:
    """Costs of one pool's part, from the formulas of the step; dense and mixture layers count by their share.

    Args:
        packed: the job on the chip.
        layout: the part of the pool; its ``pp`` does not matter here.
    """
    shape, run, row = packed.shape, packed.run, layout_args(replace(layout, pp=int(_FAR_STAGES)))
    ends = head_times(shape, run, row, packed.ops16, packed.fit)
    share = 1.0 if layout.recompute == "full" else 0.0
    mixtures = moe_layers(shape) / shape.layers
    layer = (1.0 - mixtures) * layer_total_s(
        mixed_layer_times(shape, run, row, packed.ops, packed.ops16, packed.fit, 0.0), row, run, share
    ) + _of_mixture(packed, row, share, mixtures)
    size = tokens_per_micro_batch(run, row) * shape.hidden * run.element_bytes
    message = stage_message_s(shape, run, row, packed.ops.link)
    fixed, each, flight, both, first, last = _memory_lines(packed, row, mixtures)
    return PoolCosts(
        layer_s=layer,
        first_s=ends.embedding_forward + ends.embedding_backward + 0.5 * ends.head_comm,
        last_s=ends.head_forward + ends.head_input + ends.head_weight + 0.5 * ends.head_comm + shape.mtp_layers * layer,
        message_s=2.0 * packed.fit.pipeline * message,
        message_bytes=size,
        plain=(1.0 - mixtures) * dense_layer_params(shape, row)
        + (mixtures * moe_layer_params(shape, row) if mixtures > 0.0 else 0.0),
        routed=mixtures * routed_params(shape, row) if mixtures > 0.0 else 0.0,
        embedding=embedding_params(shape, row),
        fixed_bytes=fixed,
        layer_bytes=each,
        flight_bytes=flight,
        layer_flight_bytes=both,
        first_bytes=first,
        last_bytes=last,
    )


def _of_mixture(packed: Packed, row: LayoutArgs, share: float, mixtures: float) -> float:
    if mixtures <= 0.0:
        return 0.0
    one = mixed_layer_times(packed.shape, packed.run, row, packed.ops, packed.ops16, packed.fit, 1.0)
    return mixtures * float(layer_total_s(one, row, packed.run, share))


def _memory_lines(packed: Packed, row: LayoutArgs, mixtures: float) -> tuple[float, ...]:
    """Memory of a stage as a + b q + c f + d q f, and what the first and the last stage add; by kind of layer, weighted."""
    total = [0.0] * 6
    kinds = [(1.0 - mixtures, packed.shape._replace(experts=0.0, dense_layers=0.0))]
    kinds += [(mixtures, packed.shape._replace(dense_layers=0.0, moe_every=1.0))]
    for weight, shape in kinds:
        if weight <= 0.0:
            continue

        def held(layers: float, stage: float, micro_batches: float, shape=shape) -> float:  # type: ignore[no-untyped-def]  # noqa: ANN001
            whole = shape._replace(layers=layers * _FAR_STAGES)
            return float(memory_total(stage_memory(whole, packed.run, row, stage, micro_batches, packed.run.capacity)))

        a2, b2 = held(1.0, 6.0, 99.0), held(2.0, 6.0, 99.0)  # two micro-batches in flight
        a3, b3 = held(1.0, 5.0, 99.0), held(2.0, 5.0, 99.0)  # three
        both = (b3 - a3) - (b2 - a2)
        each = (b2 - a2) - 2.0 * both
        flight = (a3 - a2) - both
        fixed = a2 - each - 2.0 * flight - 2.0 * both
        first = held(1.0, 0.0, 2.0) - a2
        last = held(1.0, 7.0, 99.0) - (fixed + each + flight + both)
        for index, value in enumerate((fixed, each, flight, both, first, last)):
            total[index] += weight * value
    return tuple(total)
