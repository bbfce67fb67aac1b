"""Arithmetic of one training step, by the convention of this planner: causal attention counts half."""

from __future__ import annotations

from suanzhang.jit import formula
from suanzhang.perf.attention import visible_pairs
from suanzhang.perf.training.activations import recomputed_share
from suanzhang.perf.training.args import FLASH1, RECOMPUTE_SELECTIVE, LayoutArgs, RunArgs, ShapeArgs
from suanzhang.perf.training.params import moe_layers


@formula
def forward_flop_per_token(shape: ShapeArgs, run: RunArgs) -> float:
    """Model arithmetic of the forward pass per token [FLOP].

    Model:    two per weight that the token meets (attention, feed-forward, shared and chosen experts, router, head)
              and the attention products over the visible pairs; look-ups, norms and activations are not counted.

    Args:
        shape: the model.
        run: job, stack and chip.

    Returns:
        FLOP per token.

    Equation: 2 N_met + 2 (q + v) a pairs / s per layer.

    Validity: the training step counts three times this; recompute counts only for ``hfu``.

    Sources:  [narayanan2021] appendix; [palm2022] appendix B.

    Example:
        >>> from suanzhang.perf.training.examples import EXAMPLE_RUN, GPT3
        >>> round(forward_flop_per_token(GPT3, EXAMPLE_RUN) / 1e9, 1)
        354.0
    """
    mixtures = moe_layers(shape)
    dense = shape.layers - mixtures
    mtp = shape.mtp_layers
    ffn = shape.matrices * shape.hidden
    weights = (shape.layers + mtp) * shape.attention_params + dense * ffn * shape.ffn
    if shape.experts > 0.0:
        met = ffn * (shape.topk * shape.expert_ffn + shape.shared_ffn) + shape.hidden * shape.experts
        weights += (mixtures + mtp) * met
    else:
        weights += mtp * ffn * shape.ffn
    weights += (1.0 + mtp) * shape.vocab * shape.hidden + mtp * 2.0 * shape.hidden * shape.hidden
    return 2.0 * weights + attention_flop_per_token(shape, run)


@formula
def attention_flop_per_token(shape: ShapeArgs, run: RunArgs) -> float:
    """Both attention products of the forward pass per token over the visible pairs [FLOP].

    Sources:  [narayanan2021] appendix.
    """
    far = shape.layers + shape.mtp_layers - shape.window_layers
    pairs = far * visible_pairs(run.seq, run.seq, shape.causal, 0.0)
    pairs += shape.window_layers * visible_pairs(run.seq, run.seq, shape.causal, shape.window)
    return 2.0 * (shape.qk_dim + shape.v_dim) * shape.heads * pairs / run.seq


@formula
def recomputed_flop_per_token(shape: ShapeArgs, run: RunArgs, layout: LayoutArgs) -> float:
    """Arithmetic of the forward pass that is done again in the backward pass, per token [FLOP].

    Model:    layers recomputed in full do all of their forward pass again, the head does not; selective recompute repeats the
              attention products of unfused kernels, the up-projections of latent attention, and the products that the software
              chooses. Scores that a flash kernel forms
              again in its backward pass count for neither utilisation.

    Args:
        shape: the model.
        run: job, stack and chip.
        layout: the layout.

    Returns:
        FLOP per token.

    Equation: share x (forward - head), or attention (+ chosen share of the products).

    Validity: the modes of ``TrainLayout.recompute``.

    Sources:  [korthikanti2022] section 5; [palm2022] appendix B.

    Example:
        >>> from suanzhang.perf.training.examples import EXAMPLE_LAYOUT, EXAMPLE_RUN, GPT3
        >>> full = EXAMPLE_LAYOUT._replace(recompute=2.0, recompute_layers=0.0)
        >>> round(recomputed_flop_per_token(GPT3, EXAMPLE_RUN, full) / forward_flop_per_token(GPT3, EXAMPLE_RUN), 3)
        0.996
    """
    head = 2.0 * (1.0 + shape.mtp_layers) * shape.vocab * shape.hidden
    layers = forward_flop_per_token(shape, run) - head
    if layout.recompute == RECOMPUTE_SELECTIVE:
        attention = attention_flop_per_token(shape, run)
        again = attention if run.attention < FLASH1 else 0.0
        if shape.kv_lora > 0.0:
            up = shape.q_lora * shape.qk_dim + shape.kv_lora * (shape.qk_dim - shape.rope_dim + shape.v_dim)
            again += 2.0 * (shape.layers + shape.mtp_layers) * shape.heads * up
        return again + run.selective_products * (layers - attention)
    return recomputed_share(layout, shape.layers / layout.pp) * layers


@formula
def step_flop(shape: ShapeArgs, run: RunArgs) -> float:
    """Model arithmetic of one optimizer step [FLOP]: forward, and backward by input and by weight.

    Sources:  [narayanan2021].
    """
    passes = 2.0 if run.frozen > 0.0 else 3.0
    return passes * forward_flop_per_token(shape, run) * run.seq * run.global_batch
