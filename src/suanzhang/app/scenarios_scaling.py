"""Scenarios of scaling laws: what a budget of chips and days can train at best."""

from __future__ import annotations

import math

import numpy as np

from suanzhang.app.scenario_draws import spread_of
from suanzhang.app.scenario_inputs import Inputs
from suanzhang.app.scenarios import Answer, scenario
from suanzhang.app.train_input import default_precision
from suanzhang.app.train_scaling_spread import LawSpread
from suanzhang.catalog.chips import chip as find_chip
from suanzhang.perf.scaling import BESIROGLU_2024, FLOP_PER_PARAM_TOKEN, HOFFMANN_2022, LossLaw, best_params, loss
from suanzhang.spec.draws import standard_normal
from suanzhang.units import DAY_S, format_count

_LAWS = (BESIROGLU_2024, HOFFMANN_2022)


@scenario("compute-to-loss")
def compute_to_loss(inputs: Inputs) -> Answer:
    """Loss of the best model that chips train in a time: inputs chip, chips, days, mfu, times (how many times as many
    chips to compare with); answers params, tokens, loss, loss_gain (with its
    interval: published fits lie round the first one as draws of one distribution), gain_share (of all that can still be
    learnt)."""
    chip = find_chip(inputs.text("chip"))
    seconds = inputs.number("days") * DAY_S
    flop = inputs.number("chips") * chip.peak(default_precision(chip)) * inputs.number("mfu", "fraction") * seconds
    times = inputs.number("times", "count", 10.0)
    gains = [_best_loss(flop, law) - _best_loss(times * flop, law) for law in _LAWS]
    params = best_params(flop, BESIROGLU_2024)
    tokens = flop / (FLOP_PER_PARAM_TOKEN * params)
    reached = _best_loss(flop, BESIROGLU_2024)
    above = reached - BESIROGLU_2024.e
    shares = [gain / (_best_loss(flop, law) - law.e) for gain, law in zip(gains, _LAWS, strict=True)]
    spread = LawSpread.of(None)
    sizes = params * spread.params(flop, 1.0)
    apart = math.log(gains[1] / gains[0]) * standard_normal("scaling law, loss")
    return {
        "flop": flop,
        "params": params,
        "params_interval": spread_of(params, sizes),
        "tokens": tokens,
        "tokens_interval": spread_of(tokens, flop / (FLOP_PER_PARAM_TOKEN * sizes)),
        "loss": reached,
        "loss_interval": spread_of(reached, reached + spread.loss(params, tokens)),
        "loss_gain": gains[0],
        "loss_gain_interval": spread_of(gains[0], gains[0] * np.exp(apart)),
        "gain_share": shares[0],
        "gain_share_interval": spread_of(
            shares[0],
            np.minimum(shares[0] * np.exp(math.log(shares[1] / shares[0]) * standard_normal("scaling law, loss")), 1.0),
        ),
        "exact": ("flop",),
        "explanation": (
            f"{format_count(inputs.number('chips'))} chips train at best {params / 1e9:.0f} billion parameters on "
            f"{tokens / 1e12:.1f} trillion tokens; {times:g} times as many take {gains[0] / above:.0%} off what can still be "
            "learnt. Algorithms and data move the curve itself, which no law of compute shows."
        ),
    }


def _best_loss(flop: float, law: LossLaw) -> float:
    params = best_params(flop, law)
    return loss(params, flop / (FLOP_PER_PARAM_TOKEN * params), law)
