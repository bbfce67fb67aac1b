"""What a plan says about limits, changes and options, in words and rows."""

import io
from dataclasses import replace
from types import SimpleNamespace

import pytest

from suanzhang.app.buy import _worded
from suanzhang.app.plan import _line_notes
from suanzhang.app.plan_answer import _batch_lines
from suanzhang.app.plan_binding import binding_words
from suanzhang.app.plan_flips import LONGEST_EFFECT, eight_bit_of, first_clause
from suanzhang.app.plan_sizing import MOST_TIMES_THE_BEST, split_wasteful
from suanzhang.catalog.chips import chip
from suanzhang.catalog.models import model
from suanzhang.errors import Infeasible, SolverError
from suanzhang.money.procurement.schedule import _waits
from suanzhang.report.text import print_report
from suanzhang.report.views import report_of
from suanzhang.source import Quoted
from suanzhang.spec.buy import Binding
from suanzhang.spec.job import TrainJob
from suanzhang.spec.plan import Flip, PlanResult
from suanzhang.spec.question import TrainAsk

LIMITS = (
    Binding("stock of a up to 2023-07", 30.0, "chips", 900.0, "stock"),
    Binding("all of chat due in 2023-09", 1.0, "share", 1e9, "due"),
    Binding("stock of a up to 2023-06", 20.0, "chips", 500.0, "stock"),
    Binding("budget", 5e6, "CNY", 2.0, "budget"),
)


class Bought:
    """The part of a schedule that these words are made of."""

    binding = LIMITS

    class cost:  # noqa: N801
        currency = "CNY"


def test_a_limit_of_many_months_is_one_line() -> None:
    lines = binding_words(Bought())  # type: ignore[arg-type]
    assert lines[0] == "stock of a up to 2023-06 to 2023-07 (20 to 30 chips): one more chip would save 500 CNY to 900 CNY"
    assert lines[1].startswith("all of chat due in 2023-09: carrying none of it then would save 1.00 billion")
    assert len(lines) == 3


@pytest.mark.parametrize(
    "text",
    ["supply: stock of " + ", ".join(f"offer-{i}" for i in range(40)) + " do not reach it; at any budget", "x " * 200, "ok"],
)
def test_effects_are_short(text: str) -> None:
    assert len("no plan exists: " + first_clause(text)) <= LONGEST_EFFECT


def test_eight_bits_where_the_chip_has_them() -> None:
    assert (eight_bit_of(chip("h100-sxm-80")), eight_bit_of(chip("a100-sxm-80"))) == ("fp8", "int8")


def test_a_limit_of_several_months_saves_in_one_of_them() -> None:
    limits = tuple(Binding(f"all of chat due in 2023-0{month}", 1.0, "share", 1e9, "due") for month in (8, 9))
    line = binding_words(SimpleNamespace(binding=limits, cost=Bought.cost))[0]  # type: ignore[arg-type]
    assert line.startswith("all of chat due in 2023-08 to 2023-09: carrying none of it in one of these months would save")


def test_assumed_shares_are_percents_and_plain_numbers_have_no_unit() -> None:
    quoted = [Quoted(value, unit, "assumed-site", "assumed") for value, unit in ((0.02, "1"), (1.3, "1"), (17.0, "USD/chip"))]
    assert [_worded(one) for one in quoted] == ["2.0 %", "1.3", "17 USD/chip"]


def test_a_share_that_waits_is_never_printed_as_none() -> None:
    assert [_waits(share) for share in (0.5, 0.0005, 0.0001)] == ["50.0 % waits", "0.1 % waits", "less than 0.1 % waits"]


class Option:
    """The part of a sizing that decides whether it is worth planning with."""

    service, layouts_evaluated = "chat", 7

    def __init__(self, name: str, chips: int) -> None:
        self.chip, self.chips = name, chips


def test_a_kind_that_takes_many_times_the_chips_is_refused_unless_it_is_there() -> None:
    options = [Option("best", 10), Option("slow", int(10 * MOST_TIMES_THE_BEST)), Option("absurd", 5000)]
    kept, refused = split_wasteful(options, set())  # type: ignore[arg-type]
    assert [one.chip for one in kept] == ["best", "slow"]
    assert refused[0].chip == "absurd" and "500 times those of best" in refused[0].reason
    kept, refused = split_wasteful(options, {"absurd"})  # type: ignore[arg-type]
    assert len(kept) == 3 and not refused


def test_a_plan_tells_cash_value_and_waiting_apart(answer: PlanResult) -> None:
    assert answer.cash is not None and answer.value_left is not None and answer.waiting is not None
    finance = sum(line.cost.amount for line in answer.costs if line.name == "finance")
    total = answer.cash.amount + answer.waiting.amount + finance - answer.value_left.amount
    assert total == pytest.approx(answer.cost.amount, abs=1.0)
    for interval in (answer.cash_interval, answer.value_left_interval):
        assert interval is not None and interval.p05 <= interval.p50 <= interval.p95
    report = report_of(answer)
    assert "in cash" in report.verdict
    assert ("nobody pays" in report.verdict) == (answer.waiting.amount > 0.0)
    assert ("are left at the end" in report.verdict) == (answer.value_left.amount > 0.0)


def test_flips_ask_for_eight_bits_and_the_least_cash(answer: PlanResult) -> None:
    changes = {flip.change.split(",")[0].split(" (")[0]: flip for flip in answer.flips}
    eight = changes["8-bit weights"]
    assert eight.cost is not None and eight.cost.amount <= answer.cost.amount * 1.001
    least = next((flip for name, flip in changes.items() if name == "the smallest budget"), None)
    if least is not None:
        assert least.cash is not None and answer.cash is not None
        assert least.cash.amount < answer.cash.amount and least.cost is not None
        assert least.cost.amount >= answer.cost.amount * 0.999


@pytest.mark.parametrize("width", [80, 110])
def test_the_report_fits(answer: PlanResult, width: int) -> None:
    out = io.StringIO()
    print_report(report_of(answer), file=out, width=width)
    lines = out.getvalue().splitlines()
    assert max(len(line) for line in lines) <= width
    assert any("to 2023-" in line or "to 2024-" in line for line in lines)


def test_the_rows_of_the_schedule_keep_their_sum(answer: PlanResult) -> None:
    tables = {table.title: table for table in report_of(answer).tables}
    merged = tables["Purchases and rents by run of months"]
    assert merged.columns[5].unit == "USD"
    assert sum(row[5] for row in merged.rows) == pytest.approx(answer.cost.amount, abs=1.0)  # type: ignore[misc]
    assert len(merged.rows) < len(answer.buy.schedule)
    assert report_of(answer).main_table == tables["Schedule"]


def test_no_least_budget_where_no_cash_is_needed(answer: PlanResult) -> None:
    from suanzhang.app.plan_flips import _least_budget

    class Sized:
        question = replace

    assert _least_budget(Sized(), 0.0, lambda _: answer.buy) is None  # type: ignore[arg-type]


def test_an_infeasible_change_says_why_in_a_clause(answer: PlanResult) -> None:
    from suanzhang.app.plan_flips import _solved

    def fails(_: object) -> object:
        raise Infeasible("nothing", binding=["power 3 W: at least 5 W are needed; and more"])

    flip = _solved("x", None, fails)  # type: ignore[arg-type]
    assert isinstance(flip, Flip) and flip.effect == "no plan exists: power 3 W: at least 5 W are needed" and flip.cost is None


def test_a_change_that_cannot_be_solved_in_time_does_not_end_the_plan(answer: PlanResult) -> None:
    from suanzhang.app.plan_flips import _solved

    def fails(_: object) -> object:
        raise SolverError("time limit")

    flip = _solved("x", None, fails)  # type: ignore[arg-type]
    assert isinstance(flip, Flip) and "ran out of time" in flip.effect


def test_trainings_with_the_same_batches_are_one_line() -> None:
    def asked(name: str, seq: int, batch: int = 0) -> tuple[TrainAsk, TrainJob]:
        shape = model("gpt3-175b")
        ask = TrainAsk(name, shape.id, 3e11, global_batch=batch)
        return ask, TrainJob(name, shape, 3e11, seq, batch or 2048)

    lines = _batch_lines([asked("a", 2048), asked("b", 4096), asked("c", 2048), asked("d", 2048, 512)])
    assert lines == [
        "trainings a, c are planned with batches of 2048 sequences of 2048 tokens",
        "training b is planned with batches of 2048 sequences of 4096 tokens, 2 times the usual for its size, "
        "to keep that many chips busy",
    ]


@pytest.mark.parametrize(("amount", "count"), [(-5.0, 1), (0.0, 0), (5.0, 0)])
def test_a_line_of_hosts_that_is_an_income_says_why(amount: float, count: int) -> None:
    found = SimpleNamespace(lines={"hosts": SimpleNamespace(amount=amount)})
    assert len(_line_notes(found)) == count  # type: ignore[arg-type]


def test_each_line_that_sales_make_an_income_is_named() -> None:
    lines = {name: SimpleNamespace(amount=amount) for name, amount in (("hosts", -5.0), ("network", -1.0), ("storage", 2.0))}
    (line,) = _line_notes(SimpleNamespace(lines=lines))  # type: ignore[arg-type]
    assert line.startswith("an income under hosts, network:")
