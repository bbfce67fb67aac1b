"""Trees of a training: days from steps, the step from its terms, each term from its formula and the chip's figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from suanzhang.app.explain_tree import asked, dotted, efficiencies, leaf, named, of_chip, of_stack
from suanzhang.app.physics import Physics, physics
from suanzhang.app.train_coefficients import generation, shipped_coefficients
from suanzhang.app.train_model import Packed, estimate_packed, pack, sixteen_bit
from suanzhang.app.train_option import option_of
from suanzhang.perf.energy import chip_power_w, host_power_w
from suanzhang.perf.goodput import LLAMA3_FAILURES_PER_CHIP_DAY, RESTART_S, checkpoint_s, goodput_fraction
from suanzhang.perf.training.args import HeadTimes, LayerTimes
from suanzhang.perf.training.flop import step_flop
from suanzhang.perf.training.head import head_times
from suanzhang.perf.training.layer import layer_times, mixed_layer_times
from suanzhang.perf.training.memory import stage_memory
from suanzhang.perf.training.pack import layout_args
from suanzhang.perf.training.pipeline import bubble_s
from suanzhang.perf.training.step import data_comm_s, layer_total_s, recompute_s, step_terms, step_total_s
from suanzhang.perf.training.traffic import optimizer_s
from suanzhang.source import QUESTION
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.job import TrainJob
from suanzhang.spec.layout import TrainLayout
from suanzhang.spec.precision import precision_of
from suanzhang.spec.stack import TrainStack
from suanzhang.spec.train import TrainEstimate, TrainOption
from suanzhang.spec.trust import Given, Node
from suanzhang.units import DAY_S, HOUR_S

_TERMS: Mapping[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "forward_s": (
        dotted(layer_times), ("gemm_forward", "attention_forward", "memory_forward"), ("peak", "kernels", "gemm", "hbm"),
    ),
    "backward_input_s": (
        dotted(layer_times), ("gemm_input", "attention_backward", "memory_backward"), ("peak", "kernels", "gemm", "hbm"),
    ),
    "backward_weight_s": (dotted(layer_times), ("gemm_weight",), ("peak", "kernels", "gemm")),
    "recompute_s": (dotted(recompute_s), ("selective",), ("peak", "kernels", "gemm")),
    "embedding_head_s": (dotted(head_times), (), ("peak16", "kernels16", "gemm")),
    "launch_s": (dotted(layer_total_s), ("host_forward", "host_backward"), ("launch", "layer_kernels", "launch_fit")),
    "tensor_comm_s": (dotted(layer_times), ("tensor_forward", "tensor_backward"), ("link", "tensor")),
    "context_comm_s": (dotted(layer_times), ("context_forward", "context_backward"), ("link", "nic")),
    "expert_comm_s": (dotted(layer_times), ("expert_forward", "expert_backward"), ("link", "nic", "expert")),
    "pipeline_comm_s": (dotted(step_terms), (), ("nic", "pipeline")),
    "bubble_s": (dotted(bubble_s), (), ("peak", "kernels", "gemm")),
    "data_comm_s": (dotted(data_comm_s), (), ("link", "nic", "data")),
    "optimizer_s": (dotted(optimizer_s), (), ("hbm",)),
    "offload_s": (dotted(step_terms), (), ()),
    "overhead_s": (dotted(step_terms), (), ("overhead",)),
    "jitter_s": (dotted(step_terms), (), ("jitter",)),
}  # fmt: skip
"""Term of a step: its formula, the times of a layer that it holds, the figures that it rests on."""
_HIDING = {
    "overlap_dp": ("traffic between data ranks", "data"),
    "overlap_tp": ("traffic between tensor ranks", "tensor"),
    "overlap_gather": ("gathers for weight gradients", "tensor"),
    "overlap_pp": ("messages between stages", "pipeline"),
    "overlap_ep": ("traffic between experts", "expert"),
    "overlap_cp": ("traffic round a context ring", "context"),
    "overlap_cp_a2a": ("exchange of heads between context ranks", "context"),
}
"""Setting of the software that hides traffic behind compute: what it hides, and the term that holds the rest."""
_HELD = {
    "weights": (("param_bytes", "B", "bytes of a weight"),),
    "gradients": (("grad_bytes", "B", "bytes of a gradient"),),
    "optimizer": (("optimizer_bytes", "B", "bytes of optimizer state of a parameter"),),
    "logits": (("loss_bytes", "B", "bytes of a logit"),),
    "reserve": (
        ("reserve_bytes", "B", "memory of driver and libraries"),
        ("fragmentation", "fraction", "memory that the allocator cannot use again"),
    ),
}
"""Part of the memory of a chip: the settings of the software that it rests on."""
_SHORT = {"data": "dp", "tensor": "tp", "pipeline": "pp", "expert": "ep", "context": "cp"}


@dataclass(frozen=True, slots=True)
class Run:
    """Everything that one explained run rests on."""

    job: TrainJob
    chip: ChipSpec
    stack: TrainStack
    packed: Packed
    estimate: TrainEstimate
    option: TrainOption
    at: Physics
    at16: Physics


def run_on(job: TrainJob, chip: ChipSpec, stack: TrainStack, layout: TrainLayout) -> Run:
    """A training on a chip in a layout, with everything that it rests on."""
    packed = pack(job, chip, stack)
    estimate = estimate_packed(packed, layout, chip)
    option = option_of(job, chip, stack, estimate)
    at16 = physics(chip, sixteen_bit(chip, job.precision), stack.profile)
    return Run(job, chip, stack, packed, estimate, option, physics(chip, job.precision, stack.profile), at16)


def days_tree(run: Run, *, batch_given: bool, seq_given: bool, name: str = "days", layers: bool = True) -> Node:
    """Calendar days: steps times the step, and what failures and checkpoints add."""
    steps = steps_tree(run, batch_given=batch_given, seq_given=seq_given)
    step, params = step_tree(run, layers=layers), run.job.model.params
    return calendar_tree(name, steps, step, run.option.days, run.option.goodput_fraction, params, run.option.chips)


def calendar_tree(
    name: str, steps: Node, step: Node, days: float, useful: float, params: float, chips: int, formula: str = dotted(option_of)
) -> Node:
    """Calendar days as the time of the steps, and what failures and checkpoints add to it.

    Args:
        name: of the answer.
        steps, step: how many, and one of them.
        days: calendar time.
        useful: share of it in which steps count.
        params, chips: of the model, and that train it: what failures and checkpoints follow from.
        formula: what computes the days.
    """
    saved = checkpoint_s.py_func(params, float(chips))  # type: ignore[attr-defined]
    goodput = Node(
        "useful share of the time", useful, "fraction", "formula", dotted(goodput_fraction),
        (
            Given("failures per chip and day", LLAMA3_FAILURES_PER_CHIP_DAY, "1/d", "llama3", "published"),
            Given("time to be back after a failure", RESTART_S, "s", "planner-default", "assumed"),
            Given("chips", float(chips), "chips", "question", "asked"),
        ),
        (Node("one checkpoint", saved, "s", "formula", dotted(checkpoint_s)),),
    )  # fmt: skip
    return Node(
        name, days, "d", "sum", formula,
        parts=(
            Node("time of the steps", days * useful, "d", "product", formula, parts=(steps, step)),
            Node("failures and checkpoints", days * (1.0 - useful), "d", "formula", dotted(goodput_fraction), parts=(goodput,)),
        ),
        note="optimizer steps times the step, over the useful share of the time",
    )  # fmt: skip


def steps_tree(run: Run, *, batch_given: bool, seq_given: bool) -> Node:
    """Optimizer steps of the run: tokens over those of one step."""
    job = run.job
    return Node(
        "optimizer steps", job.tokens / (job.seq_len * job.global_batch), "steps", "formula", dotted(option_of),
        (
            asked("tokens", job.tokens, "tokens", given=True),
            asked("sequence length", float(job.seq_len), "tokens", given=seq_given),
            asked("global batch", float(job.global_batch), "sequences", given=batch_given),
        ),
    )  # fmt: skip


def step_tree(run: Run, *, layers: bool = True) -> Node:
    """One optimizer step as the sum of its terms; with ``layers`` each term shows the times of a layer that it holds."""
    below = _below(run) if layers else {}
    givens = givens_of_run(run)
    parts = []
    for term in run.estimate.terms:
        formula, _, figures = _TERMS[term.name]
        inputs = tuple(givens[name] for name in figures) if term.value else ()
        words = term.name.removesuffix("_s").replace("_", " ")
        parts.append(Node(words, term.value, "s", "formula", formula, inputs, below.get(term.name, ()) if term.value else ()))
    shown = sorted(parts, key=lambda part: -(part.value or 0.0))
    return Node("one optimizer step", run.estimate.step_s, "s", "sum", dotted(step_total_s), hidden_by(run), tuple(shown))


def hidden_by(run: Run) -> tuple[Given, ...]:
    """Shares of traffic that the software is taken to hide, each with what the step would grow by without it."""
    found = []
    for field, (words, name) in _HIDING.items():
        value = float(getattr(run.stack, field))
        if value <= 0.0 or not any(term.value for term in run.estimate.terms if term.name == f"{name}_comm_s"):
            continue
        shown = replace(run.stack, **{field: 0.0})  # type: ignore[arg-type]
        longer = estimate_packed(pack(run.job, run.chip, shown), run.estimate.layout, run.chip).step_s
        weight = min(1.0, max(0.0, longer / run.estimate.step_s - 1.0))
        if weight > 0.0:
            given = of_stack(run.stack, field, "fraction", f"hidden share of the {words}")
            given = replace(given, weight_fraction=weight, note=f"without it the step takes {100.0 * weight:.1f} % longer")
            found.append(replace(given, source=QUESTION, grade="asked") if _SHORT[name] in run.stack.asked_overlap else given)
    return tuple(found)


def _below(run: Run) -> dict[str, tuple[Node, ...]]:
    """Times of one layer of each kind, and of the ends of the model, by the term that holds them."""
    layout, packed = layout_args(run.estimate.layout), run.packed
    dense = mixed_layer_times(packed.shape, packed.run, layout, packed.ops, packed.ops16, packed.fit, 0.0)
    mixture = None
    if packed.shape.experts > 0.0:
        mixture = mixed_layer_times(packed.shape, packed.run, layout, packed.ops, packed.ops16, packed.fit, 1.0)
    ends = head_times.py_func(packed.shape, packed.run, layout, packed.ops16, packed.fit)  # type: ignore[attr-defined]
    found = {
        name: _layer_parts(fields, dense, "dense") + _layer_parts(fields, mixture, "mixture")
        for name, (_, fields, _) in _TERMS.items()
    }
    return {**found, "embedding_head_s": _head_parts(ends)}


def _layer_parts(fields: tuple[str, ...], times: LayerTimes | None, kind: str) -> tuple[Node, ...]:
    if times is None:
        return ()
    note = f"one {kind} layer, one micro-batch, one chip"
    return tuple(
        Node(
            f"{field.replace('_', ' ')} of a {kind} layer", getattr(times, field), "s", "given", dotted(layer_times), note=note
        )
        for field in fields
        if getattr(times, field) > 0.0
    )


def _head_parts(ends: HeadTimes) -> tuple[Node, ...]:
    return tuple(
        Node(name.replace("_", " "), value, "s", "given", dotted(head_times), note="one micro-batch, one chip")
        for name, value in ends._asdict().items()
        if value > 0.0
    )


def givens_of_run(run: Run) -> dict[str, Given]:
    """Figures that the terms of a step rest on, by short name."""
    chip, stack, fit = run.chip, run.stack, shipped_coefficients()
    values = fit.on(chip)
    low = sixteen_bit(chip, run.job.precision)

    def fitted(name: str, words: str) -> Given:
        note = f"fitted to {fit.rows} published runs of {fit.sources} sources, {fit.date}"
        return Given(
            words, float(getattr(values, name)), "fraction" if name == "jitter" else "times", "training-fit", fit.grade, note
        )

    kind = generation(chip)
    return {
        "peak": of_chip(chip, f"peak_flop_per_s.{precision_of(run.job.precision).arithmetic}", f"{run.job.precision} peak"),
        "peak16": of_chip(chip, f"peak_flop_per_s.{low}", f"{low} peak"),
        "kernels": efficiencies(run.at, chip),
        "kernels16": efficiencies(run.at16, chip),
        "hbm": of_chip(chip, "hbm_bytes_per_s", "memory bandwidth"),
        "link": of_chip(chip, "link_bytes_per_s", "link bandwidth"),
        "nic": of_chip(chip, "node.nic_bytes_per_s", "network bandwidth"),
        "launch": of_stack(stack, "launch_s", "s", "host time of a launch"),
        "overhead": of_stack(stack, "step_overhead_s", "s", "framework time of a step"),
        "layer_kernels": of_stack(stack, "layer_kernels", "kernels", "kernels of a layer"),
        "gemm": fitted("gemm", f"time of products inside a step over isolated, {kind}"),
        "launch_fit": fitted("launch", "time of launches over stated"),
        "tensor": fitted("tensor", "time of tensor traffic over ideal"),
        "data": fitted("data", "time of data traffic over ideal"),
        "expert": fitted("expert", "time of expert traffic over ideal"),
        "pipeline": fitted("pipeline", "time of pipeline messages over ideal"),
        "jitter": fitted("jitter", "waiting for the slowest node, per doubling of nodes"),
    }


def memory_tree(run: Run) -> Node:
    """Memory of the fullest chip as the sum of its parts."""
    fullest = max(run.estimate.memory, key=lambda stage: stage.total_bytes)
    behind = {
        name: tuple(of_stack(run.stack, field, unit, words) for field, unit, words in rests if getattr(run.stack, field))
        for name, rests in _HELD.items()
    }
    parts = tuple(
        Node(part.name, part.value, "B", "formula", dotted(stage_memory), behind.get(part.name, ())) for part in fullest.parts
    )
    have = of_chip(run.chip, "hbm_bytes", "memory")
    return Node(
        "memory of the fullest chip", fullest.total_bytes, "B", "sum", dotted(stage_memory), (have,), parts,
        note=f"stage {fullest.stage} of {len(run.estimate.memory)}",
    )  # fmt: skip


def mfu_tree(run: Run) -> Node:
    """Model FLOP utilisation: the model's FLOP over peak and time."""
    flop = step_flop.py_func(run.packed.shape, run.packed.run)  # type: ignore[attr-defined]
    parts = (
        Node("model FLOP of a step", flop, "FLOP", "formula", dotted(step_flop)),
        Node("one optimizer step", run.estimate.step_s, "s", "given", dotted(step_total_s)),
    )
    peak = of_chip(run.chip, f"peak_flop_per_s.{precision_of(run.job.precision).arithmetic}", f"{run.job.precision} peak")
    return Node("model FLOP utilisation", run.estimate.mfu, "fraction", "formula", dotted(estimate_packed), (peak,), parts)


def energy_tree(run: Run) -> Node:
    """Energy of chips and hosts over the run."""
    chip, option = run.chip, run.option
    chip_w = chip_power_w.py_func(chip.tdp_w, min(1.0, run.estimate.utilisation))  # type: ignore[attr-defined]
    host_w = host_power_w.py_func(chip.node.power_w, float(chip.node.chips), chip.tdp_w)  # type: ignore[attr-defined]
    scale = option.chips * option.days * DAY_S
    plate = of_chip(chip, "tdp_w", "nameplate power")
    node = (plate, of_chip(chip, "node.power_w", "nameplate power of the node"))
    count = leaf(asked("chips", float(option.chips), "chips", given=True))
    time = named("calendar time", option.days * DAY_S, "s", dotted(option_of))
    busy = Given("mean utilisation of a chip", min(1.0, run.estimate.utilisation), "fraction", "derived", "derived")
    draw = Node("draw of a chip", chip_w, "W", "formula", dotted(chip_power_w), (plate, busy))
    host = Node("draw of the host per chip", host_w, "W", "formula", dotted(host_power_w), node)
    parts = (
        Node("chips", chip_w * scale, "J", "product", dotted(option_of), parts=(draw, count, time)),
        Node("hosts", host_w * scale, "J", "product", dotted(option_of), parts=(host, count, time)),
    )
    return Node("energy", option.energy_j, "J", "sum", dotted(option_of), parts=parts, note="before the building's overhead")


def cost_tree(run: Run, price: float, currency: str) -> Node:
    """Chip-hours times their price."""
    hours = run.option.days * DAY_S / HOUR_S * run.option.chips
    rent = asked("price of a chip-hour", price, f"{currency}/chip_h", given=True)
    days = named("calendar time", run.option.days, "d", dotted(option_of))
    chips = leaf(asked("chips", float(run.option.chips), "chips", given=True))
    time = replace(days, value=run.option.days * DAY_S / HOUR_S, unit="h")
    used = Node("chip-hours", hours, "chip_h", "product", dotted(option_of), parts=(chips, time))
    return Node("cost", hours * price, currency, "product", "suanzhang.app.train.train", (rent,), (used,))
