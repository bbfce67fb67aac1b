"""Recorded traces: each known format, and files that are none."""

import numpy as np
import pytest

from suanzhang.app.traces import read_trace
from suanzhang.errors import InputError

AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,4808,10\n2023-11-16 18:17:03.4799600,110,27\n"
MOONCAKE = '{"timestamp": 500, "input_length": 700, "output_length": 5, "hash_ids": [1, 2]}\n'
MOONCAKE += '{"timestamp": 0, "input_length": 300, "output_length": 7, "hash_ids": [9]}\n'
BURST = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
BURST += "5,ChatGPT,472,18,490,x\n45,GPT-4,10,0,10,x\n118,GPT-4,9,3,12,x\n"
SERVEGEN = "timestamp,input_tokens,output_tokens\n0.5,10,20\n1.25,30,40\n"


@pytest.mark.parametrize(
    ("name", "text", "kind", "arrivals", "inputs", "dropped"),
    [
        ("a.csv", AZURE, "azure", [0.0, 0.5], [110, 4808], 0),
        ("m.jsonl", MOONCAKE, "mooncake", [0.0, 0.5], [300, 700], 0),
        ("b.csv", BURST, "burstgpt", [0.0, 113.0], [472, 9], 1),
        ("s.csv", SERVEGEN, "servegen", [0.0, 0.75], [10, 30], 0),
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
