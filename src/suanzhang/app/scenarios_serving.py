"""Scenarios about how a service could do with less."""

from __future__ import annotations

from suanzhang.app.scenario_inputs import Inputs
from suanzhang.app.scenarios import Answer, scenario


@scenario("improve")
def improve_verb(inputs: Inputs) -> Answer:
    """What efficiency saves at equal latency targets: inputs are the keys of a question file with one service; answers
    saving_fraction of the best combination, saving_per_month, and saving.NAME of each lever alone."""
    from suanzhang.app.question import question_from
    from suanzhang.app.serve_improve import improve

    inputs.used.update(inputs.given)
    found = improve(question_from(inputs.given, inputs.where))
    answer: Answer = {"saving_fraction": found.saving_fraction, "saving_fraction_interval": found.saving_fraction_interval}
    if found.saving_per_month is not None:
        answer["saving_per_month"] = found.saving_per_month.amount
        answer["saving_per_month_interval"] = found.saving_per_month_interval
    for lever in found.levers:
        if lever.deployment is not None:
            answer[f"saving.{lever.name}"] = lever.saving_fraction
            answer[f"saving.{lever.name}_interval"] = lever.saving_fraction_interval
    alone = ", ".join(
        f"{lever.name} {lever.saving_fraction:.0%}" for lever in found.levers if lever.deployment and lever.available
    )  # fmt: skip
    best = " + ".join(found.combination) or "no lever"
    answer["explanation"] = f"{best} save {found.saving_fraction:.0%} of the rent; alone: {alone}."
    return answer
