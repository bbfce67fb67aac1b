"""What a user writes about a training is read, or refused in one line."""

import pytest

from suanzhang.app.train_input import complete_layout, parse_chips, parse_layout
from suanzhang.errors import InputError
from suanzhang.spec.layout import TrainLayout


def test_chips():
    assert parse_chips("a100-sxm-80:1024, h800:2k") == (("a100-sxm-80", 1024), ("h800", 2000))


@pytest.mark.parametrize("text", ["a100", "a100:", ":8", "a100:-8", "a100:1.5", "a100:8 MW", ""])
def test_bad_chips(text):
    with pytest.raises(InputError):
        parse_chips(text)


def test_layout_takes_short_names():
    assert parse_layout("tp=8, pp=4,mbs=2,zero=0,sp=off") == {
        "tp": 8,
        "pp": 4,
        "micro_batch": 2,
        "zero_stage": 0,
        "sp": False,
    }


@pytest.mark.parametrize("text", ["tq=8", "tp", "tp=eight", "tp=0", "recompute=some", "sp=maybe"])
def test_bad_layout(text):
    with pytest.raises(InputError):
        parse_layout(text)


def test_data_parallel_takes_the_rest():
    layout = complete_layout({"tp": 8, "pp": 8}, 1024, TrainLayout())
    assert layout.dp == 16
    assert complete_layout({"tp": 8, "pp": 8, "vpp": 3}, 1024, TrainLayout()).schedule == "interleaved"


def test_layout_that_does_not_divide_the_chips_names_a_number_that_does():
    with pytest.raises(InputError, match="use 960 chips"):
        complete_layout({"tp": 8, "pp": 8}, 1000, TrainLayout())
    with pytest.raises(InputError, match="uses 512 chips"):
        complete_layout({"tp": 8, "pp": 8, "dp": 8}, 1024, TrainLayout())
