"""All-reduces of engines older than the libraries whose timings ship."""

from __future__ import annotations

import numpy as np

from suanzhang.perf.args import LinkArgs
from suanzhang.perf.collectives import allreduce_s

RING_SHARE = 370.0 / 450.0
"""Share of a link that a ring reaches beside the overhead of its protocol: 370 of 450 GB/s on H100 by NCCL's maintainers
(github.com/NVIDIA/nccl-tests/issues/212, 2024-05), who see 480 where the switch adds up."""
_LARGE_BYTES = 2.0**29
"""A buffer beside which fixed times no longer count: the largest timed one [B]."""


def without_switch_sums(link: LinkArgs) -> LinkArgs:
    """The links for a library whose all-reduces are rings, where the timed one lets the switch add up.

    Model:
        Of a ring, each link carries the buffer almost twice and no faster than its protocol allows. What the largest timed
        all-reduce beats that by is the switch's; without it every byte takes so much longer, and the fixed times stay.

    Args:
        link: links as NCCL itself was timed on them.

    Returns:
        The links, with the table of all-reduces scaled; as they were where no number of ranks beats a ring.

    Equation:
        g(r) = max(1, 2 (r - 1) / r S / (T(S, r) B e_ring)),  f(s, r) = 1 + (g - 1) (1 - T(1, r) / T(s, r))

    Validity:
        One node; NCCL before 2.17 on chips whose switch adds up (H100 and later).

    Sources:
        [aiconfigurator-2026] timings of all-reduces; nccl-tests issue 212 for the rate of a ring.
    """
    table = link.allreduce
    values = table.values.copy()
    for column in range(values.shape[1]):
        ranks = 2.0 ** (table.y0 + column * table.dy)
        if ranks < 2.0:
            continue
        ring_s = 2.0 * (ranks - 1.0) / ranks * _LARGE_BYTES / (link.link_bytes_per_s * RING_SHARE)
        gain = max(ring_s / allreduce_s(_LARGE_BYTES, ranks, 1.0, link), 1.0)
        for row in range(values.shape[0]):
            size = 2.0 ** (table.x0 + row * table.dx)
            fixed = min(allreduce_s(1.0, ranks, 1.0, link) / allreduce_s(size, ranks, 1.0, link), 1.0)
            values[row, column] *= 1.0 + (gain - 1.0) * (1.0 - fixed)
    return link._replace(allreduce=table._replace(values=np.ascontiguousarray(values)))
