"""A GPU that is not there: as much of ``torch`` as measuring asks for, over a host and a device with clocks of their own.

A launch keeps the host for ``launch_s``; a kernel starts when it was launched and the device is free. A weight that still lies
in the cache is read again in no time. Memory is counted, and runs out.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any


class OutOfMemoryError(RuntimeError):
    """What PyTorch raises."""


class Tensor:
    """A block of memory; what reads it needs no numbers."""

    def __init__(self, gpu: FakeGpu, shape: tuple[int, ...], width: int) -> None:
        self.gpu, self.shape, self.size = gpu, shape, math.prod(shape) * width
        self.width, self.kept, self.number = width, False, next(gpu.numbers)
        gpu.allocate(self.size)
        self.kept = True

    def __del__(self) -> None:
        if self.kept:
            self.gpu.used -= self.size

    def add_(self, _: float) -> Tensor:
        self.gpu.run(self.gpu.tiny_s)
        return self

    def copy_(self, other: Tensor) -> Tensor:
        self.gpu.run(0.0, other, 2.0 * self.size / self.gpu.bandwidth)
        return self

    def __float__(self) -> float:
        return 1.0


class Event:
    """A mark on the device's clock."""

    def __init__(self, gpu: FakeGpu) -> None:
        self.gpu, self.at = gpu, 0.0

    def record(self) -> None:
        self.at = max(self.gpu.free, self.gpu.host)

    def synchronize(self) -> None:
        self.gpu.synchronize()

    def elapsed_time(self, end: Event) -> float:
        return 1e3 * (end.at - self.at)


class Graph:
    """Kernels that were captured."""

    def __init__(self, gpu: FakeGpu) -> None:
        self.gpu, self.seconds = gpu, list[float]()

    def replay(self) -> None:
        self.gpu.host += self.gpu.launch_s
        self.gpu.free = max(self.gpu.free, self.gpu.host) + sum(self.seconds)
        self.gpu.replays += 1


class FakeGpu:
    """The machine, and the module ``torch`` over it."""

    def __init__(self, name: str = "NVIDIA H200", capability: tuple[int, int] = (9, 0), *, hip: str | None = None) -> None:
        self.names, self.capability = [name], capability
        self.memory, self.cache, self.bandwidth, self.rate = 141 << 30, 50 << 20, 4e12, 6e14
        self.launch_s, self.tiny_s = 8e-6, 1e-6
        self.host = self.free = 0.0
        self.used = self.replays = self.emptied = 0
        self.last: list[tuple[int, float]] = []
        self.numbers = itertools.count()
        self.capturing: Graph | None = None
        self.streams: list[object] = []
        self.own: object = SimpleNamespace(wait_stream=lambda _: None)
        self.current = self.own
        self.can_capture = True
        self.broken = ""
        self.cuda = self._cuda()
        self.version = SimpleNamespace(cuda=None if hip else "13.0", hip=hip)
        self.__version__ = "2.13.0"
        self.OutOfMemoryError = OutOfMemoryError
        self.bfloat16, self.float16, self.float32, self.uint8 = 2, 2, 4, 1
        self.nn = SimpleNamespace(functional=SimpleNamespace(linear=self.linear, scaled_dot_product_attention=self.attention))
        self.distributed = self._distributed()

    def _cuda(self) -> Any:
        properties = SimpleNamespace(total_memory=self.memory, L2_cache_size=self.cache)
        return SimpleNamespace(
            is_available=lambda: True, device_count=lambda: len(self.names), get_device_name=lambda i: self.names[i],
            get_device_capability=lambda _: self.capability, get_device_properties=lambda _: properties,
            Event=lambda enable_timing: Event(self), Stream=self.stream, CUDAGraph=lambda: Graph(self), graph=self.graph,
            stream=self.on, current_stream=lambda: self.current, set_stream=self.set_stream, synchronize=self.synchronize,
            empty_cache=self.empty_cache, set_device=lambda _: None,
        )  # fmt: skip

    def _distributed(self) -> Any:
        self.groups: list[tuple[str, dict[str, Any]]] = []

        def move(*_: object, **__: object) -> None:
            self.run(1e-5)

        return SimpleNamespace(
            is_available=lambda: True, ReduceOp=SimpleNamespace(MIN="min", MAX="max"), barrier=lambda: None,
            init_process_group=lambda backend, **options: self.groups.append((backend, options)),
            destroy_process_group=lambda: None, all_reduce=move, all_gather_into_tensor=move, reduce_scatter_tensor=move,
            all_to_all_single=move,
        )  # fmt: skip

    def stream(self) -> object:
        self.streams.append(made := SimpleNamespace(wait_stream=lambda _: None))
        return made

    def set_stream(self, stream: object) -> None:
        self.current = stream

    @contextmanager
    def on(self, stream: object) -> Iterator[None]:
        before, self.current = self.current, stream
        yield
        self.current = before

    @contextmanager
    def graph(self, graph: Graph, *, stream: object) -> Iterator[None]:
        self.synchronize()
        self.current, self.capturing = stream, graph
        try:
            yield
        finally:
            self.capturing = None
        if not self.can_capture:
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture")
        self.current = self.own

    def synchronize(self) -> None:
        if self.capturing is not None:
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing")
        self.host = max(self.host, self.free)

    def empty_cache(self) -> None:
        self.emptied += 1
        self.at_empty = self.used
        if self.broken:
            raise RuntimeError(self.broken)

    def allocate(self, size: int) -> None:
        if self.broken:
            raise RuntimeError(self.broken)
        if self.used + size > self.memory:
            raise OutOfMemoryError("CUDA out of memory. Tried to allocate")
        self.used += size

    def run(self, seconds: float, weight: Tensor | None = None, read_s: float = 0.0) -> None:
        """One kernel: its arithmetic, or its reading where that takes longer and the weight is no longer in the cache."""
        if weight is not None:
            held, own = 0.0, read_s * self.bandwidth
            for number, size in reversed(self.last):
                if number == weight.number and held + own <= self.cache:
                    read_s = 0.0
                held += size
            others = [item for item in self.last if item[0] != weight.number]
            self.last = [*others[-300:], (weight.number, own)]
        seconds = max(seconds, read_s)
        if self.capturing is not None:
            self.capturing.seconds.append(seconds)
            return
        self.host += self.launch_s
        self.free = max(self.free, self.host) + seconds

    def linear(self, a: Tensor, weight: Tensor) -> Tensor:
        (m, k), n = a.shape, weight.shape[0]
        self.run(2.0 * m * n * k / self.rate, weight, weight.size / self.bandwidth)
        return Tensor(self, (m, n), a.width)

    def attention(self, q: Tensor, k: Tensor, v: Tensor, *, is_causal: bool, enable_gqa: bool = False) -> Tensor:
        batch, heads, length, dim = q.shape
        flop = 4.0 * batch * heads * length * k.shape[2] * dim * (0.5 if is_causal else 1.0)
        assert enable_gqa == (heads != k.shape[1])
        self.run(flop / self.rate, k, (k.size + v.size) / self.bandwidth)
        return Tensor(self, q.shape, q.width)

    def randn(self, *shape: int, device: str, dtype: int) -> Tensor:
        if self.capturing is not None:
            raise RuntimeError("made during a capture")
        return self._made(shape, device, dtype)

    def zeros(self, *shape: int, device: str, dtype: int = 4) -> Tensor:
        return self._made(shape, device, dtype)

    ones = empty = zeros

    def tensor(self, _: object, device: str, dtype: int = 4) -> Tensor:
        return self._made((1,), device, dtype)

    def empty_like(self, other: Tensor) -> Tensor:
        return Tensor(self, other.shape, other.width)

    def device(self, kind: str, index: int) -> str:
        return f"{kind}:{index}"

    def _made(self, shape: tuple[int, ...], device: str, dtype: int) -> Tensor:
        assert device == "cuda"
        return Tensor(self, shape, dtype)


class InlineContext:
    """``torch.multiprocessing`` whose processes run at once, in this one."""

    def get_context(self, _: str) -> InlineContext:
        return self

    def Process(self, target: Callable[..., None], args: tuple[Any, ...], daemon: bool) -> Any:  # noqa: N802
        return SimpleNamespace(
            start=lambda: target(*args), is_alive=lambda: False, exitcode=0, join=lambda _: None, daemon=daemon
        )
