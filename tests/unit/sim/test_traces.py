"""Recorded traces: each known format, and files that are none."""

import numpy as np
import pytest

from suanzhang.app.serve_input import read_trace as read_requests
from suanzhang.app.serve_verb_lengths import trace_rate
from suanzhang.app.traces import read_trace
from suanzhang.errors import InputError

AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,4808,10\n2023-11-16 18:17:03.4799600,110,27\n"
MOONCAKE = '{"timestamp": 500, "input_length": 700, "output_length": 5, "hash_ids": [1, 2]}\n'
MOONCAKE += '{"timestamp": 0, "input_length": 300, "output_length": 7, "hash_ids": [9]}\n'
BURST = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
BURST += "5,ChatGPT,472,18,490,x\n45,GPT-4,10,0,10,x\n118,GPT-4,9,3,12,x\n"
BURST_SESSIONS = "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
BURST_SESSIONS += "900.0,one,43,GPT-4,90,44,134,Conversation log\n951.5,two,2,ChatGPT,36,29,65,API log\n"
SERVEGEN = "timestamp,input_tokens,output_tokens\n0.5,10,20\n1.25,30,40\n"
SERVEGEN_SAVED = "request_id,timestamp,input_tokens,output_tokens,reason_ratio\n0,0.5,10,20,0.4\n1,1.25,30,40,0.9\n"
SERVEGEN_LINES = (
    '{"timestamp": 2.5, "input_tokens": 9, "output_tokens": 2}\n{"timestamp": 0.5, "input_tokens": 8, "output_tokens": 1}\n'
)
AZURE_2024 = "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-12 00:00:00+00:00,100,10\n"
AZURE_2024 += "2024-05-12 00:00:01.250000+00:00,200,20\n2024-05-12 02:00:02+02:00,300,30\n"
PLAIN = "Arrival_S,prompt_tokens,completion_tokens\n3,7,8\n1,5,6\n"


@pytest.mark.parametrize(
    ("name", "text", "kind", "arrivals", "inputs", "dropped"),
    [
        ("a.csv", AZURE, "azure", [0.0, 0.5], [110, 4808], 0),
        ("m.jsonl", MOONCAKE, "mooncake", [0.0, 0.5], [300, 700], 0),
        ("b.csv", BURST, "burstgpt", [0.0, 113.0], [472, 9], 1),
        ("s.csv", SERVEGEN, "servegen", [0.0, 0.75], [10, 30], 0),
        ("b.csv", BURST_SESSIONS, "burstgpt", [0.0, 51.5], [90, 36], 0),
        ("s.csv", SERVEGEN_SAVED, "servegen", [0.0, 0.75], [10, 30], 0),
        ("s.jsonl", SERVEGEN_LINES, "servegen", [0.0, 2.0], [8, 9], 0),
        ("a.csv", AZURE_2024, "azure", [0.0, 1.25, 2.0], [100, 200, 300], 0),
        ("p.csv", PLAIN, "plain", [0.0, 2.0], [5, 7], 0),
    ],
)
def test_known_formats(tmp_path, name, text, kind, arrivals, inputs, dropped):
    path = tmp_path / name
    path.write_text(text)
    trace = read_trace(path)
    assert trace.kind == kind
    np.testing.assert_allclose(trace.requests.arrival_s, arrivals, atol=1e-6)
    assert trace.requests.input_tokens.tolist() == inputs
    assert trace.dropped == dropped


def test_block_hashes_follow_the_order_of_arrival(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_text(MOONCAKE)
    trace = read_trace(path)
    assert trace.blocks.tolist() == [9, 1, 2]
    assert trace.block_ends.tolist() == [1, 3]
    assert trace.block_tokens == 512


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.csv", "a,b\n1,2\n", "none of the known formats"),
        ("x.jsonl", '{"request_id": 0, "type": "text", "input_length": 61, "output_length": 5, "duration": 9}\n', "batch job"),
        ("x.csv", "start,rate,cv,pattern\n0,1.5,2.0,Gamma\n", "rates of clients"),
        ("x.csv", "", "cannot be read"),
        ("x.csv", "timestamp,input_tokens,output_tokens\n", "no requests"),
        ("x.csv", "timestamp,input_tokens,output_tokens\nsoon,1,2\n", "arrival times"),
        ("x.csv", "timestamp,input_tokens,output_tokens\n1,many,2\n", "no token counts"),
        ("x.csv", "timestamp,input_tokens,output_tokens\n1,-4,2\n", "no token counts"),
        ("x.csv", "timestamp,input_tokens,output_tokens\n1,2.5,2\n", "no token counts"),
        ("x.csv", "timestamp,input_tokens,output_tokens\n1,0,2\n", "no row has a prompt"),
        ("x.jsonl", "{not json}\n", "cannot be read"),
        ("x.jsonl", "\x00\x01\n", "cannot be read"),
        ("x.jsonl", '{"timestamp": 0, "input_length": 3, "output_length": 7, "hash_ids": 3}\n', "no list"),
        ("x.csv", AZURE.replace("18:17:03.98", "tea").replace("2023-11-16 18:17:03.4799600", "later"), "arrival times"),
    ],
)
def test_bad_files_are_one_line(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_trace(path)
    assert "\n" not in str(caught.value)


def test_no_such_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_trace(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("name", "text", "rate"),
    [("b.csv", BURST_SESSIONS, 2 / 51.5), ("s.jsonl", SERVEGEN_LINES, 1.0), ("s.csv", SERVEGEN_SAVED, 2 / 0.75)],
)
def test_the_verb_reads_every_format_in_seconds(tmp_path, name, text, rate):
    path = tmp_path / name
    path.write_text(text)
    assert trace_rate(read_requests(str(path))) == pytest.approx(rate)


def test_failed_requests_are_no_answers_of_one_token(tmp_path):
    path = tmp_path / "b.csv"
    path.write_text(BURST)
    assert read_requests(str(path)).output_tokens.tolist() == [18, 3]
