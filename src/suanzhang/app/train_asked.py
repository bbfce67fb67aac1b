"""What a user sets of a training beside its layout: how much of each communication hides, and how tokens reach experts."""

from __future__ import annotations

from dataclasses import replace

from suanzhang.errors import InputError, nearest_names
from suanzhang.perf.training.routing import routed_share
from suanzhang.spec.job import TrainJob
from suanzhang.spec.stack import TrainStack

OVERLAPS = ("dp", "tp", "pp", "cp", "ep")
"""Communications whose hidden share can be set: between data, tensor, pipeline, context and expert ranks."""
_WORDS = {"on": 1.0, "true": 1.0, "yes": 1.0, "off": 0.0, "false": 0.0, "no": 0.0}


def parse_overlap(text: str) -> dict[str, float]:
    """``"dp=0.5,tp=off"`` as the share of each communication that may hide behind compute.

    Raises:
        InputError: an unknown communication, one that is given twice, or a share outside 0 to 1.
    """
    found: dict[str, float] = {}
    for part in text.split(","):
        key, equals, value = (item.strip().lower() for item in part.partition("="))
        if not equals or key not in OVERLAPS:
            near = nearest_names(key, list(OVERLAPS))
            raise InputError(f"overlap: cannot read {part.strip()!r}", fix=f"write for example {(near or ['dp'])[0]}=0.5")
        if key in found:
            raise InputError(f"overlap: {key} is given twice", fix="keep one of them")
        found[key] = _WORDS[value] if value in _WORDS else _share(f"overlap {key}", value, 1.0)
    return found


def _share(what: str, value: str, most: float) -> float:
    try:
        share = float(value)
    except ValueError:
        share = -1.0
    if not 0.0 <= share <= most:
        raise InputError(f"{what}: {value!r} is no number from 0 to {most:g}", fix="write on, off or for example 0.5")
    return share


def with_overlap(stack: TrainStack, text: str) -> TrainStack:
    """The software with the shares that a user set; what is left out keeps the default of the software."""
    if not text:
        return stack
    given = parse_overlap(text)
    shares = {f"overlap_{key}": share for key, share in given.items()}
    if "tp" in given:
        shares["overlap_gather"] = given["tp"]
    if "cp" in given:
        shares["overlap_cp_a2a"] = given["cp"]
    return replace(stack, asked_overlap=tuple(given), **shares)  # type: ignore[arg-type]


def with_routing(job: TrainJob, text: str) -> TrainJob:
    """The job with ``"dropless"`` or ``"capacity=1.25[,pad]"``, either with ``imbalance=1.3``, as tokens reach its experts.

    Raises:
        InputError: a model without experts, an unknown word, or a number out of range.
    """
    if not text:
        return job
    if job.model.moe is None:
        raise InputError(f"routing: {job.model.name} has no experts", fix="leave the routing out")
    capacity, padded, imbalance = 0.0, False, 1.0
    for part in text.split(","):
        key, equals, value = (item.strip().lower() for item in part.partition("="))
        if key == "dropless" and not equals:
            continue
        if key == "pad" and not equals:
            padded = True
        elif key == "capacity" and equals:
            capacity = _number("capacity", value, 0.1, 64.0)
        elif key == "imbalance" and equals:
            imbalance = _number("imbalance", value, 1.0, float(job.model.moe.experts))
        else:
            raise InputError(f"routing: cannot read {part.strip()!r}", fix="write dropless, or capacity=1.25,pad,imbalance=1.3")
    if padded and not capacity:
        raise InputError("routing: pad needs a capacity", fix="write capacity=1.25,pad")
    if "dropless" in text.lower() and capacity:
        raise InputError("routing: dropless has no capacity", fix="keep one of them")
    return replace(job, capacity_factor=capacity, pad_to_capacity=padded, imbalance=imbalance)


def _number(what: str, value: str, least: float, most: float) -> float:
    try:
        number = float(value)
    except ValueError:
        number = least - 1.0
    if not least <= number <= most:
        raise InputError(
            f"routing {what}: {value!r} is no number from {least:g} to {most:g}", fix=f"write for example {what}=1.25"
        )
    return number


def routing_note(job: TrainJob) -> tuple[str, ...]:
    """What the routing of a job does to its tokens, in one line; nothing to say of the usual one."""
    if job.model.moe is None or (job.capacity_factor <= 0.0 and job.imbalance <= 1.0):
        return ()
    share = routed_share(job.imbalance, job.capacity_factor, float(job.pad_to_capacity))
    busy = f"the fullest expert rank works through {share.load:.3g} times the mean"
    if job.capacity_factor <= 0.0:
        return (f"dropless routing, imbalance {job.imbalance:g}: {busy}",)
    kept = f"{100.0 * share.dropped:.3g} % of the token copies are dropped"
    rows = f", {100.0 * share.padding:.3g} % of the rows are padding" if job.pad_to_capacity else ""
    return (f"capacity factor {job.capacity_factor:g}, imbalance {job.imbalance:g}: {kept}{rows}; {busy}",)
