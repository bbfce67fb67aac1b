"""Ctrl-C at any moment of `buy` and `plan`: one clear line, or the best plan so far with its bound and gap; never a trace."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

import suanzhang
from suanzhang.errors import Interrupted

COMMAND = str(Path(sys.executable).with_name("suanzhang"))
HARD = str(Path(__file__).with_name("hard-two-sites.yaml"))
LISTENING = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
"""Put in force in each child: a test run in the background hands an ignored SIGINT down to its children."""
ONE_FUTURE = {"buy": {"scenarios": 1}, "plan": {}}


def _at(word: str, seen: list[str]):
    """Progress that presses Ctrl-C when a line begins with a word."""

    def progress(line: str) -> None:
        pressed = any(one.startswith(word) for one in seen)
        seen.append(line)
        if line.startswith(word) and not pressed:
            signal.raise_signal(signal.SIGINT)

    return progress


@pytest.mark.parametrize("verb", ["buy", "plan"])
def test_a_search_that_has_a_plan_gives_it_with_its_bound(verb: str) -> None:
    seen: list[str] = []
    found = getattr(suanzhang, verb)(HARD, progress=_at("schedule purchases: plan at", seen), **ONE_FUTURE[verb])
    bought = found.buy if verb == "plan" else found
    assert bought.stopped and not bought.interrupted
    assert bought.bound < bought.cost.amount
    assert bought.gap == pytest.approx((bought.cost.amount - bought.bound) / bought.cost.amount, rel=1e-3)
    assert bought.gap > 0.01  # it was stopped long before the gap that it looks for
    assert sum(row.cost.amount for row in bought.schedule) == pytest.approx(bought.cost.amount, abs=0.01)
    assert any("no plan costs less than" in line for line in bought.warnings)
    told = next(line for line in seen if line.startswith("schedule purchases: plan at"))
    assert "bound" in told and "gap" in told
    if verb == "plan":
        assert {flip.effect for flip in found.flips} == {"not answered: stopped"}


def _unplanned(monkeypatch: pytest.MonkeyPatch, patience_s: float) -> None:
    """Press Ctrl-C as soon as the solver is given the problem."""
    from suanzhang.app import watching
    from suanzhang.money.procurement import solve

    monkeypatch.setattr(watching, "_PATIENCE_S", patience_s)
    whole = solve.programme_of

    def pressed(form: object) -> object:
        signal.raise_signal(signal.SIGINT)
        monkeypatch.setattr(solve, "programme_of", whole)
        return whole(form)

    monkeypatch.setattr(solve, "programme_of", pressed)


@pytest.mark.parametrize("verb", ["buy", "plan"])
def test_a_search_without_a_plan_goes_on_to_its_first_one(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _unplanned(monkeypatch, 60.0)
    found = getattr(suanzhang, verb)(HARD, **ONE_FUTURE[verb])
    bought = found.buy if verb == "plan" else found
    assert bought.stopped and bought.interrupted
    assert 0.0 < bought.gap < 1.0
    assert bought.schedule


@pytest.mark.parametrize("verb", ["buy", "plan"])
def test_a_search_that_finds_no_plan_in_time_says_so(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _unplanned(monkeypatch, 1e-9)
    with pytest.raises(Interrupted, match="before there was a plan"):
        getattr(suanzhang, verb)(HARD, **ONE_FUTURE[verb])


def test_what_stands_beside_the_plan_stops_too() -> None:
    found = suanzhang.buy("examples/2026-10/two-sites.yaml", scenarios=5, sensitivity=True, progress=_at("what waiting", []))
    assert found.stopped and not found.interrupted
    assert found.value_of_waiting is None and found.evpi is None and found.swings == ()
    assert found.gap <= 0.01
    assert any(line.startswith("stopped after the search") for line in found.warnings)


def test_futures_that_were_drawn_are_kept() -> None:
    given = {"scenarios": 1, "monte_carlo": 1000}
    found = suanzhang.buy("examples/2026-10/two-sites.yaml", progress=_at("futures drawn: 200", []), **given)
    assert found.monte_carlo is not None
    assert 200 <= found.monte_carlo.draws < 1000


@pytest.mark.parametrize(("verb", "delay_s"), [("buy", 0.25), ("buy", 0.5), ("buy", 5.0), ("plan", 1.0), ("plan", 6.0)])
def test_ctrl_c_at_any_moment_is_a_plan_or_one_line(verb: str, delay_s: float) -> None:
    words = [COMMAND, verb, HARD, "--json", *(("--scenarios", "1") if verb == "buy" else ())]
    run = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=LISTENING)
    try:
        time.sleep(delay_s)
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=120)
    finally:
        run.kill()
    assert "Traceback" not in err
    assert run.returncode in (0, 130)
    body = json.loads(out) if out else {}
    bought = body.get("buy", body)
    if "schedule" in bought:
        assert bought["bound"] <= bought["cost"]["amount"]
        assert (run.returncode == 130) == bought["interrupted"]
    else:
        assert run.returncode == 130
        assert "interrupted" in err.splitlines()[-1]
        assert not body or body["error"]["kind"] == "interrupted"


def test_progress_shows_bound_and_gap_on_a_terminal() -> None:
    outer, inner = pty.openpty()
    words = [COMMAND, "buy", HARD, "--scenarios", "1", "--json"]
    run = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=inner, preexec_fn=LISTENING)
    os.close(inner)
    shown = b""
    end = time.monotonic() + 60.0
    while b"gap" not in shown and time.monotonic() < end:
        try:
            shown += os.read(outer, 4096)
        except OSError:
            break
    run.send_signal(signal.SIGINT)
    while True:
        try:
            if not os.read(outer, 4096):
                break
        except OSError:
            break
    run.wait(timeout=60)
    os.close(outer)
    assert b"bound" in shown and b"gap" in shown
