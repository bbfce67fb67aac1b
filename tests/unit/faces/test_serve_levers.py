"""The options of ``serve`` for drafts and cached prompts, on the command line."""

import json

import pytest

from suanzhang.cli.main import run

BASE = ["serve", "--model", "llama-3.1-8b", "--chip", "h100-sxm-80", "--isl", "1500", "--osl", "300"]


def test_they_are_among_the_inputs_of_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--concurrency", "8", "--layout", "tp=1", "--draft-tokens", "3", "--prefix-share", "0.5", "--json"]
    assert run([*BASE, *flags]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["inputs"]["draft_tokens"] == 3
    assert answer["inputs"]["prefix_share"] == 0.5
    assert any("plain engine" in warning for warning in answer["warnings"])


@pytest.mark.parametrize(
    "flags",
    [
        ["--rate", "5", "--apart", "--draft-tokens", "3"],
        ["--rate", "5", "--apart", "--requests", "rows.parquet"],
        ["--rate", "5", "--offloaded", "0.5"],
    ],
)
def test_where_they_mean_nothing_they_are_refused(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*BASE, *flags]) == 2
    out, err = capsys.readouterr()
    assert not out and err.startswith("error: ") and "Traceback" not in err


def test_launch_files_hold_them(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--rate", "5", "--launch", "vllm", "--prefix-share", "0.5", "--simulated-requests", "0", "--json"]
    assert run([*BASE, *flags]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert "--enable-prefix-caching" in answer["files"][0]["text"]
