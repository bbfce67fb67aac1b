"""The question file: what is read from it, and the one line for everything that cannot be read."""

import json
import math
from pathlib import Path

import pytest

from suanzhang.app.claims import read_claims
from suanzhang.app.question import question_from, question_schema, read_question
from suanzhang.app.question_schema import QuestionModel
from suanzhang.errors import InputError
from suanzhang.spec.job import LengthSpec, Redundancy
from suanzhang.units import DAY_S, MONTH_S

DESIGN_BLOCK = """\
title: A ChatGPT-class service in China, spring 2023
currency: CNY
start: 2023-05
months: 12
site: {tariff_per_kwh: 0.65, pue: 1.3, power_limit: 60 MW}
market: cn-2023-04                # offers, lead times, export state, price scenarios from the catalog; overridable inline
budget: 30e9
have: []                          # chips, contracts and sites already owned: a plan starts from today's fleet
train:
  - {name: base, model: gpt3-175b, tokens: 300B, deadline: 60 d}
serve:
  - name: chat
    model: gpt3-175b
    visits_per_day: 1e9
    responses_per_visit: 1
    tokens:
      input:  {dist: lognormal, mean: 200, p95: 600}
      output: {dist: lognormal, mean: 300, p95: 900}   # of the two roots, the smaller sigma
    load: {shape: diurnal, peak_to_mean: 2, growth_per_month: 0}
    slo: {ttft_p99: 2 s, tpot_p99: 100 ms}
    redundancy: n+10%
"""

SMALL = """\
currency: USD
start: 2026-01
months: 6
market: us-2026-10
budget: 1e6
train:
  - {name: base, model: gpt3-175b, tokens: 300B}
serve:
  - name: chat
    model: llama2-7b
    requests_per_s: 2
    tokens: {input: 100, output: 50}
"""


def test_the_documented_block() -> None:
    question = read_question(DESIGN_BLOCK)
    assert (question.currency, question.start, question.months, question.budget) == ("CNY", "2023-05", 12, 30e9)
    assert (question.site.tariff_per_kwh, question.site.pue, question.site.power_limit_w) == (0.65, 1.3, 60e6)
    assert question.market.id == "cn-2023-04" and question.have == ()
    (train,), (serve,) = question.train, question.serve
    assert (train.name, train.model, train.tokens, train.deadline_s) == ("base", "gpt3-175b", 300e9, 60 * DAY_S)
    assert serve.requests_per_s == pytest.approx(1e9 / 86400)
    assert serve.input_tokens == LengthSpec("lognormal", 200, 600) and serve.output_tokens == LengthSpec("lognormal", 300, 900)
    assert (serve.load.shape, serve.load.peak_to_mean, serve.load.growth_per_month) == ("diurnal", 2, 0)
    assert (serve.slo.ttft_p99_s, serve.slo.tpot_p99_s, serve.slo.e2e_p99_s) == (2.0, 0.1, None)
    assert serve.redundancy == Redundancy(0, 0.1)


def test_windows_newlines_byte_order_mark_and_json_say_the_same(tmp_path: Path) -> None:
    plain = read_question(SMALL)
    windows = tmp_path / "q.yaml"
    windows.write_bytes(b"\xef\xbb\xbf" + SMALL.replace("\n", "\r\n").encode())
    body = {
        "currency": "USD",
        "start": "2026-01",
        "months": 6,
        "market": {"id": "us-2026-10"},
        "budget": "1M",
        "train": [{"name": "base", "model": "gpt3-175b", "tokens": 3e11}],
        "serve": [
            {"name": "chat", "model": "llama2-7b", "requests_per_s": 2, "tokens": {"input": 100, "output": {"mean": 50}}}
        ],
    }
    for other in (read_question(windows), read_question(json.dumps(body, indent="\t")), question_from(body)):
        assert (other.train, other.serve, other.budget, other.market) == (plain.train, plain.serve, plain.budget, plain.market)


@pytest.mark.parametrize(
    ("text", "want"),
    [("n", (0, 0.0)), ("n+1", (1, 0.0)), ("N + 10%", (0, 0.1)), ("n+2+5%", (2, 0.05))],
)
def test_redundancy(text: str, want: tuple[int, float]) -> None:
    spare = read_question(SMALL + f"    redundancy: {text}\n").serve[0].redundancy
    assert (spare.count, spare.fraction) == pytest.approx(want)


def test_inline_offers_lead_times_and_holdings() -> None:
    text = SMALL.replace(
        "market: us-2026-10\n",
        "market:\n  id: us-2026-10\n  exclude: [h20]\n  offers:\n"
        "    - {id: mine, kind: rent, chip: h100-sxm-80, price: 2.5, lead: {median: 1 months}, stock_chips: 1k}\n"
        "have: [{chip: a100-sxm-80, chips: 1024, kind: lease, until: 2026-03}]\nchips: [h100-sxm-80]\n",
    )
    question = read_question(text)
    (offer,) = question.market.offers
    assert (offer.price, offer.stock_chips, offer.lead_months, offer.lead_p90_months) == (2.5, 1000.0, 1.0, 1.0)
    assert question.have[0].chips == 1024 and question.have[0].until == "2026-03"
    assert question.chips.allow == ("h100-sxm-80",) and question.market.exclude == ("h20",)
    assert 1.0 * MONTH_S > 2.6e6


def bomb() -> str:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 5)}]" for i in range(1, 10)]
    return "\n".join(rows) + "\n"


BAD: list[tuple[str, str, str]] = [
    ("blank", "\n\n \n", "empty"),
    ("only comments", "# nothing\n# here\n", "comments"),
    ("a list", "- title: x\n- months: 3\n", "a list"),
    ("a word", "hello\nworld\n", "a single value"),
    ("bomb", bomb(), "values, aliases counted"),
    ("many aliases", "a: &a 1\nb: [" + ", ".join(["*a"] * 60) + "]\n", "60 aliases"),
    ("alias to itself", "title: &a [*a]\nmonths: 2\n", "contains itself"),
    ("deep", "title: " + "[" * 60 + "]" * 60 + "\nmonths: 1\n", "nested deeper"),
    ("very deep", "title: " + "[" * 5000 + "\nmonths: 1\n", "nested deeper"),
    ("huge", "title: x\n" + "# x\n" * 80_000, "larger than 256 KiB"),
    ("tag", "title: !!python/object/apply:os.system ['true']\nmonths: 1\n", "tag"),
    ("merge key", SMALL + "<<: {months: 3}\n", "merge keys"),
    ("tab", SMALL.replace("    model: llama2-7b", "\tmodel: llama2-7b"), "tab"),
    ("unclosed", SMALL + "site: {pue: 1.2\n", "not YAML"),
    ("twice", SMALL + "months: 7\n", "line 13: the key 'months' stands twice"),
    ("two documents", SMALL + "---\n" + SMALL, "not YAML"),
    ("unknown key", SMALL.replace("budget", "budgte"), "line 5, budgte: unknown key 'budgte'; did you mean budget"),
    (
        "unknown inner key",
        SMALL + "    slo: {ttft_99: 2 s}\n",
        "line 13, serve[0].slo.ttft_99: unknown key 'ttft_99'; did you mean ttft_p99",
    ),
    (
        "unknown train key",
        SMALL.replace("tokens: 300B", "tokens: 300B, dealine: 60 d"),
        "train[0].dealine: unknown key 'dealine'; did you mean deadline",
    ),
    ("missing", SMALL.replace("currency: USD\n", ""), "currency: is missing"),
    ("missing model", SMALL.replace("    model: llama2-7b\n", ""), "serve[0].model: is missing"),
    ("negative money", SMALL.replace("1e6", "-1e6"), "budget: -1000000.0 is too small"),
    ("zero tokens", SMALL.replace("300B", "0"), "tokens: 0 is too small"),
    ("wrong unit", SMALL.replace("300B", "300 MW"), "no unit of count"),
    ("wrong time", SMALL.replace("300B", "300B, deadline: 60 W"), "no unit of time"),
    ("huge number", SMALL.replace("1e6", "1e999"), "not a finite number"),
    ("large number", SMALL.replace("1e6", "1e40"), "too large"),
    ("huge integer", SMALL.replace("1e6", "9" * 400), "not a finite number"),
    ("words for a number", SMALL.replace("1e6", "plenty"), "cannot read 'plenty'"),
    ("list for a map", SMALL + "site: [1, 2]\n", "site: expected a map"),
    ("map for a list", SMALL + "have: {chip: a100}\n", "have: expected a list"),
    ("text for a map", SMALL.replace("{input: 100, output: 50}", "many"), "tokens: expected a map"),
    ("bad month", SMALL.replace("2026-01", "2026-13"), "no month"),
    ("day for month", SMALL.replace("2026-01", "2026-01-05"), "no month"),
    ("no months", SMALL.replace("months: 6", "months: 0"), "months: '0'"),
    ("half a month", SMALL.replace("months: 6", "months: 1.5"), "whole number"),
    ("true for months", SMALL.replace("months: 6", "months: true"), "whole number"),
    ("currency", SMALL.replace("USD", "dollars"), "no currency"),
    ("both rates", SMALL + "    visits_per_day: 3\n", "exactly one of"),
    ("p95 below mean", SMALL.replace("input: 100", "input: {dist: lognormal, mean: 9, p95: 3}"), "below the mean"),
    ("no such lognormal", SMALL.replace("input: 100", "input: {dist: lognormal, mean: 9, p95: 90}"), "no lognormal"),
    ("no p95", SMALL.replace("input: 100", "input: {dist: lognormal, mean: 9}"), "needs p95"),
    ("distribution", SMALL.replace("input: 100", "input: {dist: log-normal, mean: 9, p95: 10}"), "did you mean lognormal"),
    ("pue below one", SMALL + "site: {pue: 0.9}\n", "site.pue: 0.9 is too small"),
    ("sinusoid", SMALL + "    load: {shape: diurnal, peak_to_mean: 3}\n", "cannot peak"),
    ("spares", SMALL + "    redundancy: two\n", "write n, n+1 or n+10%"),
    ("same name", SMALL.replace("name: chat", "name: base"), "used twice"),
    ("nothing asked", SMALL.split("train:")[0], "no training and no service"),
    ("yes is no number", SMALL.replace("1e6", "yes"), "cannot read 'yes'"),
    ("json twice", '{"months": 1, "months": 2}', "twice"),
    ("json nan", '{"months": NaN}', "not a number"),
    ("null bytes", "title: a\x00b\nmonths: 1\n", "not YAML"),
    ("control characters in a name", SMALL.replace("name: chat", 'name: "a\\nb"'), "expected a name"),
]


@pytest.mark.parametrize(("text", "says"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_bad_text_is_one_line_that_says_what_to_do(text: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        read_question(text)
    line = str(caught.value)
    assert says in line
    assert "\n" not in line and len(line) < 400 and caught.value.fix and caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: folder, "is a directory"),
        (lambda folder: folder / "none.yaml", "no such file"),
        (lambda folder: folder / ("x" * 400), "cannot be read"),
        (lambda folder: _file(folder, b""), "is empty"),
        (lambda folder: _file(folder, b"title: caf\xe9\n"), "line 1: not UTF-8"),
        (lambda folder: _file(folder, bytes(range(256)) * 4), "not UTF-8"),
        (lambda folder: _file(folder, b'{"a": ', "q.json"), "not JSON"),
        (lambda folder: _file(folder, b"PK\x03\x04" + bytes(200)), "not YAML"),
    ],
)
def test_bad_files(make, says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=says) as caught:
        read_question(make(tmp_path))
    assert "\n" not in str(caught.value)


def _file(folder: Path, content: bytes, name: str = "q.yaml") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_a_lognormal_with_the_largest_p95_is_still_read() -> None:
    top = math.exp(0.5 * 1.6448536**2)
    question = read_question(SMALL.replace("input: 100", f"input: {{dist: lognormal, mean: 100, p95: {100 * top - 1e-3:.4f}}}"))
    assert question.serve[0].input_tokens.kind == "lognormal"


def test_every_key_is_documented() -> None:
    schema = json.loads(question_schema())
    parts = [schema, *schema["$defs"].values()]
    undocumented = [key for part in parts for key, value in part["properties"].items() if not value.get("description")]
    assert not undocumented and len(parts) >= 12


def test_every_example_question_is_read() -> None:
    files = sorted((Path(__file__).parents[3] / "examples").rglob("question*.yaml"))
    assert files
    for path in files:
        assert read_question(path).origin == str(path)


def test_schema_and_model_agree_on_the_keys() -> None:
    assert set(json.loads(question_schema())["properties"]) == set(QuestionModel.model_fields)


def test_a_file_of_claims_and_a_question_are_told_apart() -> None:
    folder = Path(__file__).resolve().parents[3] / "examples" / "gpu-rush-2023"
    with pytest.raises(InputError, match="is a file of claims") as caught:
        read_question(folder / "claims.yaml")
    assert "suanzhang audit" in caught.value.fix
    with pytest.raises(InputError, match="is a question") as caught:
        read_claims(folder / "question.yaml")
    assert "suanzhang plan" in caught.value.fix
