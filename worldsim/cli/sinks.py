"""What a run leaves behind: its report, its video, and how a replay compared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from worldsim.cli.command import say
from worldsim.cli.options import Options
from worldsim.session.headless import Sink
from worldsim.session.sinks.replay_check import ReplayCheck
from worldsim.session.sinks.report import Report
from worldsim.session.sinks.video import VideoWriter

if TYPE_CHECKING:
    from worldsim.metrics.perceptual import Perceptual


class Sinks:
    """The sinks of one session.

    Args:
        about: the head of the report.
        rate: ticks a second of the video.
        check: compares a replay with its recording.
        networks: of LPIPS, where the report is to have it.
        number: which session of this run it is; from the second on files are called NAME-2, NAME-3, ...

    Raises:
        OSError: the video or the report can not be written.
    """

    def __init__(
        self,
        options: Options,
        about: dict[str, Any],
        rate: int,
        check: ReplayCheck | None = None,
        networks: Perceptual | None = None,
        number: int = 1,
    ) -> None:
        self._tells = options.headless
        self._file, self._film = (_numbered(path, number) for path in (options.report, options.video))
        if networks is not None:
            about = about | {"perceptual": {"lpips": networks.origin["lpips_alex"]}}
        self._report = Report(about, networks.lpips if networks else None)
        if self._file:
            self._file.open("a").close()  # says now, and not after the run, that it can not be written
        self._video = VideoWriter(self._film, rate) if self._film else None
        self._check = check

    @property
    def all(self) -> tuple[Sink, ...]:
        """Those that take ticks."""
        return tuple(sink for sink in (self._report, self._video, self._check) if sink is not None)

    def finish(self) -> None:
        """Write what is left to write, and say where.

        Raises:
            OSError: it can not be written.
        """
        try:
            if self._tells and self._report.steps:
                say(self._report.table())
            if self._check is not None and self._check.compared:
                say(self._check.summary)
            if self._file and self._report.steps:
                self._report.write(self._file)
                say(f"report: {self._file}")
        finally:
            if self._video is not None:
                self._video.close()
                say(f"video: {self._film}")


def _numbered(path: Path | None, number: int) -> Path | None:
    if path is None or number == 1:
        return path
    return path.with_name(f"{path.stem}-{number}{path.suffix}")
