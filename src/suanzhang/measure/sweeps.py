"""Sweeps over shapes: products, attention of prompts and of decoding, memory, launches one by one and as graphs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from suanzhang.measure.device import Device

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
    a, b = device.random(m, k), device.random(n, k)
    return lambda: device.torch.nn.functional.linear(a, b)


def prefill_points(device: Device) -> Iterator[Point]:
    """Causal attention of prompts."""
    sizes = ((1, 64), (1, 128), (2, 128), (1, 256), (4, 64), (1, 384), (2, 256), (1, 512)) if device.slow else tuple(
        (batch, length) for batch in (1, 4, 16) for length in (128, 512, 1024, 2048, 4096, 8192) if batch * length <= 32768
    )  # fmt: skip
    heads = ((4, 4, 32), (4, 2, 32)) if device.slow else ((32, 32, 128), (32, 8, 128), (64, 8, 128))
    for count, kv, dim in heads:
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
    heads = ((4, 4, 32), (4, 2, 32)) if device.slow else ((32, 32, 128), (32, 8, 128), (64, 8, 128))
    width = {"fp32": 4.0}.get(device.dtype, 2.0)
    for count, kv, dim in heads:
        for batch, context in sizes:
            row: Row = {"op": "decode", "batch": float(batch), "context": float(context), **_heads(count, kv, dim)}
            work = partial(_attention, device, batch, 1, context, count, kv, dim)
            yield {**row, "kv_elem_bytes": width}, work


def _heads(heads: int, kv_heads: int, dim: int) -> Row:
    return {"heads": float(heads), "kv_heads": float(kv_heads), "qk_dim": float(dim)}


def _attention(
    device: Device, batch: int, q_len: int, context: int, heads: int, kv_heads: int, dim: int
) -> Callable[[], object]:
    q = device.random(batch, heads, q_len, dim)
    k, v = (device.random(batch, kv_heads, context, dim) for _ in range(2))
    attend = device.torch.nn.functional.scaled_dot_product_attention
    grouped = {"enable_gqa": True} if kv_heads != heads else {}
    return lambda: attend(q, k, v, is_causal=q_len > 1, **grouped)


def memory_points(device: Device) -> Iterator[Point]:
    """Copies: bytes read and written."""
    sizes = (1 << 20, 1 << 22, 1 << 24) if device.slow else tuple(1 << power for power in range(20, 32, 1))
    for size in sizes:
        yield {"op": "memory", "moved_bytes": 2.0 * size}, partial(_copy, device, size)


def _copy(device: Device, size: int) -> Callable[[], object]:
    source = device.torch.zeros(size, device=device.kind, dtype=device.torch.uint8)
    target = device.torch.empty_like(source)
    return lambda: target.copy_(source)


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
    torch, chain = device.torch, _chain(device, kernels)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # a capture wants its kernels loaded before, on another stream
        chain()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        chain()

    def replay(kept: object = chain) -> None:
        """The graph writes where the chain's number lies: whoever replays it keeps that memory."""
        graph.replay()

    return replay


SWEEPS: tuple[Callable[[Device], Iterator[Point]], ...] = (
    gemm_points,
    prefill_points,
    decode_points,
    memory_points,
    launch_points,
    graph_points,
)


def timed(device: Device, point: Point) -> Row | None:
    """The row with its time; None when the device has too little memory, or no kernel, for the shape."""
    row, prepare = point
    try:
        seconds = device.seconds(prepare())
    except RuntimeError:  # running out of memory is one, under every version of PyTorch
        device.give_back()
        return None
    return {**row, "dtype": device.dtype, "seconds": seconds}
