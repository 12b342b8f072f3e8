"""What a wheel holds: two names of ours, and what travels with the program."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONFIGS = ("pyproject.toml", "setup.py", "README.md", "LICENSE")


PACKAGES = ("worldsim", "worldsim_app", "envs", "training")
WRITTEN_DOWN = {"ship.py", "ablation.py", "differences.py", "run.py"}
"""Files that write a command into a result, beside numbers that a checkout gave."""


def said(path: Path) -> list[str]:
    """The texts of a module that are no docstrings."""
    tree = ast.parse(path.read_text("utf-8"))
    bare = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in bare]
    return [node.value for node in found if isinstance(node.value, str)]


def test_what_a_message_tells_to_type_works_without_a_checkout() -> None:
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for text in said(path):
                assert "pip install -e" not in text, f"{path}: {text}"
                assert "python -m training." not in text or path.name in WRITTEN_DOWN, f"{path}: {text}"


def test_a_wheel_has_two_names_and_the_shipped_files(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", minversion="77")
    here = tmp_path / "checkout"
    for folder in (*PACKAGES, "assets"):
        # tens of megabytes, and no rule is theirs
        skipped = shutil.ignore_patterns("__pycache__", "*.safetensors")
        shutil.copytree(ROOT / folder, here / folder, ignore=skipped)
    for name in CONFIGS:
        shutil.copy(ROOT / name, here)
    code = "from setuptools.build_meta import build_wheel; build_wheel('dist')"
    done = subprocess.run([sys.executable, "-c", code], cwd=here, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = (here / "dist").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    info = next(n.split("/")[0] for n in names if ".dist-info/" in n)
    assert {n.split("/")[0] for n in names} == {"worldsim", "worldsim_app", info}
    packages = "worldsim_app/packages"
    expected = {
        "worldsim/py.typed",
        "worldsim_app/py.typed",
        "worldsim/assets/checkpoints/blocks/config.yaml",
        "worldsim/assets/configs/methods/fifo.yaml",
        f"{packages}/envs/labmaze/colours.json",
        f"{packages}/envs/luanti/driver.lua",
        f"{packages}/training/collect.py",
    }
    assert expected <= set(names)

    # Unpacked anywhere, `envs` and `training` are importable after `worldsim_app`, and nothing comes from a checkout.
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = (
        "import worldsim_app; from worldsim.config import shipped; import envs, training; "
        "print(envs.__file__, training.__file__, shipped.ASSETS, sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "site", capture_output=True, text=True, check=True
    )
    assert all(line.startswith(str(tmp_path / "site")) for line in done.stdout.split())
