"""What happens to one sequence: it enters, begins to decode, ends, loses its pages, or gives up.

Sequences that end at the same decode step hang on one list (``State.ends``), since every decoding sequence moves
one step per decode iteration: an end costs the same however many sequences run. Sequences whose next page falls on
the same step are counted together (``State.phase``), so that the pages of an iteration are one look-up.
"""

from __future__ import annotations

import math

from suanzhang.jit import event
from suanzhang.sim import state as f
from suanzhang.sim.histogram import bucket
from suanzhang.sim.state import Engine, State


@event
def pages(tokens: float, en: Engine) -> int:
    """Pages that hold so many tokens."""
    return (int(tokens) + en.block - 1) // en.block


@event
def mark(st: State, en: Engine, row: int, at: float, change: float) -> None:
    """Note on the timeline that a level changed: rows 0 and 1 for running, 2 and 3 for waiting sequences."""
    last = st.line.shape[1] - 1
    if last <= 0:
        return
    place = at / en.bin_s
    index = min(int(place), last - 1)
    st.line[row, index + 1] += change
    st.line[row + 1, index] += change * max(index + 1.0 - place, 0.0)


@event
def note(st: State, en: Engine, kind: int, value: float) -> None:
    """Add a latency to its histogram and its sums."""
    st.histogram[kind, bucket(value)] += 1
    st.moments[0, kind] += value
    st.moments[1, kind] += value * value
    st.moments[2, kind] = max(st.moments[2, kind], value)


@event
def record(st: State, en: Engine, r: int, s: int, now: float) -> None:
    """A sequence has its last token: count it and its latencies."""
    arrival, first, output = st.sf[r, s, f.ARRIVAL], st.sf[r, s, f.FIRST], st.si[r, s, f.OUTPUT]
    st.tally[f.FINISHED] += 1
    st.tally[f.INPUTS] += st.si[r, s, f.INPUT]
    st.tally[f.OUTPUTS] += output
    st.ri[r, f.OUTSTANDING] -= 1
    st.ri[r, f.LAST_DONE] += 1
    if arrival >= en.warmup_s:
        for row in range(0, 6 if st.si[r, s, f.URGENT] > 0 else 3, 3):
            note(st, en, row, first - arrival)
            note(st, en, row + 2, now - arrival)
            if output > 1:
                note(st, en, row + 1, (now - first) / (output - 1))
    if st.records.shape[1] > 0:
        ident = st.si[r, s, f.IDENT]
        st.records[f.FIRST_TOKEN, ident] = first
        st.records[f.ENDED, ident] = now
        st.records[f.SERVED_BY, ident] = r


@event
def leave_order(st: State, r: int, s: int) -> None:
    """Take a sequence out of the order of entry and give its place back."""
    older, younger = st.si[r, s, f.OLDER], st.si[r, s, f.YOUNGER]
    if older >= 0:
        st.si[r, older, f.YOUNGER] = younger
    if younger >= 0:
        st.si[r, younger, f.OLDER] = older
    else:
        st.ri[r, f.TAIL] = older
    st.ri[r, f.RUNNING] -= 1
    st.si[r, s, f.AFTER] = st.ri[r, f.PLACE]
    st.ri[r, f.PLACE] = s


@event
def reserved(st: State, en: Engine, r: int, s: int) -> int:
    """Pages that a sequence was promised on entry."""
    return pages(st.si[r, s, f.INPUT] + math.ceil(en.reserve * st.si[r, s, f.OUTPUT]), en)


@event
def held(st: State, en: Engine, r: int, s: int, steps: int) -> int:
    """Pages of a decoding sequence after so many decode steps."""
    base = pages(st.si[r, s, f.LENGTH], en)
    wait = st.si[r, s, f.FIRST_PAGE]
    return base + (1 + (steps - 1 - wait) // en.period if steps > wait else 0)


@event
def first_end(st: State, r: int) -> int:
    """The next decode step at which a sequence ends; each step is looked at once, so the scan costs what it skips."""
    if st.ri[r, f.BATCH] == 0:
        return f.NEVER
    mask = st.ends.shape[1] - 1
    step = st.ri[r, f.STEP] + 1
    while st.ends[r, step & mask] < 0:
        step += 1
    return int(step)


@event
def stop_decoding(st: State, en: Engine, r: int, s: int, steps: int) -> None:
    """Take the pages, the context and the phase of a decoding sequence out of the sums."""
    st.ri[r, f.FREE] += held(st, en, r, s, steps)
    st.rf[r, f.CONTEXT] -= st.si[r, s, f.LENGTH] + en.growth * steps
    st.phase[r, st.si[r, s, f.PHASE]] -= 1
    st.ri[r, f.BATCH] -= 1
    if en.reserve > 0.0:
        st.ri[r, f.COMMITTED] -= reserved(st, en, r, s)


@event
def finish_due(st: State, en: Engine, r: int) -> None:
    """End all sequences that are due at this decode step."""
    step, now = st.ri[r, f.STEP], st.rf[r, f.CLOCK]
    place = step & (st.ends.shape[1] - 1)
    s = st.ends[r, place]
    st.ends[r, place] = -1
    ended = 0
    while s >= 0:
        after = st.si[r, s, f.AFTER]
        record(st, en, r, s, now)
        steps = step - st.si[r, s, f.START]
        stop_decoding(st, en, r, s, steps)
        if en.static:
            st.ri[r, f.GHOSTS] += 1
            st.rf[r, f.CONTEXT] += st.si[r, s, f.LENGTH] + en.growth * steps
        leave_order(st, r, s)
        ended += 1
        s = after
    mark(st, en, 0, now, -ended)
    st.ri[r, f.NEXT] = first_end(st, r)
    st.ri[r, f.BLOCKED] = 0
    if en.static and st.ri[r, f.BATCH] == 0:
        st.ri[r, f.GHOSTS] = 0
        st.rf[r, f.CONTEXT] = 0.0


@event
def begin_decoding(st: State, en: Engine, r: int, s: int) -> None:
    """A prompt is complete: its next token is out, and it decodes from the next iteration on."""
    now, step = st.rf[r, f.CLOCK], st.ri[r, f.STEP]
    length = st.si[r, s, f.INPUT] + st.si[r, s, f.MADE]
    made = st.si[r, s, f.MADE] + 1
    st.si[r, s, f.LENGTH] = length
    st.si[r, s, f.MADE] = made
    if st.sf[r, s, f.FIRST] < 0.0:
        st.sf[r, s, f.FIRST] = now
    left = st.si[r, s, f.OUTPUT] - made
    if left <= 0:
        record(st, en, r, s, now)
        st.ri[r, f.FREE] += pages(length, en)
        if en.reserve > 0.0:
            st.ri[r, f.COMMITTED] -= reserved(st, en, r, s)
        leave_order(st, r, s)
        st.ri[r, f.BLOCKED] = 0
        return
    end = step + (left if en.growth == 1.0 else math.ceil(left / en.growth))
    wait = int((pages(length, en) * en.block - length) / en.growth)
    place = end & (st.ends.shape[1] - 1)
    behind = st.ends[r, place]
    if behind >= 0:
        st.si[r, behind, f.BEFORE] = s
    st.si[r, s, f.AFTER] = behind
    st.si[r, s, f.BEFORE] = -1
    st.ends[r, place] = s
    st.si[r, s, f.END] = end
    st.si[r, s, f.START] = step
    st.si[r, s, f.FIRST_PAGE] = wait
    st.si[r, s, f.PHASE] = (step + wait) % en.period
    st.phase[r, st.si[r, s, f.PHASE]] += 1
    st.ri[r, f.BATCH] += 1
    st.rf[r, f.CONTEXT] += length
    st.ri[r, f.NEXT] = min(st.ri[r, f.NEXT], end)
    mark(st, en, 0, now, 1.0)


@event
def preempt_youngest(st: State, en: Engine, r: int) -> None:
    """The youngest sequence gives its pages back and goes to the front of the queue, to be computed again."""
    s = st.ri[r, f.TAIL]
    made = st.si[r, s, f.MADE]
    if s == st.ri[r, f.PART]:
        st.ri[r, f.FREE] += pages(st.ri[r, f.DONE], en)
        st.ri[r, f.PART] = -1
        if en.reserve > 0.0:
            st.ri[r, f.COMMITTED] -= reserved(st, en, r, s)
    else:
        steps = st.ri[r, f.STEP] - st.si[r, s, f.START]
        stop_decoding(st, en, r, s, steps)
        made += int(en.growth * steps)
        before, after = st.si[r, s, f.BEFORE], st.si[r, s, f.AFTER]
        if before >= 0:
            st.si[r, before, f.AFTER] = after
        else:
            st.ends[r, st.si[r, s, f.END] & (st.ends.shape[1] - 1)] = after
        if after >= 0:
            st.si[r, after, f.BEFORE] = before
        st.ri[r, f.NEXT] = first_end(st, r)
        mark(st, en, 0, st.rf[r, f.CLOCK], -1.0)
    mask = st.qi.shape[1] - 1
    head = (st.ri[r, f.HEAD] - 1) & mask
    st.qi[r, head, f.INPUT] = st.si[r, s, f.INPUT]
    st.qi[r, head, f.OUTPUT] = st.si[r, s, f.OUTPUT]
    st.qi[r, head, f.MADE] = made
    st.qi[r, head, f.CACHED] = 0 if en.cache == f.CARRIED else st.si[r, s, f.CACHED]
    st.qi[r, head, f.IDENT] = st.si[r, s, f.IDENT]
    st.qi[r, head, f.QUEUE_URGENT] = st.si[r, s, f.URGENT]
    st.qf[r, head, f.ARRIVAL] = st.sf[r, s, f.ARRIVAL]
    st.qf[r, head, f.FIRST] = st.sf[r, s, f.FIRST]
    st.ri[r, f.HEAD] = head
    st.ri[r, f.QUEUE] += 1
    st.ri[r, f.BLOCKED] = 0
    st.tally[f.PREEMPTED] += 1
    if st.records.shape[1] > 0:
        st.records[f.LOST_PAGES, st.si[r, s, f.IDENT]] += 1.0
    leave_order(st, r, s)
    mark(st, en, 2, st.rf[r, f.CLOCK], 1.0)


@event
def enter(st: State, en: Engine, r: int, head: int) -> int:
    """Move the head of the queue to a running place; the place."""
    s = st.ri[r, f.PLACE]
    st.ri[r, f.PLACE] = st.si[r, s, f.AFTER]
    for column in range(5):
        st.si[r, s, column] = st.qi[r, head, column]
    st.si[r, s, f.URGENT] = st.qi[r, head, f.QUEUE_URGENT]
    st.sf[r, s, f.ARRIVAL] = st.qf[r, head, f.ARRIVAL]
    st.sf[r, s, f.FIRST] = st.qf[r, head, f.FIRST]
    tail = st.ri[r, f.TAIL]
    st.si[r, s, f.OLDER] = tail
    st.si[r, s, f.YOUNGER] = -1
    if tail >= 0:
        st.si[r, tail, f.YOUNGER] = s
    st.ri[r, f.TAIL] = s
    st.ri[r, f.RUNNING] += 1
    if en.reserve > 0.0:
        st.ri[r, f.COMMITTED] += reserved(st, en, r, s)
    leave_queue(st, en, r)
    return int(s)


@event
def leave_queue(st: State, en: Engine, r: int) -> None:
    """Drop the head of the queue."""
    mask = st.qi.shape[1] - 1
    st.ri[r, f.HEAD] = (st.ri[r, f.HEAD] + 1) & mask
    st.ri[r, f.QUEUE] -= 1
    mark(st, en, 2, st.rf[r, f.CLOCK], -1.0)


@event
def patience(st: State, en: Engine, r: int) -> float:
    """When the head of the queue gives up; one that has begun already never does."""
    head = st.ri[r, f.HEAD]
    if st.ri[r, f.QUEUE] == 0 or st.qi[r, head, f.MADE] > 0:
        return math.inf
    return float(st.qf[r, head, f.ARRIVAL] + en.timeout_s)


@event
def gives_up(st: State, en: Engine, r: int) -> bool:
    """Whether the head of the queue has waited too long for its first iteration; then it is dropped."""
    if st.rf[r, f.CLOCK] < patience(st, en, r):
        return False
    st.tally[f.TIMED_OUT] += 1
    st.ri[r, f.OUTSTANDING] -= 1
    leave_queue(st, en, r)
    return True


@event
def drop_expired(st: State, en: Engine, r: int, now: float) -> None:
    """Drop all that have waited too long, wherever they stand in the queue of a replica that is down or far behind.

    They would be dropped when their turn comes; done before a queue counts as full, so that a long repair is no overload.
    """
    mask, head, kept = st.qi.shape[1] - 1, st.ri[r, f.HEAD], 0
    until = max(now, st.rf[r, f.CLOCK])
    for step in range(st.ri[r, f.QUEUE]):
        place, target = (head + step) & mask, (head + kept) & mask
        if st.qi[r, place, f.MADE] == 0 and until >= st.qf[r, place, f.ARRIVAL] + en.timeout_s:
            st.tally[f.TIMED_OUT] += 1
            st.ri[r, f.OUTSTANDING] -= 1
            mark(st, en, 2, max(now, st.qf[r, place, f.ARRIVAL]), -1.0)
            continue
        for column in range(f.QUEUE_INTS):
            st.qi[r, target, column] = st.qi[r, place, column]
        st.qf[r, target, f.ARRIVAL] = st.qf[r, place, f.ARRIVAL]
        st.qf[r, target, f.FIRST] = st.qf[r, place, f.FIRST]
        kept += 1
    st.ri[r, f.QUEUE] = kept
    st.ri[r, f.BLOCKED] = 0


@event
def fits(st: State, en: Engine, r: int, head: int, need: int, room: int) -> bool:
    """Whether the head of the queue finds the pages that the policy asks for."""
    if need > room:
        return False
    if en.reserve <= 0.0:
        return True
    promise = pages(st.qi[r, head, f.INPUT] + math.ceil(en.reserve * st.qi[r, head, f.OUTPUT]), en)
    return bool(st.ri[r, f.COMMITTED] + promise <= en.capacity)
