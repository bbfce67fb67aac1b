"""Bytes that the forward pass keeps for the backward pass."""

from __future__ import annotations

from suanzhang.jit import formula
from suanzhang.perf.training.args import FLASH1, RECOMPUTE_FULL, RECOMPUTE_NONE, LayoutArgs, RunArgs, ShapeArgs


@formula
def tokens_per_micro_batch(run: RunArgs, layout: LayoutArgs) -> float:
    """Tokens of one micro-batch that one context rank holds.

    Sources:  [korthikanti2022].
    """
    return layout.micro_batch * run.seq / layout.cp


@formula
def kept_bytes(run: RunArgs) -> float:
    """Bytes of one activation inside a layer that is kept for the backward pass.

    Sources:  [deepseekv3] section 3.3.3.
    """
    return run.saved_bytes if run.saved_bytes > 0.0 else run.element_bytes


@formula
def _residual_bytes(shape: ShapeArgs, run: RunArgs, layout: LayoutArgs) -> float:
    shard = layout.tp if layout.sp > 0.0 else 1.0
    masks = 2.0 if run.dropout > 0.0 else 0.0
    saved = run.gemm_bytes if run.quantized > 0.0 else run.element_bytes
    if layout.recompute != RECOMPUTE_NONE and run.attention >= FLASH1:
        saved = 0.0
    norms = 2.0 * run.element_bytes + 2.0 * saved
    return tokens_per_micro_batch(run, layout) * shape.hidden * (norms + masks) / shard


@formula
def _attention_bytes(shape: ShapeArgs, run: RunArgs, layout: LayoutArgs) -> float:
    tokens = tokens_per_micro_batch(run, layout)
    query = shape.heads * shape.qk_dim
    keys = shape.kv_heads * (shape.qk_dim + shape.v_dim)
    if shape.kv_lora > 0.0:
        keys = shape.heads * (shape.qk_dim + shape.v_dim)
    elif layout.cp_a2a > 0.0:
        keys *= max(1.0, layout.cp / max(1.0, shape.kv_heads / layout.tp))
    latent = shape.q_lora + shape.kv_lora + shape.rope_dim
    out = shape.heads * shape.v_dim
    if shape.kv_lora > 0.0 and layout.recompute != RECOMPUTE_NONE:
        query, keys = 0.0, 0.0
    kept = tokens * (run.element_bytes * (query + keys) + kept_bytes(run) * out) / layout.tp
    kept += tokens * run.element_bytes * latent
    if run.attention >= FLASH1:
        return kept + tokens * shape.heads * 4.0 / layout.tp
    if layout.recompute != RECOMPUTE_NONE:
        return kept
    scores = tokens * run.seq * shape.heads / layout.tp
    masks = 1.0 + run.element_bytes if run.dropout > 0.0 else 0.0
    unfused = run.element_bytes + 4.0 if run.attention < 1.0 else 0.0
    return kept + scores * (run.element_bytes + masks + unfused)


@formula
def _ffn_bytes(shape: ShapeArgs, run: RunArgs, layout: LayoutArgs, width: float) -> float:
    kept = (shape.matrices - 1.0) * kept_bytes(run)
    if layout.recompute == RECOMPUTE_NONE or run.attention < FLASH1:
        kept += run.gemm_bytes if run.quantized > 0.0 else kept_bytes(run)
    if layout.recompute != RECOMPUTE_NONE:
        kept *= 1.0 - run.selective_products
    return tokens_per_micro_batch(run, layout) * kept * width / layout.tp


@formula
def layer_input_bytes(shape: ShapeArgs, run: RunArgs, layout: LayoutArgs) -> float:
    """Bytes of the input of one layer: all that full recompute keeps of it.

    Sources:  [korthikanti2022].
    """
    shard = layout.tp if layout.sp > 0.0 else 1.0
    return tokens_per_micro_batch(run, layout) * shape.hidden * run.element_bytes / shard


@formula
def dense_layer_bytes(shape: ShapeArgs, run: RunArgs, layout: LayoutArgs) -> float:
    """Activations that one dense layer keeps for one micro-batch when it is not recomputed in full [bytes].

    Model:    inputs of every matrix product (in 8 bit when products run in 8 bit), of the norms and of the activation,
              dropout masks where the stack has dropout, and attention scores unless a flash kernel spares them.
              Selective recompute drops the scores of an unfused kernel, or with a flash kernel the results of the
              norms and of the activation, and the share of the products that the stack repeats. Software may keep the
              inputs of the products and of the activation in 8 bit; the residual stream and what attention reads again stay.

    Args:
        shape: the model.
        run: job, stack and chip.
        layout: the layout; ``recompute`` full is treated as selective here.

    Returns:
        Bytes of one layer and micro-batch on one chip.

    Equation: s b h (34 + 5 a s / h) / t for a GPT layer with dropout, sequence parallel and unfused scores.

    Validity: decoder and encoder layers; checked against [korthikanti2022] table 2.

    Sources:  [korthikanti2022] equations 1 to 4.

    Example:
        >>> from suanzhang.perf.training.examples import EXAMPLE_LAYOUT, EXAMPLE_RUN, GPT3
        >>> run = EXAMPLE_RUN._replace(dropout=1.0, attention=1.0)
        >>> layout = EXAMPLE_LAYOUT._replace(recompute=1.0)
        >>> dense_layer_bytes(GPT3, run, layout) / (2048 * 12288) * 8
        34.0
    """
    return (
        _residual_bytes(shape, run, layout) + _attention_bytes(shape, run, layout) + _ffn_bytes(shape, run, layout, shape.ffn)
    )


@formula
def moe_layer_bytes(shape: ShapeArgs, run: RunArgs, layout: LayoutArgs, imbalance: float) -> float:
    """Activations that one mixture layer keeps for one micro-batch [bytes].

    Model:    as a dense layer, with the shared experts as a feed-forward of their width, the routed tokens
              (``topk`` copies, times the imbalance of the fullest expert rank) before and after their products, and
              the scores of the router in 32 bits. Selective recompute repeats the activation and the up-projections of a
              latent attention and does not keep what the experts return.

    Args:
        shape: the model.
        run: job, stack and chip.
        layout: the layout.
        imbalance: tokens of the fullest expert rank over the mean.

    Returns:
        Bytes of one layer and micro-batch on one chip.

    Equation: routed = T k (2 h + (g + 1) f_e / etp) x bytes, T tokens of the chip after sequence parallel.

    Validity: token-dropless routing.

    Sources:  [megablocks2022]; [megatron-core].
    """
    tokens = tokens_per_micro_batch(run, layout)
    shard = layout.tp if layout.sp > 0.0 else 1.0
    routed_tokens = tokens / shard * shape.topk * imbalance * layout.etp
    width = shape.matrices * shape.expert_ffn / layout.etp
    routed = routed_tokens * kept_bytes(run) * (2.0 * shape.hidden / layout.etp + width)
    if layout.recompute != RECOMPUTE_NONE:
        width = (shape.matrices - 1.0) * shape.expert_ffn / layout.etp
        routed = routed_tokens * (run.gemm_bytes * shape.hidden / layout.etp + kept_bytes(run) * width)
    router = tokens / shard * shape.experts * 8.0
    return (
        _residual_bytes(shape, run, layout)
        + _attention_bytes(shape, run, layout)
        + _ffn_bytes(shape, run, layout, shape.shared_ffn)
        + routed
        + router
    )


@formula
def recomputed_share(layout: LayoutArgs, layers: float) -> float:
    """Share of the layers of a stage that are recomputed in full.

    Sources:  [korthikanti2022].
    """
    if layout.recompute != RECOMPUTE_FULL:
        return 0.0
    if layout.recompute_layers <= 0.0:
        return 1.0
    return min(1.0, layout.recompute_layers / max(1.0, layers))
