"""Steady state of one replica: static batches, closed loops and open loops, from iteration times alone."""

from __future__ import annotations

import math
from typing import NamedTuple

from suanzhang.jit import formula
from suanzhang.perf.serving.args import IterationArgs
from suanzhang.perf.serving.iteration import iteration_s

UNEVEN = 0.38
"""Prompts that wait before one of many groups over the root of those that come to it, from a simulation of every step [1]."""
HIGHEST_LOAD = 0.95
"""Load up to which an open loop is trusted: beyond it the queue outgrows any percentile [1]."""


class BatchRules(NamedTuple):
    """How an engine forms batches, as the steady state sees it.

    Args:
        limit: most sequences that run at once, by the cache or by the engine [1].
        budget: token budget of an iteration [tokens].
        chunked: 1 when prompts are cut to the budget.
        mixed: 1 when prompts and decoding share an iteration.
        prompt_cv2: squared coefficient of variation of the prompts: long ones attend to more than their share [1].
        front_s: time of a request before the engine sees it, and
        front_per_seq_s: further such time per running sequence [s].
        poll: iterations between two looks at new requests [1].
        hold: iterations for which prompts are held back so that more of them start together [1], and
        hold_tokens: prompt tokens that end the wait [tokens].
        ahead: iterations that are already scheduled when a request comes to a busy engine, beside the one that runs [1].
        first_use_s: time for which a cold engine stands still when it first cuts a prompt to the budget [s].
        call_s: time of the call that hands a static batch to an engine which knows no other [s].
        groups: attention groups that wait for each other where prompts are held back [1].
    """

    limit: float
    budget: float
    chunked: float
    mixed: float
    prompt_cv2: float = 0.0
    front_s: float = 0.0
    front_per_seq_s: float = 0.0
    poll: float = 1.0
    hold: float = 0.0
    hold_tokens: float = 0.0
    ahead: float = 0.0
    first_use_s: float = 0.0
    call_s: float = 0.0
    groups: float = 1.0


class Traffic(NamedTuple):
    """Lengths of requests: means, squared coefficients of variation, and 99th percentile of the prompt [tokens]."""

    isl: float
    osl: float
    isl_cv2: float
    osl_cv2: float
    isl_p90: float
    isl_p99: float


class Pace(NamedTuple):
    """How fast a batch decodes and what one prompt costs it [s].

    Args:
        decode_s: iteration with decoding alone.
        extra_s: time that one prompt adds to the others.
        own_s: time from its start to its first token.
        slot_s: time that one prompt keeps the prompt queue busy.
    """

    decode_s: float
    extra_s: float
    own_s: float
    slot_s: float


class Steady(NamedTuple):
    """A steady state.

    Args:
        requests_per_s: answered [1/s].
        running: sequences admitted [1]; ``decoding`` of them decode.
        decoding: sequences in decode [1].
        decode_s: iteration with decoding alone [s].
        prefill_s: own prefill of a request [s].
        wait_s: mean time before the prefill starts [s].
        ttft_s, tpot_s, e2e_s: means over requests [s].
        prefill_share: share of the time that prompts add [1].
        stable: 0 when arrivals exceed the capacity.
        batch_sigma: standard deviation of the decoding sequences [1].
        full_share: share of the arrivals that find no place [1].
        full_wait_s: mean wait of those for a place [s].
    """

    requests_per_s: float
    running: float
    decoding: float
    decode_s: float
    prefill_s: float
    wait_s: float
    ttft_s: float
    tpot_s: float
    e2e_s: float
    prefill_share: float
    stable: float
    batch_sigma: float = 0.0
    full_share: float = 0.0
    full_wait_s: float = 0.0


class Tail(NamedTuple):
    """Percentiles of the two latencies [s]."""

    ttft_p50: float
    ttft_p90: float
    ttft_p99: float
    tpot_p50: float
    tpot_p90: float
    tpot_p99: float


@formula
def pace(batch: float, isl: float, osl: float, rules: BatchRules, a: IterationArgs) -> Pace:
    """How fast ``batch`` sequences decode, and what one prompt of ``isl`` tokens costs them.

    Sources:  [agrawal-2024]; [little-1961].
    """
    b = max(batch, 1.0)
    stages = a.engine.pp
    context = b * (isl + 0.5 * osl)
    decode = iteration_s(0.0, 0.0, 0.0, b, context, a)
    if rules.mixed > 0.0:
        room = max(rules.budget - b, 16.0)
        chunk = min(isl, room) if rules.chunked > 0.0 else isl
        count = math.ceil(isl / chunk)
        past = 0.5 * max(isl * (1.0 + rules.prompt_cv2) - isl / count, 0.0)
        mixed = iteration_s(1.0, isl / count, past, b, context, a)
        abreast = 1.0
        if a.engine.dp > 1.0:
            abreast = min(1.0 + b * count * max(mixed - decode, 0.0) / (osl * decode), a.engine.dp, max(b, 1.0))
            mixed = iteration_s(abreast, abreast * isl / count, past, b, context, a)
        per_iteration = b * isl / osl
        if per_iteration > isl / count * a.engine.dp and chunk >= isl:
            together = max(min(per_iteration, room), isl)
            many = iteration_s(together / isl, together, 0.5 * isl * rules.prompt_cv2, b, context, a)
            share = isl / together
            added = max(many - decode, 0.0)
            return Pace(decode, added * share, decode + added * stages, added * share)
        whole = max(mixed - decode, 0.0) * count
        own = decode * count + whole * stages
        if chunk < isl:
            return Pace(decode, whole / abreast, own, mixed * count / abreast)
        fit = room / isl if rules.chunked > 0.0 else math.floor(room / isl)
        return Pace(decode, whole / abreast, own, (whole + decode / max(fit, 1.0)) / abreast)
    together = max(min(b / osl * max(rules.poll, 1.0 + rules.hold), rules.budget / isl), 1.0)
    alone = iteration_s(together, together * isl, 0.5 * isl * rules.prompt_cv2, 0.0, 0.0, a)
    return Pace(decode, alone / together, alone * stages, alone / together)


@formula
def balanced_iterations(arrivals: float, groups: float, hold: float, each: float) -> float:
    """Mean iterations that a prompt waits until every attention group has one, or a counter that never rests is over.

    Model:
        Prompts go to the group where an answer has ended, at random. All groups start together, each with as many as its budget
        takes, as soon as each has one, and at the latest every so many iterations. What a group cannot take waits for the next
        start.

    Args:
        arrivals: prompts in an iteration [1].
        groups: attention groups [1].
        hold: iterations after which the counter starts what there is [1].
        each: prompts that a group takes at once [1].

    Returns:
        The iterations [1].

    Equation:
        C = min(T, g H_g / a),  n = a T / g,  W = min(C (1 + n / c) / 2, max(C / 2, 0.38 g sqrt(T / (a c))))

    Validity:
        Closed loops of 64 to 256 users and 4 or 8 groups; within 12 % of a simulation of every step.

    Sources:
        [derived] the collector's problem for the groups, a queue that is served at every start; the scheduler of TensorRT-LLM.
    """
    harmonic = math.log(groups) + 0.5772 + 0.5 / groups
    cycle = min(hold, groups * harmonic / arrivals)
    light = 0.5 * cycle * (1.0 + arrivals * hold / (groups * each))
    return min(light, max(0.5 * cycle, UNEVEN * groups * math.sqrt(hold / (arrivals * each))))


@formula
def held_iterations(batch: float, isl: float, osl: float, rules: BatchRules) -> float:
    """Mean iterations that a prompt waits before the engine takes it, beside the one that runs when it arrives [1].

    A look at new requests every so many iterations costs half of them. An engine that schedules ahead of the chip has the next
    iteration ready when a request comes, unless it stands idle. Prompts held back wait until the time is over or enough tokens
    wait; those that come later wait less.

    Sources:  [agrawal-2024].
    """
    waited = 0.5 * (rules.poll - 1.0) + rules.ahead * max(1.0 - 1.0 / max(batch, 1.0), 0.0)
    if rules.hold > 0.0 and rules.groups > 1.0:
        each = max(math.floor(rules.budget / rules.groups / isl), 1.0)
        return waited + balanced_iterations(batch / osl, rules.groups, rules.hold, each)
    if rules.hold > 0.0:
        arrivals = batch / osl
        hold = min(rules.hold, rules.hold_tokens / max(arrivals * isl, 1e-9)) if rules.hold_tokens > 0.0 else rules.hold
        more = arrivals * hold
        waited += hold * (1.0 + 0.5 * more) / (1.0 + more)
    return waited


@formula
def gated_wait_s(rate: float, cv2: float, p: Pace) -> float:
    """Mean wait of a prompt beyond its own iteration, where all prompts that came during one iteration start in the next.

    Model:
        An iteration takes the time of decoding and that of every prompt which came during the one before. A prompt comes into
        an iteration that is longer than the mean one, waits for its end, and gets its first token with all the others that came
        in the same iteration.

    Args:
        rate: prompts per second [1/s].
        cv2: squared coefficient of variation of the time that a prompt adds [1].
        p: pace of decoding and of prompts.

    Returns:
        The wait [s].

    Equation:
        rho = rate x,  L = d / (1 - rho) + rate x^2 (1 + cv^2) / (1 - rho^2),  W = (1/2 + rho) L

    Validity:
        Prompts that fit the budget of the next iteration; random arrivals; rho below 1.

    Sources:
        [agrawal-2024] prompts and answers in one iteration; [pollaczek-1930] the residual time of the longer interval.
    """
    rho = min(rate * p.extra_s, 0.98)
    met = p.decode_s / (1.0 - rho) + rho * p.extra_s * (1.0 + cv2) / (1.0 - rho * rho)
    return (0.5 + rho) * met


@formula
def closed_loop(concurrency: float, isl: float, osl: float, rules: BatchRules, a: IterationArgs) -> Steady:
    """Steady state of ``concurrency`` users who each wait for their answer before they ask again.

    Model:
        As many requests run as the cache and the engine allow; the others wait. In the time in which every running
        sequence generates its answer, as many prompts are computed as sequences run, and each prompt holds up the
        others by the time that it adds to the iterations that carry it. Left out: preemption, and bursts.

    Args:
        concurrency: users [1].
        isl, osl: mean prompt and answer [tokens].
        rules: how batches are formed.
        a: model, engine, layout and operators.

    Returns:
        The steady state.

    Equation:
        X = n / (osl * t_decode(b) + n * t_extra(b)),  b = n * (1 - X * t_own / n * ...)

    Validity:
        Lengths that do not vary by much; with all requests queued the time to first token is the queue.

    Sources:
        [little-1961] users = rate * time.
    """
    running = max(min(concurrency, rules.limit), 1.0)
    if rules.mixed > 0.0:
        running = min(running, max(rules.budget * osl / (isl + osl), 1.0))
    b = running
    p = pace(b, isl, osl, rules, a)
    cycle = osl * p.decode_s + running * p.extra_s
    for _ in range(12):
        share = min(p.own_s / cycle, 0.9)
        nxt = max(running * (1.0 - share), min(running, 1.0))
        b = 0.5 * (b + nxt)
        p = pace(b, isl, osl, rules, a)
        cycle = max(osl * p.decode_s + running * p.extra_s, (osl - 1.0) * p.decode_s + p.own_s)
    rate = running / cycle
    busy = min(rate * p.extra_s, 0.999)
    tpot = (cycle - p.own_s) / max(osl - 1.0, 1.0)
    rho = min(rate * p.slot_s, 0.95) * (running - 1.0) / running
    inside = 0.5 * p.decode_s + 0.5 * rho / (1.0 - rho) * p.slot_s
    if rules.mixed > 0.0:
        inside = max(inside, gated_wait_s(rate * (running - 1.0) / running, rules.prompt_cv2, p))
    inside += rules.front_s + rules.front_per_seq_s * running + held_iterations(b, isl, osl, rules) * p.decode_s
    queue = max(concurrency - running, 0.0) / rate
    ttft = inside + queue + p.own_s
    if running >= concurrency:
        cycle += inside
        rate = running / cycle
    return Steady(rate, running, b, p.decode_s, p.own_s, inside + queue, ttft, tpot, ttft + tpot * (osl - 1.0), busy, 1.0)


@formula
def open_loop(rate: float, capacity: float, traffic: Traffic, rules: BatchRules, a: IterationArgs) -> Steady:
    """Steady state of Poisson arrivals at ``rate``.

    Model:
        The decode batch is what Little's law gives at the pace that the batch itself allows; since a larger batch is
        slower, its fluctuations are wider than Poisson. Prompts take their share of the iterations and form a queue
        before one server with general service times; when the batch fluctuates up to the limit, requests wait for a
        place, as before many servers at the rate that the full batch drains with.

    Args:
        rate: requests per second [1/s].
        capacity: most requests per second of this traffic, from :func:`closed_loop` with many users [1/s].
        traffic: lengths.
        rules: how batches are formed.
        a: model, engine, layout and operators.

    Returns:
        The steady state; ``stable`` is 0 and the latencies are infinite when the rate exceeds the capacity.

    Equation:
        b = rate * osl * tpot(b),  tpot = t_decode(b) / (1 - rate * t_extra(b)),
        var b = b / (1 - d ln tpot / d ln b),
        W = rate * s^2 * (1 + cv^2) / (2 * (1 - rate * s)) + P(full) / (capacity - rate)

    Validity:
        Utilisation up to about 0.95; burstier arrivals wait longer.

    Sources:
        [little-1961]; [pollaczek-1930] wait before one server; [halfin-1981] chance to find many servers busy.
    """
    isl, osl = traffic.isl, traffic.osl
    b = 1.0
    p = pace(b, isl, osl, rules, a)
    tpot = p.decode_s
    stable = 1.0 if rate < capacity else 0.0
    for _ in range(40):
        p = pace(b, isl, osl, rules, a)
        busy = rate * p.extra_s
        if busy >= 0.98 or rate * p.slot_s >= 0.999:
            stable = 0.0
            break
        tpot = p.decode_s / (1.0 - busy)
        nxt = min(rate * osl * tpot, rules.limit)
        if abs(nxt - b) < 1e-3 * b:
            b = nxt
            break
        b = 0.3 * b + 0.7 * nxt
    busy = min(rate * p.extra_s, 0.98)
    if stable == 0.0:
        return Steady(rate, b, b, p.decode_s, p.own_s, math.inf, math.inf, tpot, math.inf, busy, 0.0, 0.0, 1.0, math.inf)
    wider = pace(1.1 * b + 0.1, isl, osl, rules, a)
    slower = wider.decode_s / max(1.0 - rate * wider.extra_s, 0.02)
    elasticity = min(max(math.log(slower / tpot) / math.log((1.1 * b + 0.1) / b), 0.0), 0.9)
    sigma = math.sqrt(max(b, 0.25) / (1.0 - elasticity))
    rho = rate * p.slot_s
    prompt_wait = rho * p.slot_s * (1.0 + traffic.isl_cv2) / (2.0 * (1.0 - rho))
    full = busy_chance((rules.limit - b) / sigma)
    full_wait = 1.0 / (capacity - rate)
    inside = 0.5 * p.decode_s + prompt_wait
    if rules.mixed > 0.0:
        inside = max(inside, gated_wait_s(rate, traffic.isl_cv2, p))
    wait = inside + held_iterations(b, isl, osl, rules) * p.decode_s + full * full_wait
    running = rate * (p.own_s + osl * tpot)
    ttft = wait + p.own_s + rules.front_s + rules.front_per_seq_s * running
    e2e = ttft + tpot * (osl - 1.0)
    return Steady(rate, running, b, p.decode_s, p.own_s, wait, ttft, tpot, e2e, busy, 1.0, sigma, full, full_wait)


@formula
def busy_chance(beta: float) -> float:
    """Chance to find all of many servers busy, ``beta`` standard deviations above the load [1].

    Sources:  [halfin-1981].
    """
    if beta <= 0.0:
        return 1.0
    if beta > 8.0:
        return 0.0
    density = math.exp(-0.5 * beta * beta) / math.sqrt(2.0 * math.pi)
    below = 0.5 * (1.0 + math.erf(beta / math.sqrt(2.0)))
    return 1.0 / (1.0 + beta * below / density)


@formula
def open_loop_tail(rate: float, traffic: Traffic, s: Steady, rules: BatchRules, a: IterationArgs) -> Tail:
    """Percentiles of the latencies of an open loop.

    Waits before servers end in exponential tails; the batch in flight fluctuates about its mean and moves the pace of
    decoding; a request meets a Poisson number of foreign prompts while it decodes, and a short answer more unevenly.

    Sources:  [pollaczek-1930]; [halfin-1981].
    """
    isl, osl = traffic.isl, traffic.osl
    p = pace(s.decoding, isl, osl, rules, a)
    rho = min(max(rate * p.slot_s, 1e-9), 0.999)
    queue = max(s.wait_s - 0.5 * s.decode_s - s.full_share * s.full_wait_s, 0.0)
    busy = min(rate * p.extra_s, 0.98)
    short = osl / (1.0 + traffic.osl_cv2) ** 2
    seen = rate * short * s.tpot_s
    prompts = math.sqrt(seen * (1.0 + traffic.isl_cv2)) * p.extra_s / short
    out = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    front = rules.front_s + rules.front_per_seq_s * s.running
    for i in range(3):
        q = 0.5 if i == 0 else (0.9 if i == 1 else 0.99)
        z = 0.0 if i == 0 else (1.2816 if i == 1 else 2.3263)
        median = isl * math.exp(-0.5 * math.log(1.0 + traffic.isl_cv2))
        length = median if i == 0 else (traffic.isl_p90 if i == 1 else traffic.isl_p99)
        own = pace(s.decoding, max(length, 1.0), osl, rules, a).own_s
        waited = queue / rho * math.log(rho / (1.0 - q)) if rho > 1.0 - q else 0.0
        slot = s.full_wait_s * math.log(s.full_share / (1.0 - q)) if s.full_share > 1.0 - q else 0.0
        if i == 0:
            out[i] = front + 0.5 * s.decode_s + max(min(queue, waited), 0.5 * queue) + own + slot
        else:
            spread = math.hypot(math.hypot(own - s.prefill_s, max(waited - queue, 0.0)), slot)
            out[i] = front + s.decode_s + queue + s.prefill_s + spread
        batch = min(s.decoding + z * s.batch_sigma, rules.limit)
        slower = pace(batch, isl, osl, rules, a).decode_s / (1.0 - busy)
        out[3 + i] = s.tpot_s + math.hypot(max(slower - s.tpot_s, 0.0), z * prompts)
    return Tail(out[0], out[1], out[2], out[3], out[4], out[5])


@formula
def static_batch(batch: float, isl: float, osl: float, a: IterationArgs) -> Steady:
    """One batch of equal requests from start to end: prefill of all, then ``osl - 1`` decode iterations.

    With stages the prefill also waits until the pipeline is full.
    The decode time is the mean over the growing context by Simpson's rule, which is exact where it is at most cubic.

    Sources:  [derived] one prefill and as many decode iterations as answers have further tokens.
    """
    first = iteration_s(batch, batch * isl, 0.0, 0.0, 0.0, a) * (2.0 - 1.0 / a.engine.pp)
    steps = max(osl - 1.0, 0.0)
    low = iteration_s(0.0, 0.0, 0.0, batch, batch * isl, a)
    mid = iteration_s(0.0, 0.0, 0.0, batch, batch * (isl + 0.5 * osl), a)
    high = iteration_s(0.0, 0.0, 0.0, batch, batch * (isl + osl), a)
    decode = (low + 4.0 * mid + high) / 6.0
    total = first + steps * decode
    return Steady(batch / total, batch, batch, mid, first, 0.0, first, decode, total, first / total, 1.0)


@formula
def best_open_rate(
    capacity: float,
    ttft_p50: float,
    ttft_p99: float,
    tpot_p50: float,
    tpot_p99: float,
    e2e_p99: float,
    traffic: Traffic,
    rules: BatchRules,
    a: IterationArgs,
) -> float:
    """Largest rate of an open loop within the latency targets (infinite where there is none), by bisection [1/s]; 0 if none.

    Sources:  [derived] bisection of a rate whose latency rises with it.
    """
    low, high = 0.0, HIGHEST_LOAD * capacity
    for _ in range(22):
        mid = 0.5 * (low + high)
        s = open_loop(mid, capacity, traffic, rules, a)
        good = s.stable > 0.0
        if good:
            t = open_loop_tail(mid, traffic, s, rules, a)
            good = t.ttft_p50 <= ttft_p50 and t.ttft_p99 <= ttft_p99 and t.tpot_p50 <= tpot_p50 and t.tpot_p99 <= tpot_p99
            good = good and t.ttft_p99 + (traffic.osl - 1.0) * t.tpot_p99 <= e2e_p99
        if good:
            low = mid
        else:
            high = mid
    return low
