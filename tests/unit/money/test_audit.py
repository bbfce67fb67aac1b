"""Claims recomputed: verdicts, words, and every scenario of prices and supply with good and bad inputs."""

from pathlib import Path

import pytest

from suanzhang.app.audit import amount_words, audit, judge, value_and_range
from suanzhang.app.header import header
from suanzhang.app.scenarios import describe_scenarios, run_scenario, scenarios
from suanzhang.errors import CatalogError, InputError, PlannerError
from suanzhang.report.views import report_of
from suanzhang.spec.audit import Claim, Scenario
from suanzhang.spec.result import Interval

ROOT = Path(__file__).resolve().parents[3]
SLOW = ("serve-size", "mixed-fleet", "train-size", "train-and-serve", "response-cost", "precision-saving", "portfolio")

BILL = {
    "bill": 2e6,
    "site": "us-azure-iowa",
    "tariff_per_kwh": 0.09,
    "chip": "a100-sxm-80",
    "residential_kwh_per_person_year": 947,
}
GOOD = {
    "change": ({"from": 50000, "to": 100000}, "fraction", 1.0),
    "ratio": ({"part": 20e6, "whole": 50e6}, "fraction", 0.4),
    "product": ({"factors": [3000, 8]}, "product", 24000.0),
    "bill": ({"chips": 7000, "price_per_chip": 100000}, "amount", 0.7e9),
    "electricity": (BILL, "energy_gwh", 2e6 / 0.09 / 1e6),
    "traffic-bill": (
        {"cost_per_response": 0.05, "visits_per_day": 1e9, "chip": "a100-sxm-80", "market": "us-2023-04", "currency": "CNY"},
        "per_day", 50e6,
    ),
    "substitute": ({"relative_performance": 0.6, "extra_cost": 0.25}, "price_ratio", 0.75),
    "idle": ({"chip": "a100-sxm-80", "months": 12}, "loss_fraction", None),
    "rent-or-buy": ({"chip": "a100-sxm-80", "market": "us-2023-04", "rent_cut": 0.4}, "break_even_shift", 1.0 / 0.6),
    "beyond-the-chip": ({"chip": "a100-sxm-80", "market": "us-2023-04", "months": 48}, "share_beyond_chip", None),
    "delivery": ({"market": "cn-2023-04", "kinds": ["a800-sxm-80"], "months": 9}, "chips_delivered", 50000.0),
    "recorded-change": ({"chip": "a100-sxm-80", "from": "2023-04", "to": "2023-10"}, "fall_fraction", 1.0 - 2.52 / 2.04),
    "queue": ({"market": "cn-2023-04", "chip": "a800-sxm-80", "order": 1000}, "weeks", None),
    "older-chip": (
        {"chip": "a100-sxm-80", "other": "v100-sxm2-32", "market": "cn-2023-04", "relative_performance": 0.6, "months": 36},
        "extra_cost", None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_scenario_answers(name):
    inputs, key, wanted = GOOD[name]
    value, low, high = value_and_range(run_scenario(Scenario(name, inputs), "c"), key, "c")
    assert low <= value <= high
    if wanted is not None:
        assert value == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("name", GOOD)
def test_bad_inputs_are_one_line_that_names_the_claim(name):
    inputs, _, _ = GOOD[name]
    lacking = dict(list(inputs.items())[1:])
    for bad in (lacking, {**inputs, "not_an_input": 1}, dict.fromkeys(inputs, "nonsense")):
        with pytest.raises(PlannerError) as failure:
            run_scenario(Scenario(name, bad), "claim-7")
        assert "\n" not in str(failure.value)
    with pytest.raises(InputError, match="not_an_input"):
        run_scenario(Scenario(name, {**inputs, "not_an_input": 1}), "claim-7")


def test_unknown_scenarios_and_keys_name_the_nearest():
    with pytest.raises(CatalogError, match="electricty"):
        run_scenario(Scenario("electricty", {}), "c")
    with pytest.raises(CatalogError):
        value_and_range({"fraction": 1.0}, "fracton", "c")


def test_every_scenario_is_listed_with_inputs_and_answers():
    text = describe_scenarios()
    for name in scenarios():
        assert f"{name}\n" in text
    assert text.count("inputs:") == len(scenarios())
    assert set(GOOD) | set(SLOW) <= set(scenarios())


@pytest.mark.parametrize(
    ("relation", "stated", "computed", "low", "high", "verdict"),
    [
        ("about", (100, 100), 60, 40, 120, "consistent"),
        ("about", (100, 100), 90, 88, 95, "consistent"),
        ("about", (100, 100), 40, 30, 95, "inconsistent"),
        ("about", (100, 100), 130, 116, 150, "inconsistent"),
        ("about", (100, 100), 60, 11, 140, "not checkable"),
        ("about", (100, 100), 100, 0, 120, "not checkable"),
        ("about", (1, 1), 0.5, -0.2, 2, "not checkable"),
        ("at_least", (100, 100), 90, 86, 95, "consistent"),
        ("at_least", (100, 100), 1e5, 86, 1e9, "consistent"),
        ("at_least", (2, 2), 1, 1, 2, "not checkable"),
        ("at_least", (100, 100), 60, 50, 80, "inconsistent"),
        ("at_most", (100, 100), 85, 27, 144, "not checkable"),
        ("at_most", (100, 100), 114, 90, 114, "consistent"),
        ("at_most", (100, 100), 200, 116, 500, "inconsistent"),
        ("at_most", (12, 12), 336, 192, float("inf"), "inconsistent"),
        ("range", (20, 30), 35, 29, 40, "consistent"),
        ("range", (20, 30), 37, 36, 40, "inconsistent"),
        ("range", (20, 30), 12, 5, 16, "inconsistent"),
        ("range", (0.2, 0.3), 0.29, 0.004, 1.16, "not checkable"),
    ],
)
def test_verdicts(relation, stated, computed, low, high, verdict):
    claim = Claim("c", "says", "q", float(stated[0]), float(stated[1]), "1", relation, 0.15)
    assert judge(claim, float(computed), float(low), float(high)) == verdict


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("**/*.yaml")), ids=lambda path: path.stem)
def test_no_claim_of_the_examples_is_tested_against_what_cannot_fail(path):
    from suanzhang.app.claims import read_claims

    if "claims:" not in path.read_text(encoding="utf-8"):
        pytest.skip("no claims file")
    for claim in read_claims(path)[1]:
        if claim.scenario is not None and claim.relation == "at_least" and claim.unit in ("fraction", "nats/token"):
            assert claim.stated_low > 0.0, f"{claim.id}: a share is never below zero"


@pytest.mark.parametrize(("rent", "words"), [(2400, "to never"), (1, "never"), ("1e300", "months"), ("1e-300", "never")])
def test_rents_beyond_all_measure_get_a_verdict(tmp_path, rent, words):
    text = (ROOT / "examples/gpu-rush-2023/scenarios/S22-dgx-cloud.yaml").read_text(encoding="utf-8")
    path = tmp_path / "claims.yaml"
    path.write_text(text.replace("37000, chips", f"{rent}, chips"))
    found = audit(path)
    assert found.claims[0].verdict == ("consistent" if rent == "1e300" else "inconsistent")
    assert words in found.claims[0].explanation
    assert "inf" not in str([table.rows for table in report_of(found).tables])


def test_who_is_queued_waits_for_what_is_ordered_ahead():
    inputs = {
        "market": "cn-2023-04",
        "chip": "a800-sxm-80",
        "order": 1000,
        "orders_ahead": 29000,
        "deliveries_per_month": 10000,
    }
    assert run_scenario(Scenario("queue", inputs), "c")["weeks"] == pytest.approx(3.0 * 365.25 / 84.0)
    stocked = run_scenario(Scenario("queue", {**inputs, "stock": 30000}), "c")
    assert (stocked["weeks"], stocked["chips_within"]) == (0.0, 1000.0)
    assert run_scenario(Scenario("queue", {**inputs, "deliveries_per_month": 0}), "c")["weeks"] == float("inf")


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (0.4, "fraction", "40 %"), (1.0, "fraction", "100 %"), (0.031, "fraction", "3.1 %"), (1.104, "ratio", "1.10 times"),
        (1.0, "runs", "1 run"), (12.0, "months", "12 months"), (768.4, "chips", "768 chips"), (7e8, "CNY", "700 million CNY"),
        (0.05, "CNY", "0.0500 CNY"), (0.0, "fraction", "0 %"),
    ],
)  # fmt: skip
def test_amounts_in_words(value, unit, words):
    assert amount_words(value, unit) == words


def test_intervals_of_a_scenario_widen_its_value():
    answer = {"x": 2.0, "x_interval": Interval(2.5, 3.0, 4.0)}
    assert value_and_range(answer, "x", "c") == (2.0, 2.0, 4.0)


CLAIMS = """
document: test
claims:
  - {id: a, says: s, quantity: rise, stated: 0.5, unit: fraction, result_key: fraction,
     scenario: {verb: change, inputs: {from: 50000, to: 100000}}}
  - {id: b, says: s, quantity: bill, stated: 1e9, unit: CNY, result_key: amount,
     scenario: {verb: bill, inputs: {chips: 7000, price_per_chip: 100000}}}
  - {id: c, says: s, not_checkable: nothing is counted}
"""


def test_a_file_of_ones_own(tmp_path):
    path = tmp_path / "claims.yaml"
    path.write_text(CLAIMS)
    found = audit(path)
    assert [row.verdict for row in found.claims] == ["inconsistent", "inconsistent", "not checkable"]
    assert "100 %" in found.claims[0].explanation
    assert "700 million CNY" in found.claims[1].explanation
    assert (found.consistent, found.inconsistent, found.not_checkable) == (0, 2, 1)
    report = report_of(found)
    table = next(table for table in report.tables if table.title == "Claims")
    assert table.rows[0][3] == pytest.approx(100.0)
    assert table.rows[1][6] == "million CNY"


BARE = """
document: an article
claims:
  - {id: a, says: It rose, zh: 涨了, system: prices}
  - {id: z, says: Nobody knows}
"""


def test_statements_without_scenarios_are_listed_and_take_those_of_another_file(tmp_path):
    path, checks = tmp_path / "bare.yaml", tmp_path / "claims.yaml"
    path.write_text(BARE)
    checks.write_text(CLAIMS)
    alone = audit(path)
    assert [row.verdict for row in alone.claims] == ["not checkable"] * 2
    assert all("names no scenario" in row.explanation for row in alone.claims)
    together = audit(path, checks=checks)
    assert [(row.id, row.verdict) for row in together.claims] == [("a", "inconsistent"), ("z", "not checkable")]
    assert together.claims[0].says == "It rose"
    assert together.claims[0].quote == "涨了"
    assert together.document == "an article"
    checks.write_text(CLAIMS.replace("id: a", "id: q"))
    with pytest.raises(InputError, match="has no scenario for a statement"):
        audit(path, checks=checks)
    path.write_text(BARE.replace("says: Nobody knows", "says: Nobody knows, stated: 3"))
    with pytest.raises(InputError, match="claim z lacks quantity, scenario, result_key"):
        audit(path)


def test_a_range_too_wide_is_not_checkable_and_says_so(tmp_path):
    path = tmp_path / "claims.yaml"
    path.write_text(CLAIMS.replace("{id: a, says: s,", "{id: a, says: s, variants: [{to: 50001}],"))
    row = audit(path).claims[0]
    assert (row.verdict, row.decides) == ("not checkable", False)
    assert row.computed == pytest.approx(1.0)
    assert "our range is too wide" in row.explanation
    assert audit(path).too_wide == 1


def test_every_statement_of_the_example_has_a_row_and_none_lacks_a_reason():
    from suanzhang.app.claims import read_claims

    _, claims = read_claims(ROOT / "examples/gpu-rush-2023/claims.yaml")
    numbers = {claim.id[:3] for claim in claims}
    assert numbers == {f"S{number:02d}" for number in range(1, 26)}
    for claim in claims:
        assert (claim.scenario is None) == bool(claim.not_checkable)
        assert claim.scenario is None or claim.scenario.verb != "product", "a product of constants checks nothing"


def test_what_the_audit_must_find_by_itself():
    from suanzhang.app.claims import read_claims

    _, claims = read_claims(ROOT / "examples/gpu-rush-2023/claims.yaml")
    by_id = {claim.id: claim for claim in claims}

    def computed(name):
        claim = by_id[name]
        return value_and_range(run_scenario(claim.scenario, name), claim.result_key, name)[0]

    assert computed("S02-price-rise") == pytest.approx(1.0)
    assert computed("S11-chip-bill") == pytest.approx(0.7e9)
    assert computed("S14b-what-that-rents") > 100_000
    nameplate, measured = computed("S15b-chips-at-nameplate"), computed("S15c-chips-as-measured")
    assert nameplate == pytest.approx(30_000, rel=0.2)
    assert 1.6 < measured / nameplate < 2.5
    energy = run_scenario(by_id["S15-electricity"].scenario, "S15")["energy_gwh"]
    assert energy == pytest.approx(22.0, rel=0.03)


def test_counts_of_claims_keep_their_grammar() -> None:
    from suanzhang.report.view_audit import audit as report
    from suanzhang.spec.audit import AuditResult

    one = report(AuditResult(header(0), "x", (), 1, 1, 1)).verdict
    assert one == "1 claim agrees with our computation, 1 does not, 1 cannot be checked."
    many = report(AuditResult(header(0), "x", (), 2, 0, 3)).verdict
    assert many == "2 claims agree with our computation, 3 cannot be checked."


def test_figures_that_differ_do_not_read_the_same() -> None:
    from suanzhang.app.audit import _digits
    from suanzhang.app.scenarios_money import change_words

    assert change_words(1.70, 2.35) == "1.70 to 2.35 is +38 %."
    assert [amount_words(value, "fraction", _digits((0.694, 0.688), "fraction")) for value in (0.694, 0.688)] == [
        "69.4 %",
        "68.8 %",
    ]


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [("S11-chip-bill", ["S11-chip-bill"]), ("s08, S22", ["S08-entry-ticket", "S08b-what-20-million-trains", "S22-dgx-cloud"])],
)
def test_some_claims_alone(wanted, ids):
    result = audit(ROOT / "examples" / "gpu-rush-2023" / "claims.yaml", claim=wanted)
    assert [row.id for row in result.claims] == ids


def test_a_claim_that_is_not_there_is_one_line():
    with pytest.raises(InputError, match="no claim is called 's99'"):
        audit(ROOT / "examples" / "gpu-rush-2023" / "claims.yaml", claim="S99")


def test_a_scenario_is_of_the_day_of_its_market_unless_it_says_another() -> None:
    """Runs of 2026 use the software of 2026: the same training takes longer with that of 2023."""
    inputs = {"model": "gpt3-13b", "tokens": "100B", "chip": "h100-sxm-80", "chips_per_run": 64, "runs": 1, "months": 1}

    def days(**more: str) -> float:
        return float(run_scenario(Scenario("portfolio", {**inputs, **more}), "c")["days_per_run"])

    assert days() == days(date="2026-10") == days(market="us-2026-10")
    assert days(market="us-2023-04") == days(date="2023-04") > 1.05 * days()
    assert days(market="us-2026-10", date="2023-04") == days(date="2023-04")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("document: x\n", "claims: is missing; add it; the guide on audits"),
        ("claims: []\n", "at least 1 item"),
        (
            "claims:\n  - {id: P9, says: s, quantity: q, stated: 1, unit: days, result_key: days,\n"
            "     scenario: {verb: train-size, inputs: {model: lama-9, chip: h100-sxm-80, deadline: 30 d}}}\n",
            "P9: unknown model 'lama-9'",
        ),
    ],
)
def test_a_bad_claims_file_is_one_line_that_names_the_claim(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "claims.yaml"
    path.write_text(text)
    with pytest.raises(PlannerError) as failure:
        audit(path)
    assert words in str(failure.value) and "plan --schema" not in str(failure.value)


def test_the_verdict_counts_only_what_there_is(tmp_path: Path) -> None:
    path = tmp_path / "claims.yaml"
    path.write_text(
        "claims:\n  - {id: a, says: s, quantity: q, stated: 0.5, unit: fraction, result_key: fraction,\n"
        "     scenario: {verb: change, inputs: {from: 1, to: 2}}}\n"
    )
    assert report_of(audit(path)).verdict == "No claims agree with our computation, 1 does not."
