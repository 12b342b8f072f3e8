"""Sealing beside play: the thread that steps does not wait for the disk."""

from __future__ import annotations

import threading
from pathlib import Path

from envs.episodes.writer import EpisodeWriter


class Sealer:
    """Seals recordings in threads of its own; what fails there is kept until it is asked for, and loses no frame."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []
        self._errors: list[BaseException] = []

    def seal(self, writer: EpisodeWriter) -> Path:
        """Begin to seal a recording that nobody adds to any more; where it is going to be."""
        thread = threading.Thread(target=self._seal, args=(writer,), name=f"seal {writer.path.name}")
        self._threads = [t for t in self._threads if t.is_alive()] + [thread]
        thread.start()
        return writer.path

    def check(self) -> None:
        """Raise what failed since the last time, an OSError or EpisodeError."""
        if self._errors:
            raise self._errors.pop(0)

    def wait(self) -> None:
        """Until all that was begun is sealed; then as :meth:`check`."""
        for thread in self._threads:
            thread.join()
        self._threads = []
        self.check()

    def _seal(self, writer: EpisodeWriter) -> None:
        try:
            writer.seal()
        except Exception as error:
            self._errors.append(error)
