"""From a published training run to the question that the planner would have been asked.

The shape of the model, the node and the network come from the row itself, never from what we believe about its source.
What a row leaves open gets the documented default of its generation of software, and the case says so in a flag.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

from suanzhang import units
from suanzhang.app.physics_data import constant
from suanzhang.app.rows_measured import train_memory, train_step_s
from suanzhang.app.train_model import pack
from suanzhang.catalog import chips as chip_catalog
from suanzhang.catalog import models as model_catalog
from suanzhang.catalog import stacks as stack_catalog
from suanzhang.catalog.aliases import not_modelled
from suanzhang.errors import CatalogError, PlannerError
from suanzhang.evidence.rows import TrainRow
from suanzhang.perf.training.memory import fullest_stage_bytes
from suanzhang.perf.training.pack import layout_args
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.job import TrainJob
from suanzhang.spec.layout import Recompute, Schedule, TrainLayout
from suanzhang.spec.model import LinearAttentionSpec, MlaSpec, ModelSpec, MoeSpec, WindowSpec
from suanzhang.spec.stack import TrainStack


@dataclass(frozen=True, slots=True)
class Skip:
    """Why a row is not modelled: one reason in words that many rows can share."""

    reason: str


@dataclass(frozen=True, slots=True)
class TrainCase:
    """A training run as the planner is asked about it, and what was measured.

    Args:
        row: the published row.
        job, chip, layout, stack: the question.
        measured: metric name (``step_s``, ``memory_bytes``) to its value in SI units.
        memory_scope: "allocated", "reserved" or "device": what the memory figure counts.
        out_of_memory: the run did not fit, as published.
        open_recompute: the row does not say what is recomputed; the least that fits is meant.
        flags: what was assumed, in words.
    """

    row: TrainRow
    job: TrainJob
    chip: ChipSpec
    layout: TrainLayout
    stack: TrainStack
    measured: Mapping[str, float]
    memory_scope: str = ""
    out_of_memory: bool = False
    open_recompute: bool = False
    flags: tuple[str, ...] = ()


class _UnusableError(Exception):
    """Leaves the reading of a row with the reason why it is skipped."""


# ---------------------------------------------------------------- software generations

_FAMILIES: tuple[tuple[str, str], ...] = (
    (r"megatron[- ]?bridge", "megatron-bridge"),
    (r"torchtitan", "torchtitan"),
    (r"llm-foundry|mosaicml|mpt-7b|composer", "llm-foundry"),
    (r"maxtext|tpu-recipes|tpu recipes", "maxtext"),
    (r"rosetta|\bpax\b|jax-toolbox|levanter|tiering", "jax-pax"),
    (r"litgpt|lit-gpt", "litgpt"),
    (r"internevo|internlm", "internevo"),
    (r"fms-fsdp|flashattention-2|olmo|smollm|nanochat|tinyllama|starcoder", "fsdp"),
    (r"colossal", "colossalai"),
    (r"llm\.c\b", "llm-c"),
    (r"\bhf \+ deepspeed", "deepspeed"),
    (r"bigscience|megatron-deepspeed|megatron-turing|\bopt\b|glm-130b|gpt-neox|frontier", "megatron-deepspeed"),
    (r"hf trainer|hugging ?face|transformers|qwen readme|llama-factory|peft|unsloth|swift", "hf-deepspeed"),
    (r"ml-engineering|deepspeed|zero-3|zero-100b", "deepspeed"),
    (r"intel-habanalabs|gaudi", "habana"),
    (r"google/|tpu", "maxtext"),
    (r"mindspeed|pangu|ascend", "mindspeed"),
    (r"dgx cloud|nemo|mlperf", "nemo"),
    (r"simumax|zero bubble|korthikanti|megatron|flagscale", "megatron-lm"),
)
"""Words in the source and notes of a row to a family of training software."""

_KIN: Mapping[str, tuple[str, ...]] = {
    "megatron-bridge": ("megatron-bridge", "nemo", "megatron-core", "megatron-lm"),
    "nemo": ("nemo", "megatron-core", "megatron-lm"),
    "megatron-lm": ("megatron-lm", "megatron-core", "nemo"),
    "megatron-deepspeed": ("megatron-deepspeed", "megatron-lm"),
    "torchtitan": ("torchtitan", "fsdp", "pytorch"),
    "llm-foundry": ("llm-foundry", "fsdp", "pytorch"),
    "maxtext": ("maxtext", "jax", "pax"),
    "jax-pax": ("jax-pax", "pax", "jax", "maxtext"),
    "litgpt": ("litgpt", "hf", "pytorch", "fsdp"),
    "internevo": ("internevo", "internlm", "deepspeed"),
    "fsdp": ("fsdp", "pytorch", "torchtitan"),
    "colossalai": ("colossalai", "colossal", "deepspeed"),
    "llm-c": ("llm-c", "llm.c", "nanogpt"),
    "hf-deepspeed": ("hf", "deepspeed"),
    "deepspeed": ("deepspeed", "hf"),
    "habana": ("habana", "optimum", "megatron-deepspeed", "deepspeed"),
    "mindspeed": ("mindspeed", "megatron-lm"),
}
"""Prefixes of stack ids that may stand for a family, the closest first."""

_CONTAINER = re.compile(r"(?<![\d.])(2[2-9])\.(0[1-9]|1[0-2])(?![\d])|\b20(2\d)(0[1-9]|1[0-2])\b")


_SYNC_LAUNCH = r"bigscience.*tuning log"
"""Logs that say that every kernel was waited for (``CUDA_LAUNCH_BLOCKING=1``, against hangs)."""
_OLDER_THAN_PAPER = ((r"zero bubble", "2022-12"), (r"mlperf training v3\.0", "2023-05"))
"""Papers whose code is a fork of software older than themselves, and a round of benchmarks that was due in the spring."""


def _released(row: TrainRow) -> str:
    """Month of the software by its container or file name, else the end of the year; of a fork, that of what it forked."""
    for pattern, month in _OLDER_THAN_PAPER:
        if re.search(pattern, row.source, re.IGNORECASE):
            return month
    match = _CONTAINER.search(" ".join((row.id, row.where, row.notes)))
    if match:
        year, month = (match.group(1), match.group(2)) if match.group(1) else (match.group(3), match.group(4))
        if abs(2000 + int(year) - (row.year or 2000 + int(year))) <= 1:
            return f"20{year}-{month}"
    return f"{row.year or 2024}-12"


def _family(row: TrainRow) -> str:
    for text in (f"{row.source} {row.where}", row.notes):
        for pattern, family in _FAMILIES:
            if re.search(pattern, text, re.IGNORECASE):
                return family
    return ""


@cache
def _stack_named(family: str, released: str) -> TrainStack:
    stacks = sorted(stack_catalog.train_stacks().values(), key=lambda stack: stack.released)
    for prefix in _KIN.get(family, (family,) if family else ()):
        kin = [stack for stack in stacks if stack.id.startswith(prefix)]
        if kin:
            older = [stack for stack in kin if stack.released <= released]
            return older[-1] if older else kin[0]
    return stack_catalog.default_train_stack(int(released[:4]))


_HIDES_EXCHANGE = (r"megatron-bridge", r"deepseek-v3|qwen3-235b", r"h100", 0.9)
"""Recipes that switch on the exchange of experts behind other micro-batches (``moe_a2a_overlap``): source, models, chip, and
the share of it that may hide. The recipes of that source for other models and chips leave it off."""


def train_stack_of(row: TrainRow) -> TrainStack:
    """The generation of software that a row was measured with, by its family and month."""
    stack = _stack_named(_family(row), _released(row))
    source, models, chips, share = _HIDES_EXCHANGE
    stated = ((source, row.source), (models, row.model_name), (chips, row.chip))
    if all(re.search(words, text, re.IGNORECASE) for words, text in stated):
        stack = replace(stack, overlap_ep=share)
    if re.search(_ADAM_ON_HOST, row.source, re.IGNORECASE):
        stack = replace(stack, whole_init=True)
    if re.search(_SYNC_LAUNCH, row.source, re.IGNORECASE):
        return replace(stack, sync_launch=True)
    return stack


# ---------------------------------------------------------------- shape

_MLA = re.compile(r"MLA\s+q_lora(\d+)\s+kv_lora(\d+)\s+nope(\d+)\s+rope(\d+)\s+v(\d+)")
_WINDOW_SHARE = re.compile(r"(\d+) of (\d+) layers sliding window (\d+)")
_WINDOW_HALF = re.compile(r"alternating sliding window (\d+)")
_ATTENTION_LAYERS = re.compile(r"\((\d+) attention layers\)")


def _whole(value: Any) -> int | None:
    return round(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0 else None


def _from_catalog(name: str) -> ModelSpec | None:
    cut = re.split(r"\s+(?:cut to|LoRA|QLoRA|SFT|\()", re.sub(r"^MLPerf\s+", "", name))[0]
    for text in (name, cut):
        try:
            return model_catalog.model(text)
        except PlannerError:
            continue
    return None


def model_of(row: TrainRow) -> ModelSpec:
    """The shape that a row states; a shape that it names without figures comes from the catalog.

    Raises:
        _UnusableError: neither the row nor the catalog knows the shape.
    """
    shape = row.model
    name = row.model_name or "unnamed"
    layers, hidden, heads = (_whole(shape.get(key)) for key in ("layers", "hidden", "heads"))
    if layers is None or hidden is None:
        known = _from_catalog(name)
        if known is None:
            raise _UnusableError("model shape not stated")
        return known
    known = _from_catalog(name) if heads is None or _whole(shape.get("ffn")) is None else None
    if known is not None and (known.layers, known.hidden) == (layers, hidden):
        heads = heads or known.heads
    head_dim = _whole(shape.get("head_dim"))
    if heads is None:
        head_dim = head_dim or (64 if hidden < 2048 else 128)
        heads = max(1, hidden // head_dim)
    head_dim = head_dim or hidden // heads
    gated = bool(shape.get("gated_mlp"))
    moe = _moe_of(shape.get("moe"), _whole(shape.get("ffn")), name)
    ffn = _whole(shape.get("ffn")) or (moe.expert_ffn if moe else None) or (known.ffn if known else 4 * hidden)
    attention = str(shape.get("attention") or "")
    spec = _with_tied(
        shape.get("params_B"),
        ModelSpec(
            id=re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-"),
            name=name,
            layers=layers,
            hidden=hidden,
            heads=heads,
            kv_heads=_whole(shape.get("kv_heads")) or heads,
            head_dim=head_dim,
            ffn=ffn,
            gated_mlp=gated,
            vocab=_whole(shape.get("vocab")) or 51200,
            tied_embeddings=not gated,
            max_seq=row.seq_len or 2048,
            moe=moe,
            mla=_mla_of(attention, known, name),
            window=_window_of(attention, layers),
            mtp_layers=1 if re.search(r"\bw/ MTP\b", row.notes) else 0,
            encoder_only=attention.startswith("bidirectional"),
            source=row.source,
        ),
    )
    return _with_linear(spec, attention, shape.get("params_B"))


def _with_tied(params_billion: Any, spec: ModelSpec) -> ModelSpec:
    """Whether the output head shares the embedding table, by the count that the row prints."""
    if not isinstance(params_billion, (int, float)) or params_billion <= 0 or spec.moe is not None:
        return spec
    other = replace(spec, tied_embeddings=not spec.tied_embeddings)
    stated = params_billion * units.GIGA
    closer = abs(other.params - stated) < 0.5 * abs(spec.params - stated)
    return other if closer and abs(other.params / stated - 1.0) < 0.02 else spec


def _moe_of(value: Any, ffn: int | None, name: str = "") -> MoeSpec | None:
    if not isinstance(value, Mapping) or not _whole(value.get("experts")):
        return None
    expert_ffn = _whole(value.get("expert_ffn")) or ffn
    if expert_ffn is None:
        raise _UnusableError("width of an expert not stated")
    shared = _whole(value.get("shared")) or 0
    known = _from_catalog(name)
    same = known.moe if known and known.moe and known.moe.experts == int(value["experts"]) else None
    return MoeSpec(
        experts=int(value["experts"]),
        topk=_whole(value.get("topk")) or 1,
        expert_ffn=expert_ffn,
        shared_experts=shared,
        shared_ffn=shared * (_whole(value.get("shared_ffn")) or expert_ffn),
        dense_layers=_whole(value.get("dense_layers")) or 0,
        every=_whole(value.get("every")) or 1,
        groups=same.groups if same else 1,
        topk_groups=same.topk_groups if same else 0,
    )


def _mla_of(attention: str, known: ModelSpec | None, name: str) -> MlaSpec | None:
    match = _MLA.search(attention)
    if match:
        q_lora, kv_lora, nope, rope, v_dim = (int(part) for part in match.groups())
        return MlaSpec(q_lora=q_lora, kv_lora=kv_lora, nope_dim=nope, rope_dim=rope, v_dim=v_dim)
    if not attention.startswith("MLA"):
        return None
    known = known or _from_catalog(name)
    if known is None or known.mla is None:
        raise _UnusableError("sizes of the latent attention not stated")
    return known.mla


def _window_of(attention: str, layers: int) -> WindowSpec | None:
    share = _WINDOW_SHARE.search(attention)
    if share:
        part, whole, tokens = (int(text) for text in share.groups())
        return WindowSpec(tokens=tokens, layers=layers * part // whole)
    half = _WINDOW_HALF.search(attention)
    return WindowSpec(tokens=int(half.group(1)), layers=layers // 2) if half else None


def _with_linear(spec: ModelSpec, attention: str, params_billion: Any) -> ModelSpec:
    """A hybrid with state-space layers: their parameters are what the published count leaves over."""
    if "hybrid" not in attention.lower():
        return spec
    known = _from_catalog(spec.name)
    if known is not None:
        return known
    match = _ATTENTION_LAYERS.search(attention)
    if match is None or not isinstance(params_billion, (int, float)):
        raise _UnusableError("layers of the hybrid model not stated")
    linear = spec.layers - int(match.group(1))
    bare = replace(spec, linear=LinearAttentionSpec(layers=linear, state_bytes=0.0, params=0.0))
    rest = max(params_billion * units.GIGA - bare.params, 0.0) / linear
    return replace(spec, linear=LinearAttentionSpec(layers=linear, state_bytes=256.0 * spec.hidden, params=rest))


# ---------------------------------------------------------------- chip, precision, layout


_LARGEST_SERVER = 16


@cache
def chip_in_node(
    name: str, per_node: int, link_gbyte_per_s: float, network_gbit_per_s: float, nic_efficiency: float = 0.0
) -> ChipSpec:
    """The catalog's chip in the node and network that a row states; zeros leave what the catalog says.

    Raises:
        CatalogError: the chip is not in the catalog.
    """
    chip = chip_catalog.chip(name)
    node, domain = chip.node, chip.scale_up_domain
    if per_node and node.chips <= _LARGEST_SERVER:  # of a rack-scale node, rows state the tray
        node = replace(node, chips=per_node, power_w=node.power_w * per_node / max(node.chips, 1))
        domain = per_node if domain == chip.node.chips else min(domain, per_node) if domain < chip.node.chips else domain
    if network_gbit_per_s:
        node = replace(node, nic_bytes_per_s=network_gbit_per_s * units.GIGA / units.BITS_PER_BYTE)
    node = replace(node, nic_efficiency=nic_efficiency or node.nic_efficiency)
    link = chip.link_bytes_per_s
    if link_gbyte_per_s and link and chip.vendor.lower() == "nvidia":
        link = link_gbyte_per_s * units.GIGA / 2.0
    return replace(chip, node=node, scale_up_domain=domain, link_bytes_per_s=link)


def chip_of(row: TrainRow) -> ChipSpec:
    """The chip of a row, in the node and network of the row."""
    stated = (row.chip, row.chips_per_node or 0, row.intra_link_gbyte_per_s or 0.0, row.network_gbit_per_s or 0.0)
    try:
        return chip_in_node(*stated, nic_efficiency=_network_efficiency(row))
    except CatalogError as error:
        raise _UnusableError(unlisted("chip", row.chip)) from error


def unlisted(what: Literal["chip", "model"], name: str) -> str:
    """Why a name of a row has no entry: what the catalog says of it, else that it is not there."""
    reason = not_modelled(what, name)
    return f"{what} {name!r} not modelled: {reason}" if reason else f"{what} {name!r} not in the catalog"


_OMNIPATH = r"bigscience"
"""Who ran on Omni-Path (the cluster Jean Zay, which measured its own network), not on InfiniBand or Ethernet."""
_FAR_PORTS = (r"tuning log", "02-25")
"""The log that says on which day chips, processes and ports were bound together: rows before it are slower for that."""
_LOG_DAY = re.compile(r"table row (\d\d-\d\d)")
_HALF_OF_THE_PORTS = r"v100"
"""Chips of that cluster in nodes whose logs show four chips behind two of the node's four ports."""


def _network_efficiency(row: TrainRow) -> float:
    """Share of its network that a row's cluster was measured to reach; 0 where nobody measured it."""
    if not re.search(_OMNIPATH, row.source, re.IGNORECASE):
        return 0.0
    if re.search(_HALF_OF_THE_PORTS, row.chip, re.IGNORECASE):
        return constant("omnipath_shared_efficiency")
    log, bound = _FAR_PORTS
    day = _LOG_DAY.search(row.where)
    far = re.search(log, row.source, re.IGNORECASE) and day is not None and day.group(1) < bound
    return constant("omnipath_far_efficiency" if far else "omnipath_efficiency")


_PRECISIONS: tuple[tuple[str, str], ...] = (
    (r"nf4|int4 weights", "4-bit-frozen"),
    (r"nvfp4", "nvfp4"),
    (r"mxfp4|fp4", "fp4"),
    (r"^\s*bf16 / fp8", "bf16"),
    (r"^\s*(mxfp8|fp8-mx)", "mxfp8"),
    (r"fp8", "fp8"),
    (r"int8", "int8"),
    (r"fp16\s*/\s*bf16|half", "half"),
    (r"bf16|bfloat16|mixed", "bf16"),
    (r"fp16|float16", "fp16"),
    (r"tf32", "tf32"),
    (r"fp32|float32", "fp32"),
)


def precision_of(row: TrainRow, chip: ChipSpec) -> tuple[str, bool]:
    """The dtype of the matrix arithmetic, and whether the weights are frozen in four bits."""
    text = row.precision.lower()
    name = next((name for pattern, name in _PRECISIONS if re.search(pattern, text)), "bf16" if not text else "")
    if not name:
        raise _UnusableError("precision not understood")
    half = "bf16" if "bf16" in chip.peak_flop_per_s else "fp16"
    if "fp8" in name and not chip.has(name):
        name = "fp8"
    if name in {"half", "4-bit-frozen"} or not chip.has(name):
        return half, name == "4-bit-frozen"
    return name, False


_UP_PROJECTIONS_AGAIN = (r"megatron-bridge", r"deepseek-v3|kimi-k2")
"""Recipes that repeat the up-projections of the latent attention (``mla_up_proj``), on all chips: source and models."""


_CHECKPOINTS_ON_HOST = (r"bigscience gpt2", r"megatron \+ deepspeed zero")
"""Runs whose scripts keep what full recomputation saves on the host (``--checkpoint-in-cpu``): source and section."""


def _recompute_of(row: TrainRow) -> tuple[Recompute | None, bool]:
    """What is recomputed (None when the row leaves it open), and whether activations go to the host."""
    text = row.recompute.lower()
    offload = "offload" in text and not re.search(_ADAM_ON_HOST, row.source, re.IGNORECASE)
    source, section = _CHECKPOINTS_ON_HOST
    if re.search(source, row.source, re.IGNORECASE) and re.search(section, row.where, re.IGNORECASE):
        offload, text = True, f"{text} + activation offload"
    if not text or text.startswith("not stated"):
        source, models = _UP_PROJECTIONS_AGAIN
        by_recipe = re.search(source, row.source, re.IGNORECASE) and re.search(models, row.model_name, re.IGNORECASE)
        return ("selective" if by_recipe else None), offload
    if text.startswith(("full", "gradient checkpointing", "yes", "true", "qkv_proj_offloaded")):
        return "full", offload and "activation" in text
    if text.startswith(("none", "no ", "false", "off", "gelu")):
        return "none", offload
    return ("selective" if re.search(r"selective|sac|minimal|remat|save", text) else None), offload


_SCHEDULES: Mapping[str, Schedule] = {
    "zb-2p": "zero-bubble-2p",
    "zb": "zero-bubble",
    "zero-bubble": "zero-bubble",
    "1f1b-i": "interleaved",
    "interleaved": "interleaved",
    "gpipe": "gpipe",
    "dualpipe": "dualpipe",
    "1f1b": "1f1b",
}


_ROW_OF_SCHEDULE = re.compile(r'row "([^"]*1f1b)"', re.IGNORECASE)
"""Tables that have one row for each schedule."""


def _schedule_of(row: TrainRow, vpp: int) -> Schedule:
    named = _ROW_OF_SCHEDULE.search(row.where)
    text = str(row.layout.get("schedule") or (named.group(1) if named else "")).lower()
    for name, schedule in _SCHEDULES.items():
        if text.startswith(name):
            return schedule
    return "interleaved" if vpp > 1 else "1f1b"


_ADAM_ON_HOST = r"when to upgrade gpus"
"""Published runs whose page says that AdamW works, and keeps its state, on the host: that is all of their offloading. Their
script loads the whole model without ``zero.Init``, so that DeepSpeed moves it to each chip before it shards it."""


def _zero_of(row: TrainRow, stack: TrainStack, flags: list[str]) -> tuple[int, bool]:
    """The sharding stage, and whether optimizer states live in host memory."""
    value, fsdp = row.layout.get("zero"), row.layout.get("fsdp")
    text = str(value or "")
    offload = "offload" in text.lower() or bool(re.search(_ADAM_ON_HOST, row.source, re.IGNORECASE))
    if isinstance(value, int) and not isinstance(value, bool):
        return min(value, 3), offload
    if re.search(r"fsdp", text, re.IGNORECASE) or (value is None and fsdp not in (None, False, "false", "NO_SHARD")):
        return 3, offload
    match = re.search(r"(?:zero-?)?([0-3])", text, re.IGNORECASE)
    if match:
        return int(match.group(1)), offload
    flags.append(f"sharding stage not stated, {stack.title}'s default taken")
    return stack.default_zero_stage, offload


def _shard_ranks_of(row: TrainRow) -> int:
    """Data ranks that share what is sharded, where the row says that it is not all of them."""
    text = f"{row.layout.get('zero') or ''} {row.layout.get('fsdp') or ''}"
    stated = re.search(r"within (\d+)|fsdp (\d+) inside", text, re.IGNORECASE)
    if stated:
        return int(stated.group(1) or stated.group(2))
    return row.chips_per_node or 8 if re.search(r"hsdp|hybrid|hierarchical", text, re.IGNORECASE) else 0


def _layout_of(row: TrainRow, chips: int, batch: int, stack: TrainStack, flags: list[str]) -> tuple[TrainLayout, bool]:
    """The layout, and whether the row leaves open what is recomputed."""
    stated = row.layout
    tp, pp, cp = (_whole(stated.get(key)) for key in ("tp", "pp", "cp"))
    zero, offload_optimizer = _zero_of(row, stack, flags)
    if tp is None and pp is None and _whole(stated.get("dp")) is None:
        if chips > 1 and not (stack.default_zero_stage == 3 or zero == 3):
            raise _UnusableError("layout not stated")
        flags.append("layout not stated: parameters sharded over all chips")
        zero = 3 if chips > 1 else zero
    tp, pp, cp = tp or 1, pp or 1, cp or 1
    if str(stated.get("units") or "") == "cores":
        tp = max(1, tp // 2)
    dp = _whole(stated.get("dp")) or 0
    if dp * tp * pp * cp != chips:
        if chips % (tp * pp * cp):
            raise _UnusableError("layout does not divide the chips")
        if dp:
            flags.append(f"data-parallel size {dp} of the row does not fit its chips, {chips // (tp * pp * cp)} taken")
        dp = chips // (tp * pp * cp)
    if batch < dp:
        raise _UnusableError("fewer sequences than data ranks")
    recompute, offload = _recompute_of(row)
    micro = _micro_batch_of(row, batch, (dp, pp, cp), stack, flags)
    vpp = _whole(stated.get("vpp")) or _default_chunks(row, stack, pp, batch // (dp * micro), flags)
    layout = TrainLayout(
        tp=tp,
        pp=pp,
        dp=dp,
        cp=cp,
        ep=_whole(stated.get("ep")) or 1,
        etp=_whole(stated.get("etp")) or (1 if (_whole(stated.get("ep")) or 1) > 1 else 0),
        vpp=vpp if pp > 1 else 1,
        sp=bool(stated["sp"]) if stated.get("sp") is not None else stack.sequence_parallel and tp > 1,
        zero_stage=zero,
        micro_batch=micro,
        recompute=recompute or stack.default_recompute,
        schedule=_schedule_of(row, vpp if pp > 1 else 1),
        overlap_dp=not _no_overlap(row),
        overlap_tp=not _no_overlap(row),
        overlap_pp=not _no_overlap(row),
        offload_optimizer=offload_optimizer,
        offload_activations=offload,
        shard_ranks=_shard_ranks_of(row),
        head_layers=_head_layers_of(row, pp, vpp if pp > 1 else 1),
    )
    if recompute is None:
        flags.append("recomputation not stated: the least that fits is meant")
    return layout, recompute is None


_CUT_BY_RECIPE = (r"megatron-bridge", r"deepseek-v3|kimi-k2", 61)
"""Recipes that print which layers each stage holds: their source, their models and the layers of those."""


def _head_layers_of(row: TrainRow, pp: int, vpp: int) -> int:
    """Layers that the last stage leaves to the others, where the recipe of a row prints its cut.

    The recipes of Megatron-Bridge fill the chunks of DeepSeek-V3 and Kimi K2 as if there were 64 layers, and leave three out of
    the last chunk, beside the loss and the layer of multi-token prediction; of 32 chunks two there and one in the first.
    """
    source, models, layers = _CUT_BY_RECIPE
    if not re.search(source, row.source, re.IGNORECASE) or not re.search(models, row.model_name, re.IGNORECASE):
        return 0
    if pp < 2 or _whole(row.model.get("layers")) != layers or 64 % (pp * vpp):
        return 0
    short = 2 if pp * vpp == 32 else 64 - layers
    last = 64 // pp - short
    return max(0, layers // pp - last)


_TWO_CHUNKS = "torchtitan"
"""Software that cuts a stage in two where a schedule of several chunks is asked for and no cut is given."""


def _default_chunks(row: TrainRow, stack: TrainStack, pp: int, micro_batches: int, flags: list[str]) -> int:
    """Virtual pipeline chunks per stage by the habit of the stack, when the row does not state them."""
    layers = _whole(row.model.get("layers")) or 0
    smallest = stack.default_chunk_layers
    if pp > 1 and stack.id.startswith(_TWO_CHUNKS) and _schedule_of(row, 1) == "interleaved":
        flags.append(f"interleaving not stated, {stack.title}'s default taken")
        return 2
    if pp < 2 or not smallest or not layers or micro_batches % pp or layers % pp:
        return 1
    per_stage = layers // pp
    flags.append(f"interleaving not stated, {stack.title}'s default taken")
    return max((v for v in range(1, per_stage // smallest + 1) if per_stage % v == 0), default=1)


def _sharded_if_needed(
    row: TrainRow, layout: TrainLayout, model: ModelSpec, chip: ChipSpec, stack: TrainStack, flags: list[str]
) -> TrainLayout:
    """Parameters sharded over the data ranks where the row does not say and whole copies cannot fit."""
    open_stage = row.layout.get("zero") is None and row.layout.get("fsdp") is None
    if not open_stage or layout.zero_stage == 3 or layout.pp > 1 or layout.dp < 2 or model.moe is not None:
        return layout
    whole = model.params / layout.tp * (stack.param_bytes + stack.grad_bytes)
    if whole < 0.85 * chip.hbm_bytes:
        return layout
    flags.append("sharding stage not stated and whole copies do not fit: parameters sharded")
    return replace(layout, zero_stage=3)


def _least_layers(job: TrainJob, chip: ChipSpec, layout: TrainLayout, stack: TrainStack) -> int:
    """Layers of a stage that must be recomputed for the layout to fit; 0 (all) where even that does not help."""
    packed = pack(job, chip, stack)
    most = -(-job.model.layers // layout.pp)
    micro_batches = job.global_batch / (layout.dp * layout.micro_batch)

    def fits(layers: int) -> bool:
        row = layout_args(replace(layout, recompute="full", recompute_layers=layers))
        return fullest_stage_bytes(packed.shape, packed.run, row, micro_batches, packed.run.capacity) <= packed.run.hbm_bytes

    low, high = 1, most
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle + 1, high)
    return low if low < most else 0


def _no_overlap(row: TrainRow) -> bool:
    return bool(re.search(r"all communication overlap switched off|no overlap|overlap off", row.notes, re.IGNORECASE))


_USUAL_TOKENS = 8192
"""Tokens of one micro-batch on one context rank when a row does not state the micro-batch."""


_AS_MANY_AS_STAGES = "torchtitan-2024"
"""Software whose option for the micro-batches of a pipeline says: by default as many as it has stages."""


def _micro_batch_of(row: TrainRow, batch: int, ranks: tuple[int, int, int], stack: TrainStack, flags: list[str]) -> int:
    """Sequences of one micro-batch; ``ranks`` are those of data, pipeline and context."""
    dp, pp, cp = ranks
    per_rank = max(1, batch // dp)
    if row.micro_batch:
        return min(row.micro_batch, per_rank)
    if pp > 1 and stack.id == _AS_MANY_AS_STAGES and per_rank % pp == 0:
        flags.append(f"micro-batch not stated, {stack.title}'s default taken")
        return per_rank // pp
    flags.append("micro-batch not stated")
    wanted = 1 if pp > 1 else max(1, min(4, per_rank, _USUAL_TOKENS * cp // (row.seq_len or _USUAL_TOKENS)))
    while per_rank % wanted:
        wanted -= 1
    return wanted


_METHOD_KEYS = ("method", "lora", "qlora", "lora_rank")
"""Keys of a layout that say which weights are trained."""


def _method_of(row: TrainRow, frozen_4bit: bool) -> tuple[Literal["full", "lora", "qlora"], int]:
    stated = [f"{key}={row.layout[key]}" for key in _METHOD_KEYS if row.layout.get(key)]
    text = " ".join([*stated, row.kind, row.model_name, row.notes, row.id])
    rank = re.search(r"rank[ =](\d+)|\br=(\d+)", text)
    size = int(next(part for part in rank.groups() if part)) if rank else 16
    if frozen_4bit or re.search(r"q-?lora", text, re.IGNORECASE):
        return "qlora", size
    if re.search(r"\blora\b|-lora\b|lora-|finetune_adapter", text, re.IGNORECASE) and not re.search(
        r"\bfull[- ]param|not lora", text, re.IGNORECASE
    ):
        return "lora", size
    return "full", 0


_ANSWERING = re.compile(r"\binference\b", re.IGNORECASE)
"""Tables whose title says that no step was taken: the model only answered."""


def train_case(row: TrainRow) -> TrainCase | Skip:
    """The question behind a published training run, or why there is none."""
    if row.problem:
        return Skip(row.problem)
    if _ANSWERING.search(row.where) and not row.measured.get("oom"):  # what cannot even answer cannot train either
        return Skip("a table of inference, not of training")
    try:
        return _case(row)
    except _UnusableError as reason:
        return Skip(str(reason))


def _case(row: TrainRow) -> TrainCase:
    flags: list[str] = []
    chip = chip_of(row)
    model = model_of(row)
    chips = row.chips
    if not chips:
        raise _UnusableError("number of chips not stated")
    row = _with_longest_example(row, flags)
    if not row.seq_len:
        raise _UnusableError("sequence length not stated")
    stack = train_stack_of(row)
    precision, frozen = precision_of(row, chip)
    batch = row.global_batch or _batch_without(row, flags)
    layout, open_recompute = _layout_of(row, chips, batch, stack, flags)
    if layout.zero_stage == 3 and stack.id.startswith("megatron-lm") and stack.attention == "fused-softmax":
        stack = _stack_named("megatron-deepspeed", _released(row))  # Megatron-LM of that time shards no parameters
    layout = _sharded_if_needed(row, layout, model, chip, stack, flags)
    method, rank = _method_of(row, frozen)
    job = TrainJob(
        name=row.id,
        model=replace(model, max_seq=max(model.max_seq, row.seq_len)),
        tokens=float(batch * row.seq_len),
        seq_len=row.seq_len,
        global_batch=batch,
        precision=precision,
        method=method,
        lora_rank=rank,
        trained_ends=method != "full" and bool(re.search(r"\(emb\)", f"{row.id} {row.notes}")),
    )
    if open_recompute and row.measured.get("oom"):  # what did not fit ran with what its software does by itself
        open_recompute = False
        layout = replace(layout, recompute=stack.default_recompute)
    elif open_recompute:
        layout = replace(layout, recompute_layers=_least_layers(job, chip, layout, stack))
    measured: dict[str, float] = {}
    step = train_step_s(row, model, batch)
    if step:
        measured["step_s"] = step
    memory, scope = train_memory(row)
    if memory:
        measured["memory_bytes"] = memory
    return TrainCase(
        row=row,
        job=job,
        chip=chip,
        layout=layout,
        stack=stack,
        measured=measured,
        memory_scope=scope,
        out_of_memory=bool(row.measured.get("oom")),
        open_recompute=open_recompute,
        flags=tuple(flags),
    )


_LONGEST = re.compile(r"longest example (\d+|None)")
_PADDED_TOKENS = 2048
"""Longest sample that padded fine-tuning takes where a row does not say: the usual cut of instruction data."""


def _with_longest_example(row: TrainRow, flags: list[str]) -> TrainRow:
    """Samples padded to the longest of a micro-batch: the longest of all sets the memory, and only that is asked."""
    stated = _LONGEST.search(row.notes)
    if row.seq_len or stated is None:
        return row
    tokens = _PADDED_TOKENS if stated.group(1) == "None" else int(stated.group(1))
    flags.append("samples of varying length: memory at the longest")
    kept = {key: value for key, value in row.measured.items() if key.startswith(("mem", "oom"))}
    return replace(row, seq_len=tokens, measured=kept)


def _batch_without(row: TrainRow, flags: list[str]) -> int:
    """A row of memory alone holds for one micro-batch per data rank; a rate without its batch cannot be a step."""
    dp = _whole(row.layout.get("dp"))
    if row.micro_batch and dp:
        flags.append("global batch not stated: one micro-batch per data rank")
        return row.micro_batch * dp
    raise _UnusableError("global batch not stated")
