"""The command ``suanzhang``."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from suanzhang import __version__
from suanzhang.app.interrupts import raise_interrupt
from suanzhang.cli import verbs, verbs_import, verbs_money, verbs_post_training, verbs_serve, verbs_train, verbs_trust
from suanzhang.cli.faces import FirstPlanOnly, NumbersMoved, faced
from suanzhang.cli.failures import EXIT_INTERRUPTED, EXIT_MOVED, report_failure, unexpected
from suanzhang.errors import InputError, Interrupted, PlannerError

app = typer.Typer(
    name="suanzhang",
    help="How many chips a large model needs, which ones, in which layout, when, and at what cost.",
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_FlagError: type[Any] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


def _version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"suanzhang {__version__}\n")
        raise typer.Exit()


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    if context.invoked_subcommand is None and not context.resilient_parsing:
        sys.stdout.write(context.get_help() + "\n")


_VERBS: tuple[Callable[..., Any], ...] = (
    verbs.plan,
    verbs.train,
    verbs_train.goodput,
    verbs_train.variants,
    verbs_train.scaling,
    verbs.serve,
    verbs_serve.improve,
    verbs_serve.simulate,
    verbs_money.buy,
    verbs_money.audit,
    verbs.validate,
    verbs_money.backtest,
    verbs.calibrate,
    verbs.catalog,
    verbs_trust.explain,
    verbs_trust.sensitivity,
    verbs_trust.cite,
    verbs_trust.replay,
    verbs_trust.diff,
    verbs_trust.measure,
)
_GPT3 = "--model gpt3-175b --tokens 300B --chips a100-sxm-80:1024"
_QUESTION = "examples/gpu-rush-2023/question.yaml"
_EXAMPLES: dict[str, tuple[str, ...]] = {
    "plan": (f"plan {_QUESTION}", f"plan {_QUESTION} --deep --html plan.html", "plan --schema"),
    "train": (f"train {_GPT3}", f"train {_GPT3} --layout tp=8,pp=8", f"train {_QUESTION}"),
    "goodput": ("goodput --model llama-3.1-405b --tokens 15T --chips h100-sxm-80:16384 --global-batch 2048",),
    "scaling": ("scaling --chips h100-sxm-80 --budget 20M --deadline 2027-06-30", "scaling --flop 1e24"),
    "variants": ("variants --model gpt3-175b --tokens 300B --count 1024 --price-per-chip-h 2",),
    "serve": (
        "serve --model llama-3-70b --chip h100-sxm-80 --isl 1000 --osl 300 --rate 20 --ttft-p99 2s --tpot-p99 50ms",
        f"serve {_QUESTION} --chip a800-sxm-80",
    ),
    "improve": (f"improve {_QUESTION}", "improve examples/2026-10/question.yaml --lossless --html levers.html"),
    "simulate": (
        "simulate --model llama-3.1-8b --chip h100-sxm-80 --isl 200 --osl 300 --rate 200 --peak-to-mean 1.8 --mtbf 30d",
        "simulate examples/2026-10/question.yaml --chip h200 --autoscale",
    ),
    "buy": (f"buy {_QUESTION} --csv",),
    "audit": ("audit examples/gpu-rush-2023/claims.yaml",),
    "validate": ("validate --phase training", "validate --truth runs.jsonl --rows --json"),
    "calibrate": (
        "calibrate timings.parquet --chip h100-sxm-80 --stack vllm-0.14.0 --folder profiles",
        "calibrate --runs runs.csv --keep own.json",
    ),
    "catalog": ("catalog chips", "catalog models llama-3-70b", "catalog offers --csv"),
    "sensitivity": (
        f"sensitivity train {_GPT3} --layout tp=8,pp=8",
        "sensitivity serve --model llama-3-8b --chip h100-sxm-80 --isl 512 --osl 256 --rate 20",
        f"sensitivity {_QUESTION}",
    ),
    "post-train": (
        "post-train --model llama-3.1-8b --chips h100-sxm-80:64 --method grpo --response-tokens 2000",
        "post-train --model llama-3.1-70b --chips h100-sxm-80:8 --method sft --adapters lora --examples 100K",
    ),
    "import": ("import pretrain.sh --chips h100-sxm-80:512", "import bench.json --chips h100-sxm-80 --layout tp=2"),
    "rest": ("rest --port 8000",),
}


def _examples(verb: str) -> str | None:
    """What stands below the options of a verb; the mark at the start keeps the lines as they are."""
    lines = _EXAMPLES.get(verb, ())
    return "\n".join(["\b", "Examples:", *(f"  suanzhang {line}" for line in lines)]) if lines else None


_PASSES_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
"""Settings of a verb that hands the flags of another one on."""
for _verb in _VERBS:
    _settings = _PASSES_ON if _verb is verbs_trust.sensitivity else None
    app.command(_verb.__name__, epilog=_examples(_verb.__name__), context_settings=_settings)(faced(_verb))
app.command("post-train", epilog=_examples("post-train"))(faced(verbs_post_training.post_train))
app.command("import", epilog=_examples("import"))(faced(verbs_import.import_))
app.command("rest", epilog=_examples("rest"))(verbs.rest)


def run(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit code: 0 done, 2 bad input, 3 infeasible, 4 internal error, 5 numbers moved."""
    as_json = "--json" in arguments
    try:
        code = app(args=list(arguments), prog_name="suanzhang", standalone_mode=False)
        sys.stdout.flush()
    except PlannerError as error:
        return report_failure(error, as_json=as_json)
    except typer.Exit as exit_:
        code = int(exit_.exit_code)
    except NumbersMoved:
        return EXIT_MOVED
    except FirstPlanOnly:
        sys.stderr.write("interrupted before the search had a plan: the first one that was found is given\n")
        return EXIT_INTERRUPTED
    except (typer.Abort, KeyboardInterrupt):
        return _interrupted(arguments, as_json=as_json)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except _FlagError as error:
        verb = next((word for word in arguments if not word.startswith("-")), "")
        known = {command.name for command in app.registered_commands}
        help_of = f"suanzhang {verb} --help" if verb in known else "suanzhang --help"
        message = " ".join(str(error.format_message()).split()).rstrip(".")
        return report_failure(InputError(message, fix=f"see `{help_of}`"), as_json=as_json)
    except Exception as error:  # noqa: BLE001 - the one place where what nobody foresaw becomes one line
        failure = unexpected(error)
        failure.__cause__ = error
        return report_failure(failure, as_json=as_json)
    if code == EXIT_INTERRUPTED:  # what the parser makes of Ctrl-C
        return _interrupted(arguments, as_json=as_json)
    return code if isinstance(code, int) else 0


def _interrupted(arguments: Sequence[str], *, as_json: bool) -> int:
    """One line for work that was ended before there was an answer."""
    if not {"buy", "plan"} & set(arguments[:1]):
        sys.stderr.write("interrupted\n")
        return EXIT_INTERRUPTED
    return report_failure(Interrupted("interrupted before there was a plan", fix="let it run longer"), as_json=as_json)


def main() -> None:
    """Entry point of the command."""
    signal.signal(signal.SIGINT, raise_interrupt)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
