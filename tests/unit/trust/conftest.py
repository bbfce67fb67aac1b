from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import suanzhang
from suanzhang.report.jsonable import to_text

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "gpu-rush-2023"


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
def plan_file(folder: Path) -> Path:
    return stored(suanzhang.plan(EXAMPLES / "question.yaml"), folder, "plan")


def body(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
