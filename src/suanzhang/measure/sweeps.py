"""Sweeps over shapes: products, attention of prompts and of decoding, memory, launches one by one and as graphs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from suanzhang.measure.device import Device, Tried

Row = dict[str, float | str]
Point = tuple[Row, Callable[[], Callable[[], object]]]
"""A shape, and what prepares the work on it (so that memory is held only while it is timed)."""


def gemm_points(device: Device) -> Iterator[Point]:
    """Dense products (m, n, k), tokens from one to many against weights of usual sizes."""
    tokens = (1, 16, 64, 256, 512) if device.slow else (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
    weights = ((256, 256), (512, 1024), (1024, 512)) if device.slow else (
        (1024, 1024), (2048, 4096), (4096, 4096), (6144, 4096), (28672, 4096), (4096, 14336), (8192, 8192), (57344, 8192),
        (8192, 28672),
    )  # fmt: skip
    for n, k in weights:
        for m in tokens:
            yield {"op": "gemm", "m": float(m), "n": float(n), "k": float(k)}, partial(_gemm, device, m, n, k)


def _gemm(device: Device, m: int, n: int, k: int) -> Callable[[], object]:
    a = device.random(m, k)
    weight = device.turns(float(device.elem_bytes) * n * k, lambda: device.random(n, k))
    return lambda: device.torch.nn.functional.linear(a, weight())


def prefill_points(device: Device) -> Iterator[Point]:
    """Causal attention of prompts."""
    sizes = ((1, 64), (1, 128), (2, 128), (1, 256), (4, 64), (1, 384), (2, 256), (1, 512)) if device.slow else tuple(
        (batch, length) for batch in (1, 4, 16) for length in (128, 512, 1024, 2048, 4096, 8192) if batch * length <= 32768
    )  # fmt: skip
    for count, kv, dim in _head_counts(device):
        for batch, length in sizes:
            row = {
                "op": "prefill",
                "batch": float(batch),
                "q_len": float(length),
                **_heads(count, kv, dim),
                "v_dim": float(dim),
            }
            yield {**row, "window": 0.0}, partial(_attention, device, batch, length, length, count, kv, dim)


def decode_points(device: Device) -> Iterator[Point]:
    """Attention of one new token over a cache."""
    sizes = ((1, 128), (4, 128), (1, 512), (8, 256), (1, 1024), (4, 512), (16, 128), (8, 64)) if device.slow else tuple(
        (batch, context)
        for batch in (1, 4, 16, 64, 256) for context in (256, 1024, 4096, 16384) if batch * context <= 1 << 20
    )  # fmt: skip
    for count, kv, dim in _head_counts(device):
        for batch, context in sizes:
            row: Row = {"op": "decode", "batch": float(batch), "context": float(context), **_heads(count, kv, dim)}
            work = partial(_attention, device, batch, 1, context, count, kv, dim)
            yield {**row, "kv_elem_bytes": float(device.elem_bytes)}, work


def _head_counts(device: Device) -> tuple[tuple[int, int, int], ...]:
    """Heads, heads of keys and values, dimensions; grouped ones only where PyTorch does not write out all scores for them."""
    heads = ((4, 4, 32), (4, 2, 32)) if device.slow else ((32, 32, 128), (32, 8, 128), (64, 8, 128))
    return heads if device.fused else heads[:1]


def notes(device: Device) -> tuple[str, ...]:
    """What is not swept on this device, and why."""
    if device.fused:
        return ()
    return ("attention over grouped heads was not timed: PyTorch has a fused kernel for it from compute capability 8.0 on",)


def _heads(heads: int, kv_heads: int, dim: int) -> Row:
    return {"heads": float(heads), "kv_heads": float(kv_heads), "qk_dim": float(dim)}


def _attention(
    device: Device, batch: int, q_len: int, context: int, heads: int, kv_heads: int, dim: int
) -> Callable[[], object]:
    q = device.random(batch, heads, q_len, dim)
    shape = (batch, kv_heads, context, dim)

    def pair() -> tuple[Any, Any]:
        return device.random(*shape), device.random(*shape)

    size = 2.0 * device.elem_bytes * math.prod(shape)
    cache = device.turns(size, pair) if q_len == 1 else device.turns(math.inf, pair)  # a prompt's were written just before
    attend = device.torch.nn.functional.scaled_dot_product_attention
    grouped = {"enable_gqa": True} if kv_heads != heads else {}

    def work() -> object:
        k, v = cache()
        return attend(q, k, v, is_causal=q_len > 1, **grouped)

    return work


def memory_points(device: Device) -> Iterator[Point]:
    """Copies: bytes read and written."""
    sizes = (1 << 20, 1 << 22, 1 << 24) if device.slow else tuple(1 << power for power in range(20, 32, 1))
    for size in sizes:
        yield {"op": "memory", "moved_bytes": 2.0 * size}, partial(_copy, device, size)


def _copy(device: Device, size: int) -> Callable[[], object]:
    torch = device.torch

    def pair() -> tuple[Any, Any]:
        source = torch.zeros(size, device=device.kind, dtype=torch.uint8)
        return torch.empty_like(source), source

    buffers = device.turns(2.0 * size, pair)

    def copy() -> object:
        target, source = buffers()
        return target.copy_(source)

    return copy


def launch_points(device: Device) -> Iterator[Point]:
    """A kernel that does nothing to speak of: the time between two launches."""

    def tiny() -> Callable[[], object]:
        one = device.torch.zeros(1, device=device.kind)
        return lambda: one.add_(1.0)

    yield {"op": "launch"}, tiny


def graph_points(device: Device) -> Iterator[Point]:
    """Chains of small kernels, launched one by one and, on a GPU, replayed as one graph."""
    for kernels in (8, 32) if device.slow else (16, 64, 256, 1024):
        yield {"op": "chain", "kernels": float(kernels)}, partial(_chain, device, kernels)
        if device.kind == "cuda":
            yield {"op": "graph", "kernels": float(kernels)}, partial(_graph, device, kernels)


def _chain(device: Device, kernels: int) -> Callable[[], object]:
    one = device.torch.zeros(1, device=device.kind)

    def chain() -> None:
        for _ in range(kernels):
            one.add_(1.0)

    return chain


def _graph(device: Device, kernels: int) -> Callable[[], object]:
    return device.captured(_chain(device, kernels))


SWEEPS: tuple[Callable[[Device], Iterator[Point]], ...] = (
    gemm_points,
    prefill_points,
    decode_points,
    memory_points,
    launch_points,
    graph_points,
)


_LAUNCHED = ("launch", "chain", "graph")
"""Kinds of which the launch from the host is a part."""


def timed(device: Device, point: Point) -> Tried[Row]:
    """The row with its time; nothing when the device has too little memory, or no kernel, for the shape."""
    row, prepare = point

    def work() -> Row:
        found = device.timing(prepare(), launched=row["op"] in _LAUNCHED)
        launched: Row = {"launched": 1.0} if found.launched else {}
        return {**row, "dtype": device.dtype, "seconds": found.seconds, **launched}

    return device.tried(work)
