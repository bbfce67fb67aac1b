from dataclasses import replace

import pytest

from suanzhang.app.validate_against import by_source_pct, constant_residuals, peer_errors
from suanzhang.app.validate_predict import Outcome
from suanzhang.errors import CatalogError
from suanzhang.evidence import remarks
from suanzhang.evidence.metrics import Residual, worst
from suanzhang.evidence.remarks import Peer, explanation, peers
from suanzhang.evidence.rows import parse_rows, shipped_rows

ROW = parse_rows(
    ['{"id":"r","source":"s","chip":"x","model":{},"seq_len":1,"precision":"bf16","global_batch":1,"measured":{"iter_s":1}}'],
    "f",
)[0]


def run(name, predicted, measured, flop=1.0, source="s"):
    row = replace(ROW, id=name, source=source)
    return Outcome(row, True, predicted={"step_s": predicted}, measured={"step_s": measured}, flop=flop, peak_flop_per_s=1.0)


def test_one_constant_is_right_where_time_is_work_over_peak():
    rows = [run(str(i), 1.0, 2.5 * flop, flop) for i, flop in enumerate((1.0, 2.0, 7.0))]
    assert [item.error for item in constant_residuals(rows, "step_s")] == pytest.approx([0.0, 0.0, 0.0])
    odd = [*rows, run("odd", 1.0, 5.0, 1.0, source="t")]
    found = by_source_pct(constant_residuals(odd, "step_s"))
    assert found["s"] == pytest.approx(0.0)
    assert found["t"] == pytest.approx(50.0)


def test_a_peer_is_compared_on_its_own_rows_only():
    rows = [run("a", 1.1, 1.0), run("b", 0.8, 1.0), run("c", 9.0, 1.0)]
    peer = Peer("P", "abc", "2024-01-01", "2026-11-22", "step_s", "as is", {"a": 1.5, "b": 0.7, "gone": 3.0})
    (found,) = peer_errors(rows, [peer])
    assert found.rows == 2
    assert found.peer_median_abs_pct == pytest.approx(40.0)
    assert found.our_median_abs_pct == pytest.approx(15.0)
    assert peer_errors([run("c", 9.0, 1.0)], [peer]) == ()


def test_the_recorded_peers_speak_of_shipped_rows():
    ids = {row.id for row in shipped_rows("training")}
    assert peers()
    for peer in peers():
        assert len(peer.commit) == 40
        assert set(peer.predictions) <= ids


def test_a_peer_without_its_commit_is_refused(monkeypatch):
    monkeypatch.setattr(remarks, "_read", lambda name: {"peers": [{"name": "P", "predictions": {"a": 1.0}}]})
    peers.cache_clear()
    try:
        with pytest.raises(CatalogError, match="commit"):
            peers()
    finally:
        peers.cache_clear()


def test_an_explanation_is_found_by_id_and_by_pattern():
    exact = explanation("nv-mbridge-26.02-pretrain-Qwen3-30B-A3B-8xB200-180G-SXM-mxfp8-g512")
    assert "25.09" in exact
    assert "Two servers" in explanation("qwen-ft-7B-LoRA(multinode)-4-s512")
    assert explanation("no such row") == ""


def test_each_row_is_among_the_worst_once():
    items = [
        Residual("a", "s", "e2e_s", 9.0, 1.0),
        Residual("a", "s", "tpot_s", 8.0, 1.0),
        Residual("b", "s", "tpot_s", 1.5, 1.0),
    ]
    assert [(item.row_id, item.metric) for item in worst(items)] == [("a", "e2e_s"), ("b", "tpot_s")]
