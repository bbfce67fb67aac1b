"""One small question and its plan, for every test of plans."""

import pytest

from suanzhang.app.plan import plan
from suanzhang.app.question import read_question
from suanzhang.spec.plan import PlanResult
from suanzhang.spec.question import Question

QUESTION = """
title: a small service
currency: USD
start: 2023-05
months: 8
market: us-2023-04
site: {power_limit: 5 MW}
budget: 60e6
chips: {allow: [a100-sxm-80]}
train:
  - {name: base, model: gpt3-6.7b, tokens: 100B, deadline: 60 d}
serve:
  - name: chat
    model: gpt3-6.7b
    visits_per_day: 2e6
    tokens: {input: {dist: lognormal, mean: 200, p95: 600}, output: 200}
    load: {shape: diurnal, peak_to_mean: 2}
    slo: {ttft_p99: 2 s, tpot_p99: 100 ms}
    redundancy: n+1
"""


@pytest.fixture(scope="session")
def question() -> Question:
    return read_question(QUESTION)


@pytest.fixture(scope="session")
def answer(question: Question) -> PlanResult:
    return plan(question)
