"""The device under PyTorch and its clock; nothing here changes a setting of the device.

A GPU's short kernels are timed inside a graph of many launches: launched one by one from Python they would wait for the host,
and the time of a launch would be taken for that of the kernel. What is read from memory alternates between copies that do
not fit into the cache together, since in a model everything else passes through before a weight is read again.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from suanzhang.errors import InputError

_T = TypeVar("_T")
_REPEATS = 3
_LEAST_S = 0.02
_MOST_CALLS = 200
_SHORT_S = 1e-3
"""Kernels from this length on hide their launches; shorter ones are replayed as a graph."""
_WARM_UP_S = 1.0
_MOST_COPIES = 256
_ROCM_CACHE = 256 << 20
"""Cache beyond the L2 that ROCm names: the Infinity Cache of an MI300."""
NO_MEMORY, NO_TIME = "no memory left", "no time left"


@dataclass(frozen=True, slots=True)
class Timing:
    """Time of one call [s]; ``launched`` when a short kernel could not be replayed as a graph: then its launch is in it."""

    seconds: float
    launched: bool = False


@dataclass(frozen=True, slots=True)
class Tried(Generic[_T]):
    """What some work gave; or nothing, and why."""

    value: _T | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Device:
    """A device that is measured.

    Args:
        torch: the module, imported only when it is there.
        kind: "cuda" or "cpu".
        name: what the device calls itself.
        dtype: dtype of the products, by the name that files of timings use.
        software: PyTorch and its CUDA, with versions.
        slow: sizes are small because the device is a CPU.
        memory_bytes: memory of the GPU; 0 for a CPU.
        cache_bytes: cache that kernels share; 0 where copies are not to alternate.
        fused: whether PyTorch has a fused attention for grouped heads on it.
        stream: the side stream for captures, always the same: libraries keep a workspace for each stream.
    """

    torch: Any
    kind: str
    name: str
    dtype: str
    software: str
    slow: bool
    memory_bytes: float = 0.0
    cache_bytes: float = 0.0
    fused: bool = True
    stream: Any = None

    @property
    def dtype_of_torch(self) -> Any:
        """The dtype as PyTorch knows it."""
        return {"bf16": self.torch.bfloat16, "fp16": self.torch.float16, "fp32": self.torch.float32}[self.dtype]

    def timing(self, work: Callable[[], object], *, launched: bool = False) -> Timing:
        """Time of one call, the median of three rounds of enough calls to fill 20 ms, after a warm-up.

        Args:
            work: what to time.
            launched: time launches from the host, as they come; else short kernels of a GPU are replayed as a graph.
        """
        work()
        once = self._round(work, 1)
        calls = max(1, min(_MOST_CALLS, int(_LEAST_S / max(once, 1e-7))))
        if self.kind != "cuda" or launched or once >= _SHORT_S:
            return Timing(statistics.median(self._round(work, calls) for _ in range(_REPEATS)))
        replay = self._replay_or_none(work, calls)
        if replay is None:
            return Timing(statistics.median(self._round(work, calls) for _ in range(_REPEATS)), True)
        replay()
        times = max(1, min(_MOST_CALLS, int(_LEAST_S / max(self._round(replay, 1), 1e-7))))
        return Timing(statistics.median(self._round(replay, times) for _ in range(_REPEATS)) / calls)

    def captured(self, work: Callable[[], object], calls: int = 1) -> Callable[[], object]:
        """A graph of so many calls, to be replayed.

        The stream that captures has run the work before: there libraries make what must not be made during a capture.
        """
        cuda, side = self.torch.cuda, self.stream or self.torch.cuda.Stream()
        own = cuda.current_stream()
        side.wait_stream(own)
        graph = cuda.CUDAGraph()
        try:
            with cuda.stream(side):
                work()
            own.wait_stream(side)
            with cuda.graph(graph, stream=side):
                for _ in range(calls):
                    work()
        finally:
            cuda.set_stream(own)  # a capture that fails leaves its own stream behind

        def replay(kept: object = work) -> None:
            """The graph reads and writes where the work's numbers lie: whoever replays it keeps that memory."""
            graph.replay()

        return replay

    def _replay_or_none(self, work: Callable[[], object], calls: int) -> Callable[[], object] | None:
        try:
            return self.captured(work, calls)
        except RuntimeError as error:
            if _is_memory(self.torch, error):
                raise
        return None

    def _round(self, work: Callable[[], object], calls: int) -> float:
        if self.kind == "cuda":
            start, end = (self.torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            for _ in range(calls):
                work()
            end.record()
            end.synchronize()
            return float(start.elapsed_time(end)) / 1e3 / calls
        begin = time.perf_counter()
        for _ in range(calls):
            work()
        return (time.perf_counter() - begin) / calls

    def warm_up(self) -> None:
        """Keep a GPU busy for a second: an idle one runs at a low clock."""
        if self.kind != "cuda":
            return
        until = time.monotonic() + _WARM_UP_S
        a = self.random(2048, 2048)
        while time.monotonic() < until:
            for _ in range(16):
                self.torch.nn.functional.linear(a, a)
            self.synchronize()

    def synchronize(self) -> None:
        """Wait until the device is done."""
        if self.kind == "cuda":
            self.torch.cuda.synchronize()

    def tried(self, work: Callable[[], _T]) -> Tried[_T]:
        """What the work gives; nothing when the device has too little memory, or no kernel, for it.

        Memory that PyTorch keeps for later is given back after the error is gone, which holds on to what was made before it.
        """
        why = ""
        try:
            return Tried(work())
        except RuntimeError as error:  # running out of memory is one, under every version of PyTorch
            why = NO_MEMORY if _is_memory(self.torch, error) else " ".join(str(error).split())[:80] or type(error).__name__
        self.give_back()
        return Tried(None, why)

    def give_back(self) -> None:
        """Return the memory that PyTorch keeps for later."""
        if self.kind == "cuda":
            with contextlib.suppress(RuntimeError):  # a device that has failed gives nothing back
                self.torch.cuda.empty_cache()

    def turns(self, size: float, make: Callable[[], _T]) -> Callable[[], _T]:
        """Copies in turn, together twice the cache, so that each is read from memory.

        Args:
            size: bytes of one copy.
            make: makes one.
        """
        count = max(1, min(_MOST_COPIES, math.ceil(2.0 * self.cache_bytes / size))) if self.cache_bytes else 1
        copies = itertools.cycle([make() for _ in range(count)])
        return lambda: next(copies)

    @property
    def elem_bytes(self) -> int:
        """Bytes of a number in the dtype of the products."""
        return 4 if self.dtype == "fp32" else 2

    def random(self, *shape: int) -> Any:
        """Normal numbers in the dtype of the products."""
        return self.torch.randn(*shape, device=self.kind, dtype=self.dtype_of_torch)


def find_device(kind: str = "") -> Device:
    """The device to measure.

    Args:
        kind: "cuda" or "cpu"; the GPU where there is one when left out.

    Raises:
        InputError: PyTorch is not installed, or there is no such device.
    """
    try:
        import torch
    except ImportError:
        raise InputError("measuring needs PyTorch, which is not installed", fix="pip install 'suanzhang[measure]'") from None
    has_gpu = bool(torch.cuda.is_available())
    chosen = kind or ("cuda" if has_gpu else "cpu")
    if chosen not in ("cuda", "cpu"):
        raise InputError(f"unknown device {kind!r}", fix="use cuda or cpu")
    if chosen == "cuda" and not has_gpu:
        raise InputError("PyTorch sees no GPU", fix="use --device cpu, or install a build of PyTorch for your GPU")
    if chosen == "cpu":
        return Device(torch, "cpu", f"CPU {platform.machine()}", "fp32", f"torch {torch.__version__}", True)
    _check_kernels(torch)
    properties = torch.cuda.get_device_properties(0)
    capability = tuple(torch.cuda.get_device_capability(0))
    runtime = f"ROCm {torch.version.hip}" if torch.version.hip else f"CUDA {torch.version.cuda or 'unknown'}"
    cache = float(getattr(properties, "L2_cache_size", 0) or 0)
    return Device(
        torch,
        "cuda",
        str(torch.cuda.get_device_name(0)),
        _dtype_of(torch, capability),
        f"torch {torch.__version__}, {runtime}",
        False,
        float(properties.total_memory),
        max(cache, _ROCM_CACHE) if torch.version.hip else cache,
        bool(torch.version.hip) or capability >= (8, 0),
        torch.cuda.Stream(),
    )


def _check_kernels(torch: Any) -> None:
    """Run one kernel: a build of PyTorch without code for this GPU finds it, and fails at the first."""
    why = ""
    try:
        torch.zeros(1, device="cuda").add_(1.0)
        torch.cuda.synchronize()
    except RuntimeError as error:
        why = (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
    if why:
        raise InputError(
            f"PyTorch sees a GPU and cannot use it ({why})",
            fix="free it, or install a build of PyTorch for it; or --device cpu",
        )


def _dtype_of(torch: Any, capability: tuple[int, ...]) -> str:
    """bf16 where the GPU multiplies it itself: PyTorch also says yes to Volta and Turing, which only emulate it, slowly.

    GPUs before Volta have no matrix units, and most of them next to no arithmetic in fp16.
    """
    if torch.version.hip or capability >= (8, 0):
        return "bf16"
    return "fp16" if capability >= (7, 0) else "fp32"


def _is_memory(torch: Any, error: BaseException) -> bool:
    kind = getattr(torch, "OutOfMemoryError", None)
    known = isinstance(kind, type) and isinstance(error, kind)
    return known or any(mark in str(error).lower() for mark in ("out of memory", "alloc_failed", "can't allocate memory"))
