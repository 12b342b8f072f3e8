"""A video of the true world and its dreams, side by side and labelled: a sink of ticks."""

from __future__ import annotations

import contextlib
import errno
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

from worldsim.session.processes import environment
from worldsim.session.tick import Tick


class VideoWriter:
    """Writes ticks into an mp4, in a process of its own.

    In a thread of this one drawing and encoding would take the interpreter's lock from the dream: that
    cost 30 ms a step. The file's width is fixed by the first tick; a twin that appears later is left out,
    one that goes leaves its pane dark.

    Args:
        path: the file to make.
        fps: ticks a second of playing time.

    Raises:
        OSError: the file can not be made there.
    """

    def __init__(self, path: Path, fps: int) -> None:
        path.open("wb").close()  # says at once, and not at the end, that nothing can be written there
        self.path = path
        self._empty = True
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (open as long as the process)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "worldsim.session.sinks.video_encoder", str(path.resolve()), str(fps)],
            stdin=subprocess.PIPE,
            stderr=self._log,
            env=environment(),
            start_new_session=True,  # Ctrl-C is for this process, which then finishes the file
        )

    def add(self, tick: Tick) -> None:
        """Append one frame.

        Raises:
            OSError: writing failed, for example because the disk is full.
        """
        assert self._process.stdin is not None
        if self._process.stdin.closed:  # it ended early, which was told
            return
        self._empty = False
        try:
            pickle.dump(tick, self._process.stdin, pickle.HIGHEST_PROTOCOL)
            self._process.stdin.flush()
        except BrokenPipeError:
            self.close()

    def close(self) -> None:
        """Finish the file; an empty one is removed. May be called twice.

        Raises:
            OSError: writing failed.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it ended early; why is what it told
            self._process.stdin.close()
        if self._process.wait() != 0:
            self._log.seek(0)
            lines = self._log.read().decode(errors="replace").strip().splitlines()
            code, _, reason = (lines[-1] if lines else "0 it gave no reason").partition(" ")
            number = int(code) if code.isdigit() and int(code) else errno.EIO
            raise OSError(number, f"the video could not be written ({reason or code})", str(self.path))
        if self._empty:
            self.path.unlink(missing_ok=True)
