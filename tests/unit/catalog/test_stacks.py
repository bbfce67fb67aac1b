"""Stacks: by id, by year, by the engine string of a published table."""

import pytest

from suanzhang.catalog import stacks
from suanzhang.catalog.stacks import (
    default_train_stack,
    serve_stack,
    serve_stack_for,
    serve_stacks,
    stack_origin,
    stack_sources,
    train_stack,
    train_stacks,
)
from suanzhang.errors import CatalogError
from suanzhang.source import GRADES
from suanzhang.spec.stack import ServeStack, TrainStack


def test_generations_come_in_order_and_have_known_sources():
    for found in (train_stacks(), serve_stacks()):
        dates = [item.released for item in found.values()]
        assert dates == sorted(dates)
        assert {item.source for item in found.values()} <= set(stack_sources())


@pytest.mark.parametrize(("year", "expected"), [(2015, 2019), (2021, 2021), (2023, 2023), (2040, 2025)])
def test_default_of_a_year_is_not_newer(year, expected):
    assert int(default_train_stack(year).released[:4]) <= max(year, 2019)
    assert default_train_stack(year).id.endswith(str(expected))


@pytest.mark.parametrize(
    ("engine", "family", "not_newer"),
    [
        ("TensorRT-LLM 0.5.0", "trtllm", (0, 5)),
        ("TensorRT-LLM 0.17", "trtllm", (0, 17)),
        ("trtllm 1.0.0rc3", "trtllm", (1, 0)),
        ("vLLM 0.5.4", "vllm", (0, 5)),
        ("vLLM 0.10.0 (ROCm 6.4.1)", "vllm", (0, 10)),
        ("vllm 0.24.0", "vllm", (0, 24)),
        ("sglang 0.5.8.post1", "sglang", (0, 5, 8)),
        ("FasterTransformer 5.x", "fastertransformer", (5,)),
    ],
)
def test_engine_strings_find_the_newest_generation_that_is_not_newer(engine, family, not_newer):
    found = serve_stack_for(engine)
    version = tuple(int(part) for part in found.version.split(".") if part.isdigit())
    assert found.engine == family
    assert version <= not_newer
    kin = [item for item in serve_stacks().values() if item.engine == family]
    versions = [tuple(int(part) for part in item.version.split(".") if part.isdigit()) for item in kin]
    assert version == max((item for item in versions if item <= not_newer), default=version)


def test_a_date_stands_for_a_version():
    assert serve_stack_for("vLLM (2023)").released <= "2023-12"
    assert serve_stack_for("sglang nightly-dev-20260216-d3bae71e").released <= "2026-02"


def test_unknown_and_left_out_engines():
    with pytest.raises(CatalogError, match="unknown engine"):
        serve_stack_for("abacus 3")
    with pytest.raises(CatalogError, match="not modelled"):
        serve_stack_for("sambaflow")


def test_ids_and_other_names():
    first = next(iter(train_stacks()))
    assert train_stack(first.upper()).id == first
    assert train_stack("NeMo").id.startswith("nemo")
    assert serve_stack("vllm-0.10").version == "0.10"
    with pytest.raises(CatalogError, match="did you mean"):
        train_stack("megatron-lm-2032")


@pytest.mark.parametrize("change", [{"source": "nowhere"}, {"grade": "certain"}, {"colour": "red"}, {"title": None}])
def test_bad_rows_are_refused(change):
    row = dict(next(iter(stacks._rows(stacks._file("training")["stacks"]))))
    changed = {key: value for key, value in (row | change).items() if value is not None}
    with pytest.raises(CatalogError):
        stacks._read(TrainStack, changed, "test")


def test_fitted_settings_name_the_fit():
    item = serve_stacks()["vllm-0.10"]
    assert isinstance(item, ServeStack)
    assert stack_origin(item, "host_s").source != stack_origin(item, "max_seqs").source
    assert stack_origin(item, "host_s").grade in GRADES
