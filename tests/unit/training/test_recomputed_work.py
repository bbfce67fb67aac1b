"""Utilisation with recomputed work counts the arithmetic that is done again, no time and no messages of it."""

import pytest

from suanzhang.app.train_model import estimate_train
from suanzhang.catalog.chips import chip
from suanzhang.catalog.models import model
from suanzhang.catalog.stacks import train_stack
from suanzhang.spec.job import TrainJob
from suanzhang.spec.layout import TrainLayout

LAYERS, HIDDEN, SEQ, VOCAB = 96, 12288, 2048, 50257


def _ratio(recompute: str, stack: str, tp: int = 8, pp: int = 16, **values: int) -> float:
    job = TrainJob("gpt3", model("gpt3-175b"), 300e9, SEQ, 1536, "bf16")
    layout = TrainLayout(tp=tp, pp=pp, dp=2, recompute=recompute, zero_stage=1, **values)  # type: ignore[arg-type]
    found = estimate_train(job, chip("a100-sxm-80"), layout, train_stack(stack))
    return found.hfu / found.mfu


def _forward() -> tuple[float, float, float]:
    """Per token: all layers without attention, attention with its causal half, head [FLOP]."""
    attention = 2.0 * LAYERS * (SEQ + 1) * HIDDEN
    return 2.0 * LAYERS * 12.0 * HIDDEN**2, attention, 2.0 * VOCAB * HIDDEN


@pytest.mark.parametrize(("tp", "pp"), [(8, 16), (4, 32), (2, 64)])
def test_full_recompute_is_the_forward_pass_of_all_layers(tp: int, pp: int) -> None:
    products, attention, head = _forward()
    wanted = 1.0 + (products + attention) / (3.0 * (products + attention + head))
    assert _ratio("full", "megatron-lm-2024", tp, pp) == pytest.approx(wanted, rel=2e-3)
    assert _ratio("full", "megatron-lm-2024", tp, pp, recompute_layers=96 // pp // 2 or 1) < wanted + 1e-9


def test_selective_recompute_is_attention_where_kernels_are_not_flash() -> None:
    products, attention, head = _forward()
    wanted = 1.0 + attention / (3.0 * (products + attention + head))
    assert _ratio("selective", "megatron-lm-2021") == pytest.approx(wanted, rel=2e-3)
    assert _ratio("selective", "megatron-lm-2024") == 1.0
    assert _ratio("none", "megatron-lm-2021") == 1.0
