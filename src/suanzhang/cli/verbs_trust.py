"""The verbs that look behind an answer: flags in, a call of the Python API out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

import suanzhang
from suanzhang.cli import verbs
from suanzhang.cli.faces import Call, choose
from suanzhang.errors import InputError
from suanzhang.units import parse_quantity

ResultFile = Annotated[Path, typer.Argument(metavar="RESULT.json", help="An answer that --json or --out wrote.")]


def explain(result: ResultFile) -> Call:
    """Show what an answer is made of, with sources.

    A tree for each answer of every verb that predicts: every term with its unit, its share of the answer, the
    formula that computes it, and the figures that enter it with source and grade. Figures of grade unverified or assumed
    that weigh more than 5 % of an answer come first. --html gives a page whose branches fold.
    """
    return Call("explain", (result,), {}, "walking through the terms")


def cite(
    result: ResultFile,
    format_: Annotated[
        str, typer.Option("--format", help="text, bibtex or csl-json: print the references alone, to be saved.")
    ] = "",
) -> Call | None:
    """List the sources of exactly what an answer used.

    Without --format a report with what each source was used for; with it the bare references on stdout.
    """
    if not format_:
        return Call("cite", (result,), {}, "collecting references")
    call = Call(
        "cite", (result,), {"format": choose("format", format_, ("text", "bibtex", "csl-json"))}, "collecting references"
    )
    sys.stdout.write(str(call.run().text))
    return None


def replay(result: ResultFile) -> Call:
    """Compute an answer again and compare every byte.

    The answer holds what it was asked, files included. Clock readings (search_s, size_s, solve_s, wall_s) are left out;
    whatever else moved is listed with what changed since: version, catalog and its entries, fitted evidence or program. Ends
    with exit code 5 when a number moved, with 0 when none did, even if what is installed has changed.
    """
    return Call("replay", (result,), {}, "computing it again", progress=True)


def diff(
    before: Annotated[Path, typer.Argument(metavar="A.json", help="An answer that --json or --out wrote.")],
    after: Annotated[Path, typer.Argument(metavar="B.json", help="Another answer of the same verb.")],
) -> Call:
    """Compare two answers: what was asked, what came out.

    Inputs that differ come first, then versions, then chips, costs, layouts and the rest of what moved.
    """
    return Call("diff", (before, after), {}, "comparing")


def sensitivity(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="QUESTION", help="A question file, an answer that --json wrote, or train or serve with their flags."
        ),
    ],
    flags: Annotated[list[str] | None, typer.Argument(metavar="[FLAGS]", help="Flags of train or serve.")] = None,
    one_way: Annotated[bool, typer.Option("--one-way", help="Swing inputs alone; no samples for Sobol indices.")] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**31 - 1, help="Seed of the samples.")] = 0,
) -> Call:
    """Show which inputs move an answer most.

    Every input is swung over its range: figures of the catalog by their grade, fitted coefficients by the spread of their
    fits, prices by the offers seen, your own choices by a tenth. Those that weigh most are sampled together (Sobol
    indices). Then what a measurement would be worth: how much the interval narrows once it is made.
    """
    named = {"sobol": 0 if one_way else None, "seed": seed or None}
    if subject not in ("train", "serve"):
        if flags:
            raise InputError(
                f"{flags[0]} together with {subject}", fix="flags belong to `sensitivity train` and `sensitivity serve`"
            )
        return Call("sensitivity", (subject,), named, "swinging inputs", progress=True)
    call = called(subject, flags or [])
    if call.args and len(call.args) == 1:
        raise InputError(f"sensitivity {subject} with a question file", fix="write `suanzhang sensitivity QUESTION`")
    from suanzhang.app.replay_inputs import inputs_of

    inputs = inputs_of(getattr(suanzhang, call.verb), *call.args, **call.given)
    return Call("sensitivity", (subject, inputs), named, "swinging inputs", progress=True)


def called(verb: str, flags: list[str]) -> Call:
    """The call that flags of another verb come down to."""
    inner = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    inner.command(verb)(getattr(verbs, verb))
    found = inner(args=flags, prog_name=f"suanzhang sensitivity {verb}", standalone_mode=False)
    if not isinstance(found, Call):
        raise InputError(f"sensitivity {verb}: no flags of {verb}", fix=f"see `suanzhang {verb} --help`")
    return found


def measure(
    folder: Annotated[
        Path, typer.Option("--folder", help="Where timings.csv, measured.json and the chip's profile go.")
    ] = Path("measured"),
    device: Annotated[str, typer.Option("--device", help="cuda or cpu; the GPU where there is one when left out.")] = "",
    chip: Annotated[str, typer.Option("--chip", help="Catalog id of the chip; found by the device's name when left out.")] = "",
    held_as: Annotated[
        str, typer.Option("--as", metavar="CHIP", help="Hold the device against this chip, whatever it calls itself.")
    ] = "",
    budget: Annotated[str, typer.Option("--budget", help="Longest time of the sweeps.")] = "7min",
) -> Call:
    """Time this machine's device; compare with us.

    Products, attention of prompts and of decoding, memory and launches over many shapes, then one training step and one
    decode loop of a small transformer: under 8 minutes on one GPU. A CPU is measured with small shapes and marked as slow.
    No setting of the device is changed. Needs PyTorch: pip install 'suanzhang[measure]'. A profile of
    the chip is fitted to timings.csv, as `suanzhang calibrate` would. A device that is not the chip of --chip is refused before
    anything is timed.
    """
    from suanzhang.app.measure_report import measured_chip
    from suanzhang.cli.progress import working
    from suanzhang.measure.run import measure as run

    if chip and held_as:
        raise InputError("--chip and --as together", fix="give --chip for what the device is, --as for what to hold it against")
    seconds = parse_quantity(budget, "time", "--budget")
    named, same = chip or held_as, not held_as
    with working("measuring") as progress:
        path = run(
            folder,
            device=device,
            budget_s=seconds,
            progress=progress,
            accept=lambda found: measured_chip(named, found.name, found.memory_bytes, same_device=same),
        )
    options = {"chip": named, "profiles": folder, "same_device": same}
    return Call("compare_measured", (path,), options, "fitting a profile, comparing with predictions")
