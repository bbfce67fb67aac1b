"""The global batch that is assumed where none is given: usual for the model, more where the chips would have nothing to do."""

import itertools

import pytest

from suanzhang.app.train import train
from suanzhang.app.train_input import busy_batch, default_batch
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
