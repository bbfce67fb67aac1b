"""Run one benchmark: ``python -m benchmarks NAME [--json] [options of that benchmark]``."""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

NAMES = ("sim", "fleet", "search", "buy", "cluster", "start")


def main(arguments: list[str]) -> int:
    names = [argument for argument in arguments if not argument.startswith("-")]
    if not arguments or arguments[0] not in NAMES:
        print(f"benchmarks: name one of {', '.join(NAMES)}" + (f", not {names[0]!r}" if names else ""), file=sys.stderr)
        return 2
    name, options = arguments[0], [argument for argument in arguments[1:] if argument != "--json"]
    try:
        module = importlib.import_module(f"benchmarks.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"benchmarks.{name}":
            raise
        print(f"benchmarks: {name} is not there yet", file=sys.stderr)
        return 2
    row: dict[str, Any] = {"benchmark": name, **module.run(options)}
    if "--json" in arguments:
        print(json.dumps(row))
    else:
        width = max(map(len, row))
        for key, value in row.items():
            print(f"{key:<{width}}  {value:,.6g}" if isinstance(value, float) else f"{key:<{width}}  {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
