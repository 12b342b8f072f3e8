"""Where compiled kernels are kept: beside their sources, or where those cannot be written, in the user's cache.

numba compiles a kernel when it is first called and keeps it on disk. Where a program is installed for all, its folder
cannot be written; then the user's cache serves, and where that cannot be written either, a folder of this user alone
among the temporary ones, which lasts until the machine cleans it up. What is kept there is code that is run: a folder
that others could write is never used.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

VARIABLE = "NUMBA_CACHE_DIR"
SOURCES = Path(__file__).resolve().parent / "engine" / "kernels"


def choose() -> None:
    """Tell numba, here and in the processes that are started from here; what the user has told it stays."""
    if VARIABLE not in os.environ and not writable(SOURCES):
        folder = user_folder() if _made(user_folder()) else temporary_folder()
        os.environ[VARIABLE] = str(folder)
        if "numba" in sys.modules:  # which reads its environment once
            sys.modules["numba"].config.CACHE_DIR = str(folder)
    drop_stale(SOURCES)


def drop_stale(sources: Path) -> None:
    """Drop what was compiled before any source changed: a kernel holds those that it calls, of other files, too, and
    numba asks for the date of its own alone."""
    changed = max((path.stat().st_mtime for path in sources.glob("*.py")), default=0.0)
    for index in _indices(sources):
        with contextlib.suppress(OSError):  # another process was faster
            if index.stat().st_mtime < changed:
                index.unlink()


def user_folder() -> Path:
    """The kernels' folder in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "worldsim" / "kernels"


def temporary_folder() -> Path:
    """A folder among the temporary ones that is this user's alone: the one of the last start, or a new one."""
    user = str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    folder = Path(tempfile.gettempdir()) / f"worldsim-kernels-{user}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        private = not hasattr(os, "getuid") or (status.st_uid == os.getuid() and not status.st_mode & 0o077)
        if stat.S_ISDIR(status.st_mode) and private and os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="worldsim-kernels-"))


def temporary() -> Path | None:
    """The folder, where kernels are kept for a while only; the next start after that compiles again."""
    folder = Path(os.environ.get(VARIABLE, ""))
    return folder if folder.name.startswith("worldsim-kernels-") else None


def cold(sources: Path) -> bool:
    """Whether no kernel of this folder of sources has been kept yet."""
    return (VARIABLE in os.environ or writable(sources)) and not any(_indices(sources))


def _indices(sources: Path) -> Iterator[Path]:
    """The files that say what of a folder of sources has been kept."""
    if VARIABLE in os.environ:
        return Path(os.environ[VARIABLE]).glob(f"{sources.name}_*/*.nbi")
    return (sources / "__pycache__").glob("*.nbi")


def writable(sources: Path) -> bool:
    """Whether kernels can be kept beside their sources."""
    kept = sources / "__pycache__"
    return os.access(kept if kept.exists() else sources, os.W_OK)


def _made(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)
