"""The device under PyTorch and its clock; nothing here changes a setting of the device."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from suanzhang.errors import InputError

_T = TypeVar("_T")
_REPEATS = 3
_LEAST_S = 0.02
_MOST_CALLS = 200


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
    """

    torch: Any
    kind: str
    name: str
    dtype: str
    software: str
    slow: bool
    memory_bytes: float = 0.0

    @property
    def dtype_of_torch(self) -> Any:
        """The dtype as PyTorch knows it."""
        return {"bf16": self.torch.bfloat16, "fp16": self.torch.float16, "fp32": self.torch.float32}[self.dtype]

    def seconds(self, work: Callable[[], object]) -> float:
        """Time of one call, the median of three rounds of enough calls to fill 20 ms, after a warm-up.

        On CUDA the calls queue up and events on the device read the clock, so that launches hide behind longer kernels.
        """
        work()
        once = self._round(work, 1)
        calls = max(1, min(_MOST_CALLS, int(_LEAST_S / max(once, 1e-7))))
        return statistics.median(self._round(work, calls) for _ in range(_REPEATS))

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

    def try_or_none(self, work: Callable[[], _T]) -> _T | None:
        """What the work gives; None when the device has too little memory, or no kernel, for it.

        Memory that PyTorch keeps for later is given back afterwards, to other processes on the same GPU too.
        """
        try:
            return work()
        except RuntimeError:  # running out of memory is one, under every version of PyTorch
            return None
        finally:
            self.give_back()

    def give_back(self) -> None:
        """Return the memory that PyTorch keeps for later."""
        if self.kind == "cuda":
            self.torch.cuda.empty_cache()

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
    dtype = _dtype_of(torch)
    runtime = torch.version.cuda or torch.version.hip or ""
    memory = float(torch.cuda.get_device_properties(0).total_memory)
    name = str(torch.cuda.get_device_name(0))
    return Device(torch, "cuda", name, dtype, f"torch {torch.__version__}, CUDA {runtime}", False, memory)


def _dtype_of(torch: Any) -> str:
    """bf16 where the GPU multiplies it itself: PyTorch also says yes to Volta and Turing, which only emulate it, slowly."""
    if torch.version.hip:
        return "bf16"
    return "bf16" if tuple(torch.cuda.get_device_capability(0)) >= (8, 0) else "fp16"
