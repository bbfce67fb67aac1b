"""Files that start a planned training or service in the tools that people run."""

from __future__ import annotations

from dataclasses import dataclass

from suanzhang.spec.layout import TrainLayout
from suanzhang.spec.model import ModelSpec
from suanzhang.spec.result import Header
from suanzhang.spec.serve import ServeResult
from suanzhang.spec.train import TrainResult

TRAIN_TARGETS = ("megatron", "nemo", "torchtitan", "deepspeed", "slurm")
SERVE_TARGETS = ("vllm", "sglang", "trtllm", "kubernetes", "skypilot")


@dataclass(frozen=True, slots=True)
class TrainPlan:
    """What a launch file of a training is written from.

    Args:
        model: shape of the model.
        layout: the layout.
        chips_per_node: chips of one host.
        seq_len: tokens of a sequence.
        global_batch: sequences of a step.
        steps: optimizer steps of the run.
        precision: dtype of the products.
        optimizer, capacity_factor, pad_to_capacity: as in ``TrainJob``.
    """

    model: ModelSpec
    layout: TrainLayout
    chips_per_node: int
    seq_len: int
    global_batch: int
    steps: int
    precision: str = "bf16"
    optimizer: str = "adam"
    capacity_factor: float = 0.0
    pad_to_capacity: bool = False

    @property
    def nodes(self) -> int:
        """Hosts that the layout needs."""
        return -(-self.layout.chips // self.chips_per_node)

    @property
    def node_chips(self) -> int:
        """Chips in use on one host."""
        return min(self.chips_per_node, self.layout.chips)


@dataclass(frozen=True, slots=True)
class LaunchFile:
    """One file: its name and its text."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Target:
    """A tool that is started.

    Args:
        id: such as ``megatron``.
        title: in words.
        version: that the argument names were checked against.
        url: of the documentation or source that they were checked against.
    """

    id: str
    title: str
    version: str
    url: str


@dataclass(frozen=True, slots=True)
class LaunchResult:
    """The files of one target for one plan. Field names are the stable JSON keys.

    Args:
        header: version, catalog date and seed.
        target: what is started, and which of its versions the names come from.
        files: the files.
        folder: where they were written; empty when nowhere.
        start: command that starts it.
        unsaid: what the plan says and the target cannot, or takes from elsewhere; nothing is left out silently.
        plan: the plan that the files carry out.
    """

    header: Header
    target: Target
    files: tuple[LaunchFile, ...]
    folder: str
    start: str
    unsaid: tuple[str, ...]
    plan: TrainResult | ServeResult
