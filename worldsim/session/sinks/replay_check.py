"""Whether a replay shows what was recorded: a sink that compares every true frame, bit for bit."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from worldsim.session.tick import Tick


class Recorded(Protocol):
    """What is asked of a recording (``envs.episodes.episode.Episode``)."""

    @property
    def prelude(self) -> list[Any]:
        """The actions before its first frame."""
        ...

    def __len__(self) -> int:
        """Its number of frames."""
        ...

    def frames(self, start: int, stop: int) -> np.ndarray:
        """Frames uint8 (n, H, W, 3)."""
        ...


class ReplayCheck:
    """Compares the true frames of a session with those of a recording, which begin after its prelude."""

    def __init__(self, recorded: Recorded) -> None:
        self._recorded, self._frames, self._skip = recorded, len(recorded), len(recorded.prelude)
        self.compared = 0
        self.different: list[int] = []

    def add(self, tick: Tick) -> None:
        """Compare one frame."""
        i = tick.index - self._skip
        if 0 <= i < self._frames:
            self.compared += 1
            if not np.array_equal(self._recorded.frames(i, i + 1)[0], tick.true_frame):
                self.different.append(i)

    @property
    def summary(self) -> str:
        """The outcome in one line."""
        if self.different:
            return (
                f"replay: {len(self.different)} of {self.compared} frames differ from the recording, "
                f"the first is frame {self.different[0]}"
            )
        return f"replay: {self.compared} of {self._frames} frames, all as recorded, bit for bit"
