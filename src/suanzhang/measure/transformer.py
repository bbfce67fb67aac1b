"""A small real transformer: one training step and one decode loop, end to end."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from suanzhang.measure.device import Device


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of the small model and of its two runs: batch x sequence trained on, prompt and answer served."""

    layers: int
    hidden: int
    heads: int
    ffn: int
    vocab: int
    batch: int
    seq_len: int
    prompt: int
    answer: int


def shape_for(device: Device) -> Shape:
    """A model that fills a GPU for some milliseconds, or a CPU for a second."""
    if device.slow:
        return Shape(2, 128, 4, 512, 1024, 2, 64, 32, 8)
    return Shape(8, 2048, 16, 8192, 32000, 4, 2048, 1024, 64)


def build(device: Device, shape: Shape) -> Any:
    """The model: pre-norm blocks with fused causal attention and a cache."""
    torch = device.torch
    nn, functional = torch.nn, torch.nn.functional

    class Block(nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.before, self.between = nn.LayerNorm(shape.hidden), nn.LayerNorm(shape.hidden)
            self.qkv, self.out = nn.Linear(shape.hidden, 3 * shape.hidden), nn.Linear(shape.hidden, shape.hidden)
            self.up, self.down = nn.Linear(shape.hidden, shape.ffn), nn.Linear(shape.ffn, shape.hidden)

        def forward(self, x: Any, cache: list[Any] | None) -> Any:
            batch, length, _ = x.shape
            split = self.qkv(self.before(x)).view(batch, length, 3, shape.heads, -1).permute(2, 0, 3, 1, 4)
            q, k, v = split[0], split[1], split[2]
            if cache is not None:
                if cache:
                    k, v = torch.cat((cache[0], k), 2), torch.cat((cache[1], v), 2)
                cache[:] = [k, v]
            mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=length > 1)
            x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, -1))
            return x + self.down(functional.gelu(self.up(self.between(x))))

    class Model(nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(shape.vocab, shape.hidden)
            self.blocks = nn.ModuleList(Block() for _ in range(shape.layers))
            self.head = nn.Linear(shape.hidden, shape.vocab, bias=False)

        def forward(self, tokens: Any, caches: list[list[Any]] | None = None) -> Any:
            x = self.embed(tokens)
            for index, block in enumerate(self.blocks):
                x = block(x, caches[index] if caches is not None else None)
            return self.head(x)

    return Model().to(device.kind, device.dtype_of_torch)


def step_flop(shape: Shape) -> float:
    """Arithmetic of the products of one training step, forward and backward [FLOP]."""
    block = shape.hidden * (4.0 * shape.hidden + 2.0 * shape.ffn)
    weights = shape.layers * block + shape.hidden * shape.vocab
    return 6.0 * weights * shape.batch * shape.seq_len


def train_step_s(device: Device, shape: Shape, until: float, steps: int = 3) -> float:
    """Median time of one step: forward, loss, backward, Adam [s].

    Args:
        device: where.
        shape: of the model.
        until: time of the monotonic clock by which to end [s]; fewer steps are timed when it comes close, at least one.
        steps: how many steps to time.
    """
    torch = device.torch
    model = build(device, shape)
    adam = torch.optim.AdamW(model.parameters(), lr=1e-4)
    tokens = torch.randint(shape.vocab, (shape.batch, shape.seq_len + 1), device=device.kind)

    def step() -> None:
        logits = model(tokens[:, :-1]).flatten(0, 1).float()
        torch.nn.functional.cross_entropy(logits, tokens[:, 1:].flatten()).backward()
        adam.step()
        adam.zero_grad(set_to_none=True)

    _wall(device, step)
    times: list[float] = []
    while not times or (len(times) < steps and time.monotonic() + times[-1] < until):
        times.append(_wall(device, step))
    return statistics.median(times)


def decode_token_s(device: Device, shape: Shape, until: float) -> float:
    """Mean time of one further token of a batch with a cache [s].

    Args:
        device: where.
        shape: of the model.
        until: time of the monotonic clock by which to end [s]; fewer tokens are timed when it comes close, at least one.
    """
    torch = device.torch
    model = build(device, shape).eval()
    tokens = torch.randint(shape.vocab, (shape.batch, shape.prompt), device=device.kind)
    with torch.no_grad():
        caches: list[list[Any]] = [[] for _ in range(shape.layers)]
        last = model(tokens, caches)[:, -1:].argmax(-1)
        for _ in range(2):
            last = model(last, caches)[:, -1:].argmax(-1)
        done = 0

        def loop() -> None:
            nonlocal done
            token = last
            while not done or (done < shape.answer and time.monotonic() < until):
                token = model(token, caches)[:, -1:].argmax(-1)
                done += 1

        taken = _wall(device, loop)
    return taken / done


def _wall(device: Device, work: Callable[[], object]) -> float:
    device.synchronize()
    begin = time.perf_counter()
    work()
    device.synchronize()
    return time.perf_counter() - begin
