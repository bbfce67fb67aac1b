"""What post-training does beside a training step: passes without gradients, weights on their way, and copies to the host."""

from __future__ import annotations

from suanzhang.perf.args import LinkArgs
from suanzhang.perf.collectives import p2p_s
from suanzhang.perf.training.args import StepTerms


def forward_pass_s(terms: StepTerms) -> float:
    """Time of a pass without gradients over the batch of one training step.

    Model:    the forward products as in the step; of what forward and backward share (head, launches, communication inside the
              model, the pipeline bubble) a third, as forward is one product of three; no recompute, no gradients to sum, no
              optimizer.

    Args:
        terms: parts of the training step [s].

    Returns:
        Seconds.

    Equation: T_f + (T_head + T_launch + T_tp + T_cp + T_ep + T_pp + T_bubble + T_jitter) / 3 + T_overhead

    Validity: the layout of the training; a layout of its own could be faster, as nothing is kept for a backward pass.

    Sources:  [narayanan2021] section 4.1; a forward pass is a third of the products of a step.

    Example:
        >>> from suanzhang.perf.training.args import StepTerms
        >>> zero = StepTerms(*(0.0 for _ in StepTerms._fields))
        >>> round(forward_pass_s(zero._replace(forward_s=1.0, backward_input_s=1.0, backward_weight_s=1.0, bubble_s=0.3)), 3)
        1.1
    """
    shared = (
        terms.embedding_head_s
        + terms.launch_s
        + terms.tensor_comm_s
        + terms.context_comm_s
        + terms.expert_comm_s
        + terms.pipeline_comm_s
        + terms.bubble_s
        + terms.jitter_s
    )
    return terms.forward_s + shared / 3.0 + terms.overhead_s


def refit_s(weight_bytes: float, tensors: float, tensor_s: float, near: float, link: LinkArgs) -> float:
    """Time until the rollout runs with the weights of the last training step.

    Model:    the ranks that hold the parts of one copy give every tensor to all of them, in the layout of the engine, and each
              engine rank keeps its own part: all weights pass the link of every chip once, and the host handles tensor after
              tensor. The link is that between chips where one copy lies in one scale-up domain, the network otherwise.

    Args:
        weight_bytes: bytes of all weights as they are sent [B].
        tensors: tensors of the model, experts one by one [1].
        tensor_s: host time to gather, name and load one tensor [s].
        near: 1 when one copy lies inside a scale-up domain and is used there, 0 when it crosses the network [1].
        link: links of the chip.

    Returns:
        Seconds.

    Equation: T = t_p2p(W) + n t_0

    Validity: collectives that keep the link busy; engines that are given parts alone, as newer transports do, are faster.

    Sources:  [nemo-rl-performance] recipes; [verl-fully-async] times of the hand-over of 7B to 235B parameters.

    Example:
        >>> from suanzhang.perf.args import LinkArgs, no_residual
        >>> t = no_residual()
        >>> a = LinkArgs(8.0, 1e9, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1e9, 1e9, 1.0, 0.0, 0.0, 1.0, t, t, t, t)
        >>> refit_s(16e9, 1000.0, 1e-3, 1.0, a)
        17.0
    """
    return float(p2p_s(weight_bytes, near, link)) + tensors * tensor_s


def copy_s(moved_bytes: float, host_bytes_per_s: float) -> float:
    """Time to move bytes between a chip and host memory.

    Model:    one direction after the other at the rate of the copies: for pageable memory that is what one thread of the host
              copies, far below the link.

    Args:
        moved_bytes: bytes of one chip, both directions together [B].
        host_bytes_per_s: rate of the copies [B/s].

    Returns:
        Seconds.

    Equation: T = B / b

    Validity: other chips of the node have a link and a thread of their own.

    Sources:  [zero2020] section 7 moves the same states.

    Example:
        >>> copy_s(100e9, 25e9)
        4.0
    """
    return moved_bytes / host_bytes_per_s


def dispatch_s(layers: float, micro_batches: float, stages: float, passes: float, layer_s: float) -> float:
    """Time in which chips wait for the host where tokens are sent to experts without a limit.

    Model:    the numbers of tokens that each expert gets must reach the host before it can size the buffers of a layer, so that
              it cannot run ahead of the chip; tokens are put in order and back by kernels of their own. A fixed time of each
              layer with experts in each pass over a micro-batch, and a pipeline fills and drains with it.

    Args:
        layers: layers with experts on one stage [1].
        micro_batches: of one data rank, in all steps [1].
        stages: micro-batches of fill and drain of a pipeline, in all steps: steps (stages - 1) [1].
        passes: passes over each micro-batch: forward once, backward twice, recompute once [1].
        layer_s: time of one layer and pass [s].

    Returns:
        Seconds.

    Equation: T = L (m + p) k t

    Validity: dropless routing by all-to-all, as frameworks of reinforcement learning set it; not for capacity limits or graphs.

    Sources:  [nemo-rl-performance] fitted to its runs of mixtures of experts.

    Example:
        >>> dispatch_s(10.0, 90.0, 10.0, 5.0, 0.002)
        10.0
    """
    return layers * (micro_batches + stages) * passes * layer_s


__all__ = ["copy_s", "dispatch_s", "forward_pass_s", "refit_s"]
