"""The regret of nine sweeps of ten is computed and printed, and the table of whole configurations has its constant."""

import pytest

from suanzhang.evidence.metrics import Residual, summarise
from suanzhang.report.accuracy import metric_table


def _sweep(number: int, regret: float) -> list[Residual]:
    """Five rows, of which the one that is predicted best costs ``regret`` more than the best."""
    measured = [1.0 + regret, 1.0, 2.0 + regret, 3.0 + regret, 4.0 + regret]
    return [
        Residual(f"{number}-{place}", f"source {number}", "step_s", float(place + 1), value, sweep=f"sweep {number}")
        for place, value in enumerate(measured)
    ]


def test_the_regret_of_nine_sweeps_of_ten() -> None:
    rows = [row for number in range(11) for row in _sweep(number, 0.01 * number)]
    found = summarise(rows)
    assert found is not None
    assert found.sweeps == 11
    assert found.regret_pct == pytest.approx(5.0)
    assert found.regret_p90_pct == pytest.approx(9.0)
    page = metric_table({"step_s": found}, {"step_s": found})
    assert "regret, nine sweeps of ten %" in page
    assert "| 9.0 |" in page
