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
    """Time of an all-gather, or of a reduce-scatter, inside a node by the closed form alone.

    Model:
        A ring of ranks - 1 steps; each step has a fixed time and reaches half of the bandwidth at ``link_half_bytes``.

    Args:
        size_bytes: the full buffer [B].
        ranks: chips of the group [1].
        args: links.

    Returns:
        The time [s]; 0 for one rank.

    Equation:
        T = T_0 + (r - 1) (T_hop + (s / r + s_half) / (B e))

    Validity:
        One node; 256 B to 1 GiB and 2 to 8 ranks where timed.

    Sources:
        [nccl-tuning-table] rings and their steps; [aiconfigurator-2026] coefficients.

    Example:
        >>> from suanzhang.perf.args import LinkArgs, no_residual
        >>> t = no_residual()
        >>> a = LinkArgs(8.0, 1e9, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1e9, 1e9, 1.0, 0.0, 0.0, 1.0, t, t, t, t)
        >>> node_allgather_s(4e9, 4.0, a)
        3.0
    """
    return _node_ring_s(size_bytes, ranks, args)


@formula
def node_allreduce_s(size_bytes: float, ranks: float, args: LinkArgs) -> float:
    """Time of an all-reduce inside a node by the closed form alone.

    Model:
        A reduce-scatter and an all-gather in turn, faster by what fusing or reducing in the switch gains; or, where an
        engine reads its peers directly, a fixed time, a time per rank and the bytes read.

    Args:
        size_bytes: the full buffer [B].
        ranks: chips of the group [1].
        args: links; ``direct_base_s`` above 0 takes the direct way.

    Returns:
        The time [s]; 0 for one rank.

    Equation:
        T = 2 T_ring / g, or T = T_d + r T_r + 2 (r - 1) / r s / B_d

    Validity:
        One node; 256 B to 1 GiB and 2 to 8 ranks where timed.

    Sources:
        [nccl-tuning-table] rings; [aiconfigurator-2026] coefficients of NCCL and of the engines.

    Example:
        >>> from suanzhang.perf.args import LinkArgs, no_residual
        >>> t = no_residual()
        >>> a = LinkArgs(8.0, 1e9, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1e9, 1e9, 1.0, 0.0, 0.0, 1.0, t, t, t, t)
        >>> node_allreduce_s(4e9, 4.0, a)
        6.0
    """
    if ranks <= 1.0:
        return 0.0
    if args.direct_base_s > 0.0:
        read_bytes = 2.0 * (ranks - 1.0) / ranks * size_bytes
        return args.direct_base_s + ranks * args.direct_rank_s + read_bytes / args.direct_bytes_per_s
    return 2.0 * _node_ring_s(size_bytes, ranks, args) / args.multicast_gain


@formula
def node_alltoall_s(size_bytes: float, ranks: float, args: LinkArgs) -> float:
    """Time of an all-to-all inside a node by the closed form alone.

    Model:
        Each chip sends all but its own share at a fitted part of its link; queues on a shared switch are in that part.

    Args:
        size_bytes: what one chip sends in all [B].
        ranks: chips of the group [1].
        args: links.

    Returns:
        The time [s]; 0 for one rank.

    Equation:
        T = T_0 + s (r - 1) / r / (B e_a)

    Validity:
        One node; 256 B to 1 GiB and 2 to 8 ranks where timed.

    Sources:
        [aiconfigurator-2026] the timings behind the coefficients.

    Example:
        >>> from suanzhang.perf.args import LinkArgs, no_residual
        >>> t = no_residual()
        >>> a = LinkArgs(8.0, 1e9, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1e9, 1e9, 1.0, 0.0, 0.0, 0.5, t, t, t, t)
        >>> node_alltoall_s(4e9, 4.0, a)
        6.0
    """
    if ranks <= 1.0:
        return 0.0
    return args.base_s + size_bytes * (ranks - 1.0) / ranks / (args.link_bytes_per_s * args.alltoall_efficiency)


@formula
def _measured(size_bytes: float, ranks: float, table: Residual) -> float:
    return correction(octave(max(size_bytes, 1.0)), octave(ranks), 0.0, table) if ranks > 1.0 else 1.0


@formula
def allgather_s(size_bytes: float, ranks_per_node: float, nodes: float, args: LinkArgs) -> float:
    """Time to gather a buffer on every chip of a group.

    Model:
        A ring inside each node with its measured table, then each chip gathers its share over the network; the two are
        not overlapped.

    Args:
        size_bytes: the full buffer [B].
        ranks_per_node: chips of the group in each node [1].
        nodes: nodes of the group [1].
        args: links and network.

    Returns:
        The time [s].

    Equation:
        T = f T_ring(s, r) + T_n + (log2 n + 1) T_h + (n - 1) / n (s / r) / (B_n e_n)

    Validity:
        Inside a node where timed (2 to 8 ranks); across nodes by published constants of the network, uncongested.

    Sources:
        [nccl-tuning-table] network steps; [aiconfigurator-2026] tables inside a node.

    Example:
        >>> from suanzhang.perf.args import LinkArgs, no_residual
        >>> t = no_residual()
        >>> a = LinkArgs(8.0, 1e9, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1e9, 1e9, 1.0, 0.0, 0.0, 1.0, t, t, t, t)
        >>> allgather_s(4e9, 4.0, 1.0, a)
        3.0
    """
    inside = node_allgather_s(size_bytes, ranks_per_node, args) * _measured(size_bytes, ranks_per_node, args.allgather)
    return inside + _network_ring_s(size_bytes / ranks_per_node, nodes, args)


@formula
def reducescatter_s(size_bytes: float, ranks_per_node: float, nodes: float, args: LinkArgs) -> float:
    """Time to add up a buffer over a group and leave each chip with its share.

    Model:
        As an all-gather run backwards, with its own measured table.

    Args:
        size_bytes: the full buffer [B].
        ranks_per_node: chips of the group in each node [1].
        nodes: nodes of the group [1].
        args: links and network.

    Returns:
        The time [s].

    Equation:
        T = f T_ring(s, r) + T_n + (log2 n + 1) T_h + (n - 1) / n (s / r) / (B_n e_n)

    Validity:
        Inside a node where timed (2 to 8 ranks); across nodes by published constants of the network, uncongested.

    Sources:
        [nccl-tuning-table] network steps; [aiconfigurator-2026] tables inside a node.

    Example:
        >>> from suanzhang.perf.args import LinkArgs, no_residual
        >>> t = no_residual()
        >>> a = LinkArgs(8.0, 1e9, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1e9, 1e9, 1.0, 0.0, 0.0, 1.0, t, t, t, t)
        >>> reducescatter_s(4e9, 4.0, 2.0, a)
        3.5
    """
    inside = node_allgather_s(size_bytes, ranks_per_node, args) * _measured(size_bytes, ranks_per_node, args.reducescatter)
    return inside + _network_ring_s(size_bytes / ranks_per_node, nodes, args)


@formula
def allreduce_s(size_bytes: float, ranks_per_node: float, nodes: float, args: LinkArgs) -> float:
    """Time to add up a buffer over a group and leave the sum on every chip.

    Model:
        Across nodes a reduce-scatter inside, an all-reduce of the shares between nodes, and an all-gather inside.

    Args:
        size_bytes: the full buffer [B].
        ranks_per_node: chips of the group in each node [1].
        nodes: nodes of the group [1].
        args: links and network.

    Returns:
        The time [s].

    Equation:
        T = f T_node(s, r) + 2 (T_n + (log2 n + 1) T_h + (n - 1) / n (s / r) / (B_n e_n))

    Validity:
        Inside a node where timed (2 to 8 ranks); across nodes by published constants of the network, uncongested.

    Sources:
        [nccl-tuning-table] network steps; [aiconfigurator-2026] tables inside a node.

    Example:
        >>> from suanzhang.perf.args import LinkArgs, no_residual
        >>> t = no_residual()
        >>> a = LinkArgs(8.0, 1e9, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1e9, 1e9, 1.0, 0.0, 0.0, 1.0, t, t, t, t)
        >>> allreduce_s(4e9, 4.0, 2.0, a)
        7.0
    """
    inside = node_allreduce_s(size_bytes, ranks_per_node, args) * _measured(size_bytes, ranks_per_node, args.allreduce)
    return inside + 2.0 * _network_ring_s(size_bytes / ranks_per_node, nodes, args)


@formula
def alltoall_s(size_bytes: float, ranks_per_node: float, nodes: float, args: LinkArgs) -> float:
    """Time in which every chip sends an equal share of its buffer to every chip of a group.

    Model:
        Inside a node as timed; across nodes link and network run beside each other and the longer counts.

    Args:
        size_bytes: what one chip sends in all [B].
        ranks_per_node: chips of the group in each node [1].
        nodes: nodes of the group [1].
        args: links and network.

    Returns:
        The time [s]; 0 for one chip.

    Equation:
        T = T_0 + T_n + max(s (r - 1) / (r n) / (B e_a), s (n - 1) / n / (B_n e_n))

    Validity:
        Inside a node where timed (2 to 8 ranks); across nodes by published constants of the network, uncongested.

    Sources:
        [nccl-tuning-table] network steps; [aiconfigurator-2026] tables inside a node.

    Example:
        >>> from suanzhang.perf.args import LinkArgs, no_residual
        >>> t = no_residual()
        >>> a = LinkArgs(8.0, 1e9, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1e9, 1e9, 1.0, 0.0, 0.0, 1.0, t, t, t, t)
        >>> alltoall_s(4e9, 4.0, 1.0, a)
        3.0
    """
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
    """Time to send bytes from one chip to another.

    Model:
        A fixed time, then the bytes at the rate of the link inside a node or of the network between nodes.

    Args:
        size_bytes: bytes sent [B].
        same_node: 1 over the link, 0 over the network.
        args: links and network.

    Returns:
        The time [s].

    Equation:
        T = T_0 + s / (B e), or T = T_n + T_h + s / (B_n e_n)

    Validity:
        Uncongested; the link itself is timed through collectives only.

    Sources:
        [nccl-tuning-table] network steps; [aiconfigurator-2026] tables inside a node.

    Example:
        >>> from suanzhang.perf.args import LinkArgs, no_residual
        >>> t = no_residual()
        >>> a = LinkArgs(8.0, 1e9, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1e9, 1e9, 1.0, 0.0, 0.0, 1.0, t, t, t, t)
        >>> p2p_s(2e9, 1.0, a)
        2.0
    """
    if same_node > 0.0:
        return args.base_s + size_bytes / (args.link_bytes_per_s * args.link_efficiency)
    return args.nic_base_s + args.nic_hop_s + size_bytes / (args.nic_bytes_per_s * args.nic_efficiency)
