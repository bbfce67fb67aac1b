"""Collectives and point-to-point traffic: alpha-beta by algorithm, one direction per chip.

A group spans ``ranks_per_node`` chips on each of ``nodes`` nodes. ``size_bytes`` is the full buffer: what an
all-reduce leaves on every chip, what an all-gather ends with, what a reduce-scatter starts with, and what one
chip sends in all in an all-to-all.
"""

from __future__ import annotations

import math

from suanzhang.jit import formula
from suanzhang.perf.args import LinkArgs, Residual
from suanzhang.perf.residual import correction, octave


@formula
def _node_ring_s(size_bytes: float, ranks: float, args: LinkArgs) -> float:
    if ranks <= 1.0:
        return 0.0
    share = size_bytes / ranks
    rate = args.link_bytes_per_s * args.link_efficiency
    return args.base_s + (ranks - 1.0) * (args.hop_s + (share + args.link_half_bytes) / rate)


@formula
def _network_ring_s(size_bytes: float, nodes: float, args: LinkArgs) -> float:
    if nodes <= 1.0:
        return 0.0
    steps = math.log2(nodes) + 1.0
    rate = args.nic_bytes_per_s * args.nic_efficiency
    return args.nic_base_s + steps * args.nic_hop_s + (nodes - 1.0) / nodes * size_bytes / rate


@formula
def node_allgather_s(size_bytes: float, ranks: float, args: LinkArgs) -> float:
    """Time of an all-gather inside a node by the closed form alone [s]."""
    return _node_ring_s(size_bytes, ranks, args)


@formula
def node_allreduce_s(size_bytes: float, ranks: float, args: LinkArgs) -> float:
    """Time of an all-reduce inside a node by the closed form alone [s], through peer memory where that is set."""
    if ranks <= 1.0:
        return 0.0
    if args.direct_base_s > 0.0:
        read_bytes = 2.0 * (ranks - 1.0) / ranks * size_bytes
        return args.direct_base_s + ranks * args.direct_rank_s + read_bytes / args.direct_bytes_per_s
    return 2.0 * _node_ring_s(size_bytes, ranks, args) / args.multicast_gain


@formula
def node_alltoall_s(size_bytes: float, ranks: float, args: LinkArgs) -> float:
    """Time of an all-to-all inside a node by the closed form alone [s]."""
    if ranks <= 1.0:
        return 0.0
    return args.base_s + size_bytes * (ranks - 1.0) / ranks / (args.link_bytes_per_s * args.alltoall_efficiency)


@formula
def _measured(size_bytes: float, ranks: float, table: Residual) -> float:
    return correction(octave(max(size_bytes, 1.0)), octave(ranks), 0.0, table) if ranks > 1.0 else 1.0


@formula
def allgather_s(size_bytes: float, ranks_per_node: float, nodes: float, args: LinkArgs) -> float:
    """Time to gather ``size_bytes`` in all on every chip of the group [s]."""
    inside = node_allgather_s(size_bytes, ranks_per_node, args) * _measured(size_bytes, ranks_per_node, args.allgather)
    return inside + _network_ring_s(size_bytes / ranks_per_node, nodes, args)


@formula
def reducescatter_s(size_bytes: float, ranks_per_node: float, nodes: float, args: LinkArgs) -> float:
    """Time to add up ``size_bytes`` over the group and leave each chip with its share [s]."""
    inside = node_allgather_s(size_bytes, ranks_per_node, args) * _measured(size_bytes, ranks_per_node, args.reducescatter)
    return inside + _network_ring_s(size_bytes / ranks_per_node, nodes, args)


@formula
def allreduce_s(size_bytes: float, ranks_per_node: float, nodes: float, args: LinkArgs) -> float:
    """Time to add up ``size_bytes`` over the group and leave the sum on every chip [s].

    Across nodes it is a reduce-scatter inside, an all-reduce of the shares between nodes, and an all-gather inside.
    """
    inside = node_allreduce_s(size_bytes, ranks_per_node, args) * _measured(size_bytes, ranks_per_node, args.allreduce)
    return inside + 2.0 * _network_ring_s(size_bytes / ranks_per_node, nodes, args)


@formula
def alltoall_s(size_bytes: float, ranks_per_node: float, nodes: float, args: LinkArgs) -> float:
    """Time in which every chip sends an equal share of ``size_bytes`` to every chip of the group [s]."""
    ranks = ranks_per_node * nodes
    if ranks <= 1.0:
        return 0.0
    if nodes <= 1.0:
        return node_alltoall_s(size_bytes, ranks, args) * _measured(size_bytes, ranks, args.alltoall)
    inside = size_bytes * (ranks_per_node - 1.0) / ranks / (args.link_bytes_per_s * args.alltoall_efficiency)
    across = size_bytes * (nodes - 1.0) / nodes / (args.nic_bytes_per_s * args.nic_efficiency)
    return args.base_s + args.nic_base_s + max(inside, across)


@formula
def p2p_s(size_bytes: float, same_node: float, args: LinkArgs) -> float:
    """Time to send ``size_bytes`` from one chip to another, over the link (``same_node`` 1) or the network (0) [s]."""
    if same_node > 0.0:
        return args.base_s + size_bytes / (args.link_bytes_per_s * args.link_efficiency)
    return args.nic_base_s + args.nic_hop_s + size_bytes / (args.nic_bytes_per_s * args.nic_efficiency)
