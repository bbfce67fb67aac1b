"""Odd input, odd terminals and odd endings: one line, the right exit code, never a trace."""

import os
import signal
import string
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from suanzhang.app.question import read_question
from suanzhang.cli.main import run
from suanzhang.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
COMMAND = str(Path(sys.executable).parent / "suanzhang")
QUESTION = (ROOT / "examples/gpu-rush-2023/question.yaml").read_text(encoding="utf-8")
ODD = st.one_of(
    st.sampled_from(
        [
            "-1",
            "0",
            "1e999",
            "nan",
            "inf",
            "-inf",
            "300B",
            "60d",
            "1,5",
            "½",
            "3e",
            "tp=8",
            "tp=0,pp=x",
            ":",
            "::",
            "a:b:c",
            "../x",
            "/dev/null",
            ".",
            "-",
            "--",
            "--json",
            "--model",
            "=",
            "1e308",
            "99999999999999999999",
            "0x10",
            "true",
            "null",
            "[]",
            "{}",
            "*",
            "&",
            "!",
            "|",
            ">",
            "%",
            "@",
            "`",
            "\x00",
            "\ud7ff",
        ]
    ),
    st.text(alphabet=string.printable + "算账é\u202e", max_size=12),
)
FLAGS = st.sampled_from(
    [
        "--model",
        "--tokens",
        "--chips",
        "--chip",
        "--layout",
        "--isl",
        "--osl",
        "--rate",
        "--stack",
        "--seed",
        "--deadline",
        "--out",
        "--name",
        "--precision",
        "--ttft-p99",
        "--global-batch",
        "--csv",
        "--json",
        "--details",
        "--help",
        "--start",
        "--currency",
    ]
)
WORDS = st.lists(st.one_of(FLAGS, ODD), max_size=6)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(verb=st.sampled_from(["train", "serve", "plan", "buy", "audit", "catalog", "", "plam", "explain"]), words=WORDS)
def test_odd_words_end_in_a_line(verb: str, words: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        code = run([verb, *(word for word in words if word != "-")])
    finally:
        os.chdir(here)
    out, err = capsys.readouterr()
    assert code in (0, 2, 3), (words, err)
    assert "Traceback" not in out + err
    if code and "--json" not in words:
        assert len(err.strip("\n").split("\n")) == 1, err


LINES = QUESTION.splitlines()


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_odd_questions_end_in_a_line(data: st.DataObject) -> None:
    lines = list(LINES)
    for _ in range(data.draw(st.integers(1, 3))):
        index = data.draw(st.integers(0, len(lines) - 1))
        key, colon, _ = lines[index].partition(":")
        change = data.draw(st.sampled_from(["value", "cut", "twice", "indent", "text"]))
        odd = data.draw(ODD)
        lines[index : index + 1] = {
            "value": [f"{key}{colon} {odd}"],
            "cut": [],
            "twice": [lines[index]] * 2,
            "indent": ["  " + lines[index]],
            "text": [odd],
        }[change] or [""]
    try:
        read_question("\n".join(lines) + "\n")
    except InputError as error:
        assert "\n" not in error.message.strip()


def test_ctrl_c_is_one_line_and_130() -> None:
    code = (
        "import suanzhang, time, sys\n"
        "suanzhang.train = lambda *a, **n: (sys.stdout.write('on\\n'), sys.stdout.flush(), time.sleep(60))\n"
        "from suanzhang.cli.main import main\n"
        "sys.argv = ['suanzhang', 'train', '--model', 'm', '--tokens', '1B', '--chips', 'c:1']\n"
        "main()\n"
    )
    listening = partial(signal.signal, signal.SIGINT, signal.default_int_handler)  # tests in the background ignore it
    words = [sys.executable, "-c", code]
    run_ = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=listening)
    assert run_.stdout is not None and run_.stdout.readline() == "on\n"
    time.sleep(0.2)
    run_.send_signal(signal.SIGINT)
    _, err = run_.communicate(timeout=30)
    assert run_.returncode == 130 and err == "interrupted\n"


@pytest.mark.parametrize("words", ["catalog chips", "catalog models --json", "--help", "plan --schema"])
def test_a_pipe_that_closes_is_quiet(words: str) -> None:
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {COMMAND} {words} | head -c 1"],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.stderr == "" and len(done.stdout) == 1


@pytest.mark.parametrize(
    "setting", [{"COLUMNS": "1"}, {"COLUMNS": "x"}, {"COLUMNS": "100000"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}, {"TERM": "dumb"}]
)
def test_odd_terminals(setting: dict[str, str]) -> None:
    for words in (["catalog", "chips", "ascend-910b1"], ["train", "--help"]):
        done = subprocess.run(
            [COMMAND, *words], cwd=ROOT, env={**os.environ, **setting}, capture_output=True, timeout=120, check=False
        )
        assert done.returncode == 0 and done.stdout and b"Traceback" not in done.stderr


def test_no_color_and_completion() -> None:
    import pty

    script = f"{COMMAND} catalog sites"
    leader, follower = pty.openpty()
    with os.fdopen(leader, "rb", buffering=0) as screen:
        process = subprocess.Popen(
            ["bash", "-c", script],
            cwd=ROOT,
            stdout=follower,
            stderr=follower,
            env={**os.environ, "NO_COLOR": "1", "TERM": "xterm"},
        )
        os.close(follower)
        shown = b""
        while True:
            try:
                part = screen.read(65536)
            except OSError:
                break
            if not part:
                break
            shown += part
        assert process.wait(timeout=60) == 0
    assert b"\x1b[3" not in shown and b"cn-east" in shown
    done = subprocess.run(
        [COMMAND], env={**os.environ, "_SUANZHANG_COMPLETE": "complete_bash", "COMP_WORDS": "suanzhang pl", "COMP_CWORD": "1"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "plan" in done.stdout.split()


def test_a_question_from_standard_input() -> None:
    for text, says in (("", "empty"), ("title: x\n", "is missing"), ("plain", "not a map")):
        done = subprocess.run([COMMAND, "plan", "-"], input=text, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 2 and says in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_a_model_beside_its_question_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "config.json").write_text("{}", encoding="utf-8")
    text = "currency: USD\nstart: 2023-05\nmonths: 3\nmarket: us-2023-04\n"
    text += "train:\n  - {name: a, model: config.json, tokens: 1B}\n"
    (tmp_path / "sub" / "q.yaml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert read_question("sub/q.yaml").train[0].model == str(Path("sub/config.json"))
