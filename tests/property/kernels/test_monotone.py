"""More of anything good is never slower, more work is never faster, whatever the coefficients."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suanzhang.app.physics_data import constant
from suanzhang.app.surfaces import (
    DECODE_START,
    DIRECT_START,
    GEMM_START,
    LINK_START,
    MOE_START,
    PREFILL_START,
    Peaks,
    attention_args,
    gemm_args,
    link_args,
    moe_args,
)
from suanzhang.perf.attention import (
    attention_backward_s,
    decode_attention_s,
    mla_decode_s,
    prefill_attention_s,
    unfused_attention_s,
    visible_pairs,
)
from suanzhang.perf.collectives import allgather_s, allreduce_s, alltoall_s, p2p_s, reducescatter_s
from suanzhang.perf.gemm import gemm_s
from suanzhang.perf.moe import distinct_experts, grouped_gemm_s, moe_ffn_s

size = st.integers(0, 15).map(lambda power: 2.0**power) | st.integers(1, 40_000).map(float)
ranks = st.sampled_from([1.0, 2.0, 4.0, 8.0])
PEAKS = Peaks(989e12, 3.35e12, 132.0, 450e9)
SLACK = 1.0 + 1e-9


def _link(rate: float = 450e9, nic: float = 50e9, direct: bool = False):
    v = {**LINK_START, **(DIRECT_START if direct else {})}
    return link_args(Peaks(1.0, 1.0, 1.0, rate), v)._replace(
        nic_bytes_per_s=nic, nic_efficiency=0.9, nic_base_s=constant("nic_base_s"), nic_hop_s=constant("nic_hop_s")
    )


@given(size, size, size, st.floats(1.0, 8.0))
@settings(max_examples=200, deadline=None)
def test_gemm_is_never_slower_with_more_peak_or_bandwidth(m: float, n: float, k: float, factor: float) -> None:
    args = gemm_args(PEAKS, "bf16", GEMM_START)
    base = gemm_s(m, n, k, 1.0, args)
    assert math.isfinite(base) and base > 0.0
    assert gemm_s(m, n, k, 1.0, args._replace(peak_flop_per_s=args.peak_flop_per_s * factor)) <= base * SLACK
    assert gemm_s(m, n, k, 1.0, args._replace(hbm_bytes_per_s=args.hbm_bytes_per_s * factor)) <= base * SLACK
    assert gemm_s(m, n, k, 1.0, args._replace(feed_bytes_per_s=args.feed_bytes_per_s * factor)) <= base * SLACK


@given(size, size, size, size)
@settings(max_examples=200, deadline=None)
def test_gemm_is_never_faster_with_more_work(m: float, n: float, k: float, more: float) -> None:
    args = gemm_args(PEAKS, "bf16", GEMM_START)
    base = gemm_s(m, n, k, 1.0, args)
    for grown in ((m + more, n, k), (m, n + more, k), (m, n, k + more)):
        assert gemm_s(*grown, 1.0, args) >= base / SLACK


@given(size, size, size)
@settings(max_examples=100, deadline=None)
def test_gemm_never_beats_the_roofline(m: float, n: float, k: float) -> None:
    args = gemm_args(PEAKS, "bf16", GEMM_START)
    floor = max(2.0 * m * n * k / PEAKS.flop_per_s, 2.0 * (m * k + n * k + m * n) / PEAKS.hbm_bytes_per_s)
    assert gemm_s(m, n, k, 1.0, args) >= floor


lengths = st.integers(1, 65_536).map(float)
heads = st.sampled_from([(1.0, 1.0), (8.0, 1.0), (32.0, 8.0), (96.0, 96.0)])


@given(st.integers(1, 64).map(float), lengths, heads, st.floats(1.0, 8.0))
@settings(max_examples=200, deadline=None)
def test_attention_is_never_slower_with_a_better_chip(
    batch: float, length: float, shape: tuple[float, float], f: float
) -> None:
    args = attention_args(PEAKS, PREFILL_START, DECODE_START)
    better = [args._replace(peak_flop_per_s=args.peak_flop_per_s * f), args._replace(hbm_bytes_per_s=args.hbm_bytes_per_s * f)]
    for faster in better:
        for call in (prefill_attention_s, attention_backward_s):
            worse = call(batch, length, length, *shape, 128.0, 128.0, 1.0, 0.0, args)
            assert call(batch, length, length, *shape, 128.0, 128.0, 1.0, 0.0, faster) <= worse * SLACK
        decode = (batch, batch * length, *shape, 128.0, 128.0, 2.0)
        assert decode_attention_s(*decode, faster) <= decode_attention_s(*decode, args) * SLACK
        latent = (batch, batch * length, shape[0], 512.0, 64.0, 2.0)
        assert mla_decode_s(*latent, faster) <= mla_decode_s(*latent, args) * SLACK
        plain = (batch, length, length, shape[0], 128.0, 5.0)
        assert unfused_attention_s(*plain, faster) <= unfused_attention_s(*plain, args) * SLACK


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 400))
def test_visible_pairs_counts_the_mask(queries: int, past: int, window: int) -> None:
    total = queries + past
    positions = range(past, total)
    by_hand = sum(min(position + 1, window) if window else position + 1 for position in positions)
    assert visible_pairs(float(queries), float(total), 1.0, float(window)) == pytest.approx(by_hand)


@given(size, st.sampled_from([8.0, 64.0, 256.0]), st.floats(1.0, 4.0))
@settings(max_examples=100, deadline=None)
def test_experts(tokens: float, experts: float, factor: float) -> None:
    gemm = gemm_args(PEAKS, "bf16", GEMM_START)
    args = moe_args(PEAKS, "bf16", gemm, MOE_START)
    assert 0.0 < distinct_experts(tokens, experts) <= min(tokens, experts) * SLACK
    base = moe_ffn_s(tokens, 4096.0, 1024.0, 2.0, experts, 1.0, 1.0, 1.0, 1.0, args)
    assert moe_ffn_s(tokens * 2.0, 4096.0, 1024.0, 2.0, experts, 1.0, 1.0, 1.0, 1.0, args) >= base / SLACK
    assert moe_ffn_s(tokens, 4096.0, 1024.0, 2.0, experts, 1.0, 1.0, 1.0, factor, args) >= base / SLACK
    faster = args._replace(gemm=args.gemm._replace(peak_flop_per_s=args.gemm.peak_flop_per_s * factor))
    assert moe_ffn_s(tokens, 4096.0, 1024.0, 2.0, experts, 1.0, 1.0, 1.0, 1.0, faster) <= base * SLACK
    assert grouped_gemm_s(tokens, experts, 4096.0, 1024.0, 1.0, args) > 0.0


@given(st.floats(1.0, 1e9), ranks, st.sampled_from([1.0, 2.0, 16.0, 512.0]), st.floats(1.0, 8.0), st.booleans())
@settings(max_examples=200, deadline=None)
def test_collectives(size_bytes: float, per_node: float, nodes: float, factor: float, direct: bool) -> None:
    args = _link(direct=direct)
    for call in (allreduce_s, allgather_s, reducescatter_s, alltoall_s):
        base = call(size_bytes, per_node, nodes, args)
        assert (base == 0.0) == (per_node * nodes == 1.0)
        assert call(2.0 * size_bytes, per_node, nodes, args) >= base
        assert call(size_bytes, per_node, nodes, _link(450e9 * factor, direct=direct)) <= base * SLACK
        assert call(size_bytes, per_node, nodes, _link(nic=50e9 * factor, direct=direct)) <= base * SLACK
        if per_node > 1.0:
            assert call(size_bytes, per_node, nodes * 2.0, args) >= base
    for same_node in (0.0, 1.0):
        assert p2p_s(2.0 * size_bytes, same_node, args) > p2p_s(size_bytes, same_node, args) > 0.0
