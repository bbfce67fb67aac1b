"""What would change a plan is counted from the plan that is printed, over the same futures."""

from pathlib import Path

import pytest

from suanzhang.app.verbs import buy


@pytest.mark.parametrize("scenarios", [1, 6])
def test_the_base_of_the_swings_is_the_printed_total(scenarios):
    found = buy(Path("examples/gpu-rush-2023/startup.yaml"), scenarios=scenarios, sensitivity=True)
    base = next(cell for cell in found.two_way if cell.factor_a == 1.0 and cell.factor_b == 1.0)
    assert base.cost.amount == pytest.approx(found.cost.amount, abs=0.01)
    assert base.decision == found.decision
    dearer = next(swing for swing in found.swings if swing.fact == "purchase prices")
    assert dearer.cost_low.amount < found.cost.amount < dearer.cost_high.amount
