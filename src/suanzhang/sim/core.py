"""The event-skipping core: one replica runs from event to event, each in constant time.

While no request enters or leaves, a decoding batch is constant and each iteration is longer than the last by the
same amount, so any number of them is one step in closed form. A run of decode iterations ends at the first of: a
sequence finishes, the clock passes the next arrival, the pages run out, the head of the queue gives up.
"""

from __future__ import annotations

import math

from suanzhang.jit import event
from suanzhang.sim import state as f
from suanzhang.sim.sequences import (
    begin_decoding,
    drop_expired,
    enter,
    finish_due,
    fits,
    gives_up,
    mark,
    pages,
    patience,
    preempt_youngest,
)
from suanzhang.sim.state import Engine, State, Times


@event
def make_room(st: State, en: Engine, r: int) -> bool:
    """Preempt until the next decode step has its pages; whether anything was preempted."""
    any_preempted = False
    while st.phase[r, st.ri[r, f.STEP] % en.period] > st.ri[r, f.FREE]:
        preempt_youngest(st, en, r)
        any_preempted = True
    return any_preempted


@event
def form_prompts(st: State, en: Engine, r: int, preempted: bool) -> tuple[int, float, float, int, int]:
    """Choose the prompt chunks of the next iteration: tokens, pairs, context read, chunks, the first place."""
    left = en.budget - (st.ri[r, f.BATCH] * en.seq_tokens if en.mixed else 0)
    room = st.ri[r, f.FREE] - (st.phase[r, st.ri[r, f.STEP] % en.period] if en.mixed else 0)
    tokens, pairs, context, chunks, first = 0, 0.0, 0.0, 0, -1
    part = st.ri[r, f.PART]
    if part >= 0:
        done = st.ri[r, f.DONE]
        total = st.si[r, part, f.INPUT] + st.si[r, part, f.MADE]
        chunk = min(left, total - done)
        if chunk <= 0:
            return tokens, pairs, context, chunks, first
        need = pages(done + chunk, en) - pages(done, en)
        if need > room:
            preempt_youngest(st, en, r)
            return tokens, pairs, context, chunks, first
        tokens, chunks, first = chunk, 1, part
        pairs = chunk * (done + 0.5 * (chunk + 1))
        context += done
        left -= chunk
        room -= need
        st.ri[r, f.FREE] -= need
        st.ri[r, f.DONE] = done + chunk
        if done + chunk < total:
            return tokens, pairs, context, chunks, first
        st.ri[r, f.PART] = -1
    if preempted or (en.static and st.ri[r, f.FORMING] == 0 and st.ri[r, f.BATCH] > 0):
        return tokens, pairs, context, chunks, first
    while st.ri[r, f.QUEUE] > 0 and left > 0 and st.ri[r, f.RUNNING] < en.max_seqs:
        head = st.ri[r, f.HEAD]
        if gives_up(st, en, r):
            continue
        total = st.qi[r, head, f.INPUT] + st.qi[r, head, f.MADE]
        done = st.qi[r, head, f.CACHED]
        chunk = total - done
        if chunk > left:
            if not en.chunked and total - done <= en.budget:
                break
            chunk = left
        need = pages(done + chunk, en)
        if not fits(st, en, r, head, need, room):
            break
        s = enter(st, en, r, head)
        if first < 0:
            first = s
        tokens += chunk
        chunks += 1
        pairs += chunk * (done + 0.5 * (chunk + 1))
        context += done
        left -= chunk
        room -= need
        st.ri[r, f.FREE] -= need
        if done + chunk < total:
            st.ri[r, f.PART] = s
            st.ri[r, f.DONE] = done + chunk
            break
    return tokens, pairs, context, chunks, first


@event
def prompt_iteration(
    st: State, en: Engine, tb: Times, r: int, tokens: int, pairs: float, context: float, chunks: int, first: int
) -> None:
    """One iteration with prompts, and decoding beside them when the policy mixes."""
    batch = st.ri[r, f.BATCH] if en.mixed else 0
    spent = tb.mixed_base[tokens + batch * en.seq_tokens] + tb.pair * pairs + tb.context * context + tb.seq * chunks
    st.ri[r, f.LAST_DONE] = 0
    if batch > 0:
        spent += tb.mixed_context[batch] * st.rf[r, f.CONTEXT] + tb.mixed_seq * batch
        st.ri[r, f.FREE] -= st.phase[r, st.ri[r, f.STEP] % en.period]
        st.rf[r, f.CONTEXT] += en.growth * batch
        st.ri[r, f.STEP] += 1
    st.ri[r, f.LEAST_FREE] = min(st.ri[r, f.LEAST_FREE], st.ri[r, f.FREE])
    st.rf[r, f.CLOCK] += spent
    st.tally[f.ITERATIONS] += 1
    st.tally[f.PREFILLED] += tokens
    st.spent[f.BUSY] += spent
    st.spent[f.PREFILL_BUSY] += spent
    st.spent[f.BATCH_TIME] += spent * batch
    if st.ri[r, f.STEP] == st.ri[r, f.NEXT]:
        finish_due(st, en, r)
    s, part = first, st.ri[r, f.PART]
    while s >= 0 and s != part:
        younger = st.si[r, s, f.YOUNGER]
        begin_decoding(st, en, r, s)
        s = younger
    st.ri[r, f.FORMING] = 1


@event
def steps_before(first: float, growth: float, most: int, span: float) -> int:
    """Decode iterations that begin within a span: the k-th (from 0) begins at ``k*first + growth*k*(k-1)/2``."""
    k = most - 1
    if k * first + growth * (0.5 * k * (k - 1)) < span:
        return most
    if growth > 0.0:
        slope = first - 0.5 * growth
        guess = 2.0 * span / (slope + math.sqrt(slope * slope + 2.0 * growth * span))
    else:
        guess = span / first
    k = max(1, min(math.ceil(guess), most))
    while k > 1 and (k - 1) * first + growth * (0.5 * (k - 1) * (k - 2)) >= span:
        k -= 1
    while k < most and k * first + growth * (0.5 * k * (k - 1)) < span:
        k += 1
    return k


@event
def steps_with_room(st: State, en: Engine, r: int, most: int) -> tuple[int, int]:
    """Decode steps, at most so many, for which there are pages, and the pages that they take."""
    batch, free, place = st.ri[r, f.BATCH], st.ri[r, f.FREE], st.ri[r, f.STEP] % en.period
    rounds = min((most - 1) // en.period, free // batch) if most > en.period else 0
    used, steps = rounds * batch, rounds * en.period
    while steps < most:
        need = st.phase[r, place]
        if used + need > free:
            break
        used += need
        steps += 1
        place += 1
        if place == en.period:
            place = 0
    return steps, used


@event
def decode_run(st: State, en: Engine, tb: Times, r: int, until: float, single: bool) -> None:
    """Decode until a sequence ends, the clock passes ``until`` or the pages run out."""
    batch = st.ri[r, f.BATCH] + st.ri[r, f.GHOSTS]
    per_token = tb.decode_context[batch]
    first = tb.decode_base[batch] + per_token * st.rf[r, f.CONTEXT]
    growth = per_token * en.growth * batch
    steps = 1 if single else st.ri[r, f.NEXT] - st.ri[r, f.STEP]
    if steps > 1:
        span = min(until, patience(st, en, r)) - st.rf[r, f.CLOCK]
        steps = steps_before(first, growth, steps, span)
    steps, used = steps_with_room(st, en, r, steps)
    spent = steps * first + growth * (0.5 * steps * (steps - 1))
    st.ri[r, f.LAST_DONE] = 0
    st.ri[r, f.FORMING] = 0
    st.ri[r, f.STEP] += steps
    st.ri[r, f.FREE] -= used
    st.ri[r, f.LEAST_FREE] = min(st.ri[r, f.LEAST_FREE], st.ri[r, f.FREE])
    st.rf[r, f.CLOCK] += spent
    st.rf[r, f.CONTEXT] += en.growth * batch * steps
    st.tally[f.ITERATIONS] += steps
    st.spent[f.BUSY] += spent
    st.spent[f.BATCH_TIME] += spent * st.ri[r, f.BATCH]
    if st.ri[r, f.STEP] == st.ri[r, f.NEXT]:
        finish_due(st, en, r)


@event
def advance(st: State, en: Engine, tb: Times, r: int, until: float) -> None:
    """Run the iterations of a replica that begin before ``until``."""
    while st.rf[r, f.CLOCK] < until:
        preempted = make_room(st, en, r) if en.mixed else False
        if st.ri[r, f.PART] >= 0 or (
            st.ri[r, f.QUEUE] > 0 and (st.ri[r, f.BLOCKED] == 0 or st.rf[r, f.CLOCK] >= patience(st, en, r))
        ):
            queue = st.ri[r, f.QUEUE]
            tokens, pairs, context, chunks, first = form_prompts(st, en, r, preempted)
            if tokens > 0:
                prompt_iteration(st, en, tb, r, tokens, pairs, context, chunks, first)
                continue
            preempted = preempted or st.ri[r, f.QUEUE] > queue
            st.ri[r, f.BLOCKED] = 0 if preempted else 1
        if not en.mixed:
            preempted = make_room(st, en, r) or preempted
        if st.ri[r, f.BATCH] == 0:
            if st.ri[r, f.QUEUE] == 0:
                break
            st.ri[r, f.BLOCKED] = 0
            continue
        decode_run(st, en, tb, r, until, preempted)
    st.rf[r, f.DUE] = due(st, en, tb, r)


@event
def due(st: State, en: Engine, tb: Times, r: int) -> float:
    """No request leaves the replica, and none enters from its queue, before this time unless one more arrives."""
    batch = st.ri[r, f.BATCH] + st.ri[r, f.GHOSTS]
    now = float(st.rf[r, f.CLOCK])
    if st.ri[r, f.BATCH] == 0 and st.ri[r, f.QUEUE] == 0 and st.ri[r, f.PART] < 0:
        return math.inf
    if st.ri[r, f.PART] >= 0 or st.ri[r, f.BATCH] == 0:
        return now
    steps = st.ri[r, f.NEXT] - st.ri[r, f.STEP]
    waits = st.ri[r, f.QUEUE] > 0
    if st.ri[r, f.BATCH] * (steps // en.period + 1) > st.ri[r, f.FREE] or (waits and st.ri[r, f.BLOCKED] == 0):
        return now
    per_token = tb.decode_context[batch]
    first = tb.decode_base[batch] + per_token * st.rf[r, f.CONTEXT]
    end = now + steps * first + per_token * en.growth * batch * (0.5 * steps * (steps - 1))
    return float(min(end, patience(st, en, r)))


@event
def queue_place(st: State, r: int, urgent: int) -> int:
    """The place of a new request in the ring: the end, or for an urgent one before all that are neither urgent nor begun."""
    mask, head, behind = st.qi.shape[1] - 1, st.ri[r, f.HEAD], st.ri[r, f.QUEUE]
    while urgent > 0 and behind > 0:
        last = (head + behind - 1) & mask
        if st.qi[r, last, f.QUEUE_URGENT] > 0 or st.qi[r, last, f.MADE] > 0:
            break
        place = (head + behind) & mask
        for column in range(f.QUEUE_INTS):
            st.qi[r, place, column] = st.qi[r, last, column]
        st.qf[r, place, f.ARRIVAL] = st.qf[r, last, f.ARRIVAL]
        st.qf[r, place, f.FIRST] = st.qf[r, last, f.FIRST]
        behind -= 1
    return int((head + behind) & mask)


@event
def arrive(st: State, en: Engine, r: int, at: float, inputs: int, outputs: int, cached: int, ident: int, urgent: int) -> None:
    """Put a request into the queue of a replica, or reject it when it can never fit."""
    unfit = not en.chunked and inputs - cached > en.budget
    if unfit or pages(inputs + max(outputs - 1, math.ceil(en.reserve * outputs)), en) > en.capacity:
        st.tally[f.REJECTED] += 1
        return
    if st.ri[r, f.BATCH] == 0 and st.ri[r, f.QUEUE] == 0 and st.ri[r, f.PART] < 0:
        st.rf[r, f.CLOCK] = max(st.rf[r, f.CLOCK], at)
    if st.ri[r, f.QUEUE] == 0:
        st.ri[r, f.HEAD] = 0
    place = queue_place(st, r, urgent)
    st.qi[r, place, f.INPUT] = inputs
    st.qi[r, place, f.OUTPUT] = outputs
    st.qi[r, place, f.MADE] = 0
    st.qi[r, place, f.CACHED] = min(cached, inputs - 1)
    st.qi[r, place, f.IDENT] = ident
    st.qi[r, place, f.QUEUE_URGENT] = urgent
    st.qf[r, place, f.ARRIVAL] = at
    st.qf[r, place, f.FIRST] = -1.0
    if place == st.ri[r, f.HEAD]:
        st.ri[r, f.BLOCKED] = 0
        st.rf[r, f.DUE] = st.rf[r, f.CLOCK]
    st.ri[r, f.QUEUE] += 1
    st.ri[r, f.OUTSTANDING] += 1
    if st.ri[r, f.QUEUE] >= en.max_queue:
        drop_expired(st, en, r, at)
        if st.ri[r, f.QUEUE] >= en.max_queue:
            st.tally[f.FULL] += 1
    mark(st, en, 2, at, 1.0)
    st.spent[f.LAST_END] = max(st.spent[f.LAST_END], at)
