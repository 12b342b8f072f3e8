"""Worlds that draw with SDL themselves, where nobody looks: it finds no display, and says nothing of having none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

DRIVERS = {"SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy"}


@contextmanager
def windowless() -> Iterator[None]:
    """While it lasts, SDL draws into memory here and in processes that are started; what was asked for is kept."""
    added = [name for name in DRIVERS if name not in os.environ]
    os.environ.update({name: DRIVERS[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
