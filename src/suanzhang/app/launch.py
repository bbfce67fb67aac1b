"""Launch files: what carries out a planned training or service in the tools that people run."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from suanzhang.app import launch_engines as engines
from suanzhang.app import launch_frameworks as frameworks
from suanzhang.app import launch_megatron as megatron
from suanzhang.app.train_asked import with_routing
from suanzhang.app.train_input import optimizer_of
from suanzhang.catalog.chips import chip as chip_of
from suanzhang.catalog.models import model as model_of
from suanzhang.catalog.stacks import serve_stack
from suanzhang.errors import InputError, nearest_names
from suanzhang.spec.job import TrainJob
from suanzhang.spec.launch import SERVE_TARGETS, TRAIN_TARGETS, LaunchFile, LaunchResult, Target, TrainPlan
from suanzhang.spec.model import ModelSpec
from suanzhang.spec.paths import from_home
from suanzhang.spec.serve import ServeResult
from suanzhang.spec.train import TrainResult

_TRAIN = {
    "megatron": (megatron.MEGATRON, megatron.megatron),
    "slurm": (megatron.SLURM, megatron.slurm),
    "nemo": (frameworks.NEMO, frameworks.nemo),
    "torchtitan": (frameworks.TORCHTITAN, frameworks.torchtitan),
    "deepspeed": (frameworks.DEEPSPEED, frameworks.deepspeed),
}
_SERVE = {
    "vllm": (engines.VLLM, engines.vllm),
    "sglang": (engines.SGLANG, engines.sglang),
    "trtllm": (engines.TRTLLM, engines.trtllm),
    "kubernetes": (engines.KUBERNETES, engines.kubernetes),
    "skypilot": (engines.SKYPILOT, engines.skypilot),
}
NEWEST = {"sglang": "sglang-0.5.9", "trtllm": "trtllm-1.2"}
"""Generation of an engine that is planned with when none is given; that of ``serve`` for the other targets."""


def _checked(target: str, known: tuple[str, ...]) -> str:
    if target in known:
        return target
    near = nearest_names(target, known)
    raise InputError(
        f"unknown launch target {target!r}", fix=f"did you mean {near[0]}?" if near else f"use one of {', '.join(known)}"
    )


def _written(files: tuple[LaunchFile, ...], folder: str | Path | None) -> str:
    if not folder:
        return ""
    place = from_home(folder)
    try:
        place.mkdir(parents=True, exist_ok=True)
        for file in files:
            (place / file.name).write_text(file.text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write into {place} ({error.strerror})", fix="give a folder that can be written") from None
    return str(place)


def train_plan(result: TrainResult, model: ModelSpec, seq_len: int, global_batch: int, optimizer: str = "adam") -> TrainPlan:
    """What the launch files of a planned training are written from."""
    node = chip_of(result.chip).node.chips
    steps = math.ceil(result.steps)
    return TrainPlan(model, result.layout, node, seq_len, global_batch, steps, result.precision, optimizer)


def launch_train(
    model: str | Path | ModelSpec,
    tokens: float | str,
    chips: str,
    target: str,
    folder: str | Path | None = None,
    *,
    global_batch: int = 0,
    seq_len: int = 0,
    optimizer: str = "adam",
    **further: Any,
) -> LaunchResult:
    """Plan a training as ``train`` does, and write the files that start it.

    Args:
        model, tokens, chips: as in :func:`suanzhang.app.train.train`.
        target: "megatron", "nemo", "torchtitan", "deepspeed" or "slurm".
        folder: where to write the files; nowhere when left out.
        global_batch, seq_len, optimizer, further: as in ``train``.

    Returns:
        The files, the plan that they carry out, and what the target cannot say.

    Raises:
        InputError: an unknown target, or a folder that cannot be written.
    """
    from suanzhang.app.train import train

    _checked(target, TRAIN_TARGETS)
    spec = model if isinstance(model, ModelSpec) else model_of(str(model))
    found = train(spec, tokens, chips, global_batch=global_batch, seq_len=seq_len, optimizer=optimizer, **further)
    plan = train_plan(found, spec, found.seq_len, found.global_batch, optimizer_of(optimizer))
    routed = with_routing(TrainJob("", spec, 1.0, found.seq_len, found.global_batch), str(further.get("routing") or ""))
    plan = replace(plan, capacity_factor=routed.capacity_factor, pad_to_capacity=routed.pad_to_capacity)
    about, write = _TRAIN[target]
    files, start, unsaid = write(plan)
    return _result(about, files, folder, start, unsaid, found)


def launch_serve(
    model: str | ModelSpec,
    chip: str,
    target: str,
    folder: str | Path | None = None,
    *,
    isl: float | None = None,
    osl: float | None = None,
    **further: Any,
) -> LaunchResult:
    """Plan a service as ``serve`` does, and write the files that start it.

    Args:
        model, chip, isl, osl, further: as in :func:`suanzhang.app.serve.serve`.
        target: "vllm", "sglang", "trtllm", "kubernetes" or "skypilot".
        folder: where to write the files; nowhere when left out.

    Raises:
        InputError: an unknown target, a target of another engine than the plan's, or a folder that cannot be written.
    """
    from suanzhang.app.serve import serve

    _checked(target, SERVE_TARGETS)
    if isl is None or osl is None:
        raise InputError("launch: isl and osl are both needed", fix="give the tokens of a prompt and of an answer")
    spec = model if isinstance(model, ModelSpec) else model_of(str(model))
    assumed = "" if further.get("stack") else NEWEST.get(target, "")
    asked: dict[str, Any] = {**further, "stack": assumed} if assumed else further
    found = serve(spec, chip, isl=isl, osl=osl, **asked)
    stack, kind = serve_stack(found.engine), chip_of(found.chip)
    about, write = _SERVE[target]
    tokens = engines.longest(isl, osl, spec.max_seq)
    chosen = engines.Chosen(
        draft_tokens=int(further.get("draft_tokens") or 0),
        own_heads=spec.mtp_layers > 0,
        prefix_share=float(further.get("prefix_share") or 0.0),
        offloaded=float(further.get("offloaded") or 0.0),
    )
    files, start, unsaid = write(found, stack, kind, tokens, chosen)
    about = engines.about_engine(about, stack)
    unsaid.append(f"room for {tokens} tokens in a sequence: at most four times the mean, change it to your longest")
    unsaid += [f"engine not given: planned with {stack.title}"] if assumed else []
    if target in ("vllm", "sglang", "trtllm") and stack.engine != target:
        unsaid.append(f"engine: the plan is that of {stack.title}, its batch settings are written for {about.title}")
    return _result(about, files, folder, start, unsaid, found)


def _result(
    about: Target,
    files: tuple[LaunchFile, ...],
    folder: str | Path | None,
    start: str,
    unsaid: list[str],
    plan: TrainResult | ServeResult,
) -> LaunchResult:
    return LaunchResult(plan.header, about, files, _written(files, folder), start, tuple(unsaid), plan)
