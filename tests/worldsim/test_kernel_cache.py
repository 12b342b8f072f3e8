"""Kernels compile where nothing beside them can be written and nobody has a home."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from worldsim import kernel_cache

ROOT = Path(__file__).parents[2]
NOWHERE = "/dev/null/nowhere"  # where not even root can make a folder
KERNEL = "from numba import njit\n\n\n@njit(cache=True)\ndef double(x):\n    return 2 * x\n"


def _env(**more: str) -> dict[str, str]:
    env = {k: v for k, v in os.environ.items() if k not in (kernel_cache.VARIABLE, "XDG_CACHE_HOME")}
    return env | {"PYTHONPATH": str(ROOT), "HOME": NOWHERE, "XDG_CACHE_HOME": NOWHERE} | more


@pytest.fixture
def module(tmp_path: Path) -> Path:
    (folder := tmp_path / "code").mkdir()
    (folder / "kernel.py").write_text(KERNEL)
    (folder / "__pycache__").touch()  # a file, so that no folder can be made there
    return folder


def _run(module: Path, code: str, **env: str) -> str:
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, cwd=module, env=_env(**env), capture_output=True, text=True)
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def test_without_a_place_kernels_are_kept_among_the_temporary_files_of_this_user(
    module: Path, tmp_path: Path
) -> None:
    (temporary := tmp_path / "tmp").mkdir()
    plain = "import sys; sys.path.insert(0, '.'); import kernel; print(kernel.double(4))"
    assert "cannot cache" in _run(module, plain), "what numba does by itself, or this test could not fail"
    first = "from pathlib import Path; from worldsim import kernel_cache as k; print(k.ensure(Path('.')))"
    told = _run(module, f"{first}; {plain}", TMPDIR=str(temporary)).splitlines()
    assert told[-1] == "8"
    folder = Path(told[0])
    assert folder.parent == temporary and not folder.stat().st_mode & 0o077
    assert list(folder.rglob("*.nbi"))
    assert _run(module, f"{first}; {plain}", TMPDIR=str(temporary)).splitlines() == told, "the same again"


def test_a_folder_that_others_can_write_is_not_trusted(module: Path, tmp_path: Path) -> None:
    (temporary := tmp_path / "tmp").mkdir()
    code = "from pathlib import Path; from worldsim import kernel_cache as k; print(k.ensure(Path('.')))"
    known = Path(_run(module, code, TMPDIR=str(temporary)))
    known.chmod(0o777)
    other = Path(_run(module, code, TMPDIR=str(temporary)))
    assert other != known and other.parent == temporary and not other.stat().st_mode & 0o077


def test_where_kernels_can_be_kept_nothing_is_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(kernel_cache.VARIABLE, raising=False)
    assert kernel_cache.ensure(tmp_path) is None
    monkeypatch.setenv(kernel_cache.VARIABLE, "/somewhere")
    assert kernel_cache.ensure(Path(NOWHERE)) is None
    assert os.environ[kernel_cache.VARIABLE] == "/somewhere"
