"""The verbs of money: buy, audit, backtest."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from suanzhang.cli.faces import Call
from suanzhang.errors import InputError

QuestionFile = Annotated[Path, typer.Argument(metavar="QUESTION", help="Question file (YAML).")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")]
Table = Path | None


def buy(
    question: QuestionFile,
    scenarios: Annotated[
        int | None, typer.Option("--scenarios", min=1, max=200, help="Futures that the orders must hold in; 20 if left out.")
    ] = None,
    sensitivity: Annotated[bool, typer.Option("--sensitivity", help="Solve again with each fact lower and higher.")] = False,
    cvar: Annotated[float, typer.Option("--cvar", min=0.0, max=1.0, help="Weight of the worst twentieth of futures.")] = 0.0,
    deep: Annotated[bool, typer.Option("--deep", help="50 futures, and the sensitivities.")] = False,
    offers: Annotated[Table, typer.Option("--offers", help="Vendor quotes (CSV or XLSX) that join the market.")] = None,
    have: Annotated[Table, typer.Option("--have", help="Chips that are there already (CSV or XLSX).")] = None,
    actuals: Annotated[Table, typer.Option("--actuals", help="What was really paid by month (CSV or XLSX).")] = None,
    focus: Annotated[Table, typer.Option("--focus", help="Write the cash as FOCUS 1.2 CSV, divided over the jobs.")] = None,
    monte_carlo: Annotated[
        int | None, typer.Option("--monte-carlo", min=1, help="Futures to try the plan in, all that is uncertain drawn.")
    ] = None,
    resume: Annotated[Table, typer.Option("--resume", help="Keep the futures here; a broken run goes on.")] = None,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes for the futures.")] = 1,
    replan: Annotated[Table, typer.Option("--replan", help="Earlier answer (JSON) that has been followed so far.")] = None,
    month: Annotated[str, typer.Option("--month", help="First month that is still open, with --replan.")] = "",
) -> Call:
    """Schedule purchases and rents over months."""
    named: dict[str, object] = {
        "scenarios": scenarios,
        "sensitivity": sensitivity,
        "cvar": cvar or None,
        "deep": deep,
        "offers": str(offers) if offers else None,
        "have": str(have) if have else None,
        "actuals": str(actuals) if actuals else None,
        "focus": str(focus) if focus else None,
        "monte_carlo": monte_carlo,
        "resume": str(resume) if resume else None,
        "workers": workers if workers > 1 else None,
        "replan": str(replan) if replan else None,
        "month": month or None,
    }
    return Call("buy", (question,), named, "scheduling purchases", progress=True)


def audit(
    claims: Annotated[Path | None, typer.Argument(metavar="CLAIMS", help="Claims file (YAML).")] = None,
    scenarios: Annotated[bool, typer.Option("--scenarios", help="List the scenarios with their inputs.")] = False,
    claim: Annotated[str, typer.Option("--claim", help="Ids of the claims to recompute, such as S08; all when left out.")] = "",
    checks: Annotated[
        Path | None,
        typer.Option("--checks", help="Claims file with the scenarios of statements that name none, by the same ids."),
    ] = None,
    seed: Seed = 0,
) -> Call | None:
    """Recompute the claims of a file."""
    if scenarios:
        from suanzhang.app.scenarios import describe_scenarios

        sys.stdout.write(describe_scenarios())
        return None
    if claims is None:
        raise InputError("no claims file given", fix="try `suanzhang audit examples/gpu-rush-2023/claims.yaml`")
    return Call("audit", (claims,), {"claim": claim, "checks": checks, "seed": seed or None}, "recomputing claims")


def backtest(
    chips: Annotated[int, typer.Option("--chips", min=1, help="Most chips that must be at work, whole servers.")] = 64,
    horizon: Annotated[int, typer.Option("--horizon", min=0, max=60, help="Months of each replay; 0 for 12 and 24.")] = 0,
    seed: Seed = 0,
) -> Call:
    """Replay recorded prices without foresight."""
    named = {"chips": chips if chips != 64 else None, "horizon": horizon or None, "seed": seed or None}
    return Call("backtest", (), named, "replaying price history", progress=True)
