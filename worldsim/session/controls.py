"""The controls of a session: what may be asked of it from any thread, done between two ticks."""

from __future__ import annotations

import queue
from collections.abc import Callable
from pathlib import Path
from typing import Any

from worldsim.session.bookmarks import Bookmarks
from worldsim.session.dreams import FORGETFUL, Dreams
from worldsim.session.interfaces import MAX_STEPS, Recording
from worldsim.session.tick import Source

NO_BOOKMARKS = "a replay goes its own way: there is nothing to come back to"


class Controls:
    """Commands that start, turn, compare and record the dreams of a session, for a window, a page or a script.

    Every public method but ``apply`` may be called from any thread: what it asks for waits in a queue until ``apply``.
    What came of it, or why it could not be done, can be read from ``notices``.

    Args:
        dreams: what is controlled.
        recorder: the wrapper that records the true world, if any.
        bookmarks: states of the session to come back to; None where it cannot.
    """

    def __init__(
        self, dreams: Dreams, recorder: Recording | None = None, bookmarks: Bookmarks | None = None
    ) -> None:
        self.notices = dreams.notices
        self._dreams, self._recorder, self._bookmarks = dreams, recorder, bookmarks
        self._commands: queue.SimpleQueue[Callable[[], str | None]] = queue.SimpleQueue()

    def apply(self) -> None:
        """Do what was asked for; belongs to the thread that steps."""
        while not self._commands.empty():
            try:
                notice = self._commands.get_nowait()()
            except (OSError, ValueError, RuntimeError) as error:  # e.g. no permission to record there
                notice = str(error)
            if notice:
                self.notices.put(notice)

    def restart_dreams(self) -> None:
        """Start all dreams again from the present true frames: the last up to 112, and their actions."""
        self._commands.put(self._dreams.restart)

    def blind_from_now(self) -> None:
        """Replace the past by the true frames now, so that the next ``blind`` frames are dreamt blind."""
        self._commands.put(lambda: setattr(self._dreams, "correct_next", True))

    def set_history_from(self, source: Source) -> None:
        """Whose frames the dreams remember from the next tick on: "dream" or "true"."""
        self._commands.put(lambda: self._dreams.remember(source))

    def toggle_history_from(self) -> None:
        """From dream to true or back."""
        self._commands.put(
            lambda: self._dreams.remember("true" if self._dreams.history_from == "dream" else "dream")
        )

    def set_pose_from(self, source: Source) -> None:
        """Where the dreams' poses come from: their own dead reckoning or, an aid, the true world.

        They start again from the present true frames, because the two count from different origins.
        """
        self._commands.put(lambda: self._dreams.set_pose_from(source))

    def set_history(self, frames: int) -> None:
        """How many past frames may reach the next one (the forgetful twin keeps its own)."""
        self._set("history", frames)

    def set_budget(self, latents: int) -> None:
        """How many latents the past is compressed into."""
        self._set("budget", latents)

    def set_denoising_steps(self, steps: int) -> None:
        """How many denoising steps a frame takes, 1 to 8."""
        self._set("denoising_steps", min(MAX_STEPS, max(1, steps)))

    def turn(self, dial: str, by: int) -> None:
        """Turn "history", "budget" or "denoising_steps" up (+1) or down (-1) by one choice."""
        self._commands.put(lambda: self._dreams.turn(dial, by))

    def set_compare(self, on: bool) -> None:
        """Add or remove the forgetful twin: the same weights with the shortest history.

        So that the two can be compared, both begin from the present true frames when the twin appears.
        """
        self._commands.put(lambda: self._dreams.compare(on))

    def toggle_compare(self) -> None:
        """With the forgetful twin or without it."""
        self._commands.put(lambda: self._dreams.compare(FORGETFUL not in self._dreams.by_name))

    def toggle_recording(self) -> None:
        """Start or stop recording."""
        self._commands.put(lambda: self._record(not self.recording))

    def place_bookmark(self) -> None:
        """Keep the present state of world and dreams, to come back to."""
        self._commands.put(lambda: self._bookmarks.place() if self._bookmarks else NO_BOOKMARKS)

    def go_back(self) -> None:
        """Go back to the last bookmark; from there, within a second, to the one before."""
        self._commands.put(lambda: self._bookmarks.back() if self._bookmarks else NO_BOOKMARKS)

    def open_bookmark(self, path: Path) -> None:
        """Go to the state in a file, which is a bookmark from now on."""
        self._commands.put(lambda: self._bookmarks.open(path) if self._bookmarks else NO_BOOKMARKS)

    def settings(self) -> dict[str, tuple[int, list[int]]]:
        """Where "history", "budget" and "denoising_steps" stand, and their choices; empty without a dream."""
        return self._dreams.settings()

    @property
    def recording(self) -> bool:
        """Whether frames are being recorded."""
        return self._recorder is not None and bool(self._recorder.recording)

    def _set(self, dial: str, value: Any) -> None:
        self._commands.put(lambda: self._dreams.set(dial, value))

    def _record(self, on: bool) -> str | None:
        if self._recorder is None:
            return "this session has no recorder"
        if on == self.recording:
            return None
        if on:
            self._recorder.start()
            return "recording"
        path = self._recorder.stop()
        return f"recorded {path}" if path else "recording stopped"
