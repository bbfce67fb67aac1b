"""The folder of compiled formulas follows exactly the sources that a formula can reach."""

from pathlib import Path

from suanzhang import jit

_PERF = Path(jit.__file__).parent / "perf"


def test_imports_of_a_source_are_found_to_the_ground() -> None:
    names = {path.name for path in jit._imports((_PERF / "training" / "step.py").resolve())}
    assert {"memory.py", "jit.py"} <= names


def test_a_changed_callee_moves_the_folder_of_its_callers_only(monkeypatch) -> None:
    callee = (_PERF / "training" / "memory.py").resolve()
    caller, stranger = (_PERF / "training" / "step.py").resolve(), (_PERF / "serving" / "steady.py").resolve()
    before = jit.sources_hash.__wrapped__(caller), jit.sources_hash.__wrapped__(stranger)
    read = jit._text
    monkeypatch.setattr(jit, "_text", lambda path: read(path) + ("#" if path == callee else ""))
    assert jit.sources_hash.__wrapped__(caller) != before[0]
    assert jit.sources_hash.__wrapped__(stranger) == before[1]


def test_an_edit_beside_a_running_process_does_not_name_its_machine_code(monkeypatch) -> None:
    """The process runs what it imported; code that it compiles later must not be kept under the hash of the edit."""
    callee, caller = ((_PERF / "training" / name).resolve() for name in ("memory.py", "step.py"))
    before = jit.sources_hash.__wrapped__(caller)
    read = Path.read_text
    monkeypatch.setattr(Path, "read_text", lambda path, **how: read(path, **how) + ("#" if path == callee else ""))
    assert jit.sources_hash.__wrapped__(caller) == before


def test_a_formula_outside_the_package_is_compiled_without_a_folder() -> None:
    assert jit.formula(lambda x: x + 1.0)(1.0) == 2.0
