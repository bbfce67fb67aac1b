"""The installed command as a process: start-up without heavy modules, real verbs, exit codes, pipes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMAND = Path(sys.executable).parent / "suanzhang"


def suanzhang(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    settings = {**os.environ, "COLUMNS": "100", **env}
    return subprocess.run([COMMAND, *words], cwd=ROOT, env=settings, capture_output=True, text=True, timeout=300, check=False)


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; from suanzhang.cli.main import run; run(['--help']); print(*sys.modules, sep='\\n', file=sys.stderr)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"numba", "numpy", "polars", "scipy", "altair", "fastapi", "pydantic", "jinja2", "xlsxwriter", "highspy", "yaml"}
    assert not heavy & set(run.stderr.split()) and "plan" in run.stdout


def test_train_json_has_the_stable_keys() -> None:
    run = suanzhang(
        "train", "--model", "gpt3-175b", "--tokens", "300B", "--chips", "a100-sxm-80:1024",
        "--layout", "tp=8,pp=8", "--global-batch", "1536", "--json",
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    body = json.loads(run.stdout)
    keys = (
        "layout step_s step_s_interval mfu hfu tokens_per_s_per_chip days goodput_fraction memory_bytes energy_j cost terms "
        "bound_by layouts_evaluated search_s"
    )
    assert list(body)[:3] == ["version", "catalog_date", "seed"] and set(keys.split()) <= set(body)
    assert sum(term["value"] for term in body["terms"]) == pytest.approx(body["step_s"], rel=1e-6)
    assert 14 <= body["days"] <= 60


def test_bad_input_infeasible_and_color() -> None:
    run = suanzhang("train", "--model", "gpt3-175c", "--tokens", "300B", "--chips", "a100-sxm-80:1024")
    assert run.returncode == 2 and run.stdout == "" and run.stderr.count("\n") == 1 and "did you mean gpt3-175b" in run.stderr
    run = suanzhang("train", "--model", "gpt3-175b", "--tokens", "300B", "--chips", "a100-sxm-80:8", "--json")
    body = json.loads(run.stdout)
    assert run.returncode == 3 and body["binding"] and "nearest" in body and run.stderr.count("\n") == 1


def test_catalog_in_a_pipe_that_closes() -> None:
    run = subprocess.run(
        f"{COMMAND} catalog chips --csv | head -1", shell=True, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.stdout.startswith("id,name,") and "Traceback" not in run.stderr


def test_ascii_terminals_get_text_too() -> None:
    run = suanzhang("catalog", "chips", "ascend-910b1", PYTHONIOENCODING="ascii", NO_COLOR="1")
    assert run.returncode == 0 and "Traceback" not in run.stderr
