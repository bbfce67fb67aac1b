"""Closed loops that start at once: the first burst, the rounds after it that still come in clusters, the steady state."""

from __future__ import annotations

import math

from suanzhang.jit import formula
from suanzhang.perf.serving.args import IterationArgs
from suanzhang.perf.serving.iteration import iteration_s
from suanzhang.perf.serving.steady import BatchRules, Steady

MOST_ROUNDS = 64.0
"""Rounds after which a cluster has long spread over the whole cycle [1]."""


@formula
def burst_ttft_s(count: float, isl: float, osl: float, rules: BatchRules, a: IterationArgs) -> float:
    """Mean time to first token when ``count`` requests start together on an idle replica [s].

    Sources:  [agrawal-2024] prompts in the order of their arrival, a budget of tokens to an iteration.
    """
    first = max(min(count, rules.limit), 1.0)
    together = max(min(rules.budget / isl, first), 1.0)
    one = iteration_s(together, together * isl, 0.0, 0.0, 0.0, a)
    rounds = math.ceil(first / together)
    return one * (rounds + 1.0) * 0.5


@formula
def cluster_ttft_s(count: float, window_s: float, isl: float, decode_s: float, rules: BatchRules, a: IterationArgs) -> float:
    """Mean time in the engine to the first token of requests that arrive evenly within a window, prompts first.

    Model:
        The engine looks at new requests every so many iterations of decoding. What has come by then is computed in
        iterations of prompts alone, and what comes meanwhile waits for the next look: a faster stream is served in larger
        batches. A stream faster than the prompts can be computed queues up to the end of the window.

    Args:
        count: requests in the window [1].
        window_s: its width [s].
        isl: prompt of each [tokens].
        decode_s: an iteration of decoding [s].
        rules: how batches are formed.
        a: model, engine, layout and operators.

    Returns:
        The time from arrival at the engine [s].

    Equation:
        n = lambda h / (1 - lambda s),  TTFT = n / (2 lambda) + s (n + k) / 2  with k prompts in an iteration,
        at most h / 2 + (N s - W) / 2 + k s + sqrt(N) s / 4

    Validity:
        Engines that stop decoding for prompts, equal prompts; within 10 % of a simulation of every step.

    Sources:
        [little-1961] the requests that wait; the fluid limit of a queue for the bound.
    """
    rate = count / window_s
    look = decode_s * max(rules.poll, 1.0)
    most = max(min(rules.budget / isl, count), 1.0)
    waiting = together = 1.0
    one = 0.0
    for _ in range(8):
        together = max(min(waiting, most), 1.0)
        one = iteration_s(together, together * isl, 0.0, 0.0, 0.0, a)
        room = max(1.0 - rate * one / together, 1e-3)
        waiting = 0.5 * (waiting + min(max(rate * look / room, 1.0), count))
    each = one / together
    bound = 0.5 * look + 0.5 * max(count * each - window_s, 0.0) + one + 0.25 * each * math.sqrt(count)
    if waiting <= 1.0:
        return min(0.5 * look + one, bound)
    gathered = 0.5 * min(waiting / rate, look + waiting * each)
    return min(gathered + 0.5 * one * (waiting / together + 1.0), bound)


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
        the cycle. An engine that stops decoding for prompts computes a cluster as it comes; one that mixes both ends no
        answers faster than it begins prompts, and meets the steady state at once. Without a number of requests, and
        without a spread of the lengths, only the burst and the steady state count.

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
        W_k = 2 spread sqrt(k) osl tpot,  TTFT = (burst + sum over k of cluster(W_k)) / rounds

    Validity:
        Answers within about a third of their mean; wider ones meet the steady state.

    Sources:
        [little-1961] the cycle is users over rate.
    """
    if requests <= 0.0:
        return s.ttft_s
    share = min(concurrency / requests, 1.0)
    burst = max(burst_ttft_s(concurrency, isl, osl, rules, a), s.ttft_s)
    if spread <= 0.0 or rules.mixed > 0.0 or concurrency > rules.limit or concurrency < 2.0:
        return (1.0 - share) * s.ttft_s + share * burst
    cycle = concurrency / s.requests_per_s
    front = rules.front_s + rules.front_per_seq_s * s.running
    rounds = 1.0 / share
    total, k = burst, 1.0
    while k < rounds - 1e-9 and k < MOST_ROUNDS:
        window = min(2.0 * spread * math.sqrt(k) * osl * s.tpot_s, cycle)
        part = min(rounds - k, 1.0)
        total += part * max(front + cluster_ttft_s(concurrency, window, isl, s.decode_s, rules, a), s.ttft_s)
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
