"""A place for compiled kernels where the program's own folder cannot be written and there is no home."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

KERNELS = Path(__file__).parent / "engine" / "kernels"
VARIABLE = "NUMBA_CACHE_DIR"


def ensure(beside: Path = KERNELS) -> Path | None:
    """Let numba keep compiled kernels somewhere; it refuses to compile what it cannot keep. Call it before they load.

    That is beside their sources, or in the user's cache, as numba does by itself; where neither can be written it is a
    folder of this user alone among the temporary files, which is returned.

    Args:
        beside: a folder of sources of kernels.
    """
    if os.environ.get(VARIABLE) or _writable(beside / "__pycache__"):
        return None
    from numba.misc.appdirs import user_cache_dir

    if _writable(Path(user_cache_dir("numba", False))):
        return None
    folder = _private(Path(tempfile.gettempdir()) / f"worldsim-kernels-{getattr(os, 'getuid', int)()}")
    os.environ[VARIABLE] = str(folder)
    from numba.core import config

    config.reload_config()  # it may have been imported before
    return folder


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _private(folder: Path) -> Path:
    """The folder if it is ours and nobody else can write there, for what lies in it is run; else a new one."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        ours = not hasattr(os, "getuid") or (found.st_uid == os.getuid() and not found.st_mode & 0o022)
        if stat.S_ISDIR(found.st_mode) and ours and _writable(folder):
            return folder
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="worldsim-kernels-"))
