"""What our errors are held against: one fitted constant for all rows, and other planners on the same rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from suanzhang.app.validate_predict import Outcome
from suanzhang.evidence.metrics import Residual
from suanzhang.evidence.remarks import Peer, peers
from suanzhang.spec.validate import PeerError

CONSTANT_METRICS = ("step_s", "output_tokens_per_s")


def constant_residuals(outcomes: Sequence[Outcome], metric: str) -> list[Residual]:
    """What one constant predicts: a share of peak fitted to all rows, on what each row counts as work.

    For training the work is eight operations per active parameter and token, for serving two per token read or written.
    """
    usable = [item for item in outcomes if metric in item.measured and item.flop > 0.0 and metric in item.predicted]
    ideal = [item.flop / item.peak_flop_per_s if metric == "step_s" else item.peak_flop_per_s / item.flop for item in usable]
    ratios = sorted(item.measured[metric] / value for item, value in zip(usable, ideal, strict=True))
    if not ratios:
        return []
    constant = ratios[len(ratios) // 2]
    return [
        Residual(item.row.id, item.row.source, metric, constant * value, item.measured[metric], item.row.sweep)
        for item, value in zip(usable, ideal, strict=True)
    ]


def by_source_pct(residuals: Sequence[Residual]) -> dict[str, float]:
    """Median absolute error of each source [%]."""
    groups: dict[str, list[float]] = defaultdict(list)
    for item in residuals:
        groups[item.source].append(abs(item.error))
    return {source: 100.0 * float(np.median(found)) for source, found in sorted(groups.items())}


def peer_errors(outcomes: Sequence[Outcome], found: Sequence[Peer] | None = None) -> tuple[PeerError, ...]:
    """Each planner that was run on some of the rows, beside ours and beside one constant fitted to those very rows."""
    result = []
    for peer in peers() if found is None else found:
        own = [
            item
            for item in outcomes
            if item.row.id in peer.predictions and peer.metric in item.measured and peer.metric in item.predicted
        ]
        if not own:
            continue
        measured = np.array([item.measured[peer.metric] for item in own])
        theirs = np.array([peer.predictions[item.row.id] for item in own]) / measured - 1.0
        ours = np.array([item.predicted[peer.metric] for item in own]) / measured - 1.0
        constant = [abs(item.error) for item in constant_residuals(own, peer.metric)]
        result.append(
            PeerError(
                peer.name,
                peer.commit,
                peer.commit_date,
                peer.date,
                peer.metric,
                peer.settings,
                rows=len(own),
                sources=len({item.row.source for item in own}),
                peer_median_abs_pct=100.0 * float(np.median(np.abs(theirs))),
                peer_p90_abs_pct=100.0 * float(np.quantile(np.abs(theirs), 0.9)),
                peer_bias_pct=100.0 * float(np.median(theirs)),
                our_median_abs_pct=100.0 * float(np.median(np.abs(ours))),
                our_p90_abs_pct=100.0 * float(np.quantile(np.abs(ours), 0.9)),
                our_bias_pct=100.0 * float(np.median(ours)),
                constant_median_abs_pct=100.0 * float(np.median(constant)),
            )
        )
    return tuple(result)
