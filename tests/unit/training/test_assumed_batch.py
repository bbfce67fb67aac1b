"""The global batch that is assumed where none is given: usual for the model, more where the chips would have nothing to do."""

import itertools
from dataclasses import replace

import pytest

from suanzhang.app.plan_asks import resolve_world
from suanzhang.app.plan_sizing import size_training
from suanzhang.app.question import read_question
from suanzhang.app.train import train
from suanzhang.app.train_input import busy_batch, default_batch
from suanzhang.app.train_mixed import train_mixed
from suanzhang.app.train_scaling import batch_for
from suanzhang.app.train_variants import variants
from suanzhang.catalog.chips import chip
from suanzhang.catalog.models import model

H100 = chip("h100-sxm-80")


def test_a_small_fleet_takes_the_usual_batch() -> None:
    spec = model("llama-2-13b")
    assert busy_batch(spec, 4096, [(H100, 64)]) == default_batch(spec, 4096)


@pytest.mark.parametrize("name", ["llama-2-7b", "gpt3-175b", "llama-3.1-405b"])
def test_the_batch_grows_with_the_chips_up_to_four_times_the_usual(name: str) -> None:
    spec = model(name)
    found = [busy_batch(spec, 4096, [(H100, 2**k)]) for k in range(3, 21)]
    assert all(one <= two for one, two in itertools.pairwise(found))
    assert found[0] == default_batch(spec, 4096)
    assert found[-1] == 4 * default_batch(spec, 4096)


def test_many_chips_are_put_to_work_and_the_answer_says_why() -> None:
    found = train("llama-2-7b", "1T", "h100-sxm-80:1024")
    assert found.chips == 1024
    assert found.global_batch > default_batch(model("llama-2-7b"), 4096)
    assert any("to keep that many chips busy" in note for note in found.warnings)


def test_pools_that_share_a_job_need_work_for_the_replicas_of_all_of_them() -> None:
    spec = model("llama-2-7b")
    pools = [(H100, 64), (chip("a100-sxm-80"), 64)]
    apart, both = busy_batch(spec, 4096, pools), busy_batch(spec, 4096, pools, together=True)
    assert both == busy_batch(spec, 4096, [(H100, 128)]) == 2 * apart


def test_mixed_pools_and_variants_assume_what_train_assumes() -> None:
    one = train("llama-2-7b", "1T", "a100-sxm-80:1024").global_batch
    assert one > default_batch(model("llama-2-7b"), 4096)
    mixed = train_mixed("llama-2-7b", "1T", "a100-sxm-80:512+v100-sxm2-32:1024")
    assert mixed.global_batch == busy_batch(
        model("llama-2-7b"), 4096, [(chip("a100-sxm-80"), 512), (chip("v100-sxm2-32"), 1024)], together=True
    )
    found = variants("llama-2-7b", "1T", 1024, chips="a100-sxm-80,a800-sxm-80")
    assert {row.option.global_batch for row in found.rows if row.option} == {one}
    for answer in (mixed, found):
        assert any("to keep that many chips busy" in note for note in answer.warnings)


def test_scaling_assumes_the_batch_of_its_chips() -> None:
    shape = model("llama-2-7b")
    assert batch_for(shape, 4096, H100, 1024) == busy_batch(shape, 4096, [(H100, 1024)]) > default_batch(shape, 4096)
    assert batch_for(shape, 4096, H100, 64) == default_batch(shape, 4096)


def test_a_plan_sizes_each_count_of_chips_with_the_batch_that_train_assumes_on_them() -> None:
    text = """
start: 2026-10
months: 12
site: us-texas
market:
  id: us-2026-10
currency: USD
train:
  - {name: base, model: llama-2-7b, tokens: 2T, deadline: %s d}
"""
    usual = default_batch(model("llama-2-7b"), 4096)
    seen = []
    for days in (40, 4):
        asked = read_question(text % days)
        world = resolve_world(asked)
        sized = size_training(asked.train[0], asked, replace(world, chips={H100.id: H100}), lambda _: None)
        for option in sized.options:
            assert option.global_batch == busy_batch(sized.job.model, 4096, [(H100, option.chips)])
            seen.append(option.global_batch)
    assert seen[0] == pytest.approx(usual, rel=0.15)
    assert max(seen) > 1.5 * usual
    given = read_question((text % 40).replace("tokens: 2T", "tokens: 2T, global_batch: 512"))
    sized = size_training(given.train[0], given, replace(resolve_world(given), chips={H100.id: H100}), lambda _: None)
    assert {option.global_batch for option in sized.options} == {512}


def test_a_count_that_is_no_power_of_two_leaves_no_chip_without_work() -> None:
    spec = model("llama-3.1-8b")
    for chips in (24, 80, 96, 100, 448):
        assert busy_batch(spec, 8192, [(H100, chips)]) % chips == 0
    assert busy_batch(spec, 8192, [(H100, 1536)]) % 192 == 0


def test_a_prime_count_leaves_no_whole_node_without_work() -> None:
    spec = model("llama-3-70b")
    assert busy_batch(spec, 8192, [(H100, 1009)]) == busy_batch(spec, 8192, [(H100, 1008)])
    assert busy_batch(spec, 8192, [(H100, 8 * 1009)]) == busy_batch(spec, 8192, [(H100, 8192)])
    assert train("llama-3-70b", "1T", "h100-sxm-80:1009").chips == 1008


def test_a_search_over_counts_says_that_all_of_them_have_one_batch() -> None:
    def said(**asked: int) -> bool:
        found = train("llama-2-7b", "1T", "h100-sxm-80", max_chips=1024, **asked)
        return any("every count of chips is asked with that one batch of 1,024 sequences" in note for note in found.warnings)

    assert train("llama-2-7b", "1T", "h100-sxm-80:1024").global_batch == 1024
    assert said()
    assert not said(global_batch=1024)
