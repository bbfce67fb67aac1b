"""What planning without foresight would have cost on recorded prices."""

from __future__ import annotations

from dataclasses import dataclass

from suanzhang.spec.result import Header, Interval, Money, SourceUse


@dataclass(frozen=True, slots=True)
class BacktestRow:
    """One replay: one kind of chip and need, one first month, and the cost of each way.

    Args:
        chip: catalog id.
        need: steady, growing, project (a third of the time) or swinging.
        start: first month, ISO.
        months: length of the replay.
        rent_all: cost of renting by the hour all the time.
        buy_at_once: cost of ordering everything in the first month, renting until it comes.
        planned: cost of planning again each month on what was known then.
        foresight: cost of the best orders in hindsight.
        regret_planned, regret_rent, regret_buy: cost over that of foresight, less one [fraction].
        beaten_by: the simple rule that was cheaper than planning; empty when none was.
        bought: what planning ordered and when, in words.
        contract_all: cost of one-year contracts for the largest need, signed in the first month and again after each year.
        regret_contract: its cost over that of foresight, less one [fraction].
        contract_3y_all: cost of three-year contracts for the largest need, signed in the first month and again after each three
            years, and owed in full, also beyond the replay.
        regret_contract_3y: its cost over that of foresight, less one [fraction].
    """

    chip: str
    need: str
    start: str
    months: int
    rent_all: Money
    buy_at_once: Money
    planned: Money
    foresight: Money
    regret_planned: float
    regret_rent: float
    regret_buy: float
    beaten_by: str
    bought: str
    contract_all: Money
    regret_contract: float
    contract_3y_all: Money
    regret_contract_3y: float


@dataclass(frozen=True, slots=True)
class BacktestResult:
    """The answer of ``backtest``.

    Args:
        header: version, catalog date, seed.
        chips: most chips that had to be at work.
        rows: one for each replay, in the order of chips and months.
        mean_regret: mean regret by rule: planned, rent_all, contract_all, contract_3y_all, buy_at_once.
        worst_regret: largest regret by rule.
        losses: replays in which a simple rule was cheaper than planning.
        sources: of the recorded prices.
        warnings: what a reader must know.
        mean_regret_interval: of the mean regret by rule: first months drawn again with their replays (bootstrap).
    """

    header: Header
    chips: int
    rows: tuple[BacktestRow, ...]
    mean_regret: tuple[tuple[str, float], ...]
    worst_regret: tuple[tuple[str, float], ...]
    losses: int
    sources: tuple[SourceUse, ...] = ()
    warnings: tuple[str, ...] = ()
    mean_regret_interval: tuple[tuple[str, Interval], ...] = ()
