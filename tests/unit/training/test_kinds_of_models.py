"""What a model is made of changes time, memory and parameters: prediction layers, windows, encoders, leading dense layers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from suanzhang.app.train_model import check_layout, estimate_packed, pack
from suanzhang.catalog.chips import chip
from suanzhang.catalog.models import model
from suanzhang.catalog.stacks import train_stack
from suanzhang.errors import InputError
from suanzhang.perf.training.flop import step_flop
from suanzhang.perf.training.memory import stage_memory
from suanzhang.perf.training.pack import layout_args, shape_args
from suanzhang.perf.training.params import layers_before, mtp_params, stage_dense_layers, stage_layers
from suanzhang.perf.training.step import stage_params
from suanzhang.spec.job import TrainJob
from suanzhang.spec.layout import TrainLayout
from suanzhang.spec.model import WindowSpec

CHIP, STACK = chip("h100-sxm-80"), train_stack("megatron-lm-2024")
LAYOUT = TrainLayout(tp=4, pp=4, dp=4, micro_batch=1)


def _packed(spec, seq: int = 8192):
    return pack(TrainJob("job", spec, 1e12, seq, 256, "bf16"), CHIP, STACK)


def _ask(spec, layout: TrainLayout = LAYOUT, seq: int = 8192):
    return estimate_packed(_packed(spec, seq), layout, CHIP)


def test_a_prediction_layer_costs_a_layer_a_head_and_their_memory_on_the_last_stage() -> None:
    plain = replace(model("llama-3-8b"), mtp_layers=0)
    more = replace(plain, mtp_layers=1)
    one, two = _ask(plain), _ask(more)
    assert two.step_s > one.step_s
    assert two.model_flop > one.model_flop
    assert two.memory[-1].total_bytes > one.memory[-1].total_bytes
    assert two.memory[0].total_bytes == one.memory[0].total_bytes
    shape, row = shape_args(more), layout_args(TrainLayout())
    added = sum(mtp_params(shape, row))
    assert added == pytest.approx((plain.params - plain.embedding_params - plain.head_params) / plain.layers, rel=0.2)
    alone, with_it = (sum(stage_params(shape_args(spec), row, 0.0)) for spec in (plain, more))
    assert with_it - alone == pytest.approx(added)
    logits = [stage_memory(_packed(spec).shape, _packed(spec).run, layout_args(LAYOUT), 3.0, 64.0, 1.0).logits
              for spec in (plain, more)]  # fmt: skip
    assert logits[1] == pytest.approx(2.0 * logits[0])


def test_a_window_cuts_the_work_of_attention_and_no_parameters() -> None:
    full = replace(model("llama-3-8b"), window=None)
    half = replace(full, window=WindowSpec(tokens=1024, layers=full.layers // 2))
    every = replace(full, window=WindowSpec(tokens=1024, layers=full.layers))
    steps = [_ask(spec, seq=32768).step_s for spec in (full, half, every)]
    flop = [step_flop(_packed(spec, 32768).shape, _packed(spec, 32768).run) for spec in (full, half, every)]
    assert steps[0] > steps[1] > steps[2]
    assert flop[0] > flop[1] > flop[2]
    assert _ask(full).memory_bytes == _ask(every).memory_bytes
    assert full.params == every.params


def test_an_encoder_sees_both_directions() -> None:
    decoder = model("llama-3-8b")
    encoder = replace(decoder, encoder_only=True)
    one, two = _ask(decoder, seq=32768), _ask(encoder, seq=32768)
    assert two.step_s > one.step_s
    assert two.model_flop > one.model_flop
    assert two.memory_bytes == one.memory_bytes


def test_leading_dense_layers_replace_mixtures() -> None:
    spec = replace(model("deepseek-v2-lite"), mtp_layers=0)
    assert spec.moe is not None
    mixed, dense = (replace(spec, moe=replace(spec.moe, dense_layers=count)) for count in (0, 6))
    layout = TrainLayout(pp=3, dp=8, ep=8)
    one, two = _ask(mixed, layout), _ask(dense, layout)
    assert dense.params < mixed.params
    assert two.memory[0].total_bytes < one.memory[0].total_bytes
    assert two.memory[1].total_bytes == one.memory[1].total_bytes
    assert two.step_s != one.step_s


@pytest.mark.parametrize(("layers", "stages", "leading"), [(61, 32, 3), (61, 16, 3), (27, 27, 2), (60, 20, 7), (62, 4, 3)])
def test_leading_dense_layers_spill_over_short_stages(layers: int, stages: int, leading: int) -> None:
    spec = model("deepseek-v3")
    assert spec.moe is not None
    shape = shape_args(replace(spec, layers=layers, moe=replace(spec.moe, dense_layers=leading)))
    row = layout_args(TrainLayout(pp=stages))
    held = [stage_layers(shape, row, float(s)) for s in range(stages)]
    assert sum(stage_dense_layers(shape, row, float(s)) for s in range(stages)) == leading
    assert [layers_before(shape, row, float(s)) for s in range(stages)] == [sum(held[:s]) for s in range(stages)]


def test_no_stage_is_empty_and_ends_count_as_layers_only_in_equal_chunks() -> None:
    packed = _packed(model("gpt3-175b"), 2048)
    with pytest.raises(InputError, match="fewer layers than pipeline chunks"):
        check_layout(packed, TrainLayout(tp=8, pp=97))
    with pytest.raises(InputError, match="fewer layers than pipeline chunks"):
        check_layout(packed, TrainLayout(tp=8, pp=11, vpp=9, micro_batch=1, dp=1, schedule="interleaved"))
    chunks = TrainLayout(tp=8, pp=8, vpp=12, dp=1, schedule="interleaved")
    check_layout(packed, chunks)
    check_layout(replace(packed, run=packed.run._replace(global_batch=196.0)), replace(chunks, pp=14, vpp=7))
