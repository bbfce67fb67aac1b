"""A training of a question file as the job and the software that every verb estimates it with."""

from __future__ import annotations

from suanzhang.app.train_asked import with_overlap, with_routing
from suanzhang.app.train_input import default_batch, default_precision
from suanzhang.catalog.models import model as model_of
from suanzhang.catalog.stack_defaults import default_train_stack_on
from suanzhang.catalog.stacks import train_stack
from suanzhang.errors import InputError
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.job import TrainJob
from suanzhang.spec.question import Question, TrainAsk
from suanzhang.spec.stack import TrainStack


def job_of(ask: TrainAsk, question: Question, chip: ChipSpec | None = None, deadline_s: float | None = None) -> TrainJob:
    """The job of an ask; sizes that it leaves out are the usual ones of its model.

    Args:
        ask: the training that was asked.
        question: the whole question, for its start.
        chip: kind of chip, for the arithmetic where the ask names none; bf16 without one.
        deadline_s: longest duration allowed.

    Raises:
        InputError: the routing cannot be that of the model.
    """
    model = model_of(ask.model)
    seq = ask.seq_len or min(model.max_seq, 8192)
    precision = ask.precision or (default_precision(chip) if chip else "bf16")
    job = TrainJob(
        ask.name, model, ask.tokens, seq, ask.global_batch or default_batch(model, seq), precision, ask.optimizer,
        ask.method, ask.lora_rank, deadline_s, ask.start or question.start,
    )  # fmt: skip
    try:
        return with_routing(job, ask.routing)
    except InputError as error:
        raise InputError(f"train.{ask.name}: {error.message}", fix=error.fix, details=error.details) from None


def as_flags(question: Question, name: str = "") -> dict[str, object]:
    """One training of a question as the inputs of the verb that answers it.

    Args:
        question: the question.
        name: which of its trainings; the first without one.
    """
    ask = next(one for one in question.train if not name or one.name == name)
    return {
        "model": ask.model, "tokens": ask.tokens, "seq_len": ask.seq_len or None, "global_batch": ask.global_batch or None,
        "precision": ask.precision, "stack": ask.stack, "optimizer": ask.optimizer, "start": ask.start or question.start,
        "overlap": ask.overlap, "routing": ask.routing,
    }  # fmt: skip


def software_of(ask: TrainAsk, question: Question, chip: ChipSpec | None = None) -> TrainStack:
    """The software of an ask, with the overlap it asks for; the newest for the chip at the start where it names none."""
    stack = train_stack(ask.stack) if ask.stack else default_train_stack_on(chip, ask.start or question.start).stack
    return with_overlap(stack, ask.overlap)
