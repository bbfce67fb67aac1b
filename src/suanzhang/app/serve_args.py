"""From a model, chip, layout and engine to the arguments of the serving formulas."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

from suanzhang.app.physics import Physics, physics
from suanzhang.app.serve_links import without_switch_sums
from suanzhang.errors import InputError
from suanzhang.perf.args import GemmArgs, LinkArgs, MoeArgs
from suanzhang.perf.gemm import gemm_s
from suanzhang.perf.moe import moe_ffn_s
from suanzhang.perf.serving.args import EngineArgs, IterationArgs, OpArgs, ShapeArgs
from suanzhang.perf.serving.memory import sequences_that_fit
from suanzhang.perf.serving.precision import Format, compute_dtype, kv_bytes, weight_format
from suanzhang.perf.serving.steady import BatchRules
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.layout import ServeLayout
from suanzhang.spec.model import ModelSpec
from suanzhang.spec.serve import ServeCoefficients, ServeMemory
from suanzhang.spec.stack import ServeStack
from suanzhang.units import GB, GIB

DEQUANTISE_EFFICIENCY = 0.8
"""Share of the 16-bit rate that a product keeps when it unpacks narrow weights in registers [assumed]."""


PCIE_BYTES_PER_S = 32e9
"""PCIe 4.0 x16, one direction, which joins the pairs of chips with a bridge."""
OTHER_KERNELS = 7.0
"""Kernels of a dense layer that compute or communicate: four products, attention, two all-reduces."""
NCCL_S = 15e-6
"""Time that a small all-reduce of NCCL takes outside a graph beyond one inside: its launch, and ranks that are not in step
[assumed; the usual tests show 20 to 25 us on eight chips of a node]."""
HOST_GAIN = 1.15
"""Growth of the speed of one host thread per year of the node's generation [assumed from published single-thread scores]."""
HOST_YEAR = 2022.5
"""Generation of the host that the host times of the stack table stand for."""
MOE_KERNELS = 12.0
MLA_KERNELS = 14.0
"""Further kernels of a layer with experts (router, choice, sorting twice, narrowing, two grouped products, activation,
combining, and the products and activation of shared experts) and with a latent cache (three products, two norms, cutting and
joining the parts with positions, narrowing before each product, products with the absorbed weights) [counted, assumed]."""
FEW_EXPERTS = 16
"""Mixtures of up to so many experts have 8-bit checkpoints like dense models."""
HOST_CARRYING = 1.15
"""Time of a small product over that of the fastest engine's from which it is taken to carry time of the host [assumed]."""
_TIMED = ("vllm", "sglang", "trtllm")
INLINE_ECC_SHARE = 15.0 / 16.0
"""Graphics memory keeps its error correction in the memory itself, one sixteenth of it; stacked memory has room beside."""


def memory_bytes(chip: ChipSpec) -> float:
    """Memory that an engine finds on a chip [B]: the nominal gigabytes are binary ones (an 80 GB part has 80 GiB)."""
    share = INLINE_ECC_SHARE if chip.memory_type.upper().startswith("GDDR") else 1.0
    return chip.hbm_bytes / GB * GIB * share


def check_layout(model: ModelSpec, layout: ServeLayout, pads_heads: bool = False) -> None:
    """Refuse a layout that no engine can run.

    Raises:
        InputError: a size is not positive, or does not divide the heads, layers or experts.
    """
    for name in ("tp", "pp", "dp", "ep"):
        if getattr(layout, name) < 1:
            raise InputError(
                f"layout: {name} must be at least 1, got {getattr(layout, name)}", fix="use positive whole numbers"
            )
    if model.heads % layout.tp and not pads_heads:
        raise InputError(f"layout: tp={layout.tp} does not divide the {model.heads} heads of {model.name}", fix="use a divisor")
    if layout.pp > model.layers:
        raise InputError(f"layout: pp={layout.pp} exceeds the {model.layers} layers of {model.name}", fix="use fewer stages")
    if layout.ep > 1 and model.moe is None:
        raise InputError(f"layout: ep={layout.ep}, but {model.name} has no experts", fix="use ep=1")
    if model.moe is not None and model.moe.experts % layout.ep:
        raise InputError(f"layout: ep={layout.ep} does not divide the {model.moe.experts} experts", fix="use a divisor")
    if (layout.tp * layout.dp) % layout.ep:
        raise InputError(f"layout: ep={layout.ep} does not divide tp*dp={layout.tp * layout.dp}", fix="use a divisor")


def shape_args(model: ModelSpec, kv_dtype: str) -> ShapeArgs:
    """The shape of a model as the iteration formulas take it."""
    mla, moe, linear, window = model.mla, model.moe, model.linear, model.window
    linear_layers = float(linear.layers if linear else 0)
    window_layers = float(window.layers if window else 0)
    return ShapeArgs(
        hidden=float(model.hidden),
        heads=float(model.heads),
        kv_heads=float(model.kv_heads),
        qk_dim=float(mla.nope_dim + mla.rope_dim if mla else model.head_dim),
        v_dim=float(mla.v_dim if mla else model.head_dim),
        full_layers=float(model.layers) - linear_layers - window_layers,
        window_layers=window_layers,
        linear_layers=linear_layers,
        window=float(window.tokens if window else 0),
        linear_params=float(linear.params if linear else 0.0),
        linear_state_bytes=float(linear.state_bytes if linear else 0.0),
        is_mla=1.0 if mla else 0.0,
        q_lora=float(mla.q_lora if mla else 0),
        kv_lora=float(mla.kv_lora if mla else 0),
        rope_dim=float(mla.rope_dim if mla else 0),
        nope_dim=float(mla.nope_dim if mla else 0),
        dense_layers=float(model.layers - model.moe_layers),
        ffn=float(model.ffn),
        moe_layers=float(model.moe_layers),
        experts=float(moe.experts if moe else 0),
        topk=float(moe.topk if moe else 0),
        expert_ffn=float(moe.expert_ffn if moe else 0),
        shared_ffn=float(moe.shared_ffn if moe else 0),
        matrices=3.0 if model.gated_mlp else 2.0,
        vocab=float(model.vocab),
        parallel_block=1.0 if model.parallel_block else 0.0,
        kv_bytes=kv_bytes(kv_dtype),
    )


def _half(chip: ChipSpec) -> str:
    return compute_dtype(chip, "bf16")


def _stored(gemm: GemmArgs, form: Format, dtype: str) -> GemmArgs:
    """A product whose weights are stored narrower than they are multiplied."""
    narrow = dtype not in {"fp8", "fp8_block", "int8", "fp4"} and form.bytes < 2.0
    efficiency = gemm.efficiency * (DEQUANTISE_EFFICIENCY if narrow else 1.0)
    return gemm._replace(weight_bytes=form.bytes, efficiency=efficiency)


@lru_cache(maxsize=256)
def _physics(chip_id: str, dtype: str, profile: str, holder: _ById, kv_dtype: str) -> Physics:
    return physics(holder.chip, dtype, profile, kv_dtype)


class _ById:
    """A chip that hashes by its id, since its look-up tables cannot be hashed."""

    def __init__(self, chip: ChipSpec) -> None:
        self.chip = chip

    def __hash__(self) -> int:
        return hash(self.chip.id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ById) and other.chip is self.chip


def chip_physics(chip: ChipSpec, dtype: str, profile: str, kv_dtype: str = "") -> Physics:
    """Operator arguments of a chip, dtype and format of the cache, remembered."""
    return _physics(chip.id, dtype, profile, _ById(chip), "fp8" if kv_dtype == "fp8" else "")


@lru_cache(maxsize=256)
def _narrow_gemm(chip_id: str, dtype: str, profile: str, holder: _ById) -> GemmArgs:
    """Products in 8 or 4 bits: the engine's own timings, or another's where its own carry the time of the host.

    Some engines were timed with the calls that narrow the inputs, one by one from the host. Inside a graph these are part of
    the kernels before, so that a small product takes what it takes in the engine whose timings have the least beside it.
    """
    own = _physics(chip_id, dtype, profile, holder, "").args.gemm
    if dtype not in {"fp8", "fp8_block", "fp4"}:
        return own
    others = [_physics(chip_id, dtype, name, holder, "").args.gemm for name in _TIMED if name != profile]
    best = min(others, key=_small_product_s)
    return own if _small_product_s(own) <= HOST_CARRYING * _small_product_s(best) else best


def _small_product_s(gemm: GemmArgs) -> float:
    return float(gemm_s(16.0, 8192.0, 8192.0, 1.0, gemm))


@lru_cache(maxsize=256)
def _narrow_experts(chip_id: str, dtype: str, profile: str, holder: _ById) -> MoeArgs:
    """Experts in 8 bits: the engine's own timings, unless they are slower than its own in 16 bits at few tokens.

    Half the bytes cannot take longer: such timings carry the host's calls or an untuned kernel. The engine's block-scaled
    kernel stands in then, in which the large checkpoints come, or that of the engine that runs them fastest.
    """
    own: MoeArgs = _physics(chip_id, dtype, profile, holder, "").args.moe
    if dtype not in {"fp8", "fp8_block"} or "bf16" not in holder.chip.peak_flop_per_s:
        return own
    wide_s = _few_tokens_s(_physics(chip_id, "bf16", profile, holder, "").args.moe)
    if _few_tokens_s(own) <= wide_s:
        return own
    block: MoeArgs = _physics(chip_id, "fp8_block", profile, holder, "").args.moe
    if _few_tokens_s(block) <= wide_s:
        return block
    return min((_physics(chip_id, dtype, name, holder, "").args.moe for name in _TIMED), key=_few_tokens_s)


def _few_tokens_s(moe: MoeArgs) -> float:
    """Time of 64 tokens through the experts of a large mixture: 8 of 256, spread over eight chips."""
    return float(moe_ffn_s(64.0, 7168.0, 2048.0, 8.0, 256.0, 8.0, 1.0, 1.0, 1.0, moe))


@lru_cache(maxsize=64)
def _bridged(holder: _ById) -> ChipSpec:
    """A chip as a group sees it that is wider than its bridge or has none: all traffic takes the host's PCIe.

    Collectives over PCIe depend on the host more than on the chip (one published host is eight times slower than
    others), so all such groups take the timings of the same, well-built one.
    """
    name = f"{holder.chip.id} over PCIe"
    return replace(
        holder.chip,
        id=name,
        scale_up_domain=1,
        link_bytes_per_s=holder.chip.link_bytes_per_s
        if holder.chip.scale_up_domain <= 1 and holder.chip.link_bytes_per_s
        else PCIE_BYTES_PER_S,
    )


def _link(chip: ChipSpec, dtype: str, profile: str, ranks: int) -> LinkArgs:
    """Collectives of a group: over the scale-up link, or over PCIe when the link joins fewer chips of the node."""
    if chip.scale_up_domain < min(ranks, chip.node.chips):
        return chip_physics(_bridged(_ById(chip)), dtype, profile).args.link
    return chip_physics(chip, dtype, profile).args.link


def block_scaled(model: ModelSpec) -> bool:
    """Whether 8-bit checkpoints of a model carry a scale for every block of weights, which costs their products time.

    Those of the fine-grained mixtures do (DeepSeek-V3, Qwen3, GLM-4.5, Kimi K2 model cards); dense models and mixtures of a few
    experts come with one scale for a matrix or a channel.
    """
    return model.moe is not None and model.moe.experts > FEW_EXPERTS


def op_args(
    model: ModelSpec, chip: ChipSpec, weight_dtype: str, stack: ServeStack, ranks: int = 1, kv_dtype: str = ""
) -> tuple[OpArgs, str]:
    """Operators at the precisions in which an engine runs them, and where their efficiencies come from."""
    profile = stack.profile
    form = weight_format(weight_dtype)
    half = chip_physics(chip, _half(chip), profile, kv_dtype)
    dtype = compute_dtype(chip, weight_dtype)
    if dtype == "fp8" and block_scaled(model):
        dtype = "fp8_block"
    narrow = chip_physics(chip, dtype, profile)
    body = half.args.gemm
    if not (form.experts_only and model.moe is not None):
        body = _stored(_narrow_gemm(chip.id, dtype, profile, _ById(chip)), form, dtype)
    moe = _narrow_experts(chip.id, dtype, profile, _ById(chip))
    moe = moe._replace(gemm=_stored(moe.gemm, form, dtype))
    bounded = dtype == "fp8_block" and "bf16" in chip.peak_flop_per_s
    bound = chip_physics(chip, "bf16", profile).args.moe if bounded else moe
    attention = half.args.mla if model.mla else half.args.attention
    attention = attention._replace(efficiency=attention.efficiency / stack.prefill_attention)
    link = _link(chip, _half(chip), profile, ranks)
    if not stack.switch_sums:
        link = without_switch_sums(_link(chip, _half(chip), "", ranks))
    if not stack.direct_allreduce:
        link = link._replace(direct_base_s=0.0, base_s=link.base_s + NCCL_S)
    ops = OpArgs(body, body, half.args.gemm, moe, attention, half.args.memory, link, bound, 1.0 if bounded else 0.0)
    return ops, f"{narrow.origin}: {narrow.note}"


def host_age(chip: ChipSpec) -> float:
    """Host time of the nodes that a chip came in over that of the host that the stack table stands for."""
    year, month = (float(part) for part in (chip.launch or "2022-07").split("-")[:2])
    since: float = min(max(year + (month - 1.0) / 12.0, 2017.0), 2026.0) - HOST_YEAR
    return math.exp(-since * math.log(HOST_GAIN))


def engine_args(
    model: ModelSpec,
    chip: ChipSpec,
    layout: ServeLayout,
    stack: ServeStack,
    coefficients: ServeCoefficients,
    weight_dtype: str,
    kv_dtype: str,
) -> EngineArgs:
    """An engine and layout with the fitted coefficients of its family."""
    c, family = coefficients, stack.engine
    host = host_factor(c, stack) * host_age(chip)
    encoder = model.encoder_only and stack.encoder_kernels > 0.0
    plain = stack.encoder_kernels if encoder else stack.layer_kernels
    between = stack.expert_kernels if model.moe is not None else 0.0
    kernels = plain + between + MOE_KERNELS * (model.moe is not None) + MLA_KERNELS * (model.mla is not None)
    return EngineArgs(
        tp=float(layout.tp),
        pp=float(layout.pp),
        dp=float(layout.dp),
        ep=float(layout.ep),
        host_s=stack.host_s * host,
        host_per_seq_s=stack.host_per_seq_s * host,
        launch_s=stack.launch_s * host,
        layer_kernels=kernels,
        decode_graphs=1.0 if stack.graphs else 0.0,
        prefill_graphs=1.0 if stack.prefill_graphs else 0.0,
        grouped_decode=1.0 if stack.grouped_decode else 0.0,
        alltoall=1.0 if stack.alltoall else 0.0,
        dispatch_bytes=1.0 if weight_format(weight_dtype).bytes <= 1.0 else 2.0,
        small_kernels=max(plain - OTHER_KERNELS, 1.0),
        score_passes=0.0 if stack.fused_prefill or encoder else stack.score_passes,
        cache_reads=_of(c.cache16, family) if kv_bytes(kv_dtype) >= 2.0 else 1.0,
        matmul=_of(c.matmul, family),
        experts=_of(c.experts, family),
        attention=_of(c.attention, family),
        memory=_of(c.memory, family),
        collective=_of(c.collective, family),
        prompt_kernels=stack.prompt_kernels,
        expert_kernels=between,
        expert_copies=stack.expert_copies,
    )


def _of(values: Mapping[str, float], *keys: str) -> float:
    """The coefficient of the first key that has one, else the one of all engines."""
    return next((values[key] for key in (*keys, "*") if key in values), 1.0)


def host_factor(coefficients: ServeCoefficients, stack: ServeStack) -> float:
    """Measured over tabulated host time of a stack, of its engine, or of all engines."""
    return _of(coefficients.host, stack.id, stack.engine)


def front_factor(coefficients: ServeCoefficients, stack: ServeStack) -> float:
    """Measured over tabulated time of the front end of a stack, of its engine, or of all engines."""
    return _of(coefficients.front, stack.id, stack.engine)


def slowed(ops: OpArgs, factor: float) -> OpArgs:
    """The operators at the arithmetic rate that lasts inside an engine."""

    def slower(gemm: GemmArgs) -> GemmArgs:
        return gemm._replace(efficiency=gemm.efficiency / factor)

    moe, bound = (
        each._replace(gemm=slower(each.gemm), efficiency=each.efficiency / factor) for each in (ops.moe, ops.moe_bound)
    )
    attention = ops.attention._replace(efficiency=ops.attention.efficiency / factor)
    return ops._replace(
        gemm_attention=slower(ops.gemm_attention),
        gemm_ffn=slower(ops.gemm_ffn),
        gemm_head=slower(ops.gemm_head),
        moe=moe,
        moe_bound=bound,
        attention=attention,
    )


def iteration_args(
    model: ModelSpec,
    chip: ChipSpec,
    layout: ServeLayout,
    stack: ServeStack,
    weight_dtype: str,
    kv_dtype: str,
    coefficients: ServeCoefficients,
) -> tuple[IterationArgs, str]:
    """Everything that the time of an iteration depends on besides its load, and where the efficiencies come from."""
    ops, origin = op_args(model, chip, weight_dtype, stack, layout.tp * layout.dp, kv_dtype)
    ops = slowed(ops, _of(coefficients.compute, stack.engine))
    engine = engine_args(model, chip, layout, stack, coefficients, weight_dtype, kv_dtype)
    args = IterationArgs(shape_args(model, kv_dtype), engine, ops)
    return args, origin


def batch_rules(
    stack: ServeStack,
    memory: ServeMemory,
    layout: ServeLayout,
    isl: float,
    osl: float,
    prompt_cv2: float = 0.0,
    front: float = 1.0,
) -> tuple[BatchRules, str]:
    """How many sequences may run, how batches are formed, and what limits them ("kv-capacity" or "engine")."""
    held = isl + osl if stack.kv_reserve == "full" else isl + 0.5 * osl
    by_cache = sequences_that_fit(memory, layout, held)
    by_engine = float(stack.max_seqs * layout.dp * (layout.pp if stack.engine == "trtllm" else 1))
    limit = max(min(by_cache, by_engine), 1.0)
    rules = BatchRules(
        limit,
        float(stack.max_batched_tokens) * layout.dp,
        1.0 if stack.chunked_prefill else 0.0,
        1.0 if stack.mixed_batches else 0.0,
        prompt_cv2,
        stack.request_s * front,
        stack.request_per_seq_s * front,
        stack.poll_iterations,
        stack.hold_iterations,
        stack.hold_tokens,
        stack.ahead_iterations,
        stack.first_use_s,
        stack.request_s * front if stack.batching == "static" else 0.0,
        float(layout.dp),
    )
    return rules, "kv-capacity" if by_cache < by_engine else "engine"
