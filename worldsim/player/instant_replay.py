"""The last seconds of play, kept so that they can be saved as a video after something worth showing."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from worldsim.session.sinks.video import VideoWriter
from worldsim.session.tick import Tick

SECONDS = 20
MOST_FRAMES_A_SECOND = 60


class InstantReplay:
    """A sink that remembers the last 20 seconds.

    Args:
        rate: ticks a second.
        folder: where videos are saved.
        tell: takes what came of saving, in words; called from another thread.
    """

    def __init__(self, rate: int, folder: Path, tell: Callable[[str], None]) -> None:
        self._rate, self._folder, self._tell = rate, folder, tell
        self._ticks: deque[Tick] = deque(maxlen=SECONDS * rate)
        self._savers: list[threading.Thread] = []
        self._begun: set[Path] = set()
        self._dropped = False

    def add(self, tick: Tick) -> None:
        """Remember one tick."""
        self._ticks.append(tick)

    def save(self) -> None:
        """Begin to write what is remembered, at the pace it was played."""
        path = self._free(time.strftime("worldsim-%Y%m%d-%H%M%S"))
        saver = threading.Thread(target=self._write, args=(path, list(self._ticks)), name="save clip")
        self._savers.append(saver)
        saver.start()

    def _free(self, name: str) -> Path:
        """A file of this name, or of one with a number where something was saved in the same second."""
        path, number = self._folder / f"{name}.mp4", 1
        while path in self._begun or path.exists():
            number += 1
            path = self._folder / f"{name}-{number}.mp4"
        self._begun.add(path)
        return path

    @property
    def saving(self) -> bool:
        """Whether a video is being written."""
        return any(saver.is_alive() for saver in self._savers)

    def wait(self) -> None:
        """Until all that was begun is written."""
        for saver in self._savers:
            saver.join()

    def drop(self) -> None:
        """Give up what was begun: what is saved goes with its folder now."""
        self._dropped = True
        self.wait()

    def _write(self, path: Path, ticks: list[Tick]) -> None:
        newest = [t for t in ticks if t.started >= ticks[-1].started - SECONDS]
        seconds = newest[-1].started - newest[0].started
        rate = round((len(newest) - 1) / seconds) if seconds > 0 else self._rate
        try:
            video = VideoWriter(path, min(MOST_FRAMES_A_SECOND, max(1, rate)))
            for tick in newest:
                if self._dropped:
                    break
                video.add(tick)
            video.close()
        except OSError as error:
            self._tell(str(error))
        else:
            if not self._dropped:
                self._tell(f"saved {path}")
