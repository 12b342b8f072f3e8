"""A clock of the phases of a step, which a benchmark may watch."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar


class PhaseTimer:
    """Call it with a phase's name when the phase has ended; ``ms`` has the milliseconds of each."""

    watcher: ClassVar[Callable[[str], None] | None] = None
    """Called at the end of every phase, for a benchmark that counts what happened in it."""

    def __init__(self) -> None:
        self.ms: dict[str, float] = {}
        self._began = time.perf_counter()

    def __call__(self, phase: str) -> None:
        now = time.perf_counter()
        self.ms[phase] = (now - self._began) * 1e3
        if PhaseTimer.watcher is not None:
            PhaseTimer.watcher(phase)
        self._began = time.perf_counter()
