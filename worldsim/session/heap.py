"""Memory that was freed goes back to the system, where the allocator would keep it between what is still in use."""

from __future__ import annotations

import ctypes
import sys
from functools import lru_cache
from typing import Any

EVERY = 250
"""Steps between two trims: each takes about a millisecond, and what was freed meanwhile is a few MiB."""


class Trim:
    """Gives freed memory back at every :data:`EVERY`-th call.

    The frames of a walk make and free tensors of many sizes for hours. glibc serves those below 32 MiB from one heap
    that only shrinks at its end, so that it grows by its gaps, without anything being kept. Elsewhere nothing is done.
    """

    def __init__(self, every: int = EVERY) -> None:
        self._every, self._calls = every, 0

    def __call__(self) -> bool:
        """Count a step; whether this one trimmed."""
        self._calls += 1
        return self._calls % self._every == 0 and give_back()


def give_back() -> bool:
    """Return free pages of the heap to the system; whether any were."""
    trim = _malloc_trim()
    return trim is not None and bool(trim(0))


@lru_cache(maxsize=1)
def _malloc_trim() -> Any:
    """glibc's ``malloc_trim``, None where there is none."""
    if not sys.platform.startswith("linux"):
        return None
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim.argtypes, trim.restype = [ctypes.c_size_t], ctypes.c_int
    return trim
