"""Pools of a mixed training as numbers: what a part of a pipeline costs on each, per layer and per micro-batch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from suanzhang.app.train_model import Packed
from suanzhang.perf.training.args import LayoutArgs
from suanzhang.perf.training.pack import layout_args
from suanzhang.perf.training.params import moe_layers
from suanzhang.perf.training.part import memory_lines, part_times
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


def hidden_share(packed: Packed, layout: TrainLayout) -> float:
    """Share of the messages between stages that hides behind compute; those that fill the pipeline count alike."""
    return packed.run.overlap_pp if layout.overlap_pp else 0.0


def pool_costs(packed: Packed, layout: TrainLayout) -> PoolCosts:
    """Costs of one pool's part, from the formulas of the step; dense and mixture layers count by their share.

    Args:
        packed: the job on the chip.
        layout: the part of the pool; its ``pp`` does not matter here.
    """
    row = layout_args(layout)._replace(pp=_FAR_STAGES)
    share = 1.0 if layout.recompute == "full" else 0.0
    part = part_times(packed.shape, packed.run, row, packed.ops, packed.ops16, packed.fit, share)
    fixed, each, flight, both, first, last = _memory_lines(packed, row)
    return PoolCosts(
        layer_s=part.layer,
        first_s=part.first,
        last_s=part.last,
        message_s=part.message * (1.0 - hidden_share(packed, layout)),
        message_bytes=part.size,
        plain=part.plain,
        routed=part.routed,
        embedding=part.embedding,
        fixed_bytes=fixed,
        layer_bytes=each,
        flight_bytes=flight,
        layer_flight_bytes=both,
        first_bytes=first,
        last_bytes=last,
    )


def _memory_lines(packed: Packed, row: LayoutArgs) -> tuple[float, ...]:
    """Memory of a stage over its layers and micro-batches; by kind of layer, weighted."""
    mixtures = moe_layers(packed.shape) / packed.shape.layers
    kinds = [(1.0 - mixtures, packed.shape._replace(experts=0.0, dense_layers=0.0))]
    kinds += [(mixtures, packed.shape._replace(dense_layers=0.0, moe_every=1.0))]
    total = [0.0] * 6
    for weight, shape in kinds:
        if weight > 0.0:
            one, two = (shape._replace(layers=count * _FAR_STAGES) for count in (1.0, 2.0))
            lines = memory_lines(one, two, packed.run, row)
            total = [so_far + weight * value for so_far, value in zip(total, lines, strict=True)]
    return tuple(total)
