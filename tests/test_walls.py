"""The walls of the house: who may import whom, as pyproject.toml states it; the size of rooms, files and functions."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("worldsim", "worldsim_app", "envs", "training")
FILES = [file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]
TREES = {str(file.relative_to(ROOT)): ast.parse(file.read_text("utf-8")) for file in FILES}


def _is_kernel_file(tree: ast.Module) -> bool:
    """Kernels are long by nature: numba compiles a file of them as a whole."""
    modules = [n.module or "" for n in tree.body if isinstance(n, ast.ImportFrom)]
    modules += [alias.name for n in tree.body if isinstance(n, ast.Import) for alias in n.names]
    return any(module.partition(".")[0] == "numba" for module in modules)


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


def test_nobody_imports_through_a_wall() -> None:
    code = "from importlinter.cli import lint_imports_command as run; run()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    assert "11 kept, 0 broken" in done.stdout


@pytest.mark.parametrize("package", ["worldsim", "training"])
def test_a_package_has_at_most_sixteen_rooms(package: str) -> None:
    entries = [f.name for f in (ROOT / package).iterdir() if f.suffix == ".py" or f.is_dir()]
    rooms = sorted(set(entries) - {"__init__.py", "__pycache__"})
    assert len(rooms) <= 16, rooms


def test_a_file_has_at_most_300_lines_and_a_function_60() -> None:
    plain = {name: tree for name, tree in TREES.items() if not _is_kernel_file(tree)}
    assert len(plain) > 200
    long = {name: n for name in plain if (n := len((ROOT / name).read_text("utf-8").splitlines())) > 300}
    assert not long
    assert not {
        f"{name}:{f.lineno}": f.name
        for name, tree in plain.items()
        for f in _functions(tree)
        if f.end_lineno is not None and f.end_lineno - f.lineno >= 60
    }


def test_what_is_one_idea_is_defined_once() -> None:
    """The frames between two corrections, 15 degrees as a unit of turning, the step, the dream, the needle protocol."""
    bound = [
        (name, target.id)
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in ast.walk(ast.Tuple(node.targets, ast.Store()))
        if isinstance(target, ast.Name)
    ]
    assert [name for name, of in bound if of == "BLIND"] == ["worldsim/session/interfaces.py"]
    assert [name for name, of in bound if of == "TURN_UNIT"] == ["worldsim/models/geometry.py"]
    classes = [
        (name, n.name) for name, tree in TREES.items() for n in ast.walk(tree) if isinstance(n, ast.ClassDef)
    ]
    assert [name for name, of in classes if of == "Dream" and "dream/" in name] == ["worldsim/dream/env.py"]
    functions = [(name, f.name) for name, tree in TREES.items() for f in _functions(tree)]
    assert [name for name, of in functions if of == "replay" and "training/" in name] == [
        "training/evaluation/lockstep.py"
    ]
    assert [name for name, of in functions if of == "imagine"] == ["worldsim/engine/step.py"]
