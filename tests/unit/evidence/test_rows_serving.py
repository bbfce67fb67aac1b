import json
from dataclasses import replace

import pytest

from suanzhang.app.rows_measured import energy_scope, serve_measured
from suanzhang.app.rows_serving import ALL_QUEUED, ServeCase, serve_case
from suanzhang.app.rows_training import Skip
from suanzhang.evidence.rows import parse_rows, shipped_rows
from suanzhang.spec.serve import ClosedLoop, OpenLoop, StaticBatch

ROWS = shipped_rows("serving")


def first(text, **fields):
    """The first row of a source that has these fields."""
    return next(
        row for row in ROWS if text in row.source and all(getattr(row, name) == value for name, value in fields.items())
    )


def made(**fields):
    record = {
        "source": "A new page", "chip": "H100-SXM", "chips": 1, "model": "Llama-3.1-8B", "weight_dtype": "bf16",
        "engine": "vLLM 0.10",
        "layout": {"tp": 1}, "isl": 1000, "osl": 100, "concurrency_or_batch": 8, "request_rate": "inf",
        "measured": {"tpot_ms": 10.0},
    }  # fmt: skip
    return parse_rows([json.dumps({**record, **fields})], "new.jsonl")[0]


def test_old_tables_are_static_batches():
    for source in (
        "FasterTransformer GPT guide",
        "TensorRT-LLM performance v0.9.0",
        "LLM-Inference-Bench (Argonne, SC24 workshops)",
    ):
        case = serve_case(first(source))
        assert isinstance(case.workload, StaticBatch), source


def test_all_queued_is_a_closed_loop_without_end():
    case = serve_case(first("TensorRT-LLM performance overview v0.17"))
    assert case.workload == ClosedLoop(concurrency=ALL_QUEUED, isl=case.row.isl, osl=case.row.osl)


def test_a_rate_is_shared_by_the_copies():
    row = next(row for row in ROWS if "MLPerf" in row.source and row.kind == "open-loop" and row.layout["dp"] == 4 and row.osl)
    case = serve_case(row)
    assert isinstance(case.workload, OpenLoop)
    assert (case.replicas, case.layout.dp) == (4, 1)
    assert case.workload.requests_per_s == pytest.approx(row.request_rate / 4)


def test_usual_clients_start_all_users_at_once():
    mixed = serve_case(made()).workload
    assert (mixed.together, mixed.requests) == (True, 80.0)
    stepped = serve_case(made(engine="sglang 0.5.1", notes="tier A. fixed lengths")).workload
    assert stepped.requests == stepped.concurrency == 8.0
    few = serve_case(made(concurrency_or_batch=512, notes="400 prompts only")).workload
    assert (few.concurrency, few.requests) == (400.0, 400.0)


def test_cores_are_not_chips():
    case = serve_case(first("AWS Neuron SDK benchmark tables", chip="Trainium1"))
    assert (case.layout.tp, case.layout.chips) == (16, 16)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"layout": {"tp": "P1/D8", "ep": "P4/D8", "dp": "P4/D1"}}, "prefill and decode on separate chips"),
        ({"chip": "TPU (fleet mix)"}, "chip 'TPU (fleet mix)' not modelled: a mix of generations"),
        ({"model": "a model of nobody"}, "model 'a model of nobody' not in the catalog"),
        ({"engine": "sambaflow"}, "engine 'sambaflow' not in the catalog"),
        ({"chips": 3, "layout": {"tp": 2}}, "layout does not match the chips"),
        ({"isl": None}, "input length not stated"),
        ({"concurrency_or_batch": None, "request_rate": None, "notes": "static"}, "concurrency not stated"),
        ({"notes": "MTP on: 3 draft tokens"}, "speculative decoding whose acceptance is not stated"),
        ({"chips": "two"}, "chips is not a number"),
    ],
)
def test_what_cannot_be_asked_is_a_skip_with_its_reason(fields, reason):
    assert serve_case(made(**fields)) == Skip(reason)


def test_measured_values_in_si_units():
    row = made(
        chips=8, layout={"tp": 8}, measured={"tpot_ms_p50": 20, "tpot_ms_mean": 10, "ttft_ms": 500, "output_tok_s_per_chip": 3}
    )
    assert serve_measured(row) == {"tpot_s": 0.01, "ttft_s": 0.5, "output_tokens_per_s": 24.0}


def test_total_tokens_are_split_and_requests_multiplied():
    assert serve_measured(made(measured={"total_tok_s": 1100}))["output_tokens_per_s"] == pytest.approx(100.0)
    assert serve_measured(made(measured={"req_s": 2}))["output_tokens_per_s"] == 200.0
    assert serve_measured(made(isl=None, measured={"total_tok_s": 1100})) == {}


def test_a_prefill_alone_has_no_decoding_metrics():
    row = made(osl=1, measured={"ttft_ms": 100, "batch_latency_ms": 5000, "output_tok_s": 9, "tpot_ms": 3})
    assert serve_measured(row) == {"ttft_s": 0.1}


def test_the_scope_of_energy():
    assert energy_scope(made(measured={"j_per_output_token": 1.0})) == "chip"
    assert energy_scope(made(measured={"j_per_output_token_wall": 1.0})) == "wall"
    assert energy_scope(made()) == ""


def test_a_batch_that_ran_could_run():
    row = first("ML.ENERGY Leaderboard v2.0")
    large = replace(row, concurrency=1024.0)
    assert serve_case(large).stack.max_seqs >= 1024


def test_tier_a_rows_are_nearly_all_asked():
    firm = [row for row in ROWS if row.quality == "A" and serve_measured(row)]
    asked = sum(isinstance(serve_case(row), ServeCase) for row in firm)
    assert asked >= 0.95 * len(firm)
