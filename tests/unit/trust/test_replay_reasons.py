"""A repetition says what is installed otherwise, whether numbers moved or not, and its exit code says which."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

import suanzhang
from suanzhang.app import replay_entries
from suanzhang.app.replay import changes_between
from suanzhang.app.replay_entries import entry_prints
from suanzhang.cli.main import run
from suanzhang.report.views import report_of
from suanzhang.spec.result import Header


def held(train_file: Path, **other: Any) -> dict[str, Any]:
    return {**json.loads(train_file.read_text()), **other}


def test_another_catalog_date_alone_is_told_although_no_number_moved(train_file: Path) -> None:
    result = suanzhang.replay(held(train_file, catalog_date="2020-01-01"))
    assert result.identical and not result.moved
    (reason,) = result.reasons
    assert "catalog of 2020-01-01" in reason
    assert "moved none of them" in report_of(result).verdict
    assert not suanzhang.replay(held(train_file)).reasons


def test_another_seed_is_a_moved_number(train_file: Path) -> None:
    result = suanzhang.replay(held(train_file, seed=7))
    assert not result.identical
    assert [(item.key, item.before, item.after) for item in result.moved] == [("seed", 7, 0)]


def test_the_entry_of_the_catalog_that_changed_is_named(train_file: Path) -> None:
    body = held(train_file)
    prints = body["fingerprints"]
    assert {"chip h100-sxm-80", "model llama-3-8b"} <= set(prints)
    changed = {**prints, "chip h100-sxm-80": "0" * 8, "catalog": "0" * 12}
    (_, entry) = suanzhang.replay({**body, "fingerprints": changed}).reasons
    assert "chip h100-sxm-80" in entry and "llama" not in entry
    elsewhere = suanzhang.replay({**body, "fingerprints": {**prints, "catalog": "0" * 12}}).reasons
    assert any("none of the" in line for line in elsewhere)
    assert any("chip h100-sxm-80" in line for line in suanzhang.diff({**body, "fingerprints": changed}, body).why)


def test_a_figure_of_a_chip_moves_its_fingerprint_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    before = entry_prints({"chip": "h100-sxm-80"}, {"model": "llama-3-8b"})
    kind, chip = replay_entries._catalog()["h100-sxm-80"]
    altered = {**replay_entries._catalog(), "h100-sxm-80": (kind, dataclasses.replace(chip, tdp_w=chip.tdp_w + 1.0))}
    monkeypatch.setattr(replay_entries, "_catalog", lambda: altered)
    replay_entries._print.cache_clear()
    after = entry_prints({"chip": "h100-sxm-80"}, {"model": "llama-3-8b"})
    replay_entries._print.cache_clear()
    assert {name for name in before if before[name] != after[name]} == {"chip h100-sxm-80"}
    heads = [Header("1", "2026", 0, fingerprints={"catalog": name, **prints}) for name, prints in (("a", before), ("b", after))]
    assert any("figures of chip h100-sxm-80 have changed" in line for line in changes_between(*heads))


def test_names_are_found_in_files_keys_and_profiles() -> None:
    inputs = {"question": {"file": "q.yaml", "content": "market: us-2023-04\nsite: us-virginia.\n"}}
    found = entry_prints({"by_chip": {"a100-sxm-80": 1.0}, "profile": "h100-sxm-80--vllm-0.24.0"}, inputs)
    assert list(found) == ["chip a100-sxm-80", "chip h100-sxm-80", "market us-2023-04", "site us-virginia"]


def test_exit_codes_tell_moved_numbers_from_the_same_ones(train_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "old.json"
    path.write_text(json.dumps(held(train_file, catalog_date="2020-01-01")))
    assert run(["replay", str(path)]) == 0
    body = held(train_file)
    path.write_text(json.dumps({**body, "days": 2.0 * body["days"]}))
    assert run(["replay", str(path)]) == 5
    assert run(["replay", str(path), "--json"]) == 5
    path.write_text("{}")
    assert run(["replay", str(path)]) == 2
