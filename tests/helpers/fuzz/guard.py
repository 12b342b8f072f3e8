"""What is watched while a door is gone through: exceptions, time, memory, and what is written, run or connected to."""

from __future__ import annotations

import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

SECONDS, MEMORY = 5.0, 1024.0
"""What one case may take: seconds of processor time (the machine may have other work), and MiB on top of what was."""
RUN = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.spawn", "socket.connect")
CHANGE = (
    "os.remove",
    "os.rename",
    "os.mkdir",
    "os.rmdir",
    "os.symlink",
    "os.link",
    "os.truncate",
    "shutil.rmtree",
)


class Hang(BaseException):
    """A door was not through after :data:`SECONDS`."""


@dataclass
class Watch:
    """Counts of one kind of case; ``faults`` are what must not be: (number of the case, what happened)."""

    cases: int = 0
    opened: int = 0
    refused: int = 0
    slowest: float = 0.0
    faults: list[tuple[int, str]] = field(default_factory=list)


_box: list[str] = []
_seen: list[str] = []


def _hook(event: str, values: tuple[Any, ...]) -> None:
    if not _box:
        return
    if event in RUN or event == "pickle.find_class":
        _seen.append(f"{event} {values!r}"[:200])
    elif event == "open":
        path, mode, flags = (*values, None, None)[:3]
        writes = (isinstance(mode, str) and set(mode) & set("wax+")) or (
            isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        )
        if writes and not isinstance(path, int):
            _look(event, path)
    elif event in CHANGE:
        pair = 2 if event in ("os.rename", "os.link") else 1
        for i, path in enumerate(values[:pair]):
            if not isinstance(path, int):
                opened = values[pair + i] if len(values) > pair + i and event != "os.symlink" else -1
                near = opened if event in ("os.remove", "os.rmdir", "os.rename", "os.link") else -1
                _look(event, path, near)


def _look(event: str, path: Any, near: Any = -1) -> None:
    try:
        if isinstance(near, int) and near >= 0:  # a name in a folder that is open
            path = os.path.join(os.readlink(f"/proc/self/fd/{near}"), os.fsdecode(path))  # noqa: PTH115, PTH118
        place = os.path.abspath(os.fsdecode(path))  # noqa: PTH100  (no link is followed, nothing is opened)
    except (TypeError, ValueError):
        return
    allowed = (_box[0], os.devnull, tempfile.gettempdir() + "/tmp", "/proc/")
    if not place.startswith(allowed) and "__pycache__" not in place:
        _seen.append(f"{event} {place}")


def install() -> None:
    """Begin to listen to what this process does; once, for good."""
    sys.addaudithook(_hook)


@contextmanager
def in_box(folder: Path) -> Iterator[None]:
    """While it lasts, whatever is written outside of ``folder`` is noted."""
    _seen.clear()
    _box.append(str(folder))
    try:
        yield
    finally:
        _box.clear()


def go(
    watch: Watch, case: int, folder: Path, door: Callable[[], bool], own: tuple[type[Exception], ...]
) -> None:
    """Go through a door, which says whether it opened; ``own`` are the exceptions that it may raise instead."""

    def late(number: int, frame: FrameType | None) -> None:
        raise Hang

    before = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    began = time.process_time()
    name = getattr(door, "__name__", "door")
    try:
        with in_box(folder):
            if door():
                watch.opened += 1
            else:
                watch.refused += 1
    except own:
        watch.refused += 1
    except Hang:
        watch.faults.append((case, f"{name}: not through after {SECONDS} s"))
    except BaseException as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}:{last.lineno}"
        watch.faults.append((case, f"{name}: {type(error).__name__}: {str(error)[:150]} at {where}"))
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    watch.slowest = max(watch.slowest, time.process_time() - began)
    watch.faults += [(case, f"{name}: {seen}") for seen in _seen]


def peak() -> float:
    """The most memory that this process ever had, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
