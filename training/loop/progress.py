"""What a run has reached, told to whoever shows it: a command that trains alone has nobody listening."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[float, Mapping[str, float]], None]
"""Takes the share of the work that is done, 0 to 1, and what was reached by name."""

_LISTENER: ContextVar[Listener | None] = ContextVar("listener", default=None)
_SINCE: ContextVar[float | None] = ContextVar("since", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """While it lasts, what is told in this thread is passed on."""
    before, since = _LISTENER.set(listener), _SINCE.set(time.monotonic())
    try:
        yield
    finally:
        _LISTENER.reset(before)
        _SINCE.reset(since)


def preparation(budget: float) -> float:
    """Seconds that a run has spent on what comes before its training, which are of its budget where somebody listens.

    A command that trains alone is told how long to train, a stage of a whole how long it may take; half of it at least
    is training.
    """
    since = _SINCE.get()
    return 0.0 if since is None else min(time.monotonic() - since, budget / 2)


def tell(share: float, reached: Mapping[str, float]) -> None:
    """Say how much of the work is done, 0 to 1, and what was reached by name (losses, steps, episodes)."""
    if (listener := _LISTENER.get()) is not None:
        listener(min(1.0, max(0.0, share)), reached)
