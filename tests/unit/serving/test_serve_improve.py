"""``improve``: levers judged by simulation on the same requests, and the data that they rest on."""

import json

import pytest

import suanzhang
from suanzhang.app.serve_improve_data import lever_facts, lever_sources, scores
from suanzhang.errors import InputError
from suanzhang.spec.serve_improve import ImproveResult

QUESTION = """
title: a small service
currency: USD
start: 2026-10
months: 6
market: us-2026-10
chips: {allow: [h100-sxm-80, a100-sxm-80]}
serve:
  - name: chat
    model: llama-3.1-8b
    requests_per_s: 100
    tokens: {input: {dist: lognormal, mean: 800, p95: 2000}, output: {dist: lognormal, mean: 200, p95: 600}}
    slo: {ttft_p99: 1 s, tpot_p99: 40 ms}
"""


@pytest.fixture(scope="module")
def found() -> ImproveResult:
    answer = suanzhang.improve(QUESTION)
    assert isinstance(answer, ImproveResult)
    return answer


def test_every_deployment_meets_the_targets(found: ImproveResult) -> None:
    for one in (found.baseline, found.combined, *(lever.deployment for lever in found.levers if lever.deployment)):
        assert one.ttft_s.p99 <= 1.0
        assert one.tpot_s.p99 <= 0.040


def test_levers_are_ranked_by_what_they_save(found: ImproveResult) -> None:
    able = [lever.saving_fraction for lever in found.levers if lever.deployment]
    assert able == sorted(able, reverse=True)
    names = {lever.name for lever in found.levers}
    assert {"fp8", "int4", "kv-fp8", "prefix-cache", "chunk-size", "speculative", "disaggregation", "layout"} <= names
    assert {"router", "chip", "chip-mix", "smaller-model", "moe-model"} <= names


def test_the_waterfall_ends_at_the_combination(found: ImproveResult) -> None:
    assert found.steps[0].cost_fraction == 1.0
    assert [step.name for step in found.steps[1:]] == list(found.combination)
    assert found.steps[-1].cost_fraction == pytest.approx(1.0 - found.saving_fraction)
    assert found.saving_per_month is not None
    saved = sum(step.saving_per_month.amount for step in found.steps if step.saving_per_month)
    assert saved == pytest.approx(found.saving_per_month.amount)
    best = max(lever.saving_fraction for lever in found.levers if lever.deployment and lever.available and not lever.why_not)
    assert found.saving_fraction >= best - 0.02


def test_lossy_levers_carry_their_published_cost(found: ImproveResult) -> None:
    for lever in found.levers:
        if lever.name in {"fp8", "int8", "int4", "kv-fp8"}:
            assert lever.quality
            assert lever.quality_source in lever_sources()


def test_lossless_leaves_the_weights_alone() -> None:
    answer = suanzhang.improve(QUESTION, lossless=True)
    assert not {"fp8", "int8", "int4", "kv-fp8"} & set(answer.combination)


def test_the_answer_is_the_same_for_the_same_seed(found: ImproveResult) -> None:
    again = suanzhang.improve(QUESTION)
    assert again.saving_fraction == found.saving_fraction
    assert again.levers == found.levers


def test_shares_that_are_none_are_refused() -> None:
    with pytest.raises(InputError, match="prefix_share"):
        suanzhang.improve(QUESTION, prefix_share=1.5)


def test_every_fact_has_its_source() -> None:
    known = lever_sources()
    assert all(fact.source in known for fact in lever_facts().values())
    assert all(score.quoted.source in known and score.released for score in scores().values())


def test_the_answer_is_json(found: ImproveResult) -> None:
    shown = json.loads(json.dumps(suanzhang.to_json(found)))
    assert shown["levers"][0]["saving_fraction"] == found.levers[0].saving_fraction


def test_a_model_published_in_8_bits_is_served_in_them() -> None:
    large = QUESTION.replace("llama-3.1-8b", "llama-3.1-405b").replace("h100-sxm-80, a100-sxm-80", "b200-sxm-180")
    answer = suanzhang.improve(large.replace("requests_per_s: 100", "requests_per_s: 10"))
    assert scores()["deepseek-v3"].weights == "fp8"
    lever = next(item for item in answer.levers if item.name == "moe-model")
    assert lever.deployment is not None
    assert "in fp8, as it is published" in lever.words
    assert "fp8/" in lever.deployment.words
