"""Scenarios of scaling laws: what a budget of chips and days can train at best."""

from __future__ import annotations

from suanzhang.app.scenario_inputs import Inputs
from suanzhang.app.scenarios import Answer, scenario
from suanzhang.app.train_input import default_precision
from suanzhang.catalog.chips import chip as find_chip
from suanzhang.perf.scaling import BESIROGLU_2024, FLOP_PER_PARAM_TOKEN, HOFFMANN_2022, LossLaw, best_params, loss
from suanzhang.spec.result import Interval
from suanzhang.units import DAY_S, format_count

_LAWS = (BESIROGLU_2024, HOFFMANN_2022)


@scenario("compute-to-loss")
def compute_to_loss(inputs: Inputs) -> Answer:
    """Loss of the best model that chips train in a time: inputs chip, chips, days, mfu, times (how many times as many
    chips to compare with); answers params, tokens, loss, loss_gain (with its interval over two published fits)."""
    chip = find_chip(inputs.text("chip"))
    seconds = inputs.number("days") * DAY_S
    flop = inputs.number("chips") * chip.peak(default_precision(chip)) * inputs.number("mfu", "fraction") * seconds
    times = inputs.number("times", "count", 10.0)
    gains = [_best_loss(flop, law) - _best_loss(times * flop, law) for law in _LAWS]
    params = best_params(flop, BESIROGLU_2024)
    tokens = flop / (FLOP_PER_PARAM_TOKEN * params)
    reached = _best_loss(flop, BESIROGLU_2024)
    above = reached - BESIROGLU_2024.e
    return {
        "flop": flop,
        "params": params,
        "tokens": tokens,
        "loss": reached,
        "loss_gain": gains[0],
        "loss_gain_interval": Interval(min(gains), gains[0], max(gains)),
        "explanation": (
            f"{format_count(inputs.number('chips'))} chips train at best {params / 1e9:.0f} billion parameters on "
            f"{tokens / 1e12:.1f} trillion tokens; {times:g} times as many take {gains[0] / above:.0%} off what can still be "
            "learnt. Algorithms and data move the curve itself, which no law of compute shows."
        ),
    }


def _best_loss(flop: float, law: LossLaw) -> float:
    params = best_params(flop, law)
    return loss(params, flop / (FLOP_PER_PARAM_TOKEN * params), law)
