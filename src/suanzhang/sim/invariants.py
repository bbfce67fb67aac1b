"""What must hold in the memory of a cell at any time, see docs/background/invariants.md; for tests and debugging."""

from __future__ import annotations

import numpy as np

from suanzhang.sim import state as f
from suanzhang.sim.state import Engine, State


def broken(st: State, en: Engine, taken: int) -> list[str]:
    """The invariants that do not hold, in words; empty when all is well.

    Args:
        st: memory of the cell, between two calls of the core.
        en: settings of the engine.
        taken: requests that were handed to the cell so far.
    """
    found = []
    gone = int(st.tally[f.FINISHED] + st.tally[f.TIMED_OUT] + st.tally[f.REJECTED])
    if gone + int(st.ri[:, f.OUTSTANDING].sum()) != taken:
        found.append(f"S1 requests: {taken} came, {gone} went, {int(st.ri[:, f.OUTSTANDING].sum())} are there")
    for r in range(st.ri.shape[0]):
        found += [f"replica {r}: {what}" for what in _replica(st, en, r)]
    return found


def _replica(st: State, en: Engine, r: int) -> list[str]:
    found, row = [], st.ri[r]
    decoding, context = [], 0.0
    for place in np.flatnonzero(st.ends[r] >= 0):
        s = int(st.ends[r, place])
        while s >= 0:
            decoding.append(s)
            if st.si[r, s, f.END] <= row[f.STEP] or st.si[r, s, f.END] % st.ends.shape[1] != place:
                found.append(f"S4 sequence {s} ends at step {st.si[r, s, f.END]}, now {row[f.STEP]}")
            s = int(st.si[r, s, f.AFTER])
    pages = sum(_held(st, en, r, s) for s in decoding)
    part = int(row[f.PART])
    if part >= 0:
        pages += -(-int(row[f.DONE]) // en.block)
    if pages + row[f.FREE] != en.capacity:
        found.append(f"S2 pages: {pages} held and {row[f.FREE]} free of {en.capacity}")
    if row[f.FREE] < 0 or row[f.LEAST_FREE] < 0:
        found.append(f"S2 pages: {row[f.FREE]} free, {row[f.LEAST_FREE]} at least")
    if len(decoding) != row[f.BATCH] or len(decoding) != int(st.phase[r].sum()):
        found.append(f"S5 batch {row[f.BATCH]}, {len(decoding)} on the lists, {int(st.phase[r].sum())} by phase")
    if len(decoding) + (part >= 0) != row[f.RUNNING] or row[f.RUNNING] > en.max_seqs:
        found.append(f"S5 running {row[f.RUNNING]} of {en.max_seqs}, decoding {len(decoding)}")
    if row[f.RUNNING] + row[f.QUEUE] != row[f.OUTSTANDING]:
        found.append(f"S1 running {row[f.RUNNING]} and waiting {row[f.QUEUE]}, outstanding {row[f.OUTSTANDING]}")
    for s in decoding:
        context += float(st.si[r, s, f.LENGTH]) + en.growth * float(row[f.STEP] - st.si[r, s, f.START])
        if not st.sf[r, s, f.ARRIVAL] < st.sf[r, s, f.FIRST] <= st.rf[r, f.CLOCK]:
            found.append(f"S3 sequence {s}: first token at {st.sf[r, s, f.FIRST]}, arrival {st.sf[r, s, f.ARRIVAL]}")
    if not en.static and not np.isclose(context, st.rf[r, f.CONTEXT], rtol=1e-9, atol=1e-3):
        found.append(f"S5 context {st.rf[r, f.CONTEXT]}, {context} by sequence")
    return found


def _held(st: State, en: Engine, r: int, s: int) -> int:
    steps, wait = int(st.ri[r, f.STEP] - st.si[r, s, f.START]), int(st.si[r, s, f.FIRST_PAGE])
    return -(-int(st.si[r, s, f.LENGTH]) // en.block) + (1 + (steps - 1 - wait) // en.period if steps > wait else 0)
