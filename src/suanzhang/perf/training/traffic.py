"""Traffic of gradients and parameters between data ranks, and the optimizer step."""

from __future__ import annotations

import math

from suanzhang.jit import formula
from suanzhang.perf.args import LinkArgs, MemoryArgs
from suanzhang.perf.collectives import allgather_s, allreduce_s, reducescatter_s
from suanzhang.perf.elementwise import memory_bound_s
from suanzhang.perf.training.args import RunArgs
from suanzhang.perf.training.layer import ranks_per_node


@formula
def gradient_comm_s(
    params: float, ranks: float, group: float, stride: float, zero: float, run: RunArgs, link: LinkArgs
) -> float:
    """Time to add up the gradients of ``params`` parameters of one chip over its data ranks [s].

    Model:    an all-reduce, or a reduce-scatter when the optimizer is sharded; where a group of the ranks shares the states,
              a reduce-scatter inside it and an all-reduce of each share between the groups. Some software sums whole
              gradients although it shards the optimizer.

    Args:
        params: parameters of one chip.
        ranks: data ranks.
        group: ranks that share what is sharded.
        stride: chips between two neighbours of the group.
        zero: sharding stage.
        run: job, stack and chip.
        link: the links of the chip.

    Returns:
        Time [s].

    Equation: allreduce(P r), reducescatter(P r) or reducescatter_g(P r) + allreduce_(n/g)(P r / g), r bytes of a
              gradient on the wire.

    Validity: hierarchical collectives, one network port per chip.

    Sources:  [zero2020] section 7.
    """
    if ranks <= 1.0:
        return 0.0
    near = ranks_per_node(ranks, stride, run.domain)
    nodes = math.ceil(ranks / near)
    size = params * run.reduce_bytes
    if zero >= 2.0 or (zero >= 1.0 and run.whole_reduce <= 0.0):
        if group >= ranks:
            return reducescatter_s(size, near, nodes, link)
        own = ranks_per_node(group, stride, run.domain)
        inside = reducescatter_s(size, own, math.ceil(group / own), link)
        return inside + allreduce_s(size / group, 1.0, math.ceil(ranks / group), link)
    return allreduce_s(size, near, nodes, link)


@formula
def parameter_comm_s(params: float, ranks: float, stride: float, run: RunArgs, link: LinkArgs) -> float:
    """Time to gather ``params`` parameters from all data ranks in the activation format [s].

    Sources:  [zero2020].
    """
    if ranks <= 1.0:
        return 0.0
    near = ranks_per_node(ranks, stride, run.domain)
    return allgather_s(params * run.element_bytes, near, math.ceil(ranks / near), link)


@formula
def ring_latency_s(ranks: float, stride: float, run: RunArgs, link: LinkArgs) -> float:
    """Time of the empty steps of one gather or scatter round a ring of all data ranks [s]: one hop per rank.

    Sources:  [nccl-tests-docs].
    """
    near = ranks_per_node(ranks, stride, run.domain)
    nodes = math.ceil(ranks / near)
    return (ranks - nodes) * link.hop_s + (nodes - 1.0) * link.nic_hop_s


@formula
def optimizer_s(params: float, held: float, run: RunArgs, memory: MemoryArgs) -> float:
    """Time of one optimizer step on one chip [s].

    Model:    memory traffic: the states of the parameters that the chip updates are read and written, their
              gradient read and their copy for the forward pass written; the gradients that it holds are read once
              for their norm.

    Args:
        params: parameters that the chip updates.
        held: parameters whose gradients it holds.
        run: job, stack and chip.
        memory: the memory of the chip.

    Returns:
        Time [s].

    Equation: P (2 o + g + w) + H g over the memory bandwidth.

    Validity: Adam and its kin, fused.

    Sources:  [zero2020] section 3.1.
    """
    moved = params * (2.0 * run.optimizer_bytes + run.grad_bytes + run.param_bytes) + held * run.grad_bytes
    return memory_bound_s(moved, memory)
