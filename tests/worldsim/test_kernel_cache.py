"""Kernels are kept where they can be, never where others can write, and what the user says stays."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest

from worldsim import kernel_cache


def _unset(monkeypatch: pytest.MonkeyPatch) -> None:
    # so that what a test leaves is undone, where it was not set
    monkeypatch.setenv(kernel_cache.VARIABLE, "")
    monkeypatch.delenv(kernel_cache.VARIABLE)


@pytest.fixture
def readonly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program whose folder cannot be written, with a home and a temporary folder of its own."""
    _unset(monkeypatch)
    monkeypatch.setattr(kernel_cache, "writable", lambda sources: False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def _chosen(monkeypatch: pytest.MonkeyPatch) -> str | None:
    monkeypatch.delitem(sys.modules, "numba", raising=False)  # as at a start
    kernel_cache.choose()
    found = os.environ.get(kernel_cache.VARIABLE)
    monkeypatch.setenv(kernel_cache.VARIABLE, found or "")  # undone with the test
    return found


def test_beside_the_sources_where_that_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    _unset(monkeypatch)
    monkeypatch.setattr(kernel_cache, "writable", lambda sources: True)
    assert _chosen(monkeypatch) is None


def test_what_the_user_says_stays(readonly: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(kernel_cache.VARIABLE, "mine")
    assert _chosen(monkeypatch) == "mine"


def test_else_in_the_users_cache(readonly: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _chosen(monkeypatch) == str(readonly / "home" / "worldsim" / "kernels")
    assert kernel_cache.temporary() is None


def test_else_in_a_temporary_folder_of_this_user_alone(
    readonly: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (readonly / "home").touch()  # nothing can be made in it
    first = Path(_chosen(monkeypatch) or "")
    assert first.parent == readonly and first.stat().st_mode & 0o077 == 0
    assert kernel_cache.temporary() == first
    assert kernel_cache.temporary_folder() == first  # the next start finds it
    first.chmod(0o777)  # somebody else may have put code there
    other = kernel_cache.temporary_folder()
    assert other != first and other.stat().st_mode & 0o077 == 0


def test_a_folder_is_cold_until_a_kernel_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(kernel_cache.VARIABLE, str(tmp_path))
    assert kernel_cache.cold(Path("worldsim/engine/kernels"))
    (tmp_path / "kernels_0123").mkdir()
    (tmp_path / "kernels_0123" / "layers.normalise-1.py311.nbi").touch()
    assert not kernel_cache.cold(Path("worldsim/engine/kernels"))
    monkeypatch.delenv(kernel_cache.VARIABLE)
    assert kernel_cache.cold(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "x.nbi").touch()
    assert not kernel_cache.cold(tmp_path)


def test_what_was_compiled_before_a_source_changed_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever source: a kernel holds those that it calls."""
    _unset(monkeypatch)
    sources, kept = tmp_path / "kernels", tmp_path / "kernels" / "__pycache__"
    kept.mkdir(parents=True)
    for i, path in enumerate(
        (sources / "a.py", kept / "a.old-1.nbi", sources / "b.py", kept / "a.new-1.nbi")
    ):
        path.touch()
        os.utime(path, (1000 + i, 1000 + i))
    kernel_cache.drop_stale(sources)
    assert [path.name for path in kept.iterdir()] == ["a.new-1.nbi"]
    os.utime(sources / "a.py", (2000, 2000))
    kernel_cache.drop_stale(sources)
    assert kernel_cache.cold(sources)
    monkeypatch.setenv(kernel_cache.VARIABLE, str(tmp_path / "elsewhere"))
    index = tmp_path / "elsewhere" / "kernels_0a1b" / "a.old-1.nbi"
    index.parent.mkdir(parents=True)
    index.touch()
    os.utime(index, (1500, 1500))
    kernel_cache.drop_stale(sources)
    assert not index.exists()
