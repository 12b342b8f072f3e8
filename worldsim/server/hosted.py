"""A session that is played over sockets: its thread steps, another one makes messages of its ticks."""

from __future__ import annotations

import secrets
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldsim.player.instant_replay import InstantReplay
from worldsim.player.keymap import MOUSE_DEGREES, TURN_RATE, Keymap
from worldsim.player.scoreboard import Scoreboard
from worldsim.player.stepper import Macro, MakePolicy, Stepper
from worldsim.server.hands import RemoteHands
from worldsim.server.messages import Command, Hands, Hidden, Message, Put, Shown, Turn
from worldsim.server.publisher import OVER, Publisher
from worldsim.server.viewer import Viewer
from worldsim.session.headless import Sink
from worldsim.session.session import Session


@dataclass(frozen=True)
class Game:
    """What is played: a session that is not yet reset, its keys, and what the window's player takes beside them."""

    session: Session
    keymap: Keymap
    title: str = "worldsim"
    tick_rate: int | None = None  # ticks a second, the world's own pace if None
    turn_rate: float = TURN_RATE
    mouse_degrees: float = MOUSE_DEGREES
    make_policy: MakePolicy | None = None
    make_macro: Callable[[], Macro] | None = None
    seed: int | None = None
    options: dict[str, Any] | None = None
    sinks: tuple[Sink, ...] = ()  # take every tick
    finish: Callable[[], None] | None = None  # called when all of them have come
    limit: int | None = None  # ends after this many ticks
    invert_y: bool = False

    def close(self) -> None:
        """Close the world, which seals what was recorded, and finish the sinks even where that fails."""
        try:
            if self.session.bookmarks is not None:
                self.session.bookmarks.wait()
            self.session.close()
        finally:
            if self.finish is not None:
                self.finish()


class HostedSession:
    """Plays a game for one page, and shows it to others.

    Without a player, and while its page is hidden or it asked for a pause, the world stands still. ``id`` is enough to
    look on, ``key`` is what the player proves itself by, also when it comes back.

    Public methods may be called from any thread.
    """

    def __init__(self, game: Game) -> None:
        self.id, self.key = secrets.token_urlsafe(12), secrets.token_urlsafe(24)
        self.absent_since = time.monotonic()  # when the last player left
        self._game, self._lock = game, threading.RLock()
        self._player: Viewer | None = None
        self._viewers: list[Viewer] = []
        self._paused = self._hidden = self._closed = False
        with ExitStack() as undo:
            undo.callback(_give_up, game)
            self._clips = tempfile.TemporaryDirectory(prefix="worldsim-clips-", ignore_cleanup_errors=True)
            undo.callback(self._clips.cleanup)
            self._begin(game, undo)
            undo.pop_all()

    def _begin(self, game: Game, undo: ExitStack) -> None:
        rate = game.tick_rate or game.keymap.tick_rate
        self._hands = RemoteHands(game.keymap, game.turn_rate, game.mouse_degrees, game.invert_y)
        self._stepper = Stepper(game.session, self._hands.act, rate, game.make_policy, game.limit)
        self._stepper.paused.set()
        self._replay = InstantReplay(rate, Path(self._clips.name), game.session.controls.notices.put)
        board = Scoreboard(game.session.reset(seed=game.seed, options=game.options))
        self._publisher = Publisher(
            board, self._stepper, self._hands, (self._replay, *game.sinks), self._audience
        )
        self._publisher.about = {"title": game.title, "session": self.id, "keys": list(game.keymap.keys)}
        self._stepper.start()
        undo.callback(self._stepper.stop)
        self._publisher.start()

    @property
    def files(self) -> dict[str, Path]:
        """Clips and recordings that may be downloaded, by the name that a page is told."""
        return dict(self._publisher.files)

    @property
    def playing(self) -> bool:
        """Whether a player is there."""
        return self._player is not None

    @property
    def spectators(self) -> int:
        """Pages that look on."""
        return len(self._viewers) - self.playing

    @property
    def ended(self) -> bool:
        """Whether it steps no more: closed, its policy at an end, or broken."""
        return self._closed or not self._publisher.is_alive()

    def join(self, viewer: Viewer) -> None:
        """Show it to a page; one that plays takes the place of the player that was there."""
        with self._lock:
            if self._closed:
                viewer.close(OVER)
                return
            if viewer.plays:
                if self._player is not None:
                    self._player.close("played from another page now")
                    self._viewers.remove(self._player)
                self._player, self._hidden = viewer, False
                self._hands.release()
            self._viewers.append(viewer)
            self._set_pause()
        about = {"key": self.key} if viewer.plays else {}
        self._publisher.greet(viewer, about)

    def leave(self, viewer: Viewer) -> None:
        """A page is gone."""
        with self._lock:
            if viewer in self._viewers:
                self._viewers.remove(viewer)
            if viewer is self._player:
                self._player, self.absent_since = None, time.monotonic()
                self._hands.release()
                self._set_pause()

    def receive(self, viewer: Viewer, message: Message) -> None:
        """Do what a page says; of those that look on nothing counts but what they have shown."""
        if isinstance(message, Shown):
            viewer.shown(message.number)
            return
        with self._lock:
            if viewer is not self._player:
                return
            controls = self._game.session.controls
            match message:
                case Hands():
                    self._hands.hold(message)
                case Command(name):
                    self._do(name)
                case Turn(dial, by):
                    controls.turn(dial, by)
                case Put(dial, value):
                    put = {"history": controls.set_history, "budget": controls.set_budget}
                    if value in controls.settings().get(dial, (0, []))[1]:
                        put.get(dial, controls.set_denoising_steps)(value)
                case Hidden(hidden):
                    self._hidden = hidden
                    self._hands.release()
                    self._set_pause()

    def close(self, reason: str | None = None) -> None:
        """End it, seal what was recorded, send the pages away. May be called twice; takes as long as a step."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._stepper.stop()
        self._publisher.stop()
        reason = reason or self._publisher.ended_by
        try:
            self._game.close()
        finally:
            for viewer in list(self._viewers):
                viewer.tell({"type": "ended", "reason": reason})
                viewer.close(reason)
            self._replay.drop()
            self._clips.cleanup()

    def _do(self, name: str) -> None:
        controls = self._game.session.controls
        if name == "pause" or (name == "step" and not self._paused):
            self._paused = not self._paused
            self._set_pause()
        elif name == "step":
            self._stepper.step_once()
        elif name == "clip":
            self._publisher.save_clip()
        elif name == "needle":
            self._play_needle()
        else:
            {
                "record": controls.toggle_recording,
                "compare": controls.toggle_compare,
                "history_from": controls.toggle_history_from,
                "restart": controls.restart_dreams,
                "bookmark": controls.place_bookmark,
                "back": controls.go_back,
            }[name]()

    def _play_needle(self) -> None:
        if self._game.make_macro is None:
            self._game.session.controls.notices.put("there is no needle macro for this world")
        elif self._stepper.macro_name is None:
            self._stepper.play_macro("needle", self._game.make_macro)

    def _set_pause(self) -> None:
        paused = self._stepper.paused
        (paused.set if self._paused or self._hidden or self._player is None else paused.clear)()

    def _audience(self) -> tuple[list[Viewer], bool]:
        """All pages, and whether one of them plays."""
        with self._lock:
            return list(self._viewers), self.playing


def _give_up(game: Game) -> None:
    """Close a game that could not begin: why it could not is what counts, not what comes of closing it."""
    with suppress(Exception):
        game.close()
