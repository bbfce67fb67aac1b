"""Arguments of the operator formulas: NamedTuples of floats (and one small table each), as compiled code takes them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Residual(NamedTuple):
    """What is left of measured over closed form, as a table of ratios over three logarithmic axes.

    Outside the table what its edge adds decays to nothing, so that the closed form alone extrapolates.

    Args:
        values: measured over formula [1], shape (nx, ny, nz), each at least 2.
        x0, y0, z0: octave of the first grid point of each axis.
        dx, dy, dz: octaves between grid points of each axis.
    """

    values: Floats
    x0: float
    y0: float
    z0: float
    dx: float
    dy: float
    dz: float


class GemmArgs(NamedTuple):
    """A chip, dtype and software as a dense matrix product sees them.

    Args:
        peak_flop_per_s: dense peak of the arithmetic dtype [FLOP/s].
        hbm_bytes_per_s: memory bandwidth [B/s].
        sms: streaming multiprocessors (cores that take one tile at a time) [1].
        in_bytes, weight_bytes, out_bytes: bytes of one value of the activations, weights and result, scales included [B].
        efficiency: share of the peak sustained by full waves of deep tiles [1].
        hbm_efficiency: share of the bandwidth that streaming reaches [1].
        ramp_k: depth at which the start and the end of a tile cost as much as its products [1].
        launch_s: fixed time of one kernel [s].
        wave_weight: how far the last wave is left idle, 0 (none, stream-k) to 1 (whole waves) [1].
        feed_bytes_per_s: rate at which the on-chip cache feeds operands to all tiles together [B/s].
        exposed: how far the shorter of compute and memory shows beside the longer, 0 (hidden) to 1 [1].
        residual: ratios over log2 m, log2 n, log2 k.
        residual_waves: what is then left over (log2 waves of the tile that ``gemm_waves`` counts, share of its last wave that
            is filled over all of them, log2 k).
        l2_bytes, l2_gain: operands that the on-chip cache keeps for the next run of the same kernel [B], and its rate over that
            of memory [1]; cold and none when left out.
    """

    peak_flop_per_s: float
    hbm_bytes_per_s: float
    sms: float
    in_bytes: float
    weight_bytes: float
    out_bytes: float
    efficiency: float
    hbm_efficiency: float
    ramp_k: float
    launch_s: float
    wave_weight: float
    feed_bytes_per_s: float
    exposed: float
    residual: Residual
    residual_waves: Residual
    l2_bytes: float = 1.0
    l2_gain: float = 1.0


class AttentionArgs(NamedTuple):
    """A chip, dtype and attention kernel.

    Args:
        peak_flop_per_s: dense peak of the dtype of the products [FLOP/s].
        hbm_bytes_per_s: memory bandwidth [B/s].
        sms: streaming multiprocessors [1].
        elem_bytes: bytes of one value of queries and result [B].
        efficiency: share of the peak that a long prefill sustains [1].
        backward_efficiency: share of the peak that the backward pass sustains [1].
        hbm_efficiency: share of the bandwidth that decode reaches [1].
        ramp_len: query rows that the start and the end of a tile cost [1].
        wave_weight: how far the last wave of tiles is left idle, 0 to 1 [1].
        prefill_hbm_efficiency: share of the bandwidth at which a prefill reads and writes its operands [1].
        kv_passes: times that keys and values pass through memory in a prefill, appending to the cache included [1].
        launch_s: fixed time of one prefill [s].
        decode_launch_s: fixed time of one decode step, its split and merge included [s].
        decode_spread: work items (256 positions of a cache head) per multiprocessor for half of the bandwidth [1].
        decode_pair_s: time of one (sequence, key/value head) pair on one multiprocessor [s].
        decode_efficiency: share of the peak that the products of a decode step reach [1].
        decode_wave_weight: how far the last wave of those pairs is left idle, 0 to 1 [1].
        prefill: ratios over (log2 batch*heads, log2 queries, log2 key width).
        decode: ratios over (log2 batch*kv heads, log2 context, log2 heads per kv head);
            with a latent cache over (log2 batch, log2 context, log2 heads).
        prefill_group: what is then left over (log2 batch*kv heads, log2 queries, log2 heads per kv head).
        decode_width: what is then left over (log2 batch*kv heads, log2 context, log2 key width).
        l2_bytes: cached keys and values that stay in the on-chip cache between two timed steps [B]; 1 when nothing does.
        l2_gain: rate at which that cache delivers them over the rate of the memory [1].
    """

    peak_flop_per_s: float
    hbm_bytes_per_s: float
    sms: float
    elem_bytes: float
    efficiency: float
    backward_efficiency: float
    hbm_efficiency: float
    ramp_len: float
    wave_weight: float
    prefill_hbm_efficiency: float
    kv_passes: float
    launch_s: float
    decode_launch_s: float
    decode_spread: float
    decode_pair_s: float
    decode_efficiency: float
    decode_wave_weight: float
    prefill: Residual
    decode: Residual
    prefill_group: Residual
    decode_width: Residual
    l2_bytes: float
    l2_gain: float


class MoeArgs(NamedTuple):
    """A chip, dtype and grouped-product kernel; ``gemm`` holds the peaks, fixed times and waves of the products.

    Args:
        gemm: the chip and dtype as a dense product sees them, with the waves, depths and launches of the grouped kernel.
        efficiency: share of the peak sustained by full waves of tall tiles [1].
        hbm_efficiency: share of the bandwidth at which expert weights stream [1].
        tile_half: rows of a tile at which half of that share of the peak is reached [1].
        fixed_s: sorting and launching, once per layer [s].
        row_passes: times that the hidden rows of the pairs of this chip pass through memory besides the products [1].
        pair_passes: times that the hidden rows of all pairs of the group do (sorted, gathered, added up on each chip) [1].
        width_passes: times that the inner rows of all pairs of the group do (allocated and activated on each chip) [1].
        gathered_ranks: chips whose pairs all reach each of them; engines gather tokens in groups up to that size and send
            each pair to its own chip in wider ones [1].
        even: 1 when tokens spread over the experts in turn, as timings are made; 0 when each draws its experts [1].
        residual: ratios over (log2 token-expert pairs here, log2 local experts, log2 parameters of an expert matrix).
        residual_width: what is then left over (log2 pairs per local expert, log2 hidden, log2 width of an expert).
    """

    gemm: GemmArgs
    efficiency: float
    hbm_efficiency: float
    tile_half: float
    fixed_s: float
    row_passes: float
    pair_passes: float
    width_passes: float
    gathered_ranks: float
    even: float
    residual: Residual
    residual_width: Residual


class MemoryArgs(NamedTuple):
    """A chip as a kernel sees it that only moves bytes.

    Args:
        hbm_bytes_per_s: memory bandwidth [B/s].
        efficiency: share of it that streaming kernels reach [1].
        launch_s: fixed time of one kernel [s].
    """

    hbm_bytes_per_s: float
    efficiency: float
    launch_s: float


class LinkArgs(NamedTuple):
    """The links of a chip, one direction each.

    Args:
        node_chips: chips that the scale-up link joins [1].
        link_bytes_per_s: scale-up bandwidth of one chip [B/s].
        link_efficiency: share of it that large messages reach [1].
        link_half_bytes: bytes per rank and step at which half of that is reached [B].
        base_s: fixed time of one collective inside a node [s].
        hop_s: time of one further step inside a node [s].
        switched: 1 when any chip reaches any other at full bandwidth (NVSwitch), 0 for a mesh or PCIe.
        multicast_gain: speed of an all-reduce over a reduce-scatter and an all-gather in turn, fused or in-switch [1].
        direct_base_s: fixed time of an engine's all-reduce through peer memory [s]; 0 when NCCL does it.
        direct_rank_s: further time per rank of it [s].
        direct_bytes_per_s: rate at which one chip reads its peers in it [B/s].
        nic_bytes_per_s: network bandwidth per chip [B/s]; 0 without a network.
        nic_efficiency: share of it that large messages reach [1].
        nic_base_s: fixed time of one network collective [s].
        nic_hop_s: time of one network step [s].
        alltoall_efficiency: share of link and network that an all-to-all reaches [1].
        allreduce, allgather, reducescatter, alltoall: ratios over (log2 bytes, log2 ranks, 0) inside a node.
    """

    node_chips: float
    link_bytes_per_s: float
    link_efficiency: float
    link_half_bytes: float
    base_s: float
    hop_s: float
    switched: float
    multicast_gain: float
    direct_base_s: float
    direct_rank_s: float
    direct_bytes_per_s: float
    nic_bytes_per_s: float
    nic_efficiency: float
    nic_base_s: float
    nic_hop_s: float
    alltoall_efficiency: float
    allreduce: Residual
    allgather: Residual
    reducescatter: Residual
    alltoall: Residual


class OperatorArgs(NamedTuple):
    """All operators of one chip at one dtype and one generation of software.

    Args:
        gemm: dense products at the dtype that was asked for.
        attention: attention; its products run in 16 bit unless the dtype names an 8-bit attention.
        mla: attention with a latent cache.
        moe: grouped products.
        memory: kernels that only move bytes.
        link: collectives.
    """

    gemm: GemmArgs
    attention: AttentionArgs
    mla: AttentionArgs
    moe: MoeArgs
    memory: MemoryArgs
    link: LinkArgs


def no_residual() -> Residual:
    """A table that leaves the closed form as it is.

    Model:
        Ratios of 1 on the smallest grid.

    Args:
        none: there is nothing to choose.

    Returns:
        The table [1].

    Equation:
        r(x, y, z) = 1

    Validity:
        Anywhere.

    Sources:
        [aiconfigurator-2026] tables are ratios to these timings.

    Example:
        >>> float(no_residual().values.max())
        1.0
    """
    return Residual(np.ones((2, 2, 2)), 0.0, 0.0, 0.0, 1.0, 1.0, 1.0)
