"""The sessions of a server: made for who comes, up to a limit, kept a while for who may come back."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterable

from worldsim.server.hosted import Game, HostedSession

MOST = 2  # sessions at once: each computes a world and its dreams
KEEP = 300.0  # seconds that a session waits for its player to come back
SPECTATORS = 16  # pages that may look on at one session


class SessionsFull(RuntimeError):
    """There are as many sessions as this server plays."""


class Sessions:
    """Sessions by id. Any thread may call it; making and closing one takes seconds.

    Args:
        make_game: makes a game of its own, world and dreams, for every session.
        most: sessions at once.
        keep: seconds that one without a player is kept.
    """

    def __init__(self, make_game: Callable[[], Game], most: int = MOST, keep: float = KEEP) -> None:
        self.most, self._keep, self._make_game = most, keep, make_game
        self._lock = threading.Lock()
        self._by_id: dict[str, HostedSession] = {}
        self._spare: HostedSession | None = None
        self._making = 0
        self._closed = False

    def prepare(self) -> None:
        """Make the first session before anybody asks, so that what can not be made is told at once."""
        self._spare = HostedSession(self._make_game())

    def create(self) -> HostedSession:
        """A new session.

        Raises:
            SessionsFull: there are ``most`` already; those whose player is gone are kept for a while.
            ValueError, OSError: its world or its dreams can not be made.
        """
        with self._lock:
            if self._closed or len(self._by_id) + self._making >= self.most:
                raise SessionsFull(f"all {self.most} sessions of this server are played; try again later")
            self._making += 1
            spare, self._spare = self._spare, None
        try:
            hosted = spare or HostedSession(self._make_game())
        except BaseException:
            with self._lock:
                self._making -= 1
            raise
        with self._lock:
            self._making -= 1
            hosted.absent_since = time.monotonic()
            if not self._closed:
                self._by_id[hosted.id] = hosted
                return hosted
        hosted.close()
        raise SessionsFull("this server is closing")

    def find(self, name: str) -> HostedSession | None:
        """The session of this id, if it is there and goes on; compared in constant time."""
        with self._lock:
            found = [h for h in self._by_id.values() if secrets.compare_digest(h.id.encode(), name.encode())]
        return found[0] if found and not found[0].ended else None

    def sweep(self) -> None:
        """Close sessions that have ended, and those whose player has been away for too long."""
        late = time.monotonic() - self._keep
        with self._lock:
            gone = [h for h in self._by_id.values() if h.ended or (not h.playing and h.absent_since < late)]
            for hosted in gone:
                del self._by_id[hosted.id]
        _close_each(gone)

    def close(self) -> None:
        """Close all of them, and make no more."""
        with self._lock:
            self._closed = True
            gone = [*self._by_id.values(), *([self._spare] if self._spare else [])]
            self._by_id, self._spare = {}, None
        _close_each(gone, "the server was stopped")


def _close_each(sessions: Iterable[HostedSession], reason: str | None = None) -> None:
    """Close all of them, whatever comes of one; the first error is raised at the end."""
    errors = list[BaseException]()
    for hosted in sessions:
        try:
            hosted.close(reason)
        except BaseException as error:  # Ctrl-C too: the others' recordings are still to be sealed
            errors.append(error)
    if errors:
        raise errors[0]
