"""One job over pools of unlike chips."""

from __future__ import annotations

import doctest
from dataclasses import replace

import pytest

from suanzhang.app.question import read_question
from suanzhang.app.train import train
from suanzhang.app.train_mixed import train_mixed
from suanzhang.app.train_mixed_costs import pool_costs
from suanzhang.app.train_mixed_input import parse_pools
from suanzhang.app.train_model import estimate_packed, pack
from suanzhang.app.verbs_question import train_question
from suanzhang.catalog.chips import chip
from suanzhang.catalog.models import model
from suanzhang.catalog.stacks import train_stack
from suanzhang.errors import Infeasible, InputError
from suanzhang.perf import mixed
from suanzhang.report.views import report_of
from suanzhang.spec.job import TrainJob
from suanzhang.spec.layout import TrainLayout
from suanzhang.spec.train_mixed import MixedResult

POOLS = "a100-sxm-80:256+v100-sxm2-32:256"
GIVEN = {"global_batch": 1536, "seq_len": 2048, "stack": "megatron-lm-2024"}


@pytest.fixture(scope="module")
def unlike():
    return train_mixed("gpt3-175b", "300B", POOLS, **GIVEN)


def test_examples_in_the_docstrings() -> None:
    assert doctest.testmod(mixed).failed == 0


def test_work_goes_where_the_speed_is(unlike) -> None:
    for option in unlike.options:
        if option.way == "pipeline":
            layers = {share.chip: share.layers for share in option.pools}
            assert sum(layers.values()) == 96
            assert layers["a100-sxm-80"] > 2 * layers["v100-sxm2-32"]
        if option.way == "data":
            batch = {share.chip: share.batch for share in option.pools}
            assert sum(batch.values()) == 1536
            assert batch["a100-sxm-80"] > 2 * batch["v100-sxm2-32"]


def test_every_way_is_whole(unlike) -> None:
    for option in unlike.options:
        assert sum(term.value for term in option.terms) == pytest.approx(option.step_s)
        assert option.chips == sum(share.chips for share in option.pools)
        assert option.days_interval.p05 < option.days < option.days_interval.p95
        for share in option.pools:
            assert share.layout.chips == share.chips
            assert share.memory_bytes <= 1.06 * chip(share.chip).hbm_bytes
    assert [option.step_s for option in unlike.options] == sorted(option.step_s for option in unlike.options)


def test_both_together_beat_each_but_not_the_sum(unlike) -> None:
    assert {option.way for option in unlike.options} == {"pipeline", "data", "groups", "alone"}
    assert unlike.gain_fraction > 0.1
    assert unlike.best.tokens_per_s < unlike.apart_tokens_per_s


def test_a_chip_without_bf16_takes_all_to_fp16(unlike) -> None:
    assert unlike.precision == "fp16"
    assert any("no bf16" in note for note in unlike.warnings)


def test_a_slower_link_is_never_faster_and_stops_the_batch_split_first(unlike) -> None:
    slow = train_mixed("gpt3-175b", "300B", POOLS, between_bytes_per_s=2e9, **GIVEN)

    def step(result, way: str) -> float:
        return min(option.step_s for option in result.options if option.way == way)

    assert step(slow, "pipeline") >= step(unlike, "pipeline")
    assert step(slow, "data") > 2.0 * step(unlike, "data")
    assert step(slow, "alone") == step(unlike, "alone")


def test_the_same_question_gives_the_same_answer(unlike) -> None:
    again = train_mixed("gpt3-175b", "300B", POOLS, **GIVEN)
    assert replace(again, search_s=0.0) == replace(unlike, search_s=0.0)


def test_two_halves_of_one_pool_are_that_pool() -> None:
    """A pipeline over two pools of one chip in one zone takes the time of the plain layout over all the chips."""
    halves = train_mixed("gpt3-175b", "300B", "a100-sxm-80:128@a+a100-sxm-80:128@a", precision="bf16", **GIVEN)
    found = next(option for option in halves.options if option.way == "pipeline")
    part = found.pools[0].layout
    job = TrainJob("gpt3", model("gpt3-175b"), 300e9, 2048, 1536, "bf16")
    packed = pack(job, chip("a100-sxm-80"), train_stack("megatron-lm-2024"))
    whole = replace(part, pp=sum(share.layout.pp for share in found.pools))
    assert found.step_s == pytest.approx(estimate_packed(packed, whole, chip("a100-sxm-80")).step_s, rel=0.03)


@pytest.mark.parametrize("recompute", ["none", "selective", "full"])
def test_memory_of_a_part_is_that_of_the_layout(recompute) -> None:
    job = TrainJob("gpt3", model("gpt3-175b"), 300e9, 2048, 1536, "bf16")
    packed = pack(job, chip("a100-sxm-80"), train_stack("megatron-lm-2024"))
    layout = TrainLayout(tp=8, pp=8, dp=8, micro_batch=2, recompute=recompute)
    cost = pool_costs(packed, layout)
    stages = estimate_packed(packed, layout, chip("a100-sxm-80")).memory
    assert cost.memory_bytes(12, 8.0, cost.first_bytes) == pytest.approx(stages[0].total_bytes, rel=1e-6)
    assert cost.memory_bytes(12, 5.0, 0.0) == pytest.approx(stages[3].total_bytes, rel=1e-6)
    assert cost.memory_bytes(12, 1.0, cost.last_bytes) == pytest.approx(stages[7].total_bytes, rel=1e-6)


def test_three_kinds_in_two_zones() -> None:
    pools = "a100-sxm-80:128@east+v100-sxm2-32:128@east+h800-sxm-80:128@west"
    result = train_mixed("llama-2-70b", "1T", pools, global_batch=1024, seq_len=4096)
    assert len({len(option.pools) for option in result.options}) == 3
    assert any("link between zones" in note for note in result.warnings)
    assert "in one job" in report_of(result).verdict or "Keep the pools apart" in report_of(result).verdict


@pytest.mark.parametrize(
    "pools",
    ["a100-sxm-80:8", "a100-sxm-80:8+", "a100-sxm-80+h100-sxm-80:8", "a100-sxm-80:8@+h100-sxm-80:8", "a:1+b:1+c:1+d:1+e:1"],
)
def test_pools_that_cannot_be_read(pools) -> None:
    with pytest.raises(InputError):
        parse_pools(pools)


def test_what_fits_no_pool_is_refused() -> None:
    with pytest.raises(Infeasible):
        train_mixed("gpt3-175b", "300B", "a100-sxm-80:8+v100-sxm2-32:8", **GIVEN)


def test_a_precision_that_a_pool_lacks_is_refused() -> None:
    with pytest.raises(InputError, match="no fp8"):
        train_mixed("gpt3-175b", "300B", "h100-sxm-80:256+v100-sxm2-32:256", precision="fp8", **GIVEN)


def test_pools_of_odd_sizes_leave_chips_idle_and_say_so() -> None:
    result = train_mixed("gpt3-175b", "300B", "a100-sxm-80:250+v100-sxm2-32:100", **GIVEN)
    assert result.best.way == "pipeline"
    assert sum(share.chips for share in result.best.pools) < 350
    assert any("stay idle" in note for note in result.warnings)


def _groups(option) -> list[list]:
    """The shares of an option by group: pools of a pipeline have one batch and share the layers."""
    found: list[list] = []
    for share in option.pools:
        open_ = found and sum(part.layers for part in found[-1]) < 96
        (found[-1] if open_ else found.append([]) or found[-1]).append(share)
    return found


def test_groups_side_by_side_share_the_batch_and_each_holds_the_model() -> None:
    result = train_mixed("gpt3-175b", "300B", "a100-sxm-80:512@a+v100-sxm2-32:256@b+h800-sxm-80:256@a", **GIVEN)
    again = train_mixed("gpt3-175b", "300B", "a100-sxm-80:512@a+v100-sxm2-32:256@b+h800-sxm-80:256@a", **GIVEN)
    assert replace(result, search_s=0.0) == replace(again, search_s=0.0)
    options = [option for option in result.options if option.way == "groups"]
    assert options
    for option in options:
        groups = _groups(option)
        assert len(groups) > 1
        assert max(len(group) for group in groups) > 1
        assert sum(group[0].batch for group in groups) == 1536
        for group in groups:
            assert sum(share.layers for share in group) == 96
            assert len({share.batch for share in group}) == 1
        assert sum(term.value for term in option.terms) == pytest.approx(option.step_s)
        assert option.chips <= 1024
    assert "groups of pools" in str(report_of(result))


def test_a_faster_link_never_slows_the_groups() -> None:
    pools = "a100-sxm-80:512@a+v100-sxm2-32:256@b+h800-sxm-80:256@c"

    def step(rate: float) -> float:
        result = train_mixed("gpt3-175b", "300B", pools, between_bytes_per_s=rate, **GIVEN)
        return min(option.step_s for option in result.options if option.way == "groups")

    assert step(200e9) <= step(50e9) * (1.0 + 1e-9)


def test_every_pool_fits_as_surely_as_asked() -> None:
    bold, sure = (train_mixed("gpt3-175b", "300B", POOLS, fit_confidence=share, **GIVEN) for share in (0.0, 0.9))
    assert bold.best.fits_fraction < 0.9
    assert all(option.fits_fraction >= 0.9 for option in sure.options)
    assert sure.best.step_s > bold.best.step_s
    assert sure.riskier is not None and sure.riskier.step_s == bold.best.step_s
    assert any("faster, but fits in only" in note and "(fit_confidence)" in note for note in sure.warnings)
    assert bold.riskier is None and not any("fit_confidence" in note for note in bold.warnings)


def test_a_pool_alone_is_planned_as_train_plans_it() -> None:
    found = train_mixed("gpt3-175b", "300B", POOLS, precision="fp16", **GIVEN)
    for option in found.options:
        if option.way == "alone":
            share = option.pools[0]
            one = train("gpt3-175b", "300B", f"{share.chip}:256", precision="fp16", **GIVEN)
            assert (one.layout, one.step_s) == (share.layout, option.step_s)
            assert one.fits_fraction == pytest.approx(option.fits_fraction)
            assert one.memory_bytes["total_interval"] == share.memory_bytes_interval


def test_pools_where_nothing_fits_surely_take_the_surest() -> None:
    found = train_mixed("qwen2.5-7b", "1B", "h100-sxm-80:1@a+h100-sxm-80:1@a", global_batch=64, seq_len=4096)
    assert found.best.fits_fraction == max(option.fits_fraction for option in found.options) < 0.9
    assert any("no layout fits in 90 of 100 cases" in note for note in found.warnings)


def test_a_question_over_pools_heeds_its_share() -> None:
    text = "currency: USD\nstart: 2024-11\nmonths: 12\nmarket: us-2024-11\ntrain:\n  - {name: base, model: gpt3-175b, "
    text += "tokens: 300B, global_batch: 1536, seq_len: 2048, stack: megatron-lm-2024, fit_confidence: %s}\n"
    sure, bold = (train_question(read_question(text % share), chips=POOLS) for share in ("0.9", "0"))
    assert isinstance(sure, MixedResult) and isinstance(bold, MixedResult)
    assert bold.best.step_s < sure.best.step_s
