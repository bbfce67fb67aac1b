"""Generations of software as small sets of physical settings, never a free factor per source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

AttentionKernel = Literal["unfused", "fused-softmax", "flash1", "flash2", "flash3", "splash"]


@dataclass(frozen=True, slots=True)
class TrainStack:
    """A generation of training software.

    Args:
        id: such as ``megatron-lm-2021``.
        title: in words.
        released: month of the generation, ISO.
        attention: attention kernel.
        fused_elementwise: norms, biases, activations and dropout run as fused kernels.
        overlap_dp: share of the gradient and parameter traffic that may hide behind compute.
        overlap_tp: share of the tensor-parallel traffic that may hide behind compute.
        launch_s: host time to launch one kernel.
        graphs: kernels are replayed as graphs, so that launches cost almost nothing.
        step_overhead_s: host and framework time per optimizer step.
        profile: id of the family of kernel timings that fits it best; empty for the chip's default.
        source: key of the source of the settings.
    """

    id: str
    title: str
    released: str
    attention: AttentionKernel
    fused_elementwise: bool
    overlap_dp: float
    overlap_tp: float
    launch_s: float
    graphs: bool
    step_overhead_s: float
    profile: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class ServeStack:
    """A generation of an inference engine.

    Args:
        id: such as ``vllm-0.10``.
        title: in words.
        engine: "vllm", "sglang", "trtllm", "fastertransformer", ...
        version: of the engine.
        released: month, ISO.
        batching: "continuous" or "static".
        chunked_prefill: prefill is cut to the token budget and mixed with decode.
        max_batched_tokens: token budget of one iteration.
        max_seqs: most sequences that run at once.
        block_tokens: tokens of one cache page.
        memory_fraction: share of the memory that the engine takes.
        graphs: decode iterations replay graphs.
        host_s: host time per iteration that does not hide behind the chip.
        host_per_seq_s: further host time per running sequence and iteration.
        launch_s: host time to launch one kernel without graphs.
        profile: id of the family of kernel timings that fits it best; empty for the chip's default.
        source: key of the source of the settings.
    """

    id: str
    title: str
    engine: str
    version: str
    released: str
    batching: Literal["continuous", "static"]
    chunked_prefill: bool
    max_batched_tokens: int
    max_seqs: int
    block_tokens: int
    memory_fraction: float
    graphs: bool
    host_s: float
    host_per_seq_s: float
    launch_s: float
    profile: str = ""
    source: str = ""
