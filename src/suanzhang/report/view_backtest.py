"""The report of ``backtest``."""

from __future__ import annotations

from suanzhang.report.blocks import Column, Fact, Facts, Report, Section, Table
from suanzhang.report.common import sources_section, warnings_section
from suanzhang.spec.backtest import BacktestResult

_WORDS = {
    "planned": "planned again each month",
    "rent_all": "always rented",
    "contract_all": "one-year contracts",
    "contract_3y_all": "three-year contracts",
    "buy_at_once": "all bought at once",
}


def backtest(result: BacktestResult) -> Report:
    """One row for each replay, and the mean and worst regret of each rule."""
    mean = dict(result.mean_regret)
    verdict = (
        f"Planning without foresight cost {mean['planned']:.1%} more than the best orders in hindsight on average, always "
        f"renting {mean['rent_all']:.0%}, one-year contracts {mean['contract_all']:.0%}, three-year contracts "
        f"{mean['contract_3y_all']:.0%} and buying at once {mean['buy_at_once']:.0%}; in {result.losses} of "
        f"{len(result.rows)} replays a simple rule was cheaper than planning."
    )
    spread = dict(result.mean_regret_interval)
    facts = [Fact(f"mean regret, {_WORDS[rule]}", value, "fraction", spread.get(rule)) for rule, value in mean.items()]
    facts += [Fact(f"worst regret, {_WORDS[rule]}", value, "fraction") for rule, value in result.worst_regret]
    sections = (
        Section("Regret", (Facts("Regret", (*facts, Fact("most chips at work", result.chips, "chips"))),)),
        Section("Replays", (_table(result),)),
        warnings_section(result.warnings),
        sources_section(result.sources),
    )
    return Report("Plans without foresight on recorded prices", verdict, sections, main="Replays")


def _table(result: BacktestResult) -> Table:
    currency = result.rows[0].planned.currency if result.rows else ""
    columns = (
        Column("chip"),
        Column("need"),
        Column("from"),
        Column("months", "months"),
        Column("planned", currency),
        Column("regret", "%"),
        Column("rent", "%"),
        Column("1 yr", "%"),
        Column("3 yr", "%"),
        Column("buy", "%"),
        Column("beaten by"),
        Column("hindsight", currency, optional=True),
        Column("always rented", currency, optional=True),
        Column("one-year contracts", currency, optional=True),
        Column("three-year contracts", currency, optional=True),
        Column("bought at once", currency, optional=True),
        Column("what was ordered", optional=True),
    )
    rows = tuple(
        (
            r.chip, r.need, r.start, r.months, r.planned.amount, 100.0 * r.regret_planned, 100.0 * r.regret_rent,
            100.0 * r.regret_contract, 100.0 * r.regret_contract_3y, 100.0 * r.regret_buy, r.beaten_by or "–",
            r.foresight.amount, r.rent_all.amount, r.contract_all.amount, r.contract_3y_all.amount, r.buy_at_once.amount,
            r.bought,
        )
        for r in result.rows
    )  # fmt: skip
    note = (
        "regret, rent, 1 yr, 3 yr, buy: cost of planning, of always renting, of contracts over one and over three years and of "
        "buying at once over that of the best orders in hindsight"
    )
    return Table("Replays", columns, rows, note, limit=200)
