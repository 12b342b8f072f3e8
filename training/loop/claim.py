"""A folder that one process writes: a second one is refused in a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

LOCK = ".lock"


class FolderInUse(ValueError):
    """Another process is writing into this folder."""


@contextmanager
def claim(folder: Path) -> Iterator[None]:
    """Hold ``folder``, which is made if missing, until the end or the death of this process.

    Raises:
        FolderInUse: another process, or another run of this one, holds it.
        OSError: nothing can be written there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise FolderInUse(
            f"{folder} is being written by another process; wait for it, or choose another folder"
        ) from None
    except NotImplementedError:  # a file system without locks
        yield
        return
    try:
        yield
    finally:
        lock.release()
