"""Claims may name the verbs themselves, with flags as inputs and JSON keys as results."""

import pytest

from suanzhang.app.scenarios import run_scenario
from suanzhang.app.train import train
from suanzhang.errors import InputError
from suanzhang.spec.audit import Scenario

TRAIN = {"model": "gpt3-6.7b", "tokens": "10B", "chips": "a100-sxm-80:64", "layout": "tp=2"}


def test_train_answers_what_the_verb_answers() -> None:
    answer = run_scenario(Scenario("train", TRAIN), "claim")
    direct = train("gpt3-6.7b", "10B", "a100-sxm-80:64", layout="tp=2")
    assert answer["days"] == pytest.approx(direct.days)
    assert answer["days_interval"] == direct.days_interval
    assert answer["memory_bytes.total"] == pytest.approx(max(direct.memory_bytes["by_stage"]))


def test_serve_answers_percentiles_under_dotted_keys() -> None:
    inputs = {"model": "llama-3.1-8b", "chip": "h100-sxm-80", "isl": 500, "osl": 100, "rate": 2, "ttft_p99": "2 s"}
    answer = run_scenario(Scenario("serve", inputs), "claim")
    assert 0.0 < answer["ttft_s.p50"] <= answer["ttft_s.p99"] <= 2.0
    assert answer["chips"] >= 1


def test_an_unknown_flag_names_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean layout"):
        run_scenario(Scenario("train", {**TRAIN, "layuot": "tp=4"}), "claim")
