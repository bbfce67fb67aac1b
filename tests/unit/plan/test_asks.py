"""Requests that no one can mean are refused in words."""

from pathlib import Path

import pytest

from suanzhang.app.plan import plan
from suanzhang.app.replay_inputs import inputs_of
from suanzhang.app.serve import serve
from suanzhang.app.train_input import parse_chips, parse_layout
from suanzhang.app.yamlfile import read_document
from suanzhang.errors import InputError


def test_more_chips_than_any_cluster_has() -> None:
    with pytest.raises(InputError, match="more than any cluster"):
        parse_chips("a100-sxm-80:1e30")


def test_a_layout_key_given_twice() -> None:
    with pytest.raises(InputError, match="tp is given twice"):
        parse_layout("tp=8,tp=4")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs a device file")
def test_a_device_is_no_question() -> None:
    with pytest.raises(InputError, match="is a device"):
        read_document("/dev/zero")
    assert "content" not in str(inputs_of(plan, "/dev/zero"))


def test_an_endless_prompt() -> None:
    with pytest.raises(InputError, match="finite"):
        serve("llama-3.1-8b", "h100-sxm-80", isl=float("inf"), osl=100, rate=1.0)
