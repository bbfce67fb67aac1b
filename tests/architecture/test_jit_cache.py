"""Machine code kept on disk must not outlive the sources that it was made from, callees in other files included."""

import shutil
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "src" / "suanzhang"
FILES = ("__init__.py", "jit.py", "perf/__init__.py", "perf/args.py", "perf/residual.py", "perf/warm.py", "perf/gemm.py")
ASK = """
from suanzhang.perf.args import GemmArgs, no_residual
from suanzhang.perf.gemm import gemm_s
args = GemmArgs(1e15, 3e12, 132.0, 2.0, 2.0, 2.0, 0.8, 0.8, 128.0, 3e-6, 0.5, 3e13, 0.4, no_residual(), no_residual())
print(gemm_s(4096.0, 4096.0, 4096.0, 1.0, args))
"""


def _ask(root: Path) -> float:
    run = subprocess.run(
        [sys.executable, "-c", ASK], env={"PYTHONPATH": str(root)}, cwd=root, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return float(run.stdout)


def test_an_edited_callee_in_another_file_changes_the_number(tmp_path: Path) -> None:
    for name in FILES:
        target = tmp_path / "suanzhang" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(SOURCE / name, target)
    before = _ask(tmp_path)
    caches = tmp_path / "suanzhang" / "__pycache__" / "formulas"
    assert len(list((caches / "perf.gemm").iterdir())) == 1, "the first run keeps its machine code"
    assert _ask(tmp_path) == before
    callee = tmp_path / "suanzhang" / "perf" / "residual.py"
    text = callee.read_text(encoding="utf-8")
    assert "return float(ratio)" in text
    callee.write_text(text.replace("return float(ratio)", "return 3.0 * ratio"), encoding="utf-8")
    assert abs(_ask(tmp_path) / before - 9.0) < 1e-9, "two tables, each three times as large"
    assert len(list((caches / "perf.gemm").iterdir())) == 2
