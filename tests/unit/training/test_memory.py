"""Memory of a stage, part by part, against hand counts and published formulas."""

import pytest

from suanzhang.catalog.chips import chip
from suanzhang.perf.training.activations import dense_layer_bytes, layer_input_bytes
from suanzhang.perf.training.examples import EXAMPLE_LAYOUT, EXAMPLE_RUN, GPT3
from suanzhang.perf.training.memory import activation_bytes, fullest_stage_bytes, memory_total, stage_memory, state_bytes
from suanzhang.perf.training.pack import kernel_on
from suanzhang.perf.training.params import embedding_params, head_params, stage_dense_layers, stage_layers
from suanzhang.perf.training.pipeline import in_flight

TOKENS_HIDDEN = 2048.0 * 12288.0


def test_layer_with_sequence_parallel_and_selective_recompute_keeps_34_bytes_over_t():
    layout = EXAMPLE_LAYOUT._replace(recompute=1.0, sp=1.0)
    assert dense_layer_bytes(GPT3, EXAMPLE_RUN, layout) == pytest.approx(34.0 * TOKENS_HIDDEN / 8.0)


def test_layer_without_sequence_parallel_keeps_ten_bytes_whole():
    layout = EXAMPLE_LAYOUT._replace(recompute=1.0, sp=0.0)
    assert dense_layer_bytes(GPT3, EXAMPLE_RUN, layout) == pytest.approx((10.0 + 24.0 / 8.0) * TOKENS_HIDDEN)


def test_unfused_attention_keeps_the_scores():
    layout = EXAMPLE_LAYOUT._replace(recompute=0.0, sp=1.0)
    scores = 5.0 * 96.0 * 2048.0 / 12288.0
    assert dense_layer_bytes(GPT3, EXAMPLE_RUN, layout) == pytest.approx((34.0 + scores) * TOKENS_HIDDEN / 8.0)


@pytest.mark.parametrize(("zero", "share"), [(0.0, 16.0), (1.0, 4.75), (2.0, 2.875), (3.0, 1.0)])
def test_zero_stages_shard_what_they_say(zero, share):
    layout = EXAMPLE_LAYOUT._replace(tp=1.0, pp=1.0, dp=16.0, etp=1.0, zero=zero, sp=0.0)
    run = EXAMPLE_RUN._replace(grad_bytes=2.0)
    parts = state_bytes(GPT3, run, layout, 0.0)
    params = parts.weights / 2.0 * (16.0 if zero >= 3.0 else 1.0)
    kept = (parts.weights + parts.gradients + parts.optimizer) / params
    assert kept == pytest.approx(share)


def test_parts_sum_to_the_total():
    parts = stage_memory(GPT3, EXAMPLE_RUN, EXAMPLE_LAYOUT, 0.0, 96.0, 1.0)
    assert memory_total(parts) == pytest.approx(sum(parts))


@pytest.mark.parametrize(
    ("layers", "stages"), [(96.0, 8.0), (126.0, 16.0), (70.0, 12.0), (61.0, 16.0), (5.0, 2.0), (95.0, 3.0)]
)
def test_stages_sum_to_the_model(layers, stages):
    shape, layout = GPT3._replace(layers=layers), EXAMPLE_LAYOUT._replace(pp=stages)
    counts = [stage_layers(shape, layout, float(stage)) for stage in range(int(stages))]
    assert sum(counts) == layers
    assert max(counts) - min(counts) <= 1.0
    assert counts[-1] == min(counts)


def test_leading_dense_layers_sit_on_the_first_stage():
    shape = GPT3._replace(layers=61.0, experts=256.0, topk=8.0, expert_ffn=2048.0, dense_layers=3.0)
    layout = EXAMPLE_LAYOUT._replace(pp=16.0)
    assert stage_dense_layers(shape, layout, 0.0) == 3.0
    assert stage_dense_layers(shape, layout, 5.0) == 0.0


def test_first_stage_of_1f1b_holds_as_many_micro_batches_as_there_are_stages():
    assert in_flight(1.0, 8.0, 1.0, 64.0, 0.0) == 8.0
    assert in_flight(1.0, 8.0, 1.0, 64.0, 7.0) == 1.0
    assert in_flight(0.0, 8.0, 1.0, 64.0, 7.0) == 64.0
    assert in_flight(1.0, 8.0, 1.0, 3.0, 0.0) == 3.0


def test_fullest_of_three_stages_is_the_fullest_of_all():
    for recompute in (0.0, 1.0, 2.0):
        for layers in (96.0, 94.0, 90.0):
            layout = EXAMPLE_LAYOUT._replace(recompute=recompute)
            shape = GPT3._replace(layers=layers)
            every = [memory_total(stage_memory(shape, EXAMPLE_RUN, layout, float(s), 96.0, 1.0)) for s in range(8)]
            assert fullest_stage_bytes(shape, EXAMPLE_RUN, layout, 96.0, 1.0) == pytest.approx(max(every))


def test_adapters_have_no_states_for_frozen_weights():
    run = EXAMPLE_RUN._replace(frozen=1.0, lora_rank=16.0)
    full = state_bytes(GPT3, EXAMPLE_RUN, EXAMPLE_LAYOUT, 1.0)
    adapters = state_bytes(GPT3, run, EXAMPLE_LAYOUT, 1.0)
    assert adapters.optimizer < 0.02 * full.optimizer
    assert adapters.gradients < 0.02 * full.gradients
    assert adapters.weights >= full.weights


def test_sequence_parallelism_gathers_the_input_of_a_product_and_its_gradient_whole():
    layout = EXAMPLE_LAYOUT._replace(sp=1.0, recompute=2.0)
    layer = dense_layer_bytes(GPT3, EXAMPLE_RUN, layout)
    inputs = layer_input_bytes(GPT3, EXAMPLE_RUN, layout)
    layers = stage_layers(GPT3, layout, 1.0)
    flight = in_flight(layout.schedule, layout.pp, layout.vpp, 96.0, 1.0)
    whole = inputs * layout.tp
    expected = flight * layers * inputs + 2.0 * layer + 2.0 * whole
    assert activation_bytes(GPT3, EXAMPLE_RUN, layout, 1.0, 96.0, 1.0) == pytest.approx(expected)


def test_ends_trained_beside_adapters_keep_their_moments_in_their_own_format():
    """Weight, gradient and both moments of a parameter in bf16 without a master copy: eight bytes in all."""
    run = EXAMPLE_RUN._replace(frozen=1.0, lora_rank=16.0, param_bytes=2.0, grad_bytes=2.0)
    layout = EXAMPLE_LAYOUT._replace(pp=1.0, tp=1.0, dp=1.0, cp=1.0, zero=0.0)
    frozen, trained = (memory_total(state_bytes(GPT3, run._replace(trained_ends=flag), layout, 0.0)) for flag in (0.0, 1.0))
    ends = embedding_params(GPT3, layout) + head_params(GPT3, layout)
    assert trained - frozen == pytest.approx(8.0 * ends)


@pytest.mark.parametrize(
    ("name", "kernel", "runs"),
    [
        ("v100-sxm2-32", "flash2", "fused-softmax"),
        ("t4-16", "flash3", "fused-softmax"),
        ("v100-sxm2-32", "unfused", "unfused"),
        ("a100-sxm-80", "flash2", "flash2"),
        ("mi300x-192", "flash2", "flash2"),
        ("tpu-v4", "splash", "splash"),
    ],
)
def test_flash_attention_does_not_run_where_its_library_does_not(name, kernel, runs):
    assert kernel_on(kernel, chip(name)) == runs
