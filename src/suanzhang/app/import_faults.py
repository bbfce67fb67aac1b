"""All that keeps a job of somebody's own file from running, each fault by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from suanzhang.app.train_input import default_precision
from suanzhang.app.train_model import pack
from suanzhang.errors import InputError, PlannerError
from suanzhang.perf.training.args import INTERLEAVED, LayoutArgs, RunArgs, ShapeArgs
from suanzhang.perf.training.feasible import REASONS, layout_reason
from suanzhang.perf.training.pack import layout_args
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.imports import Finding, ReadJob
from suanzhang.spec.job import TrainJob
from suanzhang.spec.layout import TrainLayout
from suanzhang.spec.stack import TrainStack
from suanzhang.units import format_count

_Mended = tuple[ShapeArgs, RunArgs, LayoutArgs]
_EXPERT_RANKS, _NO_EXPERTS = 8, 13


def _even(run: RunArgs, layout: LayoutArgs) -> RunArgs:
    return run._replace(global_batch=2.0 * layout.dp * layout.micro_batch * layout.pp)


_MEND: dict[int, Callable[[ShapeArgs, RunArgs, LayoutArgs], _Mended]] = {
    1: lambda s, r, w: (s._replace(heads=w.tp * w.cp), r, w),
    2: lambda s, r, w: (s._replace(kv_heads=w.tp * w.cp), r, w),
    3: lambda s, r, w: (s._replace(ffn=w.tp, shared_ffn=0.0), r, w),
    4: lambda s, r, w: (s._replace(layers=w.pp * w.vpp), r, w),
    5: lambda s, r, w: (s, _even(r, w), w),
    6: lambda s, r, w: (s, r._replace(seq=2.0 * w.cp * w.tp), w),
    7: lambda s, r, w: (s._replace(experts=w.ep), r, w),
    8: lambda s, r, w: (s, r, w._replace(ep=1.0, etp=1.0)),
    9: lambda s, r, w: (s._replace(expert_ffn=w.etp), r, w),
    10: lambda s, r, w: (s, _even(r, w), w) if w.pp > 1.0 else (s, r, w._replace(vpp=1.0)),
    11: lambda s, r, w: (s, r, w._replace(schedule=INTERLEAVED, vpp=1.0)),
    12: lambda s, r, w: (s, r._replace(seq=2.0 * w.cp * w.tp), w),
    13: lambda s, r, w: (s, r, w._replace(ep=1.0)),
    14: lambda s, r, w: (s, r, w._replace(vpp=1.0)),
    15: lambda s, r, w: (s._replace(heads=w.tp * w.cp), r, w),
    16: lambda s, r, w: (s._replace(kv_heads=w.tp * w.cp), r, w),
}
"""What makes each reason of :func:`layout_reason` go away, so that the next one is seen."""

_SIZES: dict[int, Callable[[ShapeArgs, RunArgs, LayoutArgs], tuple[float, ...]]] = {
    1: lambda s, _, w: (s.heads, w.tp),
    2: lambda s, _, w: (s.kv_heads, w.tp),
    3: lambda s, _, w: (s.ffn if s.ffn % w.tp else s.shared_ffn, w.tp),
    4: lambda s, _, w: (s.layers, w.pp * w.vpp),
    5: lambda _, r, w: (r.global_batch, w.dp * w.micro_batch),
    6: lambda _, r, w: (r.seq, 2.0 * w.cp),
    7: lambda s, _, w: (s.experts, w.ep),
    8: lambda _, __, w: (w.dp * w.cp * w.tp, w.ep * w.etp),
    9: lambda s, _, w: (s.expert_ffn, w.etp),
    10: lambda _, r, w: (r.global_batch / (w.dp * w.micro_batch), w.pp),
    12: lambda _, r, w: (r.seq, w.tp),
    15: lambda s, _, w: (s.heads / w.tp, w.cp),
    16: lambda s, _, w: (max(1.0, s.kv_heads / w.tp), w.cp),
}
"""The two numbers of a reason."""


def faults_of(
    job: ReadJob, asked: TrainJob, chip: ChipSpec, stack: TrainStack, layout: TrainLayout, chips: int
) -> list[Finding]:
    """Everything that does not divide or that the chip cannot do, one finding each; memory is not looked at.

    Args:
        job: what was read.
        asked: the same as a job.
        chip: what it runs on.
        stack: the software.
        layout: of the file; its data ranks are one where the chips do not divide by the rest.
        chips: how many.
    """
    found = _ranks(job, layout, chips)
    if not chip.has(asked.precision):
        found.append(Finding("error", f"cannot run: {chip.name} has no {asked.precision} arithmetic"))
        asked = replace(asked, precision=default_precision(chip))
    try:
        packed = pack(asked, chip, stack)
    except PlannerError as error:
        return [*found, Finding("error", f"cannot run: {error.message}")]
    said = any("without experts" in text for text, _ in job.clashes)
    shape, run, row = packed.shape, packed.run, layout_args(layout)
    for _ in REASONS:
        code = int(layout_reason(shape, run, row))
        if not code:
            break
        unknown = code == _EXPERT_RANKS and bool(found) and layout.chips != chips
        if not unknown and not (code == _NO_EXPERTS and said):
            sizes = " and ".join(format_count(value) for value in _SIZES[code](shape, run, row)) if code in _SIZES else ""
            found.append(Finding("error", f"cannot run: {REASONS[code]}{f' ({sizes})' if sizes else ''}"))
        shape, run, row = _MEND[code](shape, run, row)
    return found


def _ranks(job: ReadJob, layout: TrainLayout, chips: int) -> list[Finding]:
    """What is wrong with the number of chips."""
    cut = layout.tp * layout.pp * layout.cp
    if chips % cut:
        near = max(1, chips // cut) * cut
        text = f"tp x pp x cp = {layout.tp} x {layout.pp} x {layout.cp} = {cut} does not divide {chips} chips"
        return [Finding("error", f"cannot run: {text}", f"{near} chips, or other sizes")]
    if layout.chips != chips:
        text = f"the file's layout uses {layout.chips} chips, {chips} are given"
        return [Finding("error", f"cannot run: {text}", f"{layout.chips} chips, or other sizes")]
    ranks = layout.dp * layout.cp
    if ranks % job.copies:
        text = f"{job.copies} copies of what is sharded do not divide {ranks} data ranks"
        return [Finding("error", f"cannot run: {text}", "other sizes")]
    return []


def unreadable(faults: list[InputError]) -> InputError:
    """All that cannot be read of a file as one error."""
    if len(faults) == 1:
        return faults[0]
    fixes = list(dict.fromkeys(fault.fix for fault in faults if fault.fix))
    return InputError("; ".join(fault.message for fault in faults), fix="; ".join(fixes))
