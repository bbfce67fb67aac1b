"""Collectives and point-to-point traffic: alpha-beta by algorithm, one direction per chip.

A group spans ``ranks_per_node`` chips on each of ``nodes`` nodes. ``size_bytes`` is the full buffer: what an
all-reduce leaves on every chip, what an all-gather ends with, what a reduce-scatter starts with, and what one
chip sends in all in an all-to-all.
"""

from __future__ import annotations

import math

from suanzhang.jit import formula
from suanzhang.perf.args import LinkArgs


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
def allgather_s(size_bytes: float, ranks_per_node: float, nodes: float, args: LinkArgs) -> float:
    """Time to gather ``size_bytes`` in all on every chip of the group [s]."""
    inside = _node_ring_s(size_bytes, ranks_per_node, args)
    across = _network_ring_s(size_bytes / ranks_per_node, nodes, args)
    return inside + across


@formula
def reducescatter_s(size_bytes: float, ranks_per_node: float, nodes: float, args: LinkArgs) -> float:
    """Time to add up ``size_bytes`` on every chip and leave each with its share [s]."""
    return allgather_s(size_bytes, ranks_per_node, nodes, args)


@formula
def allreduce_s(size_bytes: float, ranks_per_node: float, nodes: float, args: LinkArgs) -> float:
    """Time to add up ``size_bytes`` over the group and leave the sum on every chip [s]."""
    inside = 2.0 * _node_ring_s(size_bytes, ranks_per_node, args) / args.multicast_gain
    if args.direct_base_s > 0.0 and size_bytes <= args.direct_max_bytes and ranks_per_node > 1.0:
        direct = args.direct_base_s + ranks_per_node * args.direct_rank_s
        direct += (ranks_per_node - 1.0) * size_bytes / args.direct_bytes_per_s
        inside = min(inside, direct)
    return inside + 2.0 * _network_ring_s(size_bytes / ranks_per_node, nodes, args)


@formula
def alltoall_s(size_bytes: float, ranks_per_node: float, nodes: float, args: LinkArgs) -> float:
    """Time in which every chip sends an equal share of ``size_bytes`` to every chip of the group [s]."""
    ranks = ranks_per_node * nodes
    if ranks <= 1.0:
        return 0.0
    inside = size_bytes * (ranks_per_node - 1.0) / ranks / (args.link_bytes_per_s * args.alltoall_efficiency)
    if nodes <= 1.0:
        return args.base_s + inside
    across = size_bytes * (nodes - 1.0) / nodes / (args.nic_bytes_per_s * args.alltoall_efficiency)
    return args.base_s + args.nic_base_s + max(inside, across)


@formula
def p2p_s(size_bytes: float, same_node: float, args: LinkArgs) -> float:
    """Time to send ``size_bytes`` from one chip to another, over the link (``same_node`` 1) or the network (0) [s]."""
    if same_node > 0.0:
        return args.base_s + size_bytes / (args.link_bytes_per_s * args.link_efficiency)
    return args.nic_base_s + args.nic_hop_s + size_bytes / (args.nic_bytes_per_s * args.nic_efficiency)
