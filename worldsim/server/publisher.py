"""The thread that makes messages of a session's ticks and state, and hands them to every page that looks on."""

from __future__ import annotations

import queue
import re
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from worldsim.player.instant_replay import InstantReplay
from worldsim.player.scoreboard import Scoreboard
from worldsim.player.stepper import Stepper
from worldsim.server import header, messages
from worldsim.server.hands import RemoteHands
from worldsim.server.viewer import Viewer
from worldsim.session.headless import Sink
from worldsim.session.tick import Tick

REST = 5.0  # seconds to take what a stepper that has ended left
POLL = 0.05  # seconds between two looks at a session that does not step
MOST_FILES = 16  # clips and recordings offered; the oldest are offered no more
OVER, BROKEN = "the session is over", "the session broke; the terminal of the server says how"
_FOLDERS = re.compile(r"\S*[/\\](?:.*[/\\])?")


class Publisher(threading.Thread):
    """Takes all ticks of a stepper; pages get the newest.

    Args:
        board: with the first tick on it; this thread's from now on.
        stepper: whose ticks it takes.
        hands: of the player.
        sinks: take every tick; the first saves the last seconds on demand.
        audience: gives the pages that look on, and whether one of them plays.
    """

    def __init__(
        self,
        board: Scoreboard,
        stepper: Stepper,
        hands: RemoteHands,
        sinks: tuple[InstantReplay, *tuple[Sink, ...]],
        audience: Callable[[], tuple[list[Viewer], bool]],
    ) -> None:
        super().__init__(name="publisher", daemon=True)
        self.files: dict[str, Path] = {}
        self.about: dict[str, Any] = {}  # what every page is told when it comes
        self.ended_by = OVER
        self._board, self._stepper, self._hands = board, stepper, hands
        self._replay, self._sinks = sinks[0], list(sinks)
        self._controls, self._audience = stepper.session.controls, audience
        self._stop_now, self._clip_asked = threading.Event(), threading.Event()
        self._coming: queue.SimpleQueue[tuple[Viewer, dict[str, Any]]] = queue.SimpleQueue()
        self._state: dict[str, Any] = {}
        self._notice, self._notices = "", 0
        self._number = self._answered = 0  # ticks ever; the newest hands that one of them answers
        self._thumbnail: tuple[Tick, bytes] | None = None
        self._take(board.tick)

    def greet(self, viewer: Viewer, about: dict[str, Any]) -> None:
        """Tell a page what is played, the past of its traces, and show it the present frame."""
        self._coming.put((viewer, about))

    def save_clip(self) -> None:
        """Save the last seconds as a video; when it is there the pages are told its name."""
        self._clip_asked.set()

    def stop(self) -> None:
        """End the thread and wait for it; the stepper has ended, and what it left is taken first, for some seconds."""
        self.join(REST)  # it ends by itself when it has taken all
        self._stop_now.set()
        self.join()

    def run(self) -> None:
        """Publish until stopped or until the stepper ends; an error of either is printed and ends it."""
        error: BaseException | None = None
        try:
            going = True
            while going and not self._stop_now.is_set():
                going = self._round()
            error = self._stepper.error
        except Exception as broken:
            error = broken
        if error is not None:
            self.ended_by = BROKEN
            traceback.print_exception(error, file=sys.stderr)

    def _round(self) -> bool:
        alive, news = self._stepper.is_alive(), self._take_ticks()
        viewers, playing = self._audience()
        while not self._coming.empty():
            self._greet(*self._coming.get())
        if news and viewers:
            frame = self._frame()
            for viewer in viewers:
                viewer.offer(self._number, frame)
        self._tell_state(viewers, playing)
        if self._clip_asked.is_set():
            self._clip_asked.clear()
            if self._replay.saving:
                self._hear("the last clip is still being written")
            else:
                self._replay.save()
        return alive or news

    def _take_ticks(self) -> bool:
        """Put all that was stepped on the board; True where there was something."""
        try:
            tick = self._stepper.ticks.get(timeout=POLL)
        except queue.Empty:
            return False
        while True:
            self._board.add(tick)
            self._take(tick)
            if self._stop_now.is_set():
                return True
            try:
                tick = self._stepper.ticks.get_nowait()
            except queue.Empty:
                return True

    def _take(self, tick: Tick) -> None:
        for sink in list(self._sinks):
            try:
                sink.add(tick)
            except OSError as error:  # the disk is full: play goes on without it
                self._sinks.remove(sink)
                self._controls.notices.put(str(error))
        self._number += 1
        answered = self._hands.answered(tick)
        self._answered = self._answered if answered is None else answered

    def _greet(self, viewer: Viewer, about: dict[str, Any]) -> None:
        welcome = {
            "type": "welcome",
            "version": messages.VERSION,
            "plays": viewer.plays,
            **self.about,
            **about,
        }
        viewer.tell(
            welcome | {"rate": self._stepper.rate, "trace": header.of_trace(self._board, self._number)}
        )
        if self._state:
            viewer.tell(self._state)
        viewer.offer(self._number, self._frame())

    def _frame(self) -> bytes:
        """The binary message of the board's present tick."""
        head = header.of_tick(self._board, self._hands.intent(self._board.tick))
        pictures = {"true world": messages.png(self._board.tick.true_frame)}
        for name, view in self._board.tick.dreams.items():
            pictures[f"dream: {name}"] = messages.png(view.frame)
        back = header.remembered(self._board)
        if back is not None and back.revisit is not None:
            if self._thumbnail is None or self._thumbnail[0] is not back:
                self._thumbnail = back, messages.png(back.revisit.thumbnail)
            pictures["remembered"] = self._thumbnail[1]
        return messages.pack({**head, "number": self._number, "hands": self._answered}, pictures)

    def _tell_state(self, viewers: list[Viewer], playing: bool) -> None:
        while not self._controls.notices.empty():
            self._hear(self._controls.notices.get())
        paused = self._stepper.paused.is_set()
        settings = {name: [value, choices] for name, (value, choices) in self._controls.settings().items()}
        state: dict[str, Any] = {
            "type": "state",
            "paused": paused,
            "recording": self._controls.recording,
            "macro": self._stepper.macro_name,
            "notice": self._notice,
            "notices": self._notices,
            "dials": settings,
            "playing": playing,
            "spectators": len(viewers) - playing,
            "files": list(self.files),
        }
        if paused != self._state.get("paused"):
            self._board.pause(paused)
        if state != self._state:
            self._state = state
            for viewer in viewers:
                viewer.tell(state)

    def _hear(self, notice: str) -> None:
        """A notice, without any folder of this machine; a file that it tells of can be downloaded."""
        verb, _, path = notice.partition(" ")
        if verb in ("saved", "recorded", "kept") and Path(path).suffix in (".mp4", ".zip", ".safetensors"):
            files = {**self.files, Path(path).name: Path(path).absolute()}
            self.files = dict(list(files.items())[-MOST_FILES:])
        self._notice, self._notices = _FOLDERS.sub("", notice), self._notices + 1
