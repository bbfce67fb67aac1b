"""Formats of states and messages that a user gives a training software."""

from __future__ import annotations

import pytest

from suanzhang.app.question_schema import TrainModel
from suanzhang.app.train import train
from suanzhang.app.train_model import estimate_train
from suanzhang.catalog.chips import chip
from suanzhang.catalog.models import model
from suanzhang.catalog.stack_formats import FORMATS, with_formats
from suanzhang.catalog.stacks import stack_origin, train_stack
from suanzhang.errors import InputError
from suanzhang.spec.job import TrainJob
from suanzhang.spec.layout import TrainLayout

ALL = "megatron-bridge-2025,moments=bf16,gradients=fp32,activations=fp8,dispatch=fp8"


def test_formats_set_the_bytes_of_the_software():
    plain, asked = train_stack("megatron-bridge-2025"), train_stack(ALL)
    assert asked.optimizer_bytes == plain.optimizer_bytes - 4.0, "two moments of 2 bytes less"
    assert (asked.grad_bytes, asked.reduce_bytes) == (4.0, 4.0)
    assert asked.saved_bytes == asked.sent_bytes == pytest.approx(1.0 + 4.0 / 128.0)
    assert asked.id == ALL and train_stack(asked.id) == asked
    assert stack_origin(asked, "launch_s") == stack_origin(plain, "launch_s")


def test_the_usual_formats_change_nothing():
    plain = train_stack("megatron-lm-2025")
    usual = with_formats(plain, "moments=fp32, gradients=fp32,activations=bf16,dispatch=bf16")
    job = TrainJob("v3", model("deepseek-v3"), 1e12, 4096, 1024, "fp8")
    layout = TrainLayout(pp=16, dp=16, ep=16, etp=1, head_layers=2)
    h100 = chip("h100-sxm-80")
    assert estimate_train(job, h100, layout, usual) == estimate_train(job, h100, layout, plain)


@pytest.mark.parametrize("key", list(FORMATS))
def test_fewer_bytes_never_take_more_time_nor_memory(key):
    job = TrainJob("v3", model("deepseek-v3"), 1e12, 4096, 1024, "fp8")
    layout, h100 = TrainLayout(pp=16, dp=16, ep=16, etp=1, head_layers=2), chip("h100-sxm-80")
    found = []
    for form, size in sorted(FORMATS[key].items(), key=lambda item: item[1] or 2.0):
        stack = train_stack(f"megatron-bridge-2025,{key}={form}")
        estimate = estimate_train(job, h100, layout, stack)
        found.append((size or 2.0, estimate.step_s, estimate.memory_bytes))
    assert [row[1] for row in found] == sorted(row[1] for row in found)
    assert [row[2] for row in found] == sorted(row[2] for row in found)
    assert found[0][1:] != found[-1][1:]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("moment=bf16", "moments"),
        ("moments=int3", "fp32"),
        ("moments=bf16,moments=fp32", "twice"),
        ("", "moments"),
        ("fp8", "="),
    ],
)
def test_what_cannot_be_read_is_one_clear_line(text, word):
    with pytest.raises(InputError) as error:
        train_stack(f"megatron-lm-2025,{text}")
    assert word in f"{error.value.message} {error.value.fix}"


def test_a_question_takes_them_and_its_answer_tells_them():
    stack = "megatron-lm-2025,moments=bf16"
    part = {"name": "run", "model": "llama-2-7b", "tokens": "10B", "stack": stack}
    assert TrainModel.model_validate(part).stack == stack
    answer = train(model="llama-2-7b", tokens=1e10, chips="h100-sxm-80:64", stack=stack)
    plain = train(model="llama-2-7b", tokens=1e10, chips="h100-sxm-80:64", stack="megatron-lm-2025")
    assert (answer.stack, plain.stack) == (stack, "megatron-lm-2025")
    assert answer.days <= plain.days
