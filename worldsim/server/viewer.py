"""One page that looks on: what waits for it, never more than the newest, and how much it may say."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from typing import Any

IN_FLIGHT = 2  # frames sent that a page has not shown yet
MESSAGES = 120.0  # a second that a page may send in the long run
BURST = 240.0


class Viewer:
    """A mailbox between the thread of a session and a socket's task.

    Of frames it keeps the newest alone: a page that is slow to say that it has shown one misses those in between, and
    is never behind by more than ``IN_FLIGHT``. What is told in words arrives in order, but of the session's state,
    too, the newest counts.

    Args:
        loop: of the socket's task.
        plays: whether it plays, or only looks on.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, plays: bool) -> None:
        self.plays = plays
        self.closed: str | None = None  # why the session closed it
        self._loop, self._wake, self._lock = loop, asyncio.Event(), threading.Lock()
        self._frame: tuple[int, bytes] | None = None
        self._words: dict[str, str] = {}  # by their type
        self._sent: list[int] = []

    # -- any thread ------------------------------------------------------------------------------

    def offer(self, number: int, frame: bytes) -> None:
        """The newest frame, in the place of one that still waits."""
        with self._lock:
            self._frame = number, frame
        self._call(self._wake.set)

    def tell(self, words: dict[str, Any]) -> None:
        """Something in words, in the place of what still waits of the same ``type``."""
        text = json.dumps(words, allow_nan=False, separators=(",", ":"))
        with self._lock:
            self._words.pop(words["type"], None)
            self._words[words["type"]] = text
        self._call(self._wake.set)

    def close(self, reason: str) -> None:
        """Send what waits in words, and no more."""
        self.closed = reason
        self._call(self._wake.set)

    # -- the socket's task -----------------------------------------------------------------------

    def shown(self, number: int) -> None:
        """The page has shown this frame, and all before it."""
        self._sent = [n for n in self._sent if n > number]
        self._wake.set()

    async def next(self) -> str | bytes | None:
        """What to send next; None after ``close``."""
        while True:
            self._wake.clear()
            with self._lock:
                if self._words:
                    return self._words.pop(next(iter(self._words)))
                if self.closed is not None:
                    return None
                if self._frame is not None and len(self._sent) < IN_FLIGHT:
                    number, frame = self._frame
                    self._frame = None
                    self._sent.append(number)
                    return frame
            await self._wake.wait()

    def _call(self, what: Any) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(what)


class Allowance:
    """How many messages a page may send: a bucket that fills with time."""

    def __init__(self, rate: float = MESSAGES, burst: float = BURST) -> None:
        self._rate, self._burst, self._left, self._at = rate, burst, burst, time.monotonic()

    def take(self) -> bool:
        """Use one up; False where there is none left."""
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
