"""Bookmarks: states of a session to come back to, the newest in memory, each in a file as well."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from worldsim.session import snapshot as files
from worldsim.session.snapshot import Snapshot, SnapshotError

MOST = 16  # in memory
NEAR = 20  # steps behind a bookmark from which one goes to the one before it


class Place(Protocol):
    """What can be kept and come back to, as :class:`worldsim.session.session.Session` is."""

    @property
    def index(self) -> int: ...
    def save(self) -> Snapshot: ...
    def load(self, snapshot: Snapshot) -> None: ...


@dataclass(frozen=True)
class Bookmark:
    """A state and its number, which counts upwards; ``index`` is the tick's."""

    number: int
    index: int
    state: Snapshot


class Bookmarks:
    """Of one session; all but ``wait`` belongs to the thread that steps it.

    Args:
        session: whose states they are.
        folder: where each is written, beside play; None writes none.
        tell: takes what came of writing, in words; called from another thread.
    """

    def __init__(self, session: Place, folder: Path | None, tell: Callable[[str], None]) -> None:
        self._session, self._folder, self._tell = session, folder, tell
        self._kept: list[Bookmark] = []
        self._number = 0
        self._at: int | None = None  # the number of the bookmark that one stands at or went on from
        self._came_back = False  # since it was placed
        self._writers: list[threading.Thread] = []

    def place(self) -> str:
        """Keep the present state.

        Raises:
            SnapshotError: it cannot be kept.
        """
        state = self._session.save()
        self._keep(state)
        if self._folder is not None:
            where = f"bookmark{self._number}-frame{self._session.index}"
            path = self._folder / f"worldsim-{time.strftime('%Y%m%d-%H%M%S')}-{where}{files.SUFFIX}"
            writer = threading.Thread(target=self._write, args=(path, state), name="write bookmark")
            self._writers = [w for w in self._writers if w.is_alive()] + [writer]
            writer.start()
        return f"bookmark {self._number} at frame {self._session.index}"

    def back(self) -> str:
        """Go to the bookmark that one came by last; within a second of it, to the one before.

        Raises:
            SnapshotError: there is none, or it does not fit any more.
        """
        earlier = [b for b in self._kept if self._at is None or b.number <= self._at]
        if not earlier:
            raise SnapshotError("there is no bookmark to go back to; B places one")
        bookmark = earlier[-1]
        if len(earlier) > 1 and 0 <= self._session.index - bookmark.index <= NEAR and self._came_back:
            bookmark = earlier[-2]
        self._go(bookmark)
        return f"back at bookmark {bookmark.number}, frame {bookmark.index}"

    def open(self, path: Path) -> str:
        """Go to the state in a file.

        Raises:
            SnapshotError: it holds none, or one of another world or of other weights.
            OSError: it cannot be read.
        """
        state = files.read(path)
        self._session.load(state)
        self._keep(state)
        return f"at frame {self._session.index} of {path.name}, which is bookmark {self._number}"

    def wait(self) -> None:
        """Until all files are written."""
        for writer in self._writers:
            writer.join()

    def _keep(self, state: Snapshot) -> None:
        self._number += 1
        self._kept = [*self._kept, Bookmark(self._number, self._session.index, state)][-MOST:]
        self._at, self._came_back = self._number, False

    def _go(self, bookmark: Bookmark) -> None:
        self._session.load(bookmark.state)
        self._at, self._came_back = bookmark.number, True

    def _write(self, path: Path, state: Snapshot) -> None:
        new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")  # others may write one of this name now
        try:
            files.write(new, state)
            path = _publish(new, path)
        except OSError as error:
            self._tell(str(error).replace(new.name, path.name))
        else:
            self._tell(f"kept {path}")
        finally:
            with suppress(OSError):
                new.unlink(missing_ok=True)


def _publish(new: Path, path: Path) -> Path:
    """Give a whole file this name, or one with a number where another thread or process has it."""
    stem, number = path.stem, 1
    while True:
        try:
            path.open("xb").close()  # whoever makes it has the name
            break
        except FileExistsError:
            number += 1
            path = path.with_name(f"{stem}-{number}{path.suffix}")
    try:
        new.replace(path)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return path
