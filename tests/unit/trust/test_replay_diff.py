from __future__ import annotations

import json
from pathlib import Path

import pytest

import suanzhang
from suanzhang.app.question import read_question
from suanzhang.app.replay import TIMINGS, reasons_between
from suanzhang.app.replay_inputs import given_back, inputs_of
from suanzhang.errors import InputError
from suanzhang.report.blocks import Table
from suanzhang.report.jsonable import to_json, to_text
from suanzhang.report.views import report_of
from suanzhang.spec.layout import ServeLayout
from suanzhang.spec.question import Question
from suanzhang.spec.result import Header
from suanzhang.spec.trust import DiffResult, Moved
from suanzhang.spec.trust_plain import plain, rebuilt


@pytest.mark.parametrize("which", ["train_file", "serve_file", "plan_file"])
def test_a_result_comes_again_byte_for_byte(which: str, request: pytest.FixtureRequest) -> None:
    result = suanzhang.replay(request.getfixturevalue(which))
    assert result.identical, result.moved[:5]
    assert not result.moved
    assert result.keys > 80
    assert set(result.left_out) <= set(TIMINGS)


def test_a_changed_value_and_a_changed_catalog_are_told(train_file: Path) -> None:
    held = json.loads(train_file.read_text())
    held["days"] *= 1.5
    held["search_s"] = 99.0
    held["version"] = "0.0.1"
    held["fingerprints"]["catalog"] = "0" * 12
    result = suanzhang.replay(held)
    assert not result.identical
    (moved,) = result.moved
    assert moved.key == "days"
    assert moved.change == pytest.approx(1 / 1.5 - 1)
    assert len(result.reasons) == 3
    assert any("version 0.0.1" in line for line in result.reasons)
    assert any("catalog" in line for line in result.reasons)


def test_the_same_installation_leaves_the_machine_as_reason() -> None:
    head = Header("1", "2026", 0, fingerprints={"program": "a", "catalog": "b", "evidence": "c"})
    assert "nothing installed has changed" in reasons_between(head, head)[0]


def test_a_result_without_its_question_cannot_be_repeated(plan_file: Path) -> None:
    held = json.loads(plan_file.read_text())
    held["inputs"] = {}
    with pytest.raises(InputError, match="what it was asked"):
        suanzhang.replay(held)


def test_a_result_holds_the_question_file_itself(plan_file: Path, question_file: Path) -> None:
    held = json.loads(plan_file.read_text())
    assert held["inputs"]["question"]["content"] == question_file.read_text()
    assert list(held)[:6] == ["version", "catalog_date", "seed", "verb", "inputs", "fingerprints"]


def test_a_question_given_as_a_value_comes_back(question_file: Path) -> None:
    question = read_question(question_file)
    kept = inputs_of(suanzhang.plan, question)
    with given_back(json.loads(json.dumps(kept)), "here") as inputs:
        assert inputs["question"] == question


def test_defaults_are_left_out_and_layouts_kept() -> None:
    kept = inputs_of(suanzhang.serve, "a", "b", isl=5.0, seed=0, layout=ServeLayout(tp=2))
    assert set(kept) == {"model", "chip", "isl", "layout"}
    with given_back(kept, "here") as inputs:
        assert inputs["layout"] == ServeLayout(tp=2)


def test_a_trace_that_changed_is_refused(tmp_path: Path) -> None:
    trace = tmp_path / "t.csv"
    trace.write_text("a")
    kept = inputs_of(suanzhang.serve, "a", "b", trace=str(trace))
    assert "content" not in kept["trace"]
    trace.write_text("b")
    with pytest.raises(InputError, match="has changed"), given_back(kept, "here"):
        pass


def test_rebuilt_names_what_is_wrong(question_file: Path) -> None:
    with pytest.raises(InputError, match="unknown key 'colour'"):
        rebuilt(ServeLayout, {"tp": 1, "colour": 2})
    question = read_question(question_file)
    assert rebuilt(Question, plain(question)) == question


def test_diff_says_inputs_first(plan_file: Path, question_file: Path) -> None:
    text = question_file.read_text().replace("visits_per_day: 2e6", "visits_per_day: 8e6") + "# a comment\n"
    other = to_json(suanzhang.plan(text))
    result = suanzhang.diff(plan_file, other)
    assert [moved.key for moved in result.inputs] == ["question.serve[chat].requests_per_s"]
    assert result.inputs[0].change == pytest.approx(3.0)
    assert any(moved.key == "cost_usd" for moved in result.answers["costs"])
    assert not result.why
    same = suanzhang.diff(plan_file, plan_file)
    assert not same.inputs and not same.answers and not same.rest


def test_diff_refuses_two_verbs(plan_file: Path, train_file: Path) -> None:
    with pytest.raises(InputError, match="one verb"):
        suanzhang.diff(plan_file, train_file)


def test_diff_of_services_says_what_was_asked_and_what_it_did(serve_file: Path) -> None:
    other = suanzhang.serve("llama3-8b", "h100-sxm-80", isl=512, osl=256, rate=80.0, layout="tp=1", simulated_requests=0)
    result = suanzhang.diff(serve_file, to_json(other))
    assert [moved.key for moved in result.inputs] == ["rate"]
    assert {"chips", "costs", "times"} <= set(result.answers)
    assert any(moved.key == "replicas" for moved in result.answers["chips"])


def test_diff_of_purchases_and_of_audits(question_file: Path, tmp_path: Path) -> None:
    dearer = question_file.read_text().replace("months: 6", "months: 8")
    one, two = (to_json(suanzhang.buy(asked, scenarios=1)) for asked in (question_file, dearer))
    result = suanzhang.diff(one, two)
    assert [moved.key for moved in result.inputs] == ["question.months"]
    assert any(moved.key == "cost_usd" for moved in result.answers["costs"])
    claims = Path(__file__).resolve().parents[3] / "examples" / "audit-2026" / "claims.yaml"
    changed = tmp_path / "claims.yaml"
    text = claims.read_text(encoding="utf-8")
    changed.write_text(text.replace("id: ", "id: other-", 1), encoding="utf-8")
    told = suanzhang.diff(to_json(suanzhang.audit(claims)), to_json(suanzhang.audit(changed)))
    assert told.inputs and told.rest


def test_a_long_list_is_one_row_with_its_largest_move() -> None:
    from suanzhang.report.view_trust import _moved
    from suanzhang.spec.trust import Moved

    rows = tuple(Moved(f"pareto[{index}].days", 10.0, 10.0 + index, 0.1 * index) for index in range(1, 9))
    own = (Moved("days", 10.0, 12.0, 0.2), Moved("days_interval.p05", 8.0, 9.0, 0.125))
    table = _moved("Times", (*own, *rows))
    assert len(table.rows) == 2
    assert table.rows[0][0] == "days"
    assert "8 rows moved, most of all 8" in str(table.rows[1][0]) and table.rows[1][3] == pytest.approx(80.0)
    assert len(_moved("Times", rows[:3]).rows) == 3


def test_an_answer_that_was_asked_nothing_comes_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A verb whose every option was left out has inputs, and they are empty."""
    monkeypatch.setattr("suanzhang.app.backtest._EVERY_MONTHS", 1000)
    held = json.loads(to_text(suanzhang.backtest()))
    assert held["inputs"] == {}
    assert suanzhang.replay(held).identical
    del held["inputs"]
    with pytest.raises(InputError, match="what it was asked"):
        suanzhang.replay(held)


def test_rows_that_only_one_answer_has_are_counted_and_not_taken_apart() -> None:
    from suanzhang.app.header import header
    from suanzhang.report.views import report_of
    from suanzhang.spec.trust import DiffResult, Moved

    def row(name: str, first: bool, *fields: str) -> list[Moved]:
        return [Moved(f"pareto[{name}].layout.{field}", 1 if first else None, None if first else 2) for field in fields]

    moved = (
        Moved("layout.tp", 2, 1, -0.5),
        Moved("pareto[both].layout.tp", 4, 8, 1.0),
        *row("h100", True, "tp", "pp", "dp"),
        *row("a100", False, "tp", "pp", "dp"),
    )
    times = (Moved("days", 18.8, 50.9, 1.7), Moved("pareto[h100].days", 18.8, None), Moved("pareto[a100].days", None, 50.9))
    result = DiffResult(header(0), "train", (), (), {"layouts": moved, "times": times}, ())
    tables = {table.title: table for table in report_of(result).tables}
    assert [row[:3] for row in tables["Layouts"].rows] == [
        ("layout · tp", "2", "1"),
        ("pareto[both] · layout · tp", "4", "8"),
        ("pareto: rows that only one has", "1: h100", "1: a100"),
    ]
    assert [row[0] for row in tables["Times"].rows] == ["days"]
    assert "2 more values" in tables["Times"].note


def test_a_long_difference_begins_with_the_few_figures_that_matter() -> None:
    moved = tuple(Moved(f"row.{number}.days", 1.0, 2.0, 1.0) for number in range(20))
    days = (Moved("days", 10.0, 20.0, 1.0), Moved("days_interval.p05", 9.0, 18.0, 1.0), Moved("step_s", 1.0, 2.0, 1.0))
    chips = (Moved("chip", "a", "b"), Moved("riskier.layout.dp", 1.0, 9.0, 8.0), Moved("chips", 512.0, 256.0, -0.5))
    result = DiffResult(Header("1", "2026", 0), "train", (), (), {"chips": chips, "times": (*days, *moved)}, ())
    first = report_of(result).sections[0]
    assert first.title == "What matters most"
    (table,) = first.blocks
    assert isinstance(table, Table)
    assert [row[0] for row in table.rows] == ["chips", "days", "step s"]
    short = DiffResult(Header("1", "2026", 0), "train", (), (), {"chips": chips, "times": days}, ())
    assert all(section.title != "What matters most" for section in report_of(short).sections)
