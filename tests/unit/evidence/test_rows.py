import gzip
import json
from pathlib import Path

import pytest

import suanzhang
from suanzhang.errors import InputError
from suanzhang.evidence.rows import ServeRow, TrainRow, parse_rows, phase_of, read_rows, shipped_rows

TRAIN = {
    "id": "t1",
    "source": "A page",
    "chip": "H100-80G-SXM",
    "chips": 8,
    "model": {"name": "m", "layers": 2, "hidden": 64},
    "seq_len": 2048,
    "precision": "bf16",
    "layout": {"tp": 1},
    "global_batch": 8,
    "recompute": "none",
    "measured": {"iter_s": 1.5},
    "notes": "kind=pretrain-bench; quality=A; said on the page",
}
SERVE = {
    "source": "Another page",
    "chip": "H200",
    "model": "Llama-3-8B",
    "engine": "vLLM",
    "isl": 128,
    "osl": 128,
    "concurrency_or_batch": "max (offline)",
    "request_rate": "inf",
    "measured": {"output_tok_s": 10},
    "notes": "tier A. fixed lengths",
}


def lines(*records):
    return [json.dumps(record) for record in records]


def test_the_shipped_tables_are_whole():
    training, serving = shipped_rows("training"), shipped_rows("serving")
    assert (len(training), len(serving)) == (1620, 4158)
    assert all(row.source and row.chip and not row.problem for row in (*training, *serving))
    assert len({row.id for row in training}) == len(training)
    assert {row.quality for row in training} == {"A", "B", "C", "D"}


def test_keys_tell_the_phase():
    rows = parse_rows(lines(TRAIN, SERVE), "x.jsonl")
    assert isinstance(rows[0], TrainRow)
    assert isinstance(rows[1], ServeRow)
    assert phase_of({"a": 1}) is None


def test_a_training_row_keeps_what_its_source_says():
    row = parse_rows(lines(TRAIN), "x.jsonl")[0]
    assert (row.quality, row.kind, row.year, row.micro_batch) == ("A", "pretrain-bench", 0, None)
    assert row.sweep == ("A page", "m", "H100-80G-SXM", 8, 2048, "bf16", 8)


def test_a_serving_row_keeps_words_and_infinity():
    row = parse_rows(lines(SERVE), "x.jsonl")[0]
    assert (row.concurrency, row.concurrency_text, row.request_rate) == (None, "max (offline)", float("inf"))
    assert (row.kind, row.quality, row.id) == ("offline", "A", "x-1")


def test_an_odd_value_makes_one_row_unusable_and_not_the_file():
    rows = parse_rows(lines({**TRAIN, "chips": "many"}, TRAIN), "x.jsonl")
    assert rows[0].problem == "chips is not a number"
    assert rows[1].problem == ""


def test_a_packed_file_reads_like_a_plain_one(tmp_path):
    plain, packed = tmp_path / "a.jsonl", tmp_path / "a.jsonl.gz"
    plain.write_text("\n".join(lines(TRAIN, SERVE)))
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert [row.source for row in read_rows(packed)] == [row.source for row in read_rows(plain)]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "holds no rows"),
        (b"\n\n", "holds no rows"),
        (b"not json", "line 1 is not JSON"),
        (b"[1, 2]", "line 1 is not a JSON object"),
        (b'{"id": "x"}', "lacks source, chip, model, measured"),
        (b'{"source": "s", "chip": "c", "model": "m", "measured": {}}', "neither training nor serving"),
        (b'{"source": "s", "chip": "c", "model": "m", "isl": 1, "osl": 1, "engine": "v", "measured": 3}', "is no row"),
        (b"\xff\xfe\x00", "is not text"),
        (b"\x1f\x8b broken", "damaged gzip"),
        (gzip.compress(b"{}" * 50)[:-9], "damaged gzip"),
    ],
)
def test_what_is_no_such_file_is_refused_in_one_line(tmp_path, content, words):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        read_rows(path)
    assert words in str(error.value)
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 2


def test_a_directory_and_a_missing_file_are_refused(tmp_path):
    with pytest.raises(InputError, match="is a directory"):
        read_rows(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        read_rows(tmp_path / "none.jsonl")


@pytest.mark.parametrize(
    ("model", "measured", "phase"),
    [
        ("llama-3-8b", {"tpot_ms": 10.0}, "serving"),
        ({"name": "llama-3-8b"}, {"output_tok_s": 10.0}, "serving"),
        ({"name": "llama-3-8b"}, {"iter_s": 10.0}, "training"),
        ("llama-3-8b", {"tflops_per_chip": 400.0}, "training"),
    ],
)
def test_what_was_measured_tells_the_kind_of_a_row_of_only_the_needed_keys(tmp_path, model, measured, phase):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"source": "x", "chip": "H100", "model": model, "measured": measured}), encoding="utf-8")
    (row,) = read_rows(path)
    assert (row.phase, row.model_name, row.problem) == (phase, "llama-3-8b", "")


@pytest.mark.parametrize(
    ("row", "measured", "said"),
    [
        (TRAIN, {"iter_ms": 1500.0}, "measured.iter_ms is not read (give iter_s)"),
        (TRAIN, {"iter_s": 1.5, "mem_TB": 0.07}, "measured.mem_TB is not read (give mem_GB or mem_GiB)"),
        (TRAIN, {"iter_s": 1.5, "mem_GiB_total": 70}, "measured.mem_GiB_total is not read (give mem_GB_total)"),
        (SERVE, {"tpot_s_p50": 0.02}, "measured.tpot_s_p50 is not read (give tpot_ms_p50)"),
        (SERVE, {"ttft_us": 200.0}, "measured.ttft_us is not read (give ttft_ms)"),
    ],
)
def test_a_unit_that_is_not_read_is_named(row, measured, said):
    assert parse_rows(lines(row | {"measured": measured}), "x.jsonl")[0].problem == said


def test_units_of_links_are_named_and_a_second_unit_does_no_harm():
    row = TRAIN | {"intra_link_Gbps": 4800, "network_GBps_per_chip": 50}
    assert "give intra_link_GBps" in parse_rows(lines(row), "x.jsonl")[0].problem
    assert "give network_Gbps_per_chip" in parse_rows(lines(row), "x.jsonl")[0].problem
    both = TRAIN | {"measured": {"iter_s": 1.5, "iter_ms": 1500.0, "iter_s_incl_eval": 1.6, "time_to_train_min": 3}}
    assert parse_rows(lines(both), "x.jsonl")[0].problem == ""


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("fast", "measured.iter_s is not a number"),
        ([1.0], "measured.iter_s is not a number"),
        (-3.0, "measured.iter_s is not above zero and finite"),
        (float("inf"), "measured.iter_s is not above zero and finite"),
    ],
)
def test_a_measured_value_that_is_no_number_is_said(value, why):
    (row,) = parse_rows(lines({**TRAIN, "measured": {"iter_s": value}}), "own.jsonl")
    assert row.problem == why


def test_a_row_with_one_usable_value_is_judged_by_it():
    for other in ("fast", -3.0, float("inf")):
        (row,) = parse_rows(lines({**TRAIN, "measured": {"iter_s": 1.5, "tokens_per_s_per_chip": other}}), "own.jsonl")
        assert row.problem == ""


def test_a_file_in_another_unit_is_one_line(tmp_path):
    folder = Path(suanzhang.__file__).parent / "evidence" / "data"
    with gzip.open(folder / "training.jsonl.gz", "rt", encoding="utf-8") as file:
        found = next(row for row in map(json.loads, file) if row["measured"].get("derived_iter_s"))
    path = tmp_path / "own.jsonl"
    own = {**found, "measured": {"iter_s": found["measured"]["derived_iter_s"]}}
    path.write_text(json.dumps(own), encoding="utf-8")
    assert suanzhang.validate(truth=path).modelled == 1
    own["measured"]["iter_s"] *= 1000.0
    path.write_text(json.dumps(own), encoding="utf-8")
    assert suanzhang.validate(truth=path).modelled == 1, "one row may be a slip or a very odd run"
    path.write_text("\n".join(json.dumps({**own, "id": f"own-{k}"}) for k in range(5)), encoding="utf-8")
    with pytest.raises(InputError, match="check the unit") as caught:
        suanzhang.validate(truth=path)
    assert "\n" not in str(caught.value)
