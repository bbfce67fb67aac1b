import pytest

from suanzhang.report.accuracy import by_source, metric_table, scatter, write_accuracy
from suanzhang.spec.result import Header
from suanzhang.spec.validate import GroupError, MemoryVerdicts, MetricError, RowError, ValidateResult, WorstRow

ERROR = MetricError(12, 9.5, 30.0, -2.0, 0.8, 0.91, 1.7, 1.2, 3, 7.0, 12.0)


@pytest.fixture
def result():
    group = {"A page | with a bar": GroupError(14, 12, {"step_s": ERROR})}
    entries = tuple(
        RowError(str(i), "A page", "training", "a100", "m", {"step_s": 1.1 * i}, {"step_s": 1.0 * i}) for i in range(1, 6)
    )
    worst = (WorstRow("r1", "A page", "step_s", 3.0, 1.0, 200.0, "compute", ("micro-batch not stated",)),)
    return ValidateResult(
        Header("0.1", "2026-11", 0), "training", 14, 12, {"global batch not stated": 2}, {"step_s": ERROR}, group, group, group,
        group, group, group, {"A": group["A page | with a bar"]}, {"step_s": ERROR}, MemoryVerdicts(10, 1, 1, 0),
        {"largest_move_points": 0.4}, worst, "whole sources left out", 20, 1.0, entries,
    )  # fmt: skip


def test_the_page_holds_every_figure_and_reason(result, tmp_path):
    written = write_accuracy({"training": result}, tmp_path / "accuracy.md", tmp_path / "figures", "2026-11-22")
    text = written[0].read_text()
    for words in ("**9.5**", "12 of 14", "global batch not stated | 2", "91 %", "1.70", "A page / with a bar", "+200", "0.40"):
        assert words in text
    assert [path.suffix for path in written] == [".md", ".png", ".svg"]
    assert all(path.stat().st_size > 1000 for path in written)


def test_a_table_row_never_breaks_on_a_bar(result):
    for line in metric_table(result.metrics, result.baseline).strip().splitlines():
        assert line.count("|") == 12


def test_the_scatter_plots_predicted_against_measured_on_logarithmic_axes(result):
    chart = scatter(result.entries).to_dict()
    layer = chart["concat"][0]["layer"][0]
    assert layer["encoding"]["x"]["field"] == "measured"
    assert layer["encoding"]["y"]["scale"]["type"] == "log"
    assert len(layer["data"]["values"]) == 5
    assert scatter(()) is None


def test_sources_with_few_rows_are_not_drawn(result):
    assert by_source(result.by_source, fewest=50) is None
