"""How far published scaling laws lie from each other, and what that and our compute make of size, tokens and loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from suanzhang.app.train_spread import around
from suanzhang.perf.scaling import BESIROGLU_2024, FLOP_PER_PARAM_TOKEN, HOFFMANN_2022, LossLaw, best_params, loss
from suanzhang.spec.draws import Floats, standard_normal
from suanzhang.spec.result import Interval
from suanzhang.spec.train_scaling import ScalingRow, SizedModel

LAWS: dict[str, LossLaw] = {"Chinchilla, fitted again 2024": BESIROGLU_2024, "Chinchilla 2022": HOFFMANN_2022}
"""The law that sizes the model comes first; the others widen the interval."""
_GOPHER_FLOP = 5.76e23


def _power(params: float, flop: float, exponent: float) -> Callable[[float], float]:
    return lambda budget: params * (budget / flop) ** exponent


SIZES: Mapping[str, Callable[[float], float]] = {
    "Chinchilla 2022, least loss over runs [hoffmann2022] figure 1, table 2": _power(67e9, _GOPHER_FLOP, 0.50),
    "Chinchilla 2022, equal compute [hoffmann2022] figure 1, table 2": _power(63e9, _GOPHER_FLOP, 0.49),
    "Chinchilla 2022, fitted surface [hoffmann2022] eq. 4": lambda budget: float(best_params(budget, HOFFMANN_2022)),
    "Llama 3 [llama3] section 3.2.1": _power(402e9, 3.8e25, 0.47),
}
"""Published advice on the size for a compute budget besides the law that sizes: parameters at one budget, and the exponent.
The law of Kaplan 2020 stands apart: its learning rates did not follow the tokens, its text and tokenizer give another loss."""


@dataclass(frozen=True, slots=True)
class LawSpread:
    """How far the laws lie from each other at one budget.

    Model:
        Nobody knows which published law holds for a new text and model, and each was fitted once; the others lie round the
        first as draws of one distribution. Its deviation is the root mean square distance of the others from the first: in
        the logarithm of the best size, and in the loss at one size and number of tokens (of laws fitted to the same text).

    Args:
        compute: compute over the predicted one, drawn.
    """

    compute: Floats

    @classmethod
    def of(cls, factors: Interval | None, time: Floats | None = None) -> LawSpread:
        """From the drawn step time over the predicted one; compute that was given is exact."""
        ones: Floats = np.ones(len(standard_normal("")))
        return cls(ones if factors is None or time is None else 1.0 / time)

    def params(self, flop: float, free: float) -> Floats:
        """Best size over the first law's, drawn; ``free`` is 1 where laws choose it, 0 where the user fixed it."""
        first = best_params(flop, BESIROGLU_2024)
        off = math.sqrt(float(np.mean([math.log(size(flop) / first) ** 2 for size in SIZES.values()])))
        moved = np.asarray(np.exp(off * free * standard_normal("scaling law, size")))
        return moved * self.compute**0.5

    def loss(self, params: float, tokens: float) -> Floats:
        """What is added to the loss of the first law at a size and a number of tokens, drawn."""
        own = loss(params, tokens, BESIROGLU_2024)
        off = math.sqrt(float(np.mean([(loss(params, tokens, law) - own) ** 2 for law in list(LAWS.values())[1:]])))
        return off * standard_normal("scaling law, loss")

    def loss_of_choice(self, one: SizedModel, flop: float) -> Floats:
        """The same for any choice at a budget: laws that agree by chance far from the best size are no surer there."""
        best = best_params(flop, BESIROGLU_2024)
        there = self.loss(best, flop / (FLOP_PER_PARAM_TOKEN * best))
        here = self.loss(one.params, one.tokens)
        return here if np.std(here) > np.std(there) else there


def spanned_row(row: ScalingRow, spread: LawSpread, *, chosen: bool) -> ScalingRow:
    """A row with its intervals.

    Args:
        row: compute, size, tokens and loss of the best model.
        spread: of the laws and the compute.
        chosen: the size follows from what the user fixed, not from a law.
    """
    params = row.params * spread.params(row.flop, 0.0 if chosen else 1.0)
    flop = row.flop * spread.compute
    tokens = flop / (FLOP_PER_PARAM_TOKEN * params)
    planned = flop / (FLOP_PER_PARAM_TOKEN * row.params)  # the planned size is trained
    middle = np.asarray([loss(row.params, float(each), BESIROGLU_2024) for each in np.quantile(planned, _STEPS)])
    by_compute = np.interp(planned, np.quantile(planned, _STEPS), middle) if np.ptp(planned) > 0.0 else middle[0]
    ratio = row.tokens / row.params
    return replace(
        row,
        flop_interval=around(row.flop, flop),
        params_interval=around(row.params, params),
        tokens_interval=around(row.tokens, tokens),
        loss_interval=around(row.loss, by_compute + spread.loss(row.params, row.tokens)),
        tokens_per_param=ratio,
        tokens_per_param_interval=None if chosen else around(ratio, tokens / params),
    )


_STEPS = np.linspace(0.0, 1.0, 33)


def spanned_size(one: SizedModel, flop: float, spread: LawSpread) -> SizedModel:
    """A size of a law, or one beside the best, with its intervals."""
    params = one.params * spread.params(flop, 1.0)
    return replace(
        one,
        params_interval=around(one.params, params),
        tokens_interval=around(one.tokens, flop * spread.compute / (FLOP_PER_PARAM_TOKEN * params)),
        loss_interval=around(one.loss, one.loss + spread.loss_of_choice(one, flop)),
    )
