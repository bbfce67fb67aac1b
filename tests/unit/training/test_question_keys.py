"""What a question file can say of a training, and that every verb over it works with just that."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import suanzhang
from suanzhang.app.explain_train import plan_job
from suanzhang.app.plan_asks import resolve_world
from suanzhang.app.plan_sizing import size_training
from suanzhang.app.question import read_question
from suanzhang.app.train_ask import job_of, software_of
from suanzhang.cli.main import run
from suanzhang.errors import Infeasible, InputError
from suanzhang.report.jsonable import to_text

BASE = """
title: a mixture
currency: USD
start: 2026-10
months: 6
market: us-2026-10
train:
  - name: base
    model: mixtral-8x7b
    tokens: 20B
    seq_len: 4096
    global_batch: 512
"""


def question(*lines: str) -> str:
    return BASE + "".join(f"    {line}\n" for line in lines)


@pytest.mark.parametrize(
    ("written", "overlap", "routing"),
    [
        ("overlap: {dp: off, ep: 0.5}", "dp=0,ep=0.5", ""),
        ("overlap: 'dp=off,ep=50%'", "dp=0,ep=0.5", ""),
        ("overlap: {tp: on}", "tp=1", ""),
        ("routing: {capacity: 1.25, pad: true, imbalance: 1.3}", "", "capacity=1.25,pad,imbalance=1.3"),
        ("routing: capacity=1.25,pad", "", "capacity=1.25,pad"),
        ("routing: dropless", "", ""),
    ],
)
def test_keys_are_read_as_the_flags_write_them(written: str, overlap: str, routing: str) -> None:
    ask = read_question(question(written)).train[0]
    assert (ask.overlap, ask.routing) == (overlap, routing)


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("overlap: {eq: 1}", "unknown key 'eq'"),
        ("overlap: {ep: 2}", "'2' is no share of traffic"),
        ("overlap: dp", "cannot read 'dp'"),
        ("routing: {pad: true}", "pad needs a capacity"),
        ("routing: {imbalance: 0.5}", "too small"),
        ("routing: everywhere", "cannot read 'everywhere'"),
    ],
)
def test_what_cannot_be_is_refused_at_its_line(written: str, says: str) -> None:
    with pytest.raises(InputError, match=r"line 1[34]") as caught:
        read_question(question(written))
    assert says in caught.value.message


@pytest.mark.parametrize("key", ["seq_len", "global_batch"])
@pytest.mark.parametrize("value", ["0", "-4", "20000000"])
def test_a_size_of_nothing_is_refused_and_names_the_way_out(key: str, value: str) -> None:
    lines = [f"    {key}: {value}" if line.strip().startswith(key) else line for line in BASE.splitlines()]
    with pytest.raises(InputError, match=f"train\\[0\\].{key}") as caught:
        read_question("\n".join(lines))
    assert "leave the key out" in caught.value.fix


def test_the_job_and_the_software_carry_what_was_asked() -> None:
    asked = read_question(question("overlap: {dp: 0.25}", "routing: {capacity: 1.5, imbalance: 1.2}"))
    job, stack = job_of(asked.train[0], asked), software_of(asked.train[0], asked)
    assert (job.capacity_factor, job.imbalance, job.seq_len, job.global_batch) == (1.5, 1.2, 4096, 512)
    assert (stack.overlap_dp, stack.asked_overlap) == (0.25, ("dp",))
    assert plan_job(asked.train[0], asked, "h100-sxm-80")[0].capacity_factor == 1.5


def test_experts_of_a_dense_model_are_refused_by_the_name_of_the_training() -> None:
    asked = read_question(question("routing: {imbalance: 1.3}").replace("mixtral-8x7b", "llama-3-8b"))
    with pytest.raises(InputError, match=r"train\.base: routing"):
        job_of(asked.train[0], asked)


def test_a_plan_sizes_with_the_keys() -> None:
    def shortest(*lines: str) -> float:
        asked = read_question(question(*lines, "deadline: 20 d") + "chips: {allow: [h100-sxm-80]}\n")
        sized = size_training(asked.train[0], asked, resolve_world(asked), lambda _: None)
        return min(option.days * option.chips for option in sized.options)

    assert shortest("routing: {capacity: 1.5, pad: true}") > 1.1 * shortest()


def test_the_verb_takes_them_from_a_question_as_from_flags(tmp_path: Path) -> None:
    keys = {"overlap": "dp=0,ep=0.5", "routing": "capacity=1.25,pad"}
    asked = read_question(question("overlap: {dp: off, ep: 0.5}", "routing: {capacity: 1.25, pad: true}"))
    by_file = suanzhang.train_question(asked, chips="h100-sxm-80:64")
    by_flags = suanzhang.train(
        "mixtral-8x7b", "20B", "h100-sxm-80:64", seq_len=4096, global_batch=512, start="2026-10", **keys
    )  # fmt: skip
    assert by_file.step_s == by_flags.step_s
    assert by_file.step_s > suanzhang.train_question(read_question(question()), chips="h100-sxm-80:64").step_s


def test_pools_of_one_job_hear_them_too() -> None:
    pools = "h100-sxm-80:16+a100-sxm-80:16"
    plain = suanzhang.train_question(read_question(question()), chips=pools)
    padded = suanzhang.train_question(read_question(question("routing: {capacity: 1.5, pad: true}")), chips=pools)
    shown = suanzhang.train_mixed("mixtral-8x7b", "20B", pools, seq_len=4096, global_batch=512, overlap="dp=0,ep=0,pp=0")
    hidden = suanzhang.train_mixed("mixtral-8x7b", "20B", pools, seq_len=4096, global_batch=512, overlap="dp=1,ep=1,pp=1")
    assert padded.best.step_s > 1.05 * plain.best.step_s
    assert any("capacity factor 1.5" in warning for warning in padded.warnings)
    by_way = {
        way: [next(o.step_s for o in found.options if o.way == way) for found in (hidden, shown)] for way in ("pipeline",)
    }
    assert all(less < more for less, more in by_way.values())
    assert hidden.best.step_s < shown.best.step_s


def test_pools_that_miss_the_deadline_say_by_how_much() -> None:
    asked = read_question(question("deadline: 1 d"))
    with pytest.raises(Infeasible, match="pools take"):
        suanzhang.train_question(asked, chips="h100-sxm-80:8+a100-sxm-80:8")


def test_an_answer_over_pools_can_be_explained() -> None:
    body = json.loads(to_text(suanzhang.train_question(read_question(BASE), chips="h100-sxm-80:16+a100-sxm-80:16")))
    explained = suanzhang.explain(body)
    assert explained.verb == "train_mixed"
    assert explained.trees


def test_adamw_is_adam_to_time_and_memory() -> None:
    assert read_question(question("optimizer: adamw")).train[0].optimizer == "adam"
    ask = {"global_batch": 64, "layout": "tp=2"}
    one, other = (suanzhang.train("llama-3-8b", "1B", "a100-sxm-80:8", optimizer=name, **ask) for name in ("adam", "adamw"))
    assert (one.step_s, one.memory_bytes["total"]) == (other.step_s, other.memory_bytes["total"])
    launched = suanzhang.launch_train("llama-3-8b", "1B", "a100-sxm-80:8", "megatron", optimizer="adamw", **ask)
    assert "--optimizer adam\n" in launched.files[0].text
    assert run(["train", "--model", "llama-3-8b", "--tokens", "1B", "--chips", "a100-sxm-80:8", "--optimizer", "adamw"]) == 0
