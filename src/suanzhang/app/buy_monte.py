"""Monte Carlo over a decided plan: batches of futures on several cores, kept in a file so that a broken run goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from suanzhang.errors import InputError
from suanzhang.money.procurement.calendar import month_name
from suanzhang.money.procurement.montecarlo import BATCH, Decided, Draws, draw_batch
from suanzhang.money.procurement.scenarios import Uncertainty
from suanzhang.money.procurement.solve import Solved
from suanzhang.spec.buy import PurchaseProblem
from suanzhang.spec.buy_monte import Driver, MonteCarlo, RunSpread, ServiceSpread
from suanzhang.spec.draws import interval_of
from suanzhang.spec.result import Interval

MOST_DRAWS = 1_000_000
_DRIVERS = 8


@dataclass(frozen=True, slots=True)
class MonteOptions:
    """How a plan is tried.

    Args:
        draws: how many futures; they are drawn and kept in batches of 200, the last one cut to what was asked.
        seed: of the futures.
        physics: by demand and chip, true over predicted chips (of a service) or time (of a run).
        workers: processes; the answer does not depend on it.
        resume: file in which finished batches are kept; None for none.
    """

    draws: int
    seed: int
    physics: Mapping[tuple[str, str], Interval]
    workers: int = 1
    resume: Path | None = None


def try_plan(
    problem: PurchaseProblem,
    solved: Solved,
    uncertainty: Uncertainty,
    options: MonteOptions,
    tell: Callable[[str], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> MonteCarlo | None:
    """Hold a plan's orders and starts, and draw all else; what is there when ``stop`` says so, None where that is nothing.

    Raises:
        InputError: the number of draws or of workers cannot be used, or the file belongs to another plan or is not one.
    """
    if not 1 <= options.draws <= MOST_DRAWS:
        raise InputError(f"monte-carlo: must be within 1 and {MOST_DRAWS:,}, got {options.draws:,}")
    if options.workers < 1:
        raise InputError(f"workers: must be at least 1, got {options.workers}")
    decided, physics = Decided.of(solved), _physics(solved, options.physics)
    sizes = [min(BATCH, options.draws - first) for first in range(0, options.draws, BATCH)]
    mark = _mark(problem, decided, uncertainty, physics, options.seed)
    kept = _kept(options.resume, mark)
    done = {index: kept[index] for index, size in enumerate(sizes) if index in kept and len(kept[index].cost) == size}
    resumed = sum(sizes[index] for index in done)
    missing = {index: size for index, size in enumerate(sizes) if index not in done}
    for index, draws in _batches(problem, decided, uncertainty, physics, options, missing):
        done[index] = draws
        _keep(options.resume, mark, index, draws)
        if stop():
            break
        tell(f"futures drawn: {sum(sizes[one] for one in done):,} of {options.draws:,}")
    if not done:
        return None
    return _summary([done[index] for index in sorted(done)], problem, options.seed, resumed)


def _batches(
    problem: PurchaseProblem,
    decided: Decided,
    uncertainty: Uncertainty,
    physics: Mapping[str, Interval],
    options: MonteOptions,
    missing: Mapping[int, int],
) -> Iterable[tuple[int, Draws]]:
    given = (problem, decided, uncertainty, dict(physics), options.seed)
    if options.workers == 1 or len(missing) < 2:
        for index, size in missing.items():
            yield index, draw_batch(*given, index, size)
        return
    with ProcessPoolExecutor(min(options.workers, len(missing))) as pool:
        waiting = {pool.submit(draw_batch, *given, index, size): index for index, size in missing.items()}
        for future in as_completed(waiting):
            yield waiting[future], future.result()


def _physics(solved: Solved, given: Mapping[tuple[str, str], Interval]) -> dict[str, Interval]:
    """By demand: the spread on the chip that the plan uses most for it."""
    shape, cell, outcome = solved.shape, solved.cell, solved.outcome
    used: dict[tuple[str, str], float] = {}
    for j, start in enumerate(shape.starts):
        if outcome.starts[j] > 0.5:
            used[shape.runs[start.demand].name, start.need.chip] = start.need.chips
    for j, pair in enumerate(shape.pairs):
        key = shape.services[pair.demand].name, shape.chips[pair.chip]
        used[key] = used.get(key, 0.0) + float(outcome.cells[:, :, cell.pairs + j].sum())
    found: dict[str, Interval] = {}
    for (name, chip), _ in sorted(used.items(), key=lambda item: item[1]):
        if (name, chip) in given:
            found[name] = given[name, chip]
    return found


def _mark(
    problem: PurchaseProblem, decided: Decided, uncertainty: Uncertainty, physics: Mapping[str, Interval], seed: int
) -> str:
    """What a file of batches belongs to: a hash over all that moves a draw."""
    text = repr((problem, sorted(decided.lots.items()), decided.sales.tolist(), decided.starts, uncertainty, physics, seed))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _kept(path: Path | None, mark: str) -> dict[int, Draws]:
    if path is None or not path.exists():
        return {}
    found: dict[int, Draws] = {}
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        try:
            raw = json.loads(line)
            if raw["plan"] != mark:
                raise InputError(f"{path}: line {number}: these futures are of another plan", fix="name another file")
            found[int(raw["batch"])] = Draws(**raw["draws"])
        except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            if number == len(lines):
                break  # the line at which an earlier run was cut off
            raise InputError(f"{path}: line {number} is not a batch of futures", fix="name another file") from error
    if found and len(found) < len(lines):
        whole = "\n".join(lines[: len(lines) - 1]) + "\n"
        path.write_text(whole, encoding="utf-8")
    return found


def _keep(path: Path | None, mark: str, index: int, draws: Draws) -> None:
    if path is None:
        return
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"plan": mark, "batch": index, "draws": asdict(draws)}) + "\n")
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}", fix="name another file") from error


def _summary(batches: list[Draws], problem: PurchaseProblem, seed: int, resumed: int) -> MonteCarlo:
    cost, cash = (np.concatenate([getattr(batch, name) for batch in batches]) for name in ("cost", "cash"))
    over = None if problem.budget is None else float(np.mean(cash > problem.budget * (1.0 + 1e-9)))
    services = []
    for name in batches[0].met:
        met = np.concatenate([batch.met[name] for batch in batches])
        short = np.sum([batch.short_months[name] for batch in batches], axis=0)
        worst = month_name(problem.start, int(np.argmax(short))) if short.any() else ""
        services.append(ServiceSpread(name, float(np.mean(met >= 1.0 - 1e-4)), interval_of(met), worst))
    runs = []
    for name in batches[0].ends:
        ends = np.concatenate([batch.ends[name] for batch in batches])
        due = _due(problem, name)
        in_time = None if due is None else float(np.mean(ends <= due + 1e-9))
        lacking = float(np.mean(np.concatenate([batch.lacking[name] for batch in batches])))
        runs.append(RunSpread(name, interval_of(ends), due, in_time, lacking))
    return MonteCarlo(
        len(cost),
        seed,
        interval_of(cost),
        interval_of(cash),
        over,
        tuple(services),
        tuple(runs),
        _drivers(batches, cost),
        resumed,
    )


def _due(problem: PurchaseProblem, name: str) -> float | None:
    """Months from the start of the plan by which a run was asked to end."""
    demand = next(demand for demand in problem.demands if demand.name == name)
    dates = [float(demand.due_month + 1)] if demand.due_month is not None else []
    dates += [demand.first_month + demand.due_months] if demand.due_months is not None else []
    return min(dates, default=None)


def _drivers(batches: list[Draws], cost: np.ndarray) -> tuple[Driver, ...]:
    from scipy.stats import spearmanr

    found = []
    for name in batches[0].drawn:
        values = np.concatenate([batch.drawn[name] for batch in batches])
        if np.ptp(values) > 0.0 and np.ptp(cost) > 0.0:
            found.append(Driver(name, float(spearmanr(values, cost).statistic)))
    return tuple(sorted(found, key=lambda driver: -abs(driver.rank_correlation))[:_DRIVERS])
