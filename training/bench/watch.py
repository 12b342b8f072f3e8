"""A predictor whose every call is timed and has a deadline, so that one that hangs can be ended from outside."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from worldsim.dream.predictor import Context, Frames, Predictor, Row, Settings

WARM = 8
"""The first frames of a dream warm caches up and are not counted."""
BEGIN = 4
"""Frames' time that it may take to begin from a context, or to take a correction."""

Deadline = Callable[[float], None]
"""Told in how many seconds a call has to be back, and 0 when it is."""


class TooSlow(Exception):
    """A call came back after its deadline."""


class Watched(Predictor[Any]):
    """Another predictor, watched.

    Args:
        inner: what imagines the frames.
        seconds: what one frame may take.
        deadline: is told of every call.

    Attributes:
        ms: what each frame took, milliseconds.
    """

    def __init__(self, inner: Predictor[Any], seconds: float, deadline: Deadline) -> None:
        self._inner, self._seconds, self._deadline = inner, seconds, deadline
        self.spec = inner.spec
        self.ms: list[float] = []
        self._steps = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def begin(self, context: Context, settings: Settings, seed: int) -> Any:
        self._steps = 0
        with self._within("to begin", BEGIN):
            return self._inner.begin(context, settings, seed)

    def step(self, rows: Sequence[Row[Any]], action: np.ndarray) -> tuple[list[Frames], dict[str, float]]:
        began = time.perf_counter()
        with self._within("for one frame", 1):
            found = self._inner.step(rows, action)
        self._steps += 1
        if self._steps > WARM:
            self.ms.append((time.perf_counter() - began) * 1e3)
        return found

    def correct(self, state: Any, frames: Frames, poses: Any, settings: Settings) -> None:
        with self._within("for a correction", BEGIN):
            self._inner.correct(state, frames, poses, settings)

    def about(self, state: Any, settings: Settings) -> dict[str, Any]:
        return self._inner.about(state, settings)

    def turn(self, state: Any, settings: Settings) -> None:
        self._inner.turn(state, settings)

    def prefetch(self, frame: Frames) -> None:
        self._inner.prefetch(frame)

    @contextmanager
    def _within(self, what: str, times: float) -> Iterator[None]:
        most = times * self._seconds
        ends = time.monotonic() + most
        self._deadline(most)
        try:
            yield
        finally:
            self._deadline(0.0)
        if time.monotonic() > ends:
            raise TooSlow(late(most, what))


def late(seconds: float, what: str, word: str = "frame_seconds") -> str:
    """The sentence of a call that took too long; ``word`` is what allows more."""
    return f"took more than {seconds:g} s {what}; {word}=N allows more"
