"""How sure an examined job is: its own figures, and what changes to it would gain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from suanzhang.app.train_model import estimate_train
from suanzhang.app.train_option import inverse_of
from suanzhang.app.train_spread import Errors, against, around, errors_of, memory_factors
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.draws import Floats
from suanzhang.spec.imports import Finding
from suanzhang.spec.job import TrainJob
from suanzhang.spec.layout import TrainLayout
from suanzhang.spec.result import Interval
from suanzhang.spec.stack import TrainStack
from suanzhang.spec.train import TrainEstimate


@dataclass(frozen=True, slots=True)
class Sure:
    """What the estimate of a job may be off by.

    Args:
        job, chip, stack: the job and on what it runs.
        now: its estimate.
        errors: causes of error of that.
    """

    job: TrainJob
    chip: ChipSpec
    stack: TrainStack
    now: TrainEstimate
    errors: Errors

    @classmethod
    def of(cls, job: TrainJob, chip: ChipSpec, stack: TrainStack, now: TrainEstimate) -> Sure:
        """From the estimate."""
        return cls(job, chip, stack, now, errors_of(job, chip, stack, now.layout, now))

    def figures(self) -> dict[str, Interval]:
        """Intervals of the step, the utilisation, the memory and the bubble."""
        now, factors = self.now, self.errors.factors
        bubble = sum(term.value for term in now.terms if term.name == "bubble_s") / now.step_s
        memory = memory_factors(self.chip, self.job, self.stack, now.chips, now)
        return {
            "step_s_interval": factors.scaled(now.step_s),
            "mfu_interval": inverse_of(factors, now.mfu),
            "memory_bytes_interval": memory.scaled(now.memory_bytes),
            "bubble_interval": around(bubble, bubble * self.errors.term_draws("bubble_s") / self.errors.draws()),
        }

    def terms(self) -> Mapping[str, Interval]:
        """Intervals of the parts of the step."""
        return {term.name: self.errors.of_term(term.name).scaled(term.value) for term in self.now.terms if term.value}

    def step(self, layout: TrainLayout) -> tuple[TrainEstimate, Floats]:
        """Another layout on the same chips, and its step over the predicted one as it is met beside the job's own."""
        then = estimate_train(self.job, self.chip, layout, self.stack)
        errors = errors_of(self.job, self.chip, self.stack, layout, then)
        return then, against(errors, self.errors).draws()

    def gain(self, layout: TrainLayout) -> tuple[Interval, Interval]:
        """Intervals of the step in another layout and of the share of the step that it saves."""
        then, drawn = self.step(layout)
        share = 1.0 - then.step_s / self.now.step_s
        saved = 1.0 - then.step_s * drawn / (self.now.step_s * self.errors.draws())
        return around(then.step_s, then.step_s * drawn), around(share, saved)

    def spanned(self, finding: Finding, layout: TrainLayout) -> Finding:
        """A finding whose remedy is another layout, with its intervals."""
        step, gain = self.gain(layout)
        return replace(finding, step_s_interval=step, gain_interval=gain if finding.gain else None)
