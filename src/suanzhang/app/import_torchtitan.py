"""Reads a torchtitan TOML as a training job."""

from __future__ import annotations

import tomllib
from difflib import get_close_matches
from typing import Any

from suanzhang.app.import_faults import unreadable
from suanzhang.app.launch_frameworks import FLAVORS, SCHEDULES
from suanzhang.catalog.models import model as model_of
from suanzhang.errors import InputError
from suanzhang.spec.imports import ReadJob
from suanzhang.spec.layout import TrainLayout
from suanzhang.spec.model import ModelSpec

_SCHEDULES = {name.lower(): ours for ours, name in SCHEDULES.items()}
_SILENT = frozenset(
    """job profiling metrics lr_scheduler checkpoint validation comm fault_tolerance experimental memory_estimation
    debug""".split()  # noqa: SIM905
)
_READ = {
    "model": {"name", "flavor", "converters", "hf_assets_path", "tokenizer_path", "print_after_conversion"},
    "optimizer": {"name", "lr", "eps", "beta1", "beta2", "weight_decay", "implementation"},
    "training": {
        "local_batch_size", "global_batch_size", "seq_len", "steps", "enable_cpu_offload", "mixed_precision_param", "dataset",
        "dataset_path", "max_norm", "dataloader",
    },
    "parallelism": {
        "data_parallel_replicate_degree", "data_parallel_shard_degree", "fsdp_reshard_after_forward", "tensor_parallel_degree",
        "enable_async_tensor_parallel", "pipeline_parallel_degree", "pipeline_parallel_schedule", "context_parallel_degree",
        "pipeline_parallel_layers_per_stage", "pipeline_parallel_microbatch_size", "expert_parallel_degree",
        "expert_tensor_parallel_degree", "pipeline_parallel_first_stage_less_layers",
        "pipeline_parallel_last_stage_less_layers", "module_fqns_per_model_part",
    },
    "activation_checkpoint": {"mode", "selective_ac_option"},
    "compile": {"enable", "components"},
    "quantize": {"linear"},
}  # fmt: skip


def _part(body: dict[str, Any], name: str) -> dict[str, Any]:
    part = body.get(name, {})
    if not isinstance(part, dict):
        raise InputError(f"torchtitan: [{name}] is no table", fix="see the job configuration of torchtitan")
    return part


def _whole(part: dict[str, Any], name: str, default: int) -> int:
    value = part.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"torchtitan: {name} must be a whole number, got {value!r}", fix="write a whole number")
    return value


def _unreadable(body: dict[str, Any]) -> list[InputError]:
    """Every size that is no whole number, or below one where that cannot be."""
    place, training = _part(body, "parallelism"), _part(body, "training")
    sizes = [(place, name, 1) for name in _DEGREES]
    sizes += [(training, name, 1) for name in ("local_batch_size", "seq_len")]
    sizes += [(place, name, -1) for name in ("data_parallel_shard_degree", "pipeline_parallel_layers_per_stage")]
    sizes += [(training, name, -1) for name in ("global_batch_size", "steps")]
    found = []
    for part, name, least in sizes:
        try:
            value = _whole(part, name, 1)
        except InputError as error:
            found.append(error)
            continue
        if value < least:
            found.append(InputError(f"torchtitan: {name} of {value} cannot be", fix=f"write a number from {least} on"))
    return found


def _model(body: dict[str, Any], model: str) -> ModelSpec:
    part = _part(body, "model")
    if model:
        return model_of(model)
    pair = (str(part.get("name", "")), str(part.get("flavor", "")))
    found = next((ours for ours, theirs in FLAVORS.items() if theirs == pair), "")
    if found:
        return model_of(found)
    try:
        return model_of(pair[1])
    except InputError as error:
        raise InputError(
            f"torchtitan: model {pair[0]} {pair[1]} is not known here",
            fix="say which model it is: --model CATALOG_ID or the path of a config.json",
        ) from error


_MODES = ("none", "selective", "full", "memory_budget")
_DEGREES = (
    "tensor_parallel_degree", "pipeline_parallel_degree", "context_parallel_degree", "expert_parallel_degree",
    "expert_tensor_parallel_degree", "data_parallel_replicate_degree", "pipeline_parallel_microbatch_size",
)  # fmt: skip


def _recompute(body: dict[str, Any], pp: int, layers: int) -> tuple[str, int]:
    """What is recomputed, and how many layers of a stage where that is a whole layer now and then."""
    part = _part(body, "activation_checkpoint")
    mode, option = str(part.get("mode", "selective")), str(part.get("selective_ac_option", "2"))
    if mode != "selective" or not option.isdigit() or int(option) < 1:
        return mode, 0
    stage = -(-layers // pp)
    return ("full", 0) if int(option) == 1 else ("full", stage // int(option)) if stage >= int(option) else ("none", 0)


def _layout(body: dict[str, Any], model: ModelSpec, assumed: list[str]) -> TrainLayout:
    place, training = _part(body, "parallelism"), _part(body, "training")
    pp = _whole(place, "pipeline_parallel_degree", 1)
    shard = _whole(place, "data_parallel_shard_degree", -1)
    replicate = _whole(place, "data_parallel_replicate_degree", 1)
    reshard = place.get("fsdp_reshard_after_forward", "default")
    zero = 0 if shard == 1 else 2 if reshard == "never" or (reshard == "default" and pp > 1) else 3
    mode, again = _recompute(body, pp, model.layers)
    if mode == "memory_budget":
        assumed.append("recompute by memory budget: taken as selective")
    schedule = _SCHEDULES.get(str(place.get("pipeline_parallel_schedule", "1F1B")).lower(), "1f1b")
    layers = _whole(place, "pipeline_parallel_layers_per_stage", 0)
    parts = place.get("module_fqns_per_model_part") or []
    looped = schedule in ("interleaved", "zero-bubble")
    vpp = max(1, model.layers // (pp * layers)) if layers and pp > 1 else 2 if looped and pp > 1 else 1
    vpp = max(1, len(parts) // pp) if parts and pp > 1 else vpp
    local = _whole(training, "local_batch_size", 8)
    micro = _whole(place, "pipeline_parallel_microbatch_size", 1) if pp > 1 else local
    ours: Any = schedule if pp > 1 else "1f1b"
    recompute: Any = mode if mode in ("none", "full") else "selective"
    return TrainLayout(
        tp=_whole(place, "tensor_parallel_degree", 1),
        pp=pp,
        dp=replicate * shard if shard > 0 else 0,
        cp=_whole(place, "context_parallel_degree", 1),
        ep=_whole(place, "expert_parallel_degree", 1),
        etp=_whole(place, "expert_tensor_parallel_degree", 1) if model.moe else 0,
        vpp=vpp,
        sp=True,
        zero_stage=zero,
        micro_batch=micro,
        recompute=recompute,
        recompute_layers=again,
        schedule=ours,
        overlap_dp=True,
        overlap_tp=bool(place.get("enable_async_tensor_parallel", False)),
        offload_optimizer=bool(training.get("enable_cpu_offload", False)),
    )


def _clashes(body: dict[str, Any], layout: TrainLayout, model: ModelSpec) -> list[tuple[str, str]]:
    """What of the file contradicts itself, each with what to change."""
    place, training = _part(body, "parallelism"), _part(body, "training")
    found = []
    mode = str(_part(body, "activation_checkpoint").get("mode", "selective"))
    if mode not in _MODES:
        found.append((f"activation_checkpoint.mode of {mode!r}: there is none", f"write one of {', '.join(_MODES)}"))
    if layout.pp == 1 and "pipeline_parallel_schedule" in place:
        found.append(("a pipeline schedule without pipeline stages", "raise pipeline_parallel_degree, or leave it out"))
    micro, local = layout.micro_batch, _whole(training, "local_batch_size", 8)
    if layout.pp > 1 and local % micro:
        found.append((f"local_batch_size of {local} does not divide by micro-batches of {micro}", "choose sizes that divide"))
    if not model.moe and layout.ep > 1:
        found.append(("expert ranks for a model without experts", "leave expert_parallel_degree out"))
    if place.get("enable_async_tensor_parallel") and layout.tp == 1:
        found.append(("asynchronous tensor parallelism without tensor ranks", "raise tensor_parallel_degree, or leave it out"))
    return found


def read_torchtitan(text: str, model: str = "") -> ReadJob:
    """A torchtitan TOML.

    Args:
        text: of the file.
        model: catalog id or path that says the shape where the flavor is not known.

    Raises:
        InputError: no TOML, an unknown model, or a value of the wrong kind.
    """
    try:
        body = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"is no TOML ({error})", fix="give a torchtitan job configuration") from None
    if "training" not in body or "parallelism" not in body:
        raise InputError("has no [training] and [parallelism]", fix="give a torchtitan job configuration")
    assumed: list[str] = []
    faults = _unreadable(body)
    try:
        shape = _model(body, model)
    except InputError as error:
        faults.append(error)
    if faults:
        raise unreadable(faults)
    layout = _layout(body, shape, assumed)
    training = _part(body, "training")
    converters = str(_part(body, "model").get("converters", ""))
    half = "fp32" if training.get("mixed_precision_param") == "float32" else "bf16"
    if "dataset" not in training:
        assumed.append("data set not given")
    unread = [
        f"{name}.{key}"
        for name, part in body.items()
        if name not in _SILENT and isinstance(part, dict)
        for key in part
        if key not in _READ.get(name, set())
    ]
    unread += [name for name, part in body.items() if not isinstance(part, dict)]
    local = _whole(training, "local_batch_size", 8)
    replicate = _whole(_part(body, "parallelism"), "data_parallel_replicate_degree", 1)
    copies = replicate if layout.zero_stage else 1
    names = [(name, key) for name, key in (whole.split(".", 1) for whole in unread if "." in whole) if name in _READ]
    near = [
        (f"{name}.{key}", get_close_matches(key, _READ[name] - set(_part(body, name)), n=1, cutoff=0.88)) for name, key in names
    ]
    misspelt = [(name, close[0]) for name, close in near if close]
    return ReadJob(
        kind="torchtitan", model=shape, layout=layout, seq_len=_whole(training, "seq_len", 2048),
        global_batch=max(0, _whole(training, "global_batch_size", -1)), local_batch=local,
        steps=_whole(training, "steps", 10000), precision="fp8" if "float8" in converters else half, optimizer="adam",
        chips=0, assumed=tuple(assumed), unread=tuple(unread), copies=copies, misspelt=tuple(misspelt),
        clashes=tuple(_clashes(body, layout, shape)),
    )  # fmt: skip
