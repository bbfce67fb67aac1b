"""The house: layers, sizes, and what the ground floors may not touch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "suanzhang"
PURE = ("spec", "catalog", "perf", "sim", "search", "money", "evidence")
FORBIDDEN_CALLS = {"print", "input", "breakpoint"}
FORBIDDEN_MODULES = {"time", "socket", "requests", "httpx", "urllib", "subprocess", "os"}


def test_layers_and_faces() -> None:
    run = subprocess.run([Path(sys.executable).parent / "lint-imports"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize("path", [p for room in PURE for p in sorted((PACKAGE / room).rglob("*.py"))], ids=str)
def test_lower_floors_do_not_print_or_read_clock_network_or_environment(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in FORBIDDEN_CALLS, f"{path.name}:{node.lineno} calls {node.func.id}"
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        bad = {name.split(".")[0] for name in names} & FORBIDDEN_MODULES
        assert not bad, f"{path.name}:{getattr(node, 'lineno', 0)} imports {bad}"


def test_powers_of_ten_have_one_home() -> None:
    """1e9 and 2**30 as unit factors stand in units.py alone: nothing else may define GB, GiB or TFLOP."""
    for path in PACKAGE.rglob("*.py"):
        if path.name == "units.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Assign):
                names = {target.id for target in node.targets if isinstance(target, ast.Name)}
                assert not names & {"GB", "GIB", "GiB", "TFLOP", "TFLOPS", "GIGA", "TERA"}, f"{path}:{node.lineno}"


def test_package_data_is_not_larger_than_a_small_install_allows() -> None:
    size = sum(path.stat().st_size for path in PACKAGE.rglob("data/**/*") if path.is_file())
    assert size < 20_000_000
