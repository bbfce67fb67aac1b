from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from verb_cases import CASES

import suanzhang
from suanzhang.report.jsonable import to_text

QUESTION = """\
title: A small question
currency: USD
start: 2023-05
months: 6
site: us-virginia
market: us-2023-04
train:
  - {name: base, model: gpt3-13b, tokens: 300B, deadline: 60 d}
serve:
  - name: chat
    model: gpt3-13b
    visits_per_day: 2e6
    tokens:
      input:  {dist: lognormal, mean: 200, p95: 600}
      output: {dist: lognormal, mean: 300, p95: 900}
    load: {shape: diurnal, peak_to_mean: 2, growth_per_month: 0}
    slo: {ttft_p99: 5 s, tpot_p99: 200 ms}
    redundancy: n+1
"""


def stored(result: Any, folder: Path, name: str) -> Path:
    path = folder / f"{name}.json"
    path.write_text(to_text(result) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trust")


@pytest.fixture(scope="session")
def train_file(folder: Path) -> Path:
    result = suanzhang.train(
        "llama3-8b", "1T", "h100-sxm-80:64", layout="tp=2", global_batch=256, seq_len=8192, price_per_chip_h=2.0
    )
    return stored(result, folder, "train")


@pytest.fixture(scope="session")
def serve_file(folder: Path) -> Path:
    result = suanzhang.serve("llama3-8b", "h100-sxm-80", isl=512, osl=256, rate=20.0, layout="tp=1", simulated_requests=0)
    return stored(result, folder, "serve")


@pytest.fixture(scope="session")
def question_file(folder: Path) -> Path:
    path = folder / "question.yaml"
    path.write_text(QUESTION, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def plan_file(folder: Path, question_file: Path) -> Path:
    return stored(suanzhang.plan(question_file), folder, "plan")


class Answers(dict[str, Any]):
    """The answer of each verb, computed when it is first looked at."""

    def __init__(self, question: Path, train: Path) -> None:
        super().__init__()
        self.files = question, train

    def __missing__(self, verb: str) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("suanzhang.app.backtest._EVERY_MONTHS", 1000)
            self[verb] = CASES[verb](*self.files)
        return self[verb]


@pytest.fixture(scope="session")
def answers(question_file: Path, train_file: Path) -> dict[str, Any]:
    return Answers(question_file, train_file)
