"""What a run has reached, told to whoever shows it: a command that trains alone has nobody listening."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[float, Mapping[str, float]], None]
"""Takes the share of the work that is done, 0 to 1, and what was reached by name."""

_LISTENER: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """While it lasts, what is told in this thread is passed on."""
    before = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(before)


def tell(share: float, reached: Mapping[str, float]) -> None:
    """Say how much of the work is done, 0 to 1, and what was reached by name (losses, steps, episodes)."""
    if (listener := _LISTENER.get()) is not None:
        listener(min(1.0, max(0.0, share)), reached)
