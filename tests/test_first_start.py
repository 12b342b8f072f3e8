"""The first start: kernels are compiled in processes of their own, and the player finds nothing left to compile."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from envs.worlds import compilers
from worldsim.cli.compile_ahead import COMPILE_ENGINE, ENGINE, CompileAhead

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("family", ["minecraft", "dmlab"])
def test_nothing_is_left_to_compile_when_the_compilers_are_done(family: str, tmp_path: Path) -> None:
    for folder in ("worldsim", "worldsim_app", "envs", "training", "assets"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "run_demo.py", tmp_path)
    env = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    env |= {"PYTHONPATH": str(tmp_path), "NUMBA_DEBUG_CACHE": "1", "SDL_AUDIODRIVER": "dummy"}
    words = ["run_demo.py", "--env", family, "--headless", "--steps", "30", "--policy", "needle"]
    done = subprocess.run(
        [sys.executable, *words], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "[cache] data loaded from" in done.stdout  # or the next line could not fail
    assert "[cache] data saved to" not in done.stdout
    jobs = compilers(family, "embedded") | {ENGINE: COMPILE_ENGINE}
    assert len(jobs) == 2
    for folder in jobs:
        assert list((tmp_path / folder.relative_to(ROOT) / "__pycache__").glob("*.nbi"))


def test_what_has_been_compiled_is_not_compiled_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a world that could not write beside its sources sets it
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    marked = tmp_path / "ran"
    job = [["-c", f"open({str(marked)!r}, 'w')"]]
    done = tmp_path / "done" / "__pycache__"
    done.mkdir(parents=True)
    (done / "kernel.nbi").touch()
    CompileAhead({tmp_path / "done": job}).wait()
    assert not marked.exists()
    (tmp_path / "new").mkdir()
    CompileAhead({tmp_path / "new": job}).wait()
    assert marked.exists()


def test_a_compiler_that_fails_stops_nobody(tmp_path: Path) -> None:
    CompileAhead({tmp_path: [["-c", "raise SystemExit(1)"]]}).wait()
