"""What is running, what it has reached and what is left: one bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import TextIO

from tqdm import tqdm

EVERY = 30.0
"""Seconds between two lines where there is no terminal."""


def clock(seconds: float) -> str:
    """Minutes and seconds, or hours and minutes from an hour on: 4:05, 2h07."""
    whole = max(0, round(seconds))
    return f"{whole // 3600}h{whole % 3600 // 60:02d}" if whole >= 3600 else f"{whole // 60}:{whole % 60:02d}"


class Display:
    """Shows a run of ``total`` seconds; used as a context manager, within which a thread keeps the clock going.

    Args:
        stream: where to; what else writes there should write elsewhere meanwhile.
        spent: seconds before this start.
    """

    def __init__(self, total: float, stream: TextIO, spent: float = 0.0) -> None:
        self.total, self.stream, self.spent = total, stream, spent
        self.terminal = stream.isatty()
        self.bar = tqdm(
            total=total,
            initial=min(spent, total),
            file=stream,
            disable=not self.terminal,
            bar_format="{desc} |{bar:16}| {postfix}",
            leave=False,
            dynamic_ncols=True,  # what does not fit is cut off, and the time left stands first
        )
        self.began = time.monotonic() - spent
        self._head, self._reached, self._said = "", "", 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Display:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self.bar.close()

    def line(self, text: str) -> None:
        """A line that stays."""
        if self.terminal:
            self.bar.clear()
        print(text, file=self.stream, flush=True)

    def stage(self, number: str, name: str) -> None:
        """What runs from now on."""
        self._head, self._reached, self._said = f"{number} {name}", "", time.monotonic()
        self._refresh()

    def reached(self, share: float, numbers: Mapping[str, float]) -> None:
        """What it has reached: the share of its work, and numbers by name."""
        some = [f"{k} {v:g}" if v == int(v) else f"{k} {v:.3f}" for k, v in list(numbers.items())[:4]]
        self._reached = f"{share:.0%}, {', '.join(some)}"

    def _tick(self) -> None:
        while not self._ended.wait(0.5):
            self._refresh()

    def _refresh(self) -> None:
        spent = time.monotonic() - self.began
        left = (
            f"{clock(self.total - spent)} left" if spent < self.total else f"{clock(spent - self.total)} over"
        )
        line = ", ".join(part for part in (left, self._reached) if part)
        if self.terminal:
            self.bar.n = min(spent, self.total)
            self.bar.set_description_str(self._head, refresh=False)
            self.bar.set_postfix_str(line, refresh=False)
            self.bar.refresh()
        elif time.monotonic() - self._said >= EVERY:
            self._said = time.monotonic()
            print(f"{self._head}: {line}", file=self.stream, flush=True)
