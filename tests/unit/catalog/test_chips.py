"""Chips: figures where public tables are known to be wrong, units, origins, prices and export states."""

import json
from pathlib import Path

import pytest

from suanzhang.catalog.chips import chip, chips, read_chip
from suanzhang.errors import CatalogError, OutOfDomain
from suanzhang.source import GRADES

REFERENCE_CHIPS = 89
FOLDER = Path(read_chip.__code__.co_filename).parent / "data" / "chips"


def record(name: str) -> dict:
    lines = [line for path in FOLDER.glob("*.jsonl") for line in path.read_text(encoding="utf-8").splitlines()]
    return next(row for row in map(json.loads, lines) if row["id"] == name)


def test_the_reference_chips_are_all_there():
    assert len(chips()) >= REFERENCE_CHIPS
    assert {"a100-sxm-80", "h20-96", "ascend-910c", "biren-br106", "tpu-v7", "trn3", "gaudi3-128", "mi308x-192"} <= set(chips())


@pytest.mark.parametrize(
    ("name", "field", "expected", "unit"),
    [
        ("mi300x-192", "hbm_bytes_per_s", 5300, 1e9),  # 10,300 in a public table
        ("mi325x-256", "hbm_bytes_per_s", 6000, 1e9),  # 10,300
        ("mi325x-256", "hbm_bytes", 256, 1e9),  # 288
        ("b200-sxm-180", "hbm_bytes", 180, 1e9),  # 90: one die
        ("b200-sxm-180", "hbm_bytes_per_s", 7700, 1e9),  # 4,100: one die
        ("l40s-48", "tdp_w", 350, 1),  # 300
        ("v100-sxm2-16", "hbm_bytes_per_s", 900, 1e9),  # 1,130
        ("v100-sxm2-16", "tdp_w", 300, 1),  # 250
        ("trn1", "hbm_bytes_per_s", 820, 1e9),  # 9,800
        ("mi308x-192", "hbm_bytes_per_s", 5300, 1e9),  # 10,300
        ("metax-c500-oam", "hbm_bytes_per_s", 1800, 1e9),  # 18,000
        ("h100-sxm-80", "hbm_bytes_per_s", 3350, 1e9),  # 3,072
        ("ascend-910c", "hbm_bytes", 128, 1e9),  # 96
        ("ascend-910c", "hbm_bytes_per_s", 3200, 1e9),  # 1,800
        ("a100-sxm-80", "link_bytes_per_s", 300, 1e9),  # 600 both directions
        ("a800-sxm-80", "link_bytes_per_s", 200, 1e9),
        ("h800-sxm-80", "link_bytes_per_s", 200, 1e9),
        ("h20-96", "link_bytes_per_s", 450, 1e9),
    ],
)
def test_known_errors_of_public_tables_are_not_repeated(name, field, expected, unit):
    assert getattr(chip(name), field) == pytest.approx(expected * unit)


@pytest.mark.parametrize(
    ("name", "dtype", "tflops"),
    [
        ("h100-sxm-80", "bf16", 989.4),  # 1,979 is sparse
        ("h800-sxm-80", "bf16", 989.4),
        ("h20-96", "bf16", 148),
        ("rtx4090-24", "bf16", 165.2),  # 330 accumulates in 16 bits
        ("gaudi2-96", "bf16", 432),  # 450
        ("mi355x-288", "fp8", 5033),  # 4,600 is that of the MI350X
        ("gb200-nvl72", "bf16", 2500),
    ],
)
def test_peaks_are_dense(name, dtype, tflops):
    assert chip(name).peak(dtype) == pytest.approx(tflops * 1e12, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "tpp"), [("h200-sxm-141", 15831), ("h20-96", 2368), ("rtx4090d-24", 4707), ("mi325x-256", 20919)]
)
def test_total_processing_performance_follows_from_the_dense_peaks(name, tpp):
    bits = {"bf16": 16, "fp16": 16, "fp8": 8, "int8": 8, "fp4": 4}
    found = max(peak / 1e12 * bits[dtype] for dtype, peak in chip(name).peak_flop_per_s.items() if dtype in bits)
    assert found == pytest.approx(tpp, rel=2e-3)


def test_the_a800_was_launched_in_november():
    assert chip("a800-sxm-80").launch == "2022-11-08"


def test_every_figure_has_an_origin_and_every_origin_a_figure():
    for item in chips().values():
        for name, quote in item.quotes.items():
            assert quote.source, (item.id, name)
            assert quote.grade in GRADES, (item.id, name)
            head, _, tail = name.partition(".")
            found = (
                item.peak_flop_per_s[tail] if head == "peak_flop_per_s" else getattr(item.node if tail else item, tail or head)
            )
            assert found == quote.value > 0.0, (item.id, name)
        for name in ("hbm_bytes", "hbm_bytes_per_s", "link_bytes_per_s", "tdp_w"):
            assert (getattr(item, name) > 0.0) == (name in item.quotes), (item.id, name)
        assert {f"peak_flop_per_s.{dtype}" for dtype in item.peak_flop_per_s} <= set(item.quotes)


def test_unverified_figures_say_so():
    assert chip("a800-sxm-80").quotes["link_bytes_per_s"].grade == "unverified"
    assert chip("trn1").quotes["hbm_bytes_per_s"].grade == "vendor"
    assert chip("mi308x-192").quotes["hbm_bytes_per_s"].grade == "derived"
    assert chip("thead-ppu").quotes["hbm_bytes"].grade == "press"


def test_disputed_figures_keep_the_other_claim():
    assert "10300" in chip("mi300x-192").quotes["hbm_bytes_per_s"].note
    assert "550 W" in chip("h20-96").quotes["tdp_w"].note


def test_a_chip_that_nobody_specified_says_what_is_missing():
    assert chip("biren-br106").missing == ("a 16-bit peak", "memory", "memory bandwidth")
    assert chip("h100-sxm-80").missing == ()


def test_a_dtype_that_a_chip_lacks_is_refused_by_name():
    with pytest.raises(OutOfDomain, match="has no bf16 arithmetic"):
        chip("v100-sxm2-32").peak("bf16")


@pytest.mark.parametrize("part", ["source", "grade"])
def test_a_figure_without_origin_is_refused(part):
    raw = record("a100-sxm-80")
    raw["figures"]["tdp_w"][{"grade": 1, "source": 2}[part]] = ""
    with pytest.raises(CatalogError, match=part):
        read_chip(raw, "test")


@pytest.mark.parametrize(
    "change",
    [{"figures": {"memory_gb": [-80, "vendor", "techpowerup", ""]}}, {"figures": {"size": [1, "vendor", "techpowerup", ""]}}],
)
def test_impossible_and_unknown_figures_are_refused(change):
    with pytest.raises(CatalogError):
        read_chip(record("a100-sxm-80") | change, "test")


@pytest.mark.parametrize(
    ("name", "date", "state"),
    [
        ("a100-sxm-80", "2022-08-25", "free"),
        ("a100-sxm-80", "2023-04-15", "barred"),
        ("h100-sxm-80", "2023-04-15", "barred"),
        ("a800-sxm-80", "2023-04-15", "free"),
        ("h800-sxm-80", "2023-04-15", "free"),
        ("a800-sxm-80", "2023-11-01", "barred"),
        ("rtx4090-24", "2023-04-15", "free"),
        ("rtx4090-24", "2023-11-01", "barred"),
        ("h20-96", "2024-06-01", "free"),
        ("h20-96", "2025-05-01", "barred"),
        ("h20-96", "2025-09-01", "licence"),
        ("h200-sxm-141", "2025-12-15", "licence"),
        ("h200-sxm-141", "2026-03-01", "barred"),
        ("b200-sxm-180", "2026-03-01", "barred"),
        ("ascend-910c", "2026-03-01", "free"),
        ("v100-sxm2-32", "2026-03-01", "free"),
    ],
)
def test_export_state_by_date(name, date, state):
    assert chip(name).export_state("CN", date) == state


def test_exports_concern_china_alone():
    assert chip("b200-sxm-180").export_state("US", "2026-03-01") == "free"


def test_export_events_are_in_order():
    for item in chips().values():
        dates = [event.date for event in item.exports]
        assert dates == sorted(dates), item.id


@pytest.mark.parametrize(
    ("name", "kind", "date", "value", "offers"),
    [
        ("a100-sxm-80", "rent", "2023-04", 2.04, 10),
        ("a100-sxm-80", "rent", "2025-09", 1.89, 29),
        ("a100-sxm-80", "rent", "2023-03", 6.34, 1),
        ("v100-sxm2-32", "buy", "2023-04", 8678, 1),
        ("v100-sxm2-32", "buy", "2025-07", 2249, 1),
    ],
)
def test_dated_prices(name, kind, date, value, offers):
    found = [row for row in chip(name).prices if row.kind == kind and row.price.date == date]
    assert any(row.price.value == pytest.approx(value) and row.offers == offers and row.price.unit == "USD" for row in found)


def test_price_ranges_hold_their_value():
    for item in chips().values():
        for row in item.prices:
            assert 0.0 < row.low <= row.price.value <= row.high, (item.id, row)


def test_waits_for_delivery_in_the_shortage():
    waits = {wait.weeks.date: (wait.low, wait.high) for wait in chip("a800-sxm-80").deliveries}
    assert waits["2023-04"] == (13.0, 35.0)


def test_nodes():
    node = chip("a100-sxm-80").node
    assert (node.chips, node.power_w, node.nic_bytes_per_s) == (8, 6500.0, 25e9)
    assert chip("gb200-nvl72").scale_up_domain == 72
