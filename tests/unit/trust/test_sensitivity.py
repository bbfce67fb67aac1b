from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

import suanzhang
from suanzhang.app.sensitivity_core import Subject, factor_at, studied
from suanzhang.app.sensitivity_inputs import GRADE_FACTOR, fit_spread, of_grade
from suanzhang.errors import InputError
from suanzhang.report.jsonable import to_json
from suanzhang.source import GRADES
from suanzhang.spec.result import Z95, Interval
from suanzhang.spec.trust_sensitivity import Answer, Effect, Ranged, SensitivityResult


def ranged(key: str, factor: float, by: str = "", group: str = "catalog") -> Ranged:
    return Ranged(key, key, group, 1.0, "1", 1.0 / factor, factor, "s", "assumed", "", by or f"measure {key}")  # type: ignore[arg-type]


def product(inputs: tuple[Ranged, ...], ratio: float) -> Subject:
    """An answer that is the product of its inputs, known to within a ratio of p95 to p05."""
    end = math.sqrt(ratio)
    answers = {"answer": (10.0, "s", Interval(10.0 / end, 10.0, 10.0 * end))}
    return Subject("train", "x", answers, inputs, lambda f: {"answer": math.prod(f.values())})


def test_a_product_shares_its_spread_by_the_squares_of_the_ranges() -> None:
    one, two = ranged("a", 1.2), ranged("b", 1.1)
    ratio = math.exp(2.0 * math.hypot(math.log(1.2), math.log(1.1)))
    (answer,), _, _ = studied(product((one, two), ratio), sobol=False)
    shares = {effect.input.key: effect.variance_fraction for effect in answer.effects}
    total = math.log(1.2) ** 2 + math.log(1.1) ** 2
    assert shares["a"] == pytest.approx(math.log(1.2) ** 2 / total)
    assert sum(shares.values()) == pytest.approx(1.0)
    assert answer.unexplained_fraction == pytest.approx(0.0, abs=1e-12)
    assert answer.worth[0].measurement == "measure a"
    assert answer.worth[0].ratio_then == pytest.approx(1.1**2)


def test_sobol_finds_the_shares_of_a_product() -> None:
    (answer,), evaluations, warnings = studied(product((ranged("a", 1.2), ranged("b", 1.1)), 2.0), seed=3)
    assert not warnings
    assert evaluations > 500
    first = {effect.input.key: effect.first_order for effect in answer.effects}
    total = math.log(1.2) ** 2 + math.log(1.1) ** 2
    assert first["a"] == pytest.approx(math.log(1.2) ** 2 / total, abs=0.08)


@pytest.mark.parametrize("seed", [0, 3])
def test_sobol_and_its_errors_come_again(seed: int) -> None:
    """Also with the seed of 0, which the library would take for none."""
    one, two = (studied(product((ranged("a", 1.2), ranged("b", 1.1)), 2.0), seed=seed) for _ in range(2))
    assert one == two


def test_what_the_inputs_do_not_explain_is_said() -> None:
    (answer,), _, _ = studied(product((ranged("a", 1.1),), 1.1**4), sobol=False)
    assert answer.unexplained_fraction == pytest.approx(0.75)
    assert answer.trial is not None and answer.trial.narrower_fraction == pytest.approx(1.0)


def test_inputs_never_claim_more_than_was_seen() -> None:
    (answer,), _, _ = studied(product((ranged("a", 2.0), ranged("b", 2.0)), 1.5), sobol=False)
    assert sum(effect.variance_fraction for effect in answer.effects) == pytest.approx(1.0)
    assert answer.interval.p95 / answer.interval.p05 == pytest.approx(1.5)


def test_one_measurement_settles_all_that_it_measures_and_choices_settle_nothing() -> None:
    inputs = (ranged("a", 1.2, "both"), ranged("b", 1.2, "both"), ranged("c", 1.25, "c"), ranged("q", 3.0, group="question"))
    (answer,), _, _ = studied(product(inputs, 4.0), sobol=False)
    assert [item.measurement for item in answer.worth] == ["both", "c"]
    assert set(answer.worth[0].inputs) == {"a", "b"}
    asked = next(effect for effect in answer.effects if effect.input.key == "q")
    assert asked.variance_fraction == 0.0
    assert answer.effects[0] is asked


def test_ranges_hold_ninety_of_a_hundred() -> None:
    one = Ranged("a", "a", "price", 1.0, "1", 0.5, 3.0, "", "", "")
    assert factor_at(one, Z95) == pytest.approx(3.0)
    assert factor_at(one, -Z95) == pytest.approx(0.5)
    assert factor_at(one, 0.0) == 1.0


def test_weaker_grades_have_wider_ranges() -> None:
    factors = [GRADE_FACTOR[grade] for grade in GRADES]
    assert factors == sorted(factors)
    assert of_grade("k", "n", "catalog", 1.0, "1", "s", "no such grade", "").high_factor == GRADE_FACTOR["assumed"]


def test_the_fits_left_out_give_each_coefficient_a_spread() -> None:
    spread = fit_spread("training", "values", "memory")
    assert spread is not None and 0.0 < spread < 0.5
    assert fit_spread("training", "values", "no such coefficient") is None


@pytest.fixture(scope="module")
def training(train_file: Path) -> SensitivityResult:
    return suanzhang.sensitivity(train_file, sobol=False)


def named(answer: Answer, key: str) -> Effect:
    return next(effect for effect in answer.effects if effect.input.key == key)


def test_a_training_moves_with_its_inputs_as_physics_says(training: SensitivityResult, train_file: Path) -> None:
    held = json.loads(train_file.read_text())
    days, *_ = training.answers
    assert (days.name, days.value, days.unit) == ("days", held["days"], "d")
    assert days.interval.p95 == held["days_interval"]["p95"]
    tokens = named(days, "ask.tokens")
    assert tokens.high == pytest.approx(1.1 * days.value)
    peak = named(days, "chip.peak_flop_per_s.bf16")
    assert peak.low is not None and peak.high is not None and peak.high < days.value < peak.low
    assert {answer.name for answer in training.answers} == {"days", "step time", "energy", "cost"}
    assert training.inputs_swung > 30


def test_a_power_meter_narrows_the_energy_and_not_the_days(training: SensitivityResult) -> None:
    answers = {answer.name: answer for answer in training.answers}
    assert answers["energy"].worth[0].measurement == "a power meter on a node"
    meter = [item for item in answers["days"].worth if item.measurement == "a power meter on a node"]
    assert all(item.narrower_fraction < 0.01 for item in meter)


def test_a_service_moves_with_its_rent_and_its_memory(serve_file: Path) -> None:
    result = suanzhang.sensitivity(serve_file, sobol=False)
    answers = {answer.name: answer for answer in result.answers}
    rent = named(answers["cost of a response"], "price.rent")
    assert rent.low is not None and rent.high is not None and rent.low < answers["cost of a response"].value < rent.high
    memory = named(answers["time per further token"], "chip.hbm_bytes_per_s")
    assert memory.low is not None and memory.low > answers["time per further token"].value
    assert named(answers["time per further token"], "price.rent").high == pytest.approx(answers["time per further token"].value)


def test_the_cost_of_a_plan_moves_with_prices_and_chips(plan_file: Path) -> None:
    (cost,) = suanzhang.sensitivity(plan_file, sobol=False).answers
    held = json.loads(plan_file.read_text())
    assert cost.value == held["cost"]["amount"]
    groups = {effect.input.group for effect in cost.effects if effect.variance_fraction > 0.0}
    assert {"price", "kernel timings"} <= groups
    assert cost.worth[0].ratio_then < cost.worth[0].ratio_now


def test_a_verb_with_its_inputs_is_answered_first(serve_file: Path) -> None:
    inputs = {"model": "llama3-8b", "chip": "h100-sxm-80", "isl": 512, "osl": 256, "rate": 20.0, "layout": "tp=1"}
    result = suanzhang.sensitivity("serve", {**inputs, "simulated_requests": 0}, sobol=False)
    stored = suanzhang.sensitivity(serve_file, sobol=False)
    assert result.answers == stored.answers


def test_explain_ends_with_the_measurement_that_narrows_most(train_file: Path) -> None:
    worth = {item.answer: item.worth for item in suanzhang.explain(train_file).worth}
    assert set(worth) == {"days", "step time", "energy", "cost"}
    assert worth["energy"][0].measurement == "a power meter on a node"


def test_what_has_no_inputs_is_refused(train_file: Path) -> None:
    held = json.loads(train_file.read_text())
    with pytest.raises(InputError, match="no inputs to swing"):
        suanzhang.sensitivity({**held, "verb": "audit"})
    with pytest.raises(InputError, match="what it was asked"):
        suanzhang.sensitivity({**held, "inputs": {}})


def test_the_range_of_every_line_is_in_the_money_table() -> None:
    from suanzhang.app import sensitivity_plan
    from suanzhang.money.figures import figures

    assert set(sensitivity_plan._FIGURES.values()) <= set(figures())
    assert all(sensitivity_plan._range_of(line) for line in sensitivity_plan._FIGURES)


def test_the_headline_names_the_widest_swing_that_is_drawn() -> None:
    from suanzhang.report.view_sensitivity import _verdict, tornado

    found = suanzhang.sensitivity("train", {"model": "llama3-8b", "tokens": "100B", "chips": "h100-sxm-80:64"}, sobol=False)
    main = found.answers[0]
    first = main.effects[0].input
    assert tornado(main).points[0].x.startswith(first.name)
    assert f" inputs, {first.name}" in _verdict(main, found)
    assert first.uncertain or "of what is uncertain" in _verdict(main, found)


def test_the_price_level_of_the_market_moves_a_plan() -> None:
    startup = Path(__file__).resolve().parents[3] / "examples" / "gpu-rush-2023" / "startup.yaml"
    found = suanzhang.sensitivity(str(startup), sobol=False)
    names = {effect.input.name for effect in found.answers[0].effects}
    assert "price level of the market by the end of the plan" in names


@pytest.mark.parametrize("verb", ["goodput", "examine", "variants", "launch_train", "launch_serve"])
def test_answers_about_one_run_or_service_are_looked_at_too(verb: str, answers: dict[str, Any]) -> None:
    body = to_json(answers[verb])
    found = suanzhang.sensitivity(body, sobol=False)
    assert found.answers and found.inputs_swung > 30
    plan = body.get("plan", body)
    for one in found.answers:
        assert one.interval.p05 < one.interval.p95, one.name
        assert one.worth, one.name
        assert any(effect.low != effect.high for effect in one.effects), one.name
        shares = sum(effect.variance_fraction for effect in one.effects) + one.unexplained_fraction
        assert shares == pytest.approx(1.0), one.name
    if verb not in ("launch_serve", "variants"):
        assert {one.name: one.value for one in found.answers}["step time"] == plan["step_s"]


def test_failures_move_the_calendar_time_of_a_run_and_not_its_step() -> None:
    long = to_json(suanzhang.goodput("llama-3.1-405b", "1T", "h100-sxm-80:4096", replications=20, layout="tp=8,pp=16"))
    found = {one.name: one for one in suanzhang.sensitivity(long, sobol=False).answers}

    def swing(name: str, key: str) -> float:
        effect = next(effect for effect in found[name].effects if effect.input.key == key)
        return (effect.high or 0.0) / (effect.low or 1.0) - 1.0

    assert swing("days", "run.failures") > 1e-3 > abs(swing("step time", "run.failures"))
    assert swing("useful share", "run.failures") < -1e-3
    assert swing("days", "ask.tokens") == pytest.approx(1.1**2 - 1.0, rel=1e-9)


def test_a_comparison_rests_on_what_its_chips_do_not_share(answers: dict[str, Any]) -> None:
    found = {one.name: one for one in suanzhang.sensitivity(to_json(answers["variants"]), sobol=False).answers}
    cut, other = found["time of a800-sxm-80 over a100-sxm-80"], found["time of v100-sxm2-32 over a100-sxm-80"]

    def ends(answer: Any, key: str) -> tuple[float, float]:
        effect = next(effect for effect in answer.effects if effect.input.key == key)
        assert effect.low is not None and effect.high is not None
        return effect.low / answer.value, effect.high / answer.value

    slow, fast = ends(cut, "a800-sxm-80 chip.link_bytes_per_s")
    assert slow > 1.0 > fast, "the cut link is what the A800 lacks"
    for end in ends(cut, "a100-sxm-80 kernel.product"):
        assert end == pytest.approx(1.0, abs=0.02), "both run the kernels that were timed on one silicon"
    low, high = ends(other, "v100-sxm2-32 kernel.product")
    assert low < 0.9 and high > 1.1, "nobody timed the V100"
    assert not any(effect.input.key == "a800-sxm-80 kernel.product" for effect in cut.effects)
    assert ends(cut, "v100-sxm2-32 kernel.product") == (1.0, 1.0)
