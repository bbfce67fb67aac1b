"""The verb `catalog`: rows, values with origins, and errors."""

import pytest

from suanzhang.app.catalog import cells, show
from suanzhang.errors import CatalogError
from suanzhang.report.jsonable import to_json

KINDS = ("chips", "models", "offers", "markets", "sites", "sources", "stacks")


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_lists_its_entries_with_equal_columns(kind):
    result = show(kind)
    assert len(result.rows) >= 5
    assert result.id == ""
    assert result.values == ()
    assert all(tuple(row) == result.columns for row in result.rows)
    assert all(len(row) == len(result.columns) for row in cells(result))
    assert len({(row["id"], row.get("market")) for row in result.rows}) == len(result.rows)
    assert result.sources


@pytest.mark.parametrize("kind", KINDS)
def test_each_entry_shows_every_value_with_its_origin(kind):
    result = show(kind, str(show(kind).rows[0]["id"]))
    assert result.id == result.rows[0]["id"]
    assert result.values
    assert all(value.source and value.grade for value in result.values)
    assert {value.source for value in result.values} == {use.key for use in result.sources}


def test_a_chip_by_another_name():
    result = show("chip", "A800")
    found = {value.name: value for value in result.values}
    assert result.id == "a800-sxm-80"
    assert found["link_bytes_per_s"].value == 200e9
    assert found["link_bytes_per_s"].grade == "unverified"
    assert found["price.buy"].unit == "CNY/chip"
    assert [value.value for value in result.values if value.name == "export.CN"][:2] == ["free", "barred"]


def test_a_figure_that_nobody_published_is_empty():
    row = show("chips", "biren-br106").rows[0]
    assert row["hbm_bytes"] is None
    assert row["missing"] == "a 16-bit peak, memory, memory bandwidth"


def test_offers_of_one_market():
    result = show("offers", "cn-2023-04")
    assert {row["market"] for row in result.rows} == {"cn-2023-04"}
    assert len(result.rows) > 5


def test_the_answer_is_json():
    body = to_json(show("models", "deepseek-v3"))
    assert list(body)[:3] == ["version", "catalog_date", "seed"]
    assert body["rows"][0]["params"] == pytest.approx(671e9, rel=0.01)
    assert {"moe.experts", "mla.kv_lora"} <= {value["name"] for value in body["values"]}


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("chipz", None),
        ("", None),
        ("chips", "a8000"),
        ("models", "gpt-99"),
        ("offers", "none-such"),
        ("markets", "cn-1999-01"),
        ("sites", "atlantis"),
        ("sources", "nobody"),
        ("stacks", "abacus"),
    ],
)
def test_unknown_names_are_input_errors_of_one_line(kind, name):
    with pytest.raises(CatalogError, match="unknown") as error:
        show(kind, name)
    assert error.value.exit_code == 2
    assert "\n" not in str(error.value)
