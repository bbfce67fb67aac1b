"""The operators of one layer below the limits of the chip."""

from __future__ import annotations

from suanzhang.app.physics import operator_args
from suanzhang.catalog.chips import chip as chip_of
from suanzhang.catalog.models import model as model_of
from suanzhang.catalog.stacks import train_stack
from suanzhang.perf.attention import prefill_attention_s
from suanzhang.perf.gemm import gemm_s
from suanzhang.spec.figures import Roof, RoofPoint
from suanzhang.spec.model import ModelSpec
from suanzhang.spec.precision import precision_of
from suanzhang.spec.train import TrainResult


def _products(model: ModelSpec, tp: int) -> list[tuple[str, float, float]]:
    """Names, columns and depth of the products of one dense layer and of the head on one chip."""
    q, kv, h = model.heads * model.head_dim, model.kv_heads * model.head_dim, model.hidden
    gate = 2.0 if model.gated_mlp else 1.0
    ffn = float(model.moe.expert_ffn if model.moe else model.ffn)
    inner = ffn if model.moe else ffn / tp
    mixer = (
        [] if model.mla else [("queries, keys, values", (q + 2.0 * kv) / tp, float(h)), ("attention output", float(h), q / tp)]
    )
    prefix = "one expert" if model.moe else "feed-forward"
    return [
        *mixer,
        (f"{prefix}, up", gate * inner, float(h)),
        (f"{prefix}, down", float(h), inner),
        ("output head", model.vocab / tp, float(h)),
    ]


def roofline(result: TrainResult) -> Roof:
    """Forward operators of one micro-batch on one chip: operations per byte, and the rate that we predict.

    Args:
        result: an answer of ``train`` about a model and a chip of the catalog.

    Raises:
        CatalogError: the model or the chip is not in the catalog.
    """
    model, chip, layout = model_of(result.model), chip_of(result.chip), result.layout
    args = operator_args(chip, result.precision, train_stack(result.stack).profile)
    size = precision_of(result.precision).value_bytes
    seq = result.seq_len
    tokens = float(layout.micro_batch * seq / layout.cp)
    points = []
    for name, columns, depth in _products(model, layout.tp):
        rows = tokens
        if model.moe and name.startswith("one expert"):
            rows = max(1.0, tokens * model.moe.topk * layout.ep / model.moe.experts)
        flop, moved = 2.0 * rows * columns * depth, size * (rows * depth + depth * columns + rows * columns)
        points.append(_point(name, flop, moved, float(gemm_s(rows, columns, depth, 1.0, args.gemm))))
    if model.mla is None:
        heads, kv = model.heads / layout.tp, max(1.0, model.kv_heads / layout.tp)
        q_len = seq / layout.cp
        flop = 2.0 * layout.micro_batch * heads * q_len * seq * model.head_dim
        moved = 2.0 * layout.micro_batch * model.head_dim * (2.0 * heads * q_len + 2.0 * kv * seq)
        seconds = prefill_attention_s(
            float(layout.micro_batch), q_len, float(seq), heads, kv, float(model.head_dim), float(model.head_dim), 1.0, 0.0,
            args.attention,
        )  # fmt: skip
        points.append(_point("attention", flop, moved, float(seconds)))
    return Roof(chip.name, chip.peak(result.precision), chip.hbm_bytes_per_s, tuple(points))


def _point(name: str, flop: float, moved: float, seconds: float) -> RoofPoint:
    return RoofPoint(name, flop / moved, flop / seconds, seconds)
