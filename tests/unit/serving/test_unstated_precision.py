"""Rows without a stated precision of the weights are judged under both that are plausible, each apart."""

from dataclasses import replace

from suanzhang.app.rows_serving import PRECISION_OPEN
from suanzhang.app.validate import predict
from suanzhang.app.validate_fit import shipped_judges
from suanzhang.app.validate_unstated import unstated_precisions
from suanzhang.evidence.rows import ServeRow, shipped_rows


def test_both_precisions_are_reported_apart_and_differ() -> None:
    table = [row for row in shipped_rows("serving") if isinstance(row, ServeRow) and not row.weight_dtype][:400]
    judges = shipped_judges()
    outcomes = [item for item in predict(table, judges) if PRECISION_OPEN in item.flags][:5]
    assert outcomes
    found = unstated_precisions(outcomes, judges)
    assert set(found) == {"not stated, as bf16", "not stated, as fp8"}
    wide, narrow = (found[f"not stated, as {name}"] for name in ("bf16", "fp8"))
    assert wide.rows == narrow.rows == len(outcomes)
    assert wide.metrics["tpot_s"].bias_pct > narrow.metrics["tpot_s"].bias_pct


def test_a_table_that_states_its_precisions_has_no_such_groups() -> None:
    table = [row for row in shipped_rows("serving") if isinstance(row, ServeRow) and row.weight_dtype == "fp16"][:3]
    stated = [replace(row) for row in table]
    assert unstated_precisions(predict(stated, shipped_judges()), shipped_judges()) == {}
