"""Verbs that take names and question files where their rooms take resolved values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from suanzhang.app.buy_sites import placed_sites
from suanzhang.app.plan import DEEP_SCENARIOS, physics_spreads, refined, schedule, size_question
from suanzhang.app.question import read_question
from suanzhang.errors import InputError
from suanzhang.money.figures import instead
from suanzhang.spec.buy import BuyResult
from suanzhang.spec.question import Question

if TYPE_CHECKING:
    from suanzhang.app.calibrate import CalibrationResult

USUAL_SCENARIOS, MOST_SCENARIOS = 20, 200
_GAP_ONE, _GAP_MANY = 1e-3, 5e-3


def buy(
    question: Question | str | Path,
    *,
    scenarios: int | None = None,
    sensitivity: bool = False,
    cvar: float = 0.0,
    deep: bool = False,
    offers: str | Path | None = None,
    have: str | Path | None = None,
    actuals: str | Path | None = None,
    focus: str | Path | None = None,
    monte_carlo: int | None = None,
    resume: str | Path | None = None,
    workers: int = 1,
    replan: str | Path | None = None,
    month: str = "",
    progress: Callable[[str], None] | None = None,
) -> BuyResult:
    """Schedule purchases and rents for everything that a question asks.

    The first Ctrl-C stops the search at the best plan so far, with its bound and gap; a search that has none yet goes on for a
    few seconds until it has one.

    Args:
        question: a question, or a file or text that holds one.
        scenarios: futures that the orders must hold in, 20 when left out; 1 takes everything as expected and has
            whole rents and resales.
        sensitivity: solve again with each fact lower and higher, and with purchase price and rent together.
        cvar: weight of the mean of the worst twentieth of the futures, 0 to 1.
        deep: 50 futures, a little weight on the worst, and the sensitivities.
        offers: vendor quotes (CSV or XLSX) that join the offers of the market.
        have: chips that are there already (CSV or XLSX), beside those of the question.
        actuals: what was really paid by month (CSV or XLSX), to set the plan against.
        focus: where to write the cash of the plan as CSV in the columns of FOCUS 1.2, divided over its jobs.
        monte_carlo: futures in which the plan is tried, its orders and starts held, with prices, deliveries, export
            rules, growth and our own error drawn together.
        resume: file that keeps the batches, so that a broken run goes on where it stopped.
        workers: processes for the batches; the answer does not depend on it.
        replan: an earlier answer of this question (JSON) that has been followed until ``month``: the rest is planned
            again, with the actuals as what was paid where they are given.
        month: first month that is still open, with ``replan``.
        progress: called with a line for each step.

    Raises:
        InputError: the question, a file or a number cannot be used.
        Infeasible: no schedule meets the demands; names what binds and the nearest feasible limits.
        Interrupted: Ctrl-C came before there was a plan.
    """
    from suanzhang.app.buy import RiskOptions
    from suanzhang.app.buy_monte import MonteOptions
    from suanzhang.app.buy_spread import spread_bought
    from suanzhang.app.focus import charge_back, focus_csv
    from suanzhang.app.quotes import compare_actuals, with_files
    from suanzhang.app.serve_weak import weak_buying
    from suanzhang.app.unit_costs import charging, with_unit_costs
    from suanzhang.app.watching import watched

    asked = with_files(question if isinstance(question, Question) else read_question(question), offers, have)
    notes: tuple[str, ...] = ()
    if (replan is None) != (not month):
        raise InputError("replan and month go together", fix="give the earlier answer and the first open month")
    if replan is not None:
        from suanzhang.app.quotes import paid_before
        from suanzhang.app.replan import later_question

        spent = None if actuals is None else paid_before(actuals, month)
        asked, notes = later_question(asked, replan, month, spent)
        actuals = None
    tell, deep = progress or (lambda _: None), deep or asked.deep
    count = scenarios if scenarios is not None else (DEEP_SCENARIOS if deep else USUAL_SCENARIOS)
    if not 1 <= count <= MOST_SCENARIOS:
        raise InputError(f"scenarios: must be within 1 and {MOST_SCENARIOS}, got {count}")
    if not 0.0 <= cvar <= 1.0:
        raise InputError(f"cvar: must be within 0 and 1, got {cvar:g}")
    weight = (cvar or (0.1 if deep else 0.0)) if count > 1 else 0.0
    gap = _GAP_MANY if count > 1 else _GAP_ONE
    risk = RiskOptions(count, asked.seed, weight, values=True, sensitivity=sensitivity or deep, gap=gap)
    if resume is not None and monte_carlo is None:
        raise InputError("resume: there is nothing to go on with", fix="say how many futures with monte_carlo")
    with instead(dict(asked.costs)):
        sized = size_question(asked, tell)
        if monte_carlo is not None:
            kept = None if resume is None else Path(resume)
            risk = replace(risk, monte=MonteOptions(monte_carlo, asked.seed, physics_spreads(sized), workers, kept))
        tell("schedule purchases")
        with watched(progress) as (watch, stop):
            found = schedule(sized, deep=deep, risk=risk, watch=watch, progress=tell)
            if count == 1:
                sized, found = refined(
                    sized, found, lambda other: schedule(other, deep=False, risk=risk, watch=watch, progress=tell), watch.stop
                )
            charged = charge_back(found, *charging(sized))
            found = replace(found, charge_back=charged, warnings=(*notes, *found.warnings), interrupted=stop.early)
            sites = [item.site.id for item in placed_sites(asked, sized.world)] or [sized.world.site.id]
            found = replace(found, title=asked.title, market=sized.world.market.id, site=", ".join(sites))
            if actuals is not None:
                found = replace(found, actuals=compare_actuals(found, actuals))
            if focus is not None:
                _write_text(Path(focus), focus_csv(found, asked.title or "plan", mtokens=charging(sized)[0]))
            return replace(with_unit_costs(spread_bought(found, sized), sized), weak_inputs=weak_buying(found, asked))


def _write_text(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path} ({error.strerror})", fix="give a path that can be written") from None


def calibrate(
    paths: Sequence[str | Path], chip: str, stack: str, folder: str | Path | None = None, *, source: str = "own measurement"
) -> CalibrationResult:
    """Fit a profile of a chip and its software to files of kernel timings.

    Args:
        paths: files of timings.
        chip: catalog id or alias of the chip that was timed.
        stack: engine or library with its version.
        folder: where to write the profile; None to write nothing.
        source: where the timings come from.

    Raises:
        InputError: a file cannot be used; nothing is written.
    """
    from suanzhang.app.calibrate import calibrate as fit
    from suanzhang.catalog.chips import chip as find_chip

    return fit(paths, find_chip(chip), stack, Path(folder) if folder else None, source=source)
