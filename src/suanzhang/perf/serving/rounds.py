"""Closed loops that start at once: the first burst, the rounds after it that still come in clusters, the steady state."""

from __future__ import annotations

import math

from suanzhang.jit import formula
from suanzhang.perf.serving.args import IterationArgs
from suanzhang.perf.serving.iteration import iteration_s
from suanzhang.perf.serving.steady import BatchRules, Steady, pace

MOST_ROUNDS = 64.0
"""Rounds after which a cluster has long spread over the whole cycle [1]."""


@formula
def burst_ttft_s(count: float, isl: float, osl: float, rules: BatchRules, a: IterationArgs) -> float:
    """Mean time in the engine to first token when ``count`` requests start together on an idle replica [s].

    Prompts take turns by the budget. Where prompts and decoding share iterations, those whose prompt is done decode beside the
    prompts of the others, a third of all on average over the time that a request waits, and their tokens count in the budget.
    An engine that compiles kernels at their first use stands still when the burst first makes it cut a prompt.

    Sources:  [agrawal-2024] prompts in the order of their arrival, a budget of tokens to an iteration, decoding first.
    """
    first = max(min(count, rules.limit), 1.0)
    together = max(min(rules.budget / isl, first), 1.0)
    if rules.chunked <= 0.0:
        together = math.floor(together)
    beside = 0.0
    if rules.mixed > 0.0 and first > together:
        beside = (first - together) / 3.0
        together = max(min((rules.budget - beside) / isl, first), 1.0)
        if rules.chunked <= 0.0:
            together = math.floor(together)
    rounds = math.ceil(first / together)
    one = iteration_s(together, together * isl, 0.0, beside, beside * (isl + 0.5 * min(rounds, osl)), a)
    cold = rules.first_use_s if rules.chunked > 0.0 and count * isl > rules.budget else 0.0
    return one * (rounds + 1.0) * 0.5 + cold


@formula
def cluster_ttft_s(count: float, window_s: float, isl: float, decode_s: float, rules: BatchRules, a: IterationArgs) -> float:
    """Mean time in the engine to the first token of requests that end together and ask again, prompts first.

    Model:
        The answers of a cluster end evenly within a window of decoding. The engine looks at new requests every so many
        iterations of decoding; what has come by then is computed in iterations of prompts alone. No answer ends meanwhile, so
        that the prompts of one look never outgrow those that came in it.

    Args:
        count: requests in the window [1].
        window_s: its width, counted in the time that is spent decoding [s].
        isl: prompt of each [tokens].
        decode_s: an iteration of decoding [s].
        rules: how batches are formed.
        a: model, engine, layout and operators.

    Returns:
        The time from arrival at the engine [s].

    Equation:
        n = N h / W between 1 and N,  TTFT = h / 2 + s (n + k) / 2  with k prompts in an iteration

    Validity:
        Engines that stop decoding for prompts, equal prompts; within 10 % of a simulation of every step.

    Sources:
        [agrawal-2024] engines that run prompts first; [little-1961] the requests that wait.
    """
    look = decode_s * max(rules.poll, 1.0)
    waiting = min(max(count * look / window_s, 1.0), max(count, 1.0))
    together = max(min(waiting, rules.budget / isl), 1.0)
    one = iteration_s(together, together * isl, 0.0, 0.0, 0.0, a)
    return 0.5 * look + 0.5 * one * (waiting / together + 1.0)


@formula
def queue_s(count: float, window_s: float, slot_s: float) -> float:
    """Mean wait of requests that come at random within a window before one queue of prompts [s].

    Never more than a queue as fast as its arrivals gathers over the window: what is too much for it, and the random rest.

    Sources:  [pollaczek-1930]; the fluid limit of a queue for the bound.
    """
    rho = min(count * slot_s / window_s, 0.999)
    bound = 0.5 * max(count * slot_s - window_s, 0.0) + 0.4 * slot_s * math.sqrt(count)
    return min(0.5 * rho / (1.0 - rho) * slot_s, bound)


@formula
def first_token_s(
    s: Steady,
    concurrency: float,
    requests: float,
    isl: float,
    osl: float,
    spread: float,
    rules: BatchRules,
    a: IterationArgs,
) -> float:
    """Mean time to first token of a closed loop whose users start together and send so many requests in all [s].

    Model:
        The first request of each user meets the burst. Answers of nearly equal length end together, so that the next
        requests come in a cluster, which widens from round to round with the square root of their number, until it fills
        the cycle. An engine that stops decoding for prompts computes a cluster as it comes and ends no answer meanwhile; one
        that mixes both has begun the answers one after another, and its clusters are wider by the time that all prompts take.
        Without a number of requests, and without a spread of the lengths, only the burst and the steady state count.

    Args:
        s: the steady state.
        concurrency, requests: users, and requests of all of them together [1]; 0 requests for no end.
        isl, osl: prompt and answer [tokens].
        spread: half the width of the evenly distributed answers over their mean [1]; 0 when not known.
        rules: how batches are formed.
        a: model, engine, layout and operators.

    Returns:
        The mean over all requests.

    Equation:
        W_k = 2 spread sqrt(k) osl t_decode, mixed N s + 2 spread sqrt(k) osl tpot,
        TTFT = (burst + sum over k of cluster(W_k)) / rounds

    Validity:
        Answers within about a third of their mean; wider ones meet the steady state.

    Sources:
        [little-1961] the cycle is users over rate.
    """
    if requests <= 0.0:
        return s.ttft_s
    share = min(concurrency / requests, 1.0)
    front = rules.front_s + rules.front_per_seq_s * s.running
    burst = max(front + burst_ttft_s(concurrency, isl, osl, rules, a), s.ttft_s)
    if spread <= 0.0 or concurrency > rules.limit or concurrency < 2.0:
        return (1.0 - share) * s.ttft_s + share * burst
    rounds = 1.0 / share
    cycle = concurrency / s.requests_per_s
    slot = pace(s.decoding, isl, osl, rules, a).slot_s
    steady = queue_s(concurrency, cycle, slot)
    total, k = burst, 1.0
    while k < rounds - 1e-9 and k < MOST_ROUNDS:
        apart = 2.0 * spread * math.sqrt(k) * osl
        if rules.mixed > 0.0:
            window = min(concurrency * slot + apart * s.tpot_s, cycle)
            each = s.ttft_s + max(queue_s(concurrency, window, slot) - steady, 0.0)
        else:
            window = min(apart, osl) * s.decode_s
            each = front + rules.ahead * s.decode_s + cluster_ttft_s(concurrency, window, isl, s.decode_s, rules, a)
        total += min(rounds - k, 1.0) * max(each, s.ttft_s)
        k += 1.0
    return (total + max(rounds - k, 0.0) * s.ttft_s) / rounds


@formula
def token_s(
    s: Steady, concurrency: float, requests: float, isl: float, osl: float, rules: BatchRules, a: IterationArgs
) -> float:
    """Mean time per output token of a closed loop whose users start together and send so many requests in all [s].

    In the steady state a sequence waits for all prompts that start while it decodes. Of a burst it waits only for the
    prompts behind its own, on average half of them; after that the whole burst decodes undisturbed.

    Sources:  [agrawal-2024] decoding that waits for prompts.
    """
    if requests <= 0.0 or osl <= 1.0 or concurrency > rules.limit:
        return s.tpot_s
    share = min(concurrency / requests, 1.0)
    first = max(concurrency, 1.0)
    together = max(min(rules.budget / isl, first), 1.0)
    one = iteration_s(together, together * isl, 0.0, 0.0, 0.0, a)
    behind = 0.5 * (math.ceil(first / together) - 1.0) * one
    alone = iteration_s(0.0, 0.0, 0.0, first, first * (isl + 0.5 * osl), a)
    return (1.0 - share) * s.tpot_s + share * (alone + behind / (osl - 1.0))
