"""The command line in process: options, errors, exit codes, files. Verbs are replaced where their physics is not the point."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from faces_samples import sample

import suanzhang
from suanzhang.cli.faces import Call
from suanzhang.cli.failures import one_line
from suanzhang.cli.main import app, run
from suanzhang.errors import Infeasible, InputError
from suanzhang.spec.train import TrainResult

TRAIN = ["train", "--model", "gpt3-175b", "--tokens", "300B", "--chips", "a100-sxm-80:1024"]


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """`suanzhang.train` answers a sample at once and notes what it was called with."""
    calls: list[dict] = []

    def train(*args: object, **named: object) -> TrainResult:
        calls.append({"args": args, **named})
        return sample(TrainResult)

    monkeypatch.setattr(suanzhang, "train", train, raising=False)
    return calls


def test_flags_become_the_python_call(answered: list[dict], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*TRAIN, "--layout", "tp=8,pp=8", "--global-batch", "1536", "--deadline", "60d", "--json"]) == 0
    (call,) = answered
    assert call["args"] == ("gpt3-175b", "300B", "a100-sxm-80:1024")
    assert (call["layout"], call["global_batch"], call["deadline_s"]) == ("tp=8,pp=8", 1536, 60 * 86400)
    assert "seq_len" not in call and "stack" not in call
    out, err = capsys.readouterr()
    assert list(json.loads(out))[:3] == ["version", "catalog_date", "seed"] and err.startswith("warning: ")


def test_report_csv_and_files(answered: list[dict], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.html", "a.xlsx", "a.json")]
    assert run([*TRAIN, "--html", str(files[0]), "--xlsx", str(files[1]), "--out", str(files[2])]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("Training ") and "\x1b" not in out and err.count("wrote ") == 3
    assert "sz.train(" in files[0].read_text() and json.loads(files[2].read_text())["seed"] == 7
    assert files[1].read_bytes()[:2] == b"PK"
    assert run([*TRAIN, "--csv"]) == 0
    assert capsys.readouterr().out.startswith("chip,chips,duration [d],")
    for suffix in ("csv", "txt"):
        assert run([*TRAIN, "--out", str(tmp_path / f"b.{suffix}")]) == 0 and (tmp_path / f"b.{suffix}").stat().st_size > 100


def test_version_and_help_list_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"suanzhang {suanzhang.__version__}\n"
    assert run([]) == 0
    text = capsys.readouterr().out
    for verb in ("plan", "train", "serve", "buy", "audit", "validate", "calibrate", "catalog"):
        assert f"\n  {verb} " in text


@pytest.mark.parametrize("verb", [command.name for command in app.registered_commands])
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([verb, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: suanzhang {verb}")


BAD = [
    ["trian"],
    ["train", "--modle", "x"],
    ["train"],
    [*TRAIN, "--global-batch", "many"],
    [*TRAIN, "--global-batch", "-3"],
    [*TRAIN, "--deadline", "60 MW"],
    [*TRAIN, "--deadline", "-1 d"],
    [*TRAIN, "--objective", "speed"],
    [*TRAIN, "--optimizer", "adma"],
    [*TRAIN, "--out", "answer.docx"],
    [*TRAIN, "--html", "/no/such/folder/a.html"],
    [*TRAIN, "--html", "/tmp"],
    ["train", "--model", "gpt3-175c", "--tokens", "300B", "--chips", "a100-sxm-80:1024"],
    ["train", "--model", "gpt3-175b", "--tokens", "300W", "--chips", "a100-sxm-80:1024"],
    ["train", "--model", "gpt3-175b", "--tokens", "-3", "--chips", "a100-sxm-80:1024"],
    ["train", "--model", "gpt3-175b", "--tokens", "300B", "--chips", "a100:many"],
    ["train", "--model", "gpt3-175b", "--tokens", "300B", "--chips", "b1000:8"],
    ["train", "--model", "gpt3-175b", "--tokens", "300B", "--chips", "a100-sxm-80:1024", "--layout", "tp=7,pp=0"],
    ["train", "--model", "gpt3-175b", "--tokens", "300B", "--chips", "a100-sxm-80:1024", "--layout", "banana"],
    ["train", "--model", "/tmp", "--tokens", "300B", "--chips", "a100-sxm-80:1024"],
    ["serve", "--model", "llama3-70b", "--chip", "h100-sxm-80"],
    ["serve", "--model", "llama3-70b", "--chip", "h100-sxm-80", "--isl", "100", "--osl", "10", "--rate", "0"],
    ["serve", "--model", "llama3-70b", "--chip", "h100-sxm-80", "--isl", "-1", "--osl", "10", "--rate", "3"],
    ["serve", "--model", "llama3-70b", "--chip", "h100-sxm-80", "--rate", "3", "--isl", "9", "--osl", "9", "--ttft-p99", "2 W"],
    ["serve", "--model", "llama3-70b", "--chip", "h100-sxm-80", "--trace", "/no/such/file.csv"],
    ["plan"],
    ["plan", "/no/such/question.yaml"],
    ["plan", "/tmp"],
    ["buy", "/no/such/question.yaml"],
    ["audit", "/no/such/claims.yaml"],
    ["audit", "/tmp"],
    ["validate", "--phase", "trainng"],
    ["validate", "--truth", "/no/such/truth.jsonl"],
    ["validate", "--truth", "/tmp"],
    ["calibrate", "/no/such.parquet", "--chip", "a100-sxm-80", "--stack", "x-1"],
    ["calibrate", "/tmp", "--chip", "a1000", "--stack", "x-1"],
    ["catalog", "chisp"],
    ["catalog", "chips", "h1000"],
]


@pytest.mark.parametrize("arguments", BAD, ids=[" ".join(words)[-60:] for words in BAD])
def test_bad_input_is_one_line_and_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: ") and err.count("\n") == 1 and "Traceback" not in err
    assert run([*arguments, "--json"]) == 2
    out, err = capsys.readouterr()
    body = json.loads(out)
    assert body["error"]["exit_code"] == 2 and body["error"]["message"] and err.count("\n") == 1


def test_infeasible_is_code_3_with_what_binds(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def plan(*_: object, **__: object) -> None:
        raise Infeasible("no plan", binding=["budget: 1 billion CNY"], nearest={"budget": 2.5e9}, fix="raise the budget")

    monkeypatch.setattr(suanzhang, "plan", plan, raising=False)
    assert run(["plan", "q.yaml", "--json"]) == 3
    out, err = capsys.readouterr()
    body = json.loads(out)
    assert body["binding"] == ["budget: 1 billion CNY"] and body["nearest"] == {"budget": 2.5e9}
    assert err == "infeasible: no plan; binding: budget: 1 billion CNY; nearest: budget = 2.50 billion; raise the budget\n"


def test_what_nobody_foresaw_is_code_4(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def train(*_: object, **__: object) -> None:
        raise ZeroDivisionError("float\ndivision")

    monkeypatch.setattr(suanzhang, "train", train, raising=False)
    monkeypatch.delenv("SUANZHANG_DEBUG", raising=False)
    assert run(TRAIN) == 4
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "ZeroDivisionError: float division" in err and "SUANZHANG_DEBUG=1" in err
    monkeypatch.setenv("SUANZHANG_DEBUG", "1")
    assert run([*TRAIN, "--json"]) == 4
    out, err = capsys.readouterr()
    assert "Traceback" in err and json.loads(out)["error"]["kind"] == "internal"


def test_an_error_of_many_lines_is_one_line() -> None:
    assert one_line(InputError("a\nb", fix="c\n d")) == "error: a b; c d"


def test_the_call_leaves_out_what_was_not_given() -> None:
    call = Call("serve", ("m", Path("c")), {"a": None, "b": "", "c": 0, "d": False, "e": Path("x")})
    assert call.text == "import suanzhang as sz\nsz.serve('m', 'c', c=0, e='x')"


def test_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "--schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "QuestionModel"


def test_public_names_are_functions() -> None:
    for name in ("train", "serve", "plan", "buy", "audit", "validate", "calibrate", "look_up", "read_question", "to_json"):
        assert callable(getattr(suanzhang, name)) and name in dir(suanzhang)
    with pytest.raises(AttributeError):
        _ = suanzhang.nothing


def test_results_are_not_changed_by_being_shown(answered: list[dict], capsys: pytest.CaptureFixture[str]) -> None:
    before = sample(TrainResult)
    suanzhang.print_report(before)
    assert before == replace(before) and capsys.readouterr().out.startswith("Training ")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--start", "2023-13"], "2023-13"),
        (["--currency", "XYZ"], "unknown currency 'XYZ'"),
        (["--deadline", "60"], "has no unit"),
    ],
)
def test_what_a_reader_would_have_to_guess_is_refused(flags: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*TRAIN, *flags]) == 2
    out, err = capsys.readouterr()
    assert out == "" and said in err and err.count("\n") == 1


@pytest.mark.parametrize(("named", "given"), [({"packed": False}, {"packed": False}), ({"packed": True}, {"packed": True})])
def test_a_flag_that_is_on_by_itself_can_be_turned_off(named, given):
    assert Call("post_train", ("llama3-8b", "h100-sxm-80:16"), named).given == given


def test_a_flag_that_is_off_by_itself_is_left_out():
    assert Call("improve", ("question.yaml",), {"lossless": False, "name": ""}).given == {}
