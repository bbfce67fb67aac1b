"""Public formulas carry the sections that make them auditable."""

import ast
import importlib.util
from pathlib import Path

import pytest

SECTIONS = ("Model:", "Args:", "Returns:", "Equation:", "Validity:", "Sources:", "Example:")
MODULES = (
    "perf.args",
    "perf.gemm",
    "perf.attention",
    "perf.moe",
    "perf.elementwise",
    "perf.collectives",
    "perf.residual",
    "perf.energy",
    "perf.goodput",
    "money.annuity",
    "money.depreciation",
    "money.economics",
)


def _functions(module: str) -> list[ast.FunctionDef]:
    spec = importlib.util.find_spec(f"suanzhang.{module}")
    assert spec is not None and spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    return [node for node in tree.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")]


@pytest.mark.parametrize("module", MODULES)
def test_public_formulas_have_every_section(module: str) -> None:
    functions = _functions(module)
    assert functions
    for function in functions:
        text = ast.get_docstring(function) or ""
        missing = [name for name in SECTIONS if f"\n{name}" not in text]
        assert not missing, f"{module}.{function.name} lacks {', '.join(missing)}"
        assert ">>>" in text, f"{module}.{function.name} has no example that runs"
