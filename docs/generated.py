"""The pages and figures that are made by the program itself: ``python docs/generated.py``.

- ``docs/reference/cli.md``: every command with its ``--help``.
- ``docs/reference/question.md``: every key of a question file, from its schema.
- ``docs/reference/sources.md``: every source of the shipped figures, and whom they are credited to.
- ``docs/figures/plan.svg``: the chips over time of the main example.
- the accuracy table between its two marks on the READMEs, from the record that `suanzhang validate` is compared with;
- the table of scenarios in ``docs/guides/audit.md``.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import snippets
import yaml

DOCS = snippets.ROOT / "docs"
QUESTION = snippets.ROOT / "examples" / "gpu-rush-2023" / "question.yaml"
_DRIFT = snippets.ROOT / "src" / "suanzhang" / "evidence" / "data" / "drift.yaml"
_MADE = "<!-- Made by docs/generated.py. Do not edit: `make docs` writes it anew. -->\n"
_METRICS = {
    "step_s": "training step time", "memory_bytes": "memory of the fullest chip", "tpot_s": "time per output token",
    "ttft_s": "time to first token", "e2e_s": "latency of a request or batch",
    "output_tokens_per_s": "output tokens per second",
    "j_per_output_token": "energy per output token",
}  # fmt: skip


def help_of(verb: str) -> str:
    """What `suanzhang VERB --help` prints."""
    from suanzhang.cli.main import run

    snippets.set_terminal()
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        run([verb, "--help"] if verb else ["--help"])
    return "\n".join(line.rstrip() for line in out.getvalue().strip().splitlines())


def verbs() -> list[str]:
    """The commands in the order of the help."""
    from suanzhang.cli.main import app

    return [str(command.name) for command in app.registered_commands]


def cli_page() -> str:
    """Every command with its options."""
    parts = ["# Commands\n", _MADE, _EXIT_CODES, f"\n```text\n{help_of('')}\n```\n"]
    for verb in verbs():
        parts.append(f"\n## {verb}\n\n```text\n{help_of(verb)}\n```\n")
    return "\n".join(parts[:3]) + "".join(parts[3:])


_EXIT_CODES = """\
Every verb prints a readable report; `--json` prints exactly one JSON object on standard output, and progress and warnings
go to standard error. Keys of the JSON only grow. Money is `{amount, currency, date}`; a predicted `X` has its interval
beside it as `X_interval`; every object begins with `version`, `catalog_date` and `seed`.

| exit code | meaning |
|---|---|
| 0 | done |
| 2 | bad input; one line says what is wrong and what to write instead |
| 3 | infeasible; `binding` says what binds, `nearest` the nearest point that works |
| 4 | internal error |
| 5 | `replay` alone: the answer was repeated, and numbers moved |

`NO_COLOR` and `COLUMNS` are respected. `suanzhang --install-completion` completes commands and options in your shell.
"""


def question_page() -> str:
    """Every key of a question file."""
    from suanzhang.app.question import question_schema

    schema = json.loads(question_schema())
    parts = ["# The question file\n", _MADE, _QUANTITIES, "## The question\n", *_keys(schema, schema)]
    titles = {
        "SiteModel": "`site`", "MarketModel": "`market`", "OfferModel": "`market.offers[]`",
        "LeadModel": "`lead` of an offer",
        "HoldingModel": "`have[]`", "TrainModel": "`train[]`", "ServeModel": "`serve[]`",
        "TokensModel": "`tokens` of a service",
        "LengthModel": "`input` and `output` of tokens", "LoadModel": "`load` of a service", "SloModel": "`slo` of a service",
        "PoolModel": "`pools` of a service",
        "ChipsModel": "`chips`",
    }  # fmt: skip
    known = schema.get("$defs", {})
    for name in [*(n for n in titles if n in known), *(n for n in known if n not in titles)]:
        part = known[name]
        if "properties" in part:
            parts += [f"## {titles.get(name, name)}\n", f"{part.get('description', '')}\n", *_keys(part, schema)]
    return "\n".join(parts)


_QUANTITIES = """\
A question is YAML or JSON. `suanzhang plan --schema` prints this page as a JSON schema for an editor. A key that is not
listed is an error that names the nearest one. Quantities are numbers with units: `30e9`, `300B`, `60 d`, `60 MW`, `5%`,
`2 s`, `100 ms`; months are `2023-05`.
"""


def _keys(part: dict[str, Any], schema: dict[str, Any]) -> list[str]:
    rows = ["| key | takes | when left out | meaning |", "|---|---|---|---|"]
    needed = set(part.get("required", ()))
    for name, key in part["properties"].items():
        default = "required" if name in needed else _default(key.get("default"))
        rows.append(f"| `{name}` | {_takes(key)} | {default} | {key.get('description', '')} |")
    return [*rows, ""]


def _default(value: Any) -> str:
    if value is None or value in ({}, []):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


_KINDS = {"string": "text", "number": "number", "integer": "whole number", "boolean": "`true` `false`", "object": "a map"}


def _takes(key: dict[str, Any]) -> str:
    if "$ref" in key:
        return "a map"
    if "enum" in key:
        return " ".join(f"`{word}`" for word in key["enum"])
    if "const" in key:
        return f"`{key['const']}`"
    if "anyOf" in key:
        kinds = dict.fromkeys(_takes(one) for one in key["anyOf"] if one.get("type") != "null")
        return " or ".join(kinds)
    kind = key.get("type", "")
    if kind == "array":
        inner = _takes(key.get("items", {}))
        return f"list of {inner}" if inner != "a map" else "list of maps"
    if "pattern" in key and "19|20" in key["pattern"]:
        return "month"
    return _KINDS.get(kind, "value")


def sources_page() -> str:
    """Every source of the shipped figures."""
    from suanzhang.app.catalog import catalog

    found = catalog("sources")
    rows = ["| key | source | date |", "|---|---|---|"]
    for row in found.rows:
        title, url = str(row["title"]).replace("|", "/"), str(row["url"] or "")
        rows.append(f"| `{row['id']}` | {f'[{title}]({url})' if url else title} | {row['date'] or ''} |")
    return "\n".join(["# Sources and credits\n", _MADE, _CREDITS, "\n## Sources of the catalog\n", *rows, ""])


_CREDITS = """\
Shipped are facts and figures, each with its source; no text and no code of others. `suanzhang catalog chips a100-sxm-80`
shows which value came from which source and how far to trust it. Where a licence asks for credit, it is given here.

| what | from | terms |
|---|---|---|
| efficiency surfaces in `evidence/data/profiles` | fitted to the kernel tables of AIConfigurator (NVIDIA) | Apache-2.0 |
| results of rounds of MLPerf Inference and Training | MLCommons results repositories | Apache-2.0; see below |
| dated prices of hardware, chip counts, cluster figures, cost method | Epoch AI | CC-BY 4.0 |
| monthly list rents by provider | cloud-gpus | list prices of the providers |
| rents of May 2026 | gpu-pricing | MIT |
| measured power of clusters | Acme (Shanghai AI Laboratory) | CC-BY 4.0 |
| shape of request traces read by `serve --trace` | Azure public data set | CC-BY 4.0 |
| carbon intensity of grids | codecarbon; Ministry of Ecology and Environment of China | MIT; official announcement |
| reference rates of currencies | European Central Bank | free with credit |
| published measurements | papers, logs and pages, named row by row by `suanzhang validate --rows` | facts, cited |

MLPerf is a trademark of MLCommons. Figures computed here from its results are not verified by MLCommons.
"""


def accuracy_table() -> str:
    """The errors on record, one row per metric."""
    record = yaml.safe_load(_DRIFT.read_text(encoding="utf-8"))
    rows = ["| | measurements | median error | 90th percentile | in our 90 % interval |", "|---|---:|---:|---:|---:|"]
    for phase, part in record["phases"].items():
        for metric, error in part["metrics"].items():
            rows.append(
                f"| {phase}: {_METRICS.get(metric, metric)} | {error['n']:,} | {error['median_abs_pct']:.0f} % "
                f"| {error['p90_abs_pct']:.0f} % | {_share(error.get('interval90_coverage'))} |"
            )
    return "\n".join(rows)


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.0f} %"


def with_accuracy(text: str) -> str:
    """A page with the table between its marks written anew."""
    pattern = re.compile(r"(<!-- accuracy -->\n).*?(<!-- end -->)", re.S)
    return pattern.sub(lambda found: f"{found.group(1)}{accuracy_table()}\n{found.group(2)}", text)


def scenario_table() -> str:
    """The scenarios that a claims file can name."""
    from suanzhang.app.scenarios import scenarios

    rows = ["| scenario | computes |", "|---|---|"]
    return "\n".join([*rows, *(f"| `{name}` | {' '.join(doc.split())} |" for name, doc in sorted(scenarios().items()))])


def with_scenarios(text: str) -> str:
    """A page with the table of scenarios between its marks written anew."""
    pattern = re.compile(r"(<!-- scenarios -->\n).*?(<!-- end -->)", re.S)
    return pattern.sub(lambda found: f"{found.group(1)}{scenario_table()}\n{found.group(2)}", text)


def plan_figure() -> str:
    """The chips over time of the main example as SVG, legible on light and dark pages."""
    import suanzhang
    from suanzhang.report.blocks import Chart
    from suanzhang.report.figures import svg
    from suanzhang.report.views import report_of

    report = report_of(suanzhang.plan(QUESTION))
    charts: Iterator[Chart] = (block for part in report.sections for block in part.blocks if isinstance(block, Chart))
    chart = next(chart for chart in charts if "hips" in chart.title)
    return svg(chart).replace("currentColor", "#6b7280")


def written() -> dict[Path, str]:
    """Every generated page with its text; the figure is left out, since its digits are those of the machine."""
    pages = {
        DOCS / "reference" / "cli.md": cli_page(),
        DOCS / "reference" / "question.md": question_page(),
        DOCS / "reference" / "sources.md": sources_page(),
    }
    for page in (snippets.ROOT / "README.md", snippets.ROOT / "README.zh.md"):
        pages[page] = with_accuracy(page.read_text(encoding="utf-8"))
    claims = DOCS / "guides" / "audit.md"
    pages[claims] = with_scenarios(claims.read_text(encoding="utf-8"))
    return pages


def write_all() -> None:
    """Write the pages and the figure."""
    for page, text in written().items():
        page.write_text(text, encoding="utf-8")
    (DOCS / "figures" / "plan.svg").write_text(plan_figure(), encoding="utf-8")


if __name__ == "__main__":
    write_all()
