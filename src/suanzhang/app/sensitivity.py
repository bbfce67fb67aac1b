"""The verb ``sensitivity``: which inputs move an answer, and which single measurement would narrow its interval most."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import suanzhang
from suanzhang.app.header import header
from suanzhang.app.replay_inputs import answering_verb, given_back, read_result
from suanzhang.app.sensitivity_core import Subject, studied
from suanzhang.errors import InputError
from suanzhang.spec.question import Question
from suanzhang.spec.trust_plain import plain
from suanzhang.spec.trust_sensitivity import SensitivityResult

VERBS = ("train", "serve", "plan", "buy", "goodput", "examine", "variants", "launch_train", "launch_serve")
"""Verbs whose answers can be looked at."""
Progress = Callable[[str], None]


def sensitivity(
    subject: str | Path | Mapping[str, Any] | Question,
    inputs: Mapping[str, Any] | None = None,
    *,
    sobol: bool = True,
    seed: int = 0,
    progress: Progress | None = None,
) -> SensitivityResult:
    """Which inputs move an answer, alone and together, and what measuring one of them would be worth.

    Every input is swung over its range alone: figures of the catalog by their grade, fitted coefficients by the spread of
    their fits, prices by the offers seen, choices of the user by a tenth. Those that weigh most are sampled together for
    Sobol indices. An interval of published errors is shared out among the inputs; what they do not explain is said.

    Args:
        subject: a question file, an answer that ``--json`` wrote, or the verb "train" or "serve".
        inputs: what to call the verb with, by name.
        sobol: whether to sample the top inputs together.
        seed: of the samples.
        progress: called with a line for each step.

    Raises:
        InputError: the subject is none of these, or an answer lacks what it was asked.
        Infeasible: the question has no answer.
    """
    tell = progress or (lambda _: None)
    body = _answered(subject, inputs, tell)
    tell("swing every input")
    found = subject_of(body)
    answers, evaluations, warnings = studied(found, sobol=sobol, seed=seed)
    return SensitivityResult(
        header(seed), found.verb, found.title, answers, len(found.inputs), evaluations, found.held, warnings
    )


def _answered(subject: Any, inputs: Mapping[str, Any] | None, tell: Progress) -> dict[str, Any]:
    """The body of the answer that is looked at: read, or computed now."""
    if isinstance(subject, str) and subject in suanzhang._HOMES and inputs is not None:
        tell(f"answer {subject}")
        result = getattr(suanzhang, subject)(**inputs)
    elif isinstance(subject, Mapping) or (Path(str(subject)).suffix.lower() == ".json" and not isinstance(subject, Question)):
        return read_result(subject)
    else:
        tell("answer the question")
        result = suanzhang.plan(subject, progress=tell)
    plainly = plain(result)
    return read_result({**plainly.pop("header"), **plainly})


def subject_of(body: Mapping[str, Any]) -> Subject:
    """An answer as a function of its inputs.

    Raises:
        InputError: it is of a verb that has no inputs to swing, or does not hold what it was asked.
    """
    verb = answering_verb(body)
    if verb not in VERBS:
        raise InputError(f"answers of {verb or 'this kind'} have no inputs to swing", fix=f"give one of {', '.join(VERBS)}")
    if not body.get("inputs"):
        raise InputError("the answer does not hold what it was asked", fix="write it with this version, with --json or --out")
    try:
        with given_back(body["inputs"], "result") as inputs:
            return _subject(verb, body, inputs)
    except (KeyError, TypeError, IndexError, StopIteration) as error:
        raise InputError(f"result: is damaged, or of another version ({error!r})"[:200], fix="repeat the command") from None


def _subject(verb: str, body: Mapping[str, Any], inputs: Mapping[str, Any]) -> Subject:
    if verb in ("launch_train", "launch_serve"):
        plan = {**body["plan"], "catalog_date": body["catalog_date"]}
        return _subject(verb.removeprefix("launch_"), plan, inputs)
    if verb in ("goodput", "examine", "variants"):
        from suanzhang.app import sensitivity_runs as runs

        own = {"goodput": runs.goodput_subject, "examine": runs.examined_subject, "variants": runs.variants_subject}
        return own[verb](body, inputs)
    if verb == "train":
        from suanzhang.app.sensitivity_train import train_subject

        return train_subject(body, inputs)
    if verb == "serve":
        from suanzhang.app.sensitivity_serve import serve_subject

        return serve_subject(body, inputs)
    from suanzhang.app.sensitivity_plan import plan_subject

    return plan_subject(body, inputs)
