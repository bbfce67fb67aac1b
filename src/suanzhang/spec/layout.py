"""How a model is laid out over chips, for training and for serving."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Recompute = Literal["none", "selective", "full"]
Schedule = Literal["gpipe", "1f1b", "interleaved", "zero-bubble", "dualpipe", "zero-bubble-2p"]
ContextKind = Literal["ring", "a2a"]


@dataclass(frozen=True, slots=True)
class TrainLayout:
    """A training layout. ``tp * cp * pp * dp`` chips; ``ep`` divides ``dp * cp * tp / etp``.

    Args:
        tp: tensor parallel size.
        pp: pipeline stages.
        dp: data parallel size.
        cp: context parallel size.
        ep: expert parallel size, taken out of the data (and context) ranks.
        etp: tensor parallel size inside an expert; 0 means the same as ``tp``.
        vpp: virtual pipeline chunks per stage.
        sp: sequence parallel over the tensor group.
        zero_stage: 0 plain, 1 optimizer, 2 and gradients, 3 and parameters (FSDP full shard) sharded over dp.
        micro_batch: sequences in one micro-batch of one data rank.
        recompute: which activations are computed again.
        recompute_layers: layers per stage recomputed under "full"; 0 means all.
        schedule: pipeline schedule.
        overlap_dp, overlap_tp, overlap_pp: whether that traffic runs beside compute.
        offload_optimizer, offload_activations: whether they live in host memory.
        shard_ranks: neighbouring data ranks that share what is sharded; 0 for all of them.
        head_layers: layers that the last pipeline stage leaves to the others, because it holds the output head.
        cp_kind: context ranks pass keys and values round a ring, or exchange heads by all-to-all (Ulysses).
    """

    tp: int = 1
    pp: int = 1
    dp: int = 1
    cp: int = 1
    ep: int = 1
    etp: int = 0
    vpp: int = 1
    sp: bool = True
    zero_stage: int = 1
    micro_batch: int = 1
    recompute: Recompute = "selective"
    recompute_layers: int = 0
    schedule: Schedule = "1f1b"
    overlap_dp: bool = True
    overlap_tp: bool = False
    overlap_pp: bool = False
    offload_optimizer: bool = False
    offload_activations: bool = False
    shard_ranks: int = 0
    head_layers: int = 0
    cp_kind: ContextKind = "ring"

    @property
    def chips(self) -> int:
        """Chips that the layout uses."""
        return self.tp * self.pp * self.dp * self.cp


@dataclass(frozen=True, slots=True)
class ServeLayout:
    """One serving replica. ``tp * pp`` chips, or ``dp`` attention groups of ``tp`` sharing experts over ``ep``.

    Args:
        tp: tensor parallel size of attention and dense layers.
        pp: pipeline stages.
        dp: data-parallel attention groups inside the replica.
        ep: expert parallel size; 1 keeps experts tensor-parallel.
    """

    tp: int = 1
    pp: int = 1
    dp: int = 1
    ep: int = 1

    @property
    def chips(self) -> int:
        """Chips of one replica."""
        return self.tp * self.pp * self.dp
