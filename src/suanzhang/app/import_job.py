"""How long a job of somebody's own file should take, and what is wrong with it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from suanzhang.app.header import header
from suanzhang.app.import_faults import faults_of
from suanzhang.app.import_megatron import read_megatron
from suanzhang.app.import_spread import Sure
from suanzhang.app.import_torchtitan import read_torchtitan
from suanzhang.app.train_asked import with_routing
from suanzhang.app.train_input import memory_there, usable_bytes
from suanzhang.app.train_model import describe, estimate_train
from suanzhang.app.train_option import option_of, train_options
from suanzhang.app.train_weak import Given, weak_training
from suanzhang.catalog.chips import chip as chip_of
from suanzhang.catalog.stacks import train_stack
from suanzhang.errors import InputError, PlannerError
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.imports import ExamineResult, Finding, ReadJob
from suanzhang.spec.job import TrainJob
from suanzhang.spec.layout import TrainLayout
from suanzhang.spec.memory import memory_words
from suanzhang.spec.paths import from_home
from suanzhang.spec.stack import TrainStack
from suanzhang.spec.train import TrainEstimate, TrainOption
from suanzhang.units import format_count, parse_quantity

DEFAULT_STACKS = {"megatron": "megatron-lm-2025", "torchtitan": "torchtitan-2025"}
_WORDS = {
    "megatron": {
        "sp": "add --sequence-parallel",
        "dp": "add --overlap-grad-reduce and --overlap-param-gather",
        "tp": "add --tp-comm-overlap",
        "zero": "add --use-distributed-optimizer",
        "etp": "--expert-tensor-parallel-size 1",
    },
    "torchtitan": {
        "sp": "sequence parallelism",
        "dp": "overlap of data ranks",
        "tp": "enable_async_tensor_parallel = true with compile",
        "zero": "data_parallel_shard_degree = -1 instead of copies",
        "etp": "expert_tensor_parallel_degree = 1",
    },
}
"""How each tool is told what a finding asks for."""
LARGEST_BYTES = 2_000_000
WORTH = 0.01
"""Least share of a step that a change must save to be worth a line."""
_BUBBLE, _TIGHT = 0.10, 0.95


def read_job(path: str | Path, model: str = "") -> ReadJob:
    """A file of Megatron-LM arguments or a torchtitan TOML, or its text.

    Args:
        path: of the file; a command line or a TOML itself, told by the arguments or tables that it names.
        model: catalog id or path that says the shape where the file does not.

    Raises:
        InputError: no such file, or not such a job.
    """
    if isinstance(path, str) and is_job_text(path):
        return _read(path, "[parallelism]" in path, model, "text")
    place = from_home(path)
    if not place.is_file():
        raise InputError(f"{place} is no file", fix="give a script with Megatron-LM arguments, or a torchtitan TOML")
    if place.stat().st_size > LARGEST_BYTES:
        raise InputError(f"{place.name} is too large to be a job", fix="give the script or TOML that starts it")
    try:
        text = place.read_text(encoding="utf-8")
    except (UnicodeDecodeError, OSError):
        raise InputError(f"{place.name} is no UTF-8 text", fix="give a script or a TOML") from None
    return _read(text, place.suffix == ".toml", model, place.name)


def is_job_text(text: str) -> bool:
    """Whether a text is a job itself, no path of one."""
    return "[parallelism]" in text or re.search(r"--num-layers[ =]", text) is not None


def _read(text: str, titan: bool, model: str, name: str) -> ReadJob:
    if len(text) > LARGEST_BYTES:
        raise InputError(f"{name} is too large to be a job", fix="give the script or TOML that starts it")
    try:
        return read_torchtitan(text, model) if titan else read_megatron(text)
    except InputError as error:
        raise InputError(f"{name}: {error.message}", fix=error.fix) from None


def _chips(job: ReadJob, chips: str) -> tuple[ChipSpec, int]:
    """The kind of chip and how many: the file's own count where none is given."""
    name, colon, count = chips.strip().rpartition(":")
    if not colon:
        name, count = chips.strip(), ""
    if not name:
        raise InputError("which chips does it run on?", fix="add --chips CHIP:N, such as h100-sxm-80:512")
    kind = chip_of(name)
    number = int(parse_quantity(count, "count", "chips")) if count else job.chips
    if number < 1:
        raise InputError("the file does not say how many chips", fix=f"add --chips {name}:N")
    if count and job.chips and job.chips != number:
        raise InputError(f"the file starts {job.chips} chips, {number} are given", fix=f"give --chips {name}:{job.chips}")
    return kind, number


def _completed(job: ReadJob, chips: int) -> tuple[TrainLayout, int]:
    """The layout on that many chips, with one data rank where they do not divide, and the batch of a step."""
    cut = job.layout.tp * job.layout.pp * job.layout.cp
    dp = job.layout.dp or (1 if chips % cut else chips // cut)
    ranks = dp * job.layout.cp
    apart = job.copies > 1 and ranks % job.copies == 0
    layout = replace(job.layout, dp=dp, shard_ranks=ranks // job.copies if apart else 0)
    return layout, job.global_batch or job.local_batch * dp


def _not_read(job: ReadJob) -> tuple[str, ...]:
    """What of the file the answer does not know, in one line."""
    return (f"not read: {', '.join(job.unread)}; the answer is as if the file did not say so",) if job.unread else ()


def _asked(job: ReadJob, layout: TrainLayout, batch: int) -> TrainJob:
    tokens = float(max(1, job.steps)) * batch * job.seq_len
    asked = TrainJob("import", job.model, tokens, job.seq_len, batch, job.precision, job.optimizer)
    return with_routing(asked, job.routing)


def _changes(layout: TrainLayout, mixture: bool, kind: str) -> list[tuple[str, str, TrainLayout]]:
    """Changes of one thing: what is wrong, what to change, and the layout with it."""
    found: list[tuple[str, str, TrainLayout]] = []

    def offer(wrong: str, change: str, **values: Any) -> None:
        found.append((wrong, change, replace(layout, **values)))

    words = _WORDS[kind]
    if layout.recompute == "full":
        offer("full recompute is not needed", "recompute selectively", recompute="selective", recompute_layers=0)
    if layout.recompute != "none":
        offer("recompute is not needed", "recompute nothing", recompute="none", recompute_layers=0)
    if layout.tp > 1 and not layout.sp:
        offer("norms and dropout are not sharded", words["sp"], sp=True)
    if layout.dp > 1 and not layout.overlap_dp:
        offer("gradients are summed in the open", words["dp"], overlap_dp=True)
    if layout.tp > 1 and not layout.overlap_tp:
        how = words["tp"] if layout.sp else f"{words['sp']} and --tp-comm-overlap"
        offer("tensor-parallel traffic is in the open", how, overlap_tp=True, sp=True)
    if layout.dp > 1 and layout.zero_stage == 0:
        offer("every data rank keeps the whole optimizer", words["zero"], zero_stage=1 if kind == "megatron" else 2)
    if layout.offload_optimizer:
        offer("the optimizer need not live in host memory", "keep it on the chip", offload_optimizer=False)
    for chunks in (2, 4) if layout.pp > 1 and layout.vpp == 1 else ():
        offer("the pipeline is not interleaved", f"{chunks} virtual chunks on each stage", vpp=chunks, schedule="interleaved")
    for size in (1, 2, 4, 8):
        if size != layout.micro_batch:
            offer("another micro-batch is faster", f"micro-batch of {size}", micro_batch=size)
    if mixture and layout.etp != 1:
        offer("experts are cut by tensor parallelism", words["etp"], etp=1)
    return found


def _tried(asked: TrainJob, chip: ChipSpec, stack: TrainStack, layout: TrainLayout) -> TrainEstimate | None:
    try:
        return estimate_train(asked, chip, layout, stack)
    except PlannerError:
        return None


def _single_changes(asked: TrainJob, chip: ChipSpec, stack: TrainStack, now: TrainEstimate, kind: str) -> list[Finding]:
    """Findings whose remedy changes one thing and is worth it; the best of those with the same words."""
    best: dict[str, Finding] = {}
    layouts: dict[str, TrainLayout] = {}
    for text, change, layout in _changes(now.layout, asked.model.moe is not None, kind):
        then = _tried(asked, chip, stack, layout)
        if then is None or not then.fits:
            continue
        gain = 1.0 - then.step_s / now.step_s
        saved = now.memory_bytes - then.memory_bytes
        if not now.fits:
            gain = 0.0
        elif gain < WORTH and not (text.startswith("every data rank") and saved > 0.02 * now.memory_bytes):
            continue
        words = f"{text}: {change} saves {100 * gain:.1f} % of the step" if gain >= WORTH else f"{text}: {change}"
        words += f" and {memory_words(saved)} of memory" if saved > 0.02 * now.memory_bytes else ""
        if text not in best or gain > best[text].gain:
            best[text] = Finding("slow" if gain >= WORTH else "note", words, change, then.step_s, gain)
            layouts[text] = layout
    sure = Sure.of(asked, chip, stack, now)
    return [sure.spanned(finding, layouts[text]) for text, finding in best.items()]


def _standing(asked: TrainJob, chip: ChipSpec, now: TrainEstimate) -> list[Finding]:
    """Findings that one look at the estimate gives."""
    layout = now.layout
    found = []
    if not now.fits:
        need = memory_words(now.memory_bytes)
        found.append(Finding("error", f"memory does not fit: {need} on the fullest chip, {memory_there(chip)}"))
    elif now.memory_bytes > _TIGHT * usable_bytes(chip):
        share = 100.0 * now.memory_bytes / usable_bytes(chip)
        found.append(Finding("note", f"memory is tight: {share:.0f} % of the chip by our count; a little more runs out"))
    share = _share(now, "bubble_s")
    if share > _BUBBLE:
        micro = asked.global_batch / (layout.dp * layout.micro_batch)
        text = f"{100 * share:.0f} % of the step is pipeline bubble: {micro:.0f} micro-batches over {layout.pp} stages"
        found.append(Finding("slow", text, "fewer stages, more micro-batches or more chunks"))
    talk = sum(_share(now, f"{name}_comm_s") for name in ("tensor", "data", "expert", "context", "pipeline"))
    if talk > 0.25:
        found.append(Finding("note", f"{100 * talk:.0f} % of the step is communication that nothing hides"))
    found += [Finding("note", text) for text in now.warnings]
    return found


def _across_nodes(chip: ChipSpec, layout: TrainLayout) -> list[Finding]:
    if layout.tp <= chip.node.chips:
        return []
    text = f"tensor parallelism of {layout.tp} crosses nodes of {chip.node.chips} chips"
    return [Finding("slow", text, f"at most tp={chip.node.chips}")]


def _share(now: TrainEstimate, name: str) -> float:
    return sum(term.value for term in now.terms if term.name == name) / now.step_s


def _better(found: TrainOption, now: TrainEstimate | None) -> tuple[Finding | None, float | None]:
    if now is None or not now.fits:
        return Finding(
            "note", f"what fits best on these chips: {describe(found.layout)}", describe(found.layout), found.step_s,
            step_s_interval=found.step_s_interval,
        ), None  # fmt: skip
    gain = 1.0 - found.step_s / now.step_s
    if gain < WORTH:
        return Finding("note", f"no layout of these chips is more than {100 * WORTH:.0f} % faster"), gain
    text = f"{describe(found.layout)} saves {100 * gain:.1f} % of the step on the same chips"
    return Finding("slow", text, describe(found.layout), found.step_s, gain), gain


def examine(file: str | Path, chips: str = "", *, model: str = "", stack: str = "", seed: int = 0) -> ExamineResult:
    """How long a job of a file should take, and what is wrong with it.

    Args:
        file: a script with Megatron-LM arguments, a torchtitan TOML, or the text of either.
        chips: ``CHIP:N``; the count may be left out where the file says it.
        model: catalog id or path that says the shape where the file does not.
        stack: generation of software; one of the tool's when left out.
        seed: printed in the header; nothing here is random.

    Returns:
        The estimate of the file's layout, the findings, and the best layout of the same chips.

    Raises:
        InputError: the file is no job, or it starts another number of chips.
    """
    job = read_job(file, model)
    chip, count = _chips(job, chips)
    layout, batch = _completed(job, count)
    software = train_stack(stack or DEFAULT_STACKS[job.kind])
    asked = _asked(job, layout, batch)
    findings = [Finding("slow", f"{name} is not read: {near} may be meant", near) for name, near in job.misspelt]
    findings += [Finding("slow", text, change) for text, change in job.clashes]
    now: TrainEstimate | None = None
    faults = faults_of(job, asked, chip, software, layout, count)
    if not faults:
        try:
            now = estimate_train(asked, chip, layout, software)
        except PlannerError as error:
            faults = [Finding("error", f"cannot run: {error.message}")]
    findings += faults + _across_nodes(chip, layout)
    if now is not None:
        findings += _standing(asked, chip, now) + _single_changes(asked, chip, software, now, job.kind)
    able = chip.has(asked.precision) and (job.global_batch or layout.chips == count)
    options = train_options(asked, chip, (count,), software) if able else ()
    gain: float | None = None
    if options:
        better, gain = _better(options[0], now)
        if better and better.gain and now is not None:
            better = Sure.of(asked, chip, software, now).spanned(better, options[0].layout)
        findings += [better] if better else []
    elif able:
        findings.append(Finding("error", f"no layout of {format_count(count)} {chip.name} holds this model with this batch"))
    order = {"error": 0, "slow": 1, "note": 2}
    findings.sort(key=lambda one: (order[one.severity], -one.gain))
    return _result(job, chip, software, asked, layout, now, findings, options, gain, _called(file), seed, count)


def _called(file: str | Path) -> str:
    return "the command line" if isinstance(file, str) and is_job_text(file) else Path(file).name


def _result(
    job: ReadJob, chip: ChipSpec, stack: TrainStack, asked: TrainJob, layout: TrainLayout, now: TrainEstimate | None,
    findings: list[Finding], options: tuple[TrainOption, ...], gain: float | None, name: str, seed: int, chips: int,
) -> ExamineResult:  # fmt: skip
    sure = Sure.of(asked, chip, stack, now) if now else None
    run = option_of(asked, chip, stack, now) if now else None
    whole = run if job.steps else None
    notes = [f"software assumed: {stack.title}"]
    notes += [] if job.steps else ["the file does not say how many steps: no days"]
    return ExamineResult(
        header=header(seed),
        file=name,
        kind=job.kind,
        model=job.model,
        params=job.model.params,
        chip=chip.id,
        chips=chips,
        stack=stack.id,
        precision=job.precision,
        layout=layout,
        seq_len=job.seq_len,
        global_batch=asked.global_batch,
        steps=job.steps,
        fits=bool(now and now.fits),
        step_s=now.step_s if now else None,
        days=whole.days if whole else None,
        days_interval=whole.days_interval if whole else None,
        mfu=now.mfu if now else None,
        memory_bytes=now.memory_bytes if now else None,
        bubble=_share(now, "bubble_s") if now else None,
        terms={term.name: term.value for term in now.terms} if now else {},
        findings=tuple(findings),
        best_layout=options[0].layout if options else None,
        best_step_s=options[0].step_s if options else None,
        best_gain=gain,
        assumed=job.assumed,
        unread=job.unread,
        warnings=(*_not_read(job), *job.assumed, *notes),
        **(sure.figures() if sure else {"step_s_interval": None}),
        terms_interval=sure.terms() if sure else {},
        best_step_s_interval=options[0].step_s_interval if options else None,
        best_gain_interval=sure.gain(options[0].layout)[1] if sure and options and gain is not None else None,
        weak_inputs=weak_training(asked, chip, stack, now, run, Given()) if now and run else (),
    )
