"""The player's loop: events, hands, ticks, drawing; sixty times a second, also in a pause."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import pygame

from worldsim.player import hud
from worldsim.player.display_loss import DisplayLoss
from worldsim.player.gamepad import Gamepad
from worldsim.player.instant_replay import InstantReplay
from worldsim.player.keymap import MOUSE_DEGREES, MOVES, TURN_RATE, InputState, Intent, Keymap
from worldsim.player.places import named, place_of
from worldsim.player.scoreboard import Scoreboard
from worldsim.player.stepper import Macro, MakePolicy, Stepper
from worldsim.player.window import HELP, SIZE, WALKING, Window, layout
from worldsim.session.session import Session
from worldsim.session.tick import Tick

DRAW_RATE = 60
NOTICE_SECONDS = 5.0

# By place, as a US keyboard prints them: what is beside what counts, and no letter.
_HELD_KEYS = {
    pygame.KSCAN_W: "forward",
    pygame.KSCAN_S: "back",
    pygame.KSCAN_A: "left",
    pygame.KSCAN_D: "right",
    pygame.KSCAN_SPACE: "jump",
    pygame.KSCAN_LSHIFT: "sneak",
    pygame.KSCAN_LCTRL: "sprint",
    pygame.KSCAN_LEFT: "look left",
    pygame.KSCAN_RIGHT: "look right",
    pygame.KSCAN_UP: "look up",
    pygame.KSCAN_DOWN: "look down",
}
_MOUSE_BUTTONS = {1: "attack", 3: "use"}


class Sink(Protocol):
    """Something that takes every tick, such as a video or a report."""

    def add(self, tick: Tick) -> None:
        """Take one tick."""
        ...


class Player:
    """Plays a session in a window until the player leaves or the policy ends.

    Args:
        session: not yet reset; its environment is closed by the caller.
        keymap: the action language of its world.
        title, size: of the window, in pixels.
        tick_rate: ticks a second, the world's own pace if None.
        turn_rate, mouse_degrees: how fast arrow keys turn, degrees a second, and the mouse, degrees a pixel.
        invert_y: whether mouse and stick look up where they move down.
        make_policy: makes who plays instead of the hands, which can still turn the dials.
        make_macro: makes the needle macro.
        sinks: take every tick.
        limit: stop after this many steps; a reset is none.
        clips: the folder that V saves videos to.
        finish: ends what the caller would end after ``run``, where the display goes away and the process with it.
    """

    def __init__(
        self,
        session: Session,
        keymap: Keymap,
        title: str = "worldsim",
        *,
        size: tuple[int, int] = SIZE,
        tick_rate: int | None = None,
        turn_rate: float = TURN_RATE,
        mouse_degrees: float = MOUSE_DEGREES,
        invert_y: bool = False,
        make_policy: MakePolicy | None = None,
        make_macro: Callable[[], Macro] | None = None,
        sinks: tuple[Sink, ...] = (),
        limit: int | None = None,
        clips: Path = Path(),
        finish: Callable[[], None] = lambda: None,
    ) -> None:
        self._finish = finish
        self.session, self.keymap = session, keymap
        self._title, self._size = title, size
        self._make_macro, self._sinks = make_macro, sinks
        self._rate = tick_rate or keymap.tick_rate
        self._input = InputState(turn_rate, mouse_degrees, keymap.keys or MOVES, invert_y)
        self._held_keys = _HELD_KEYS
        self._gamepad = Gamepad()
        self._stepper = Stepper(
            session, lambda rate: keymap.action(self._input.take(rate)), self._rate, make_policy, limit
        )
        self._down: dict[
            int, str
        ] = {}  # places of keys and mouse buttons that are down, in the world's words
        self._instant_replay = InstantReplay(self._rate, clips, session.controls.notices.put)
        self._notice, self._notice_until = "", 0.0
        self._running = True
        self._drawn: tuple[Any, ...] = ()
        self._exposed = True  # the window was resized or uncovered and must be drawn again
        self._commands = self._keys_of_commands()

    def _keys_of_commands(self) -> dict[int, Callable[[], None]]:
        say = self.session.controls
        return {
            pygame.KSCAN_P: self._pause,
            pygame.KSCAN_N: self._step_once,
            pygame.KSCAN_R: say.toggle_recording,
            pygame.KSCAN_C: say.toggle_compare,
            pygame.KSCAN_H: say.toggle_history_from,
            pygame.KSCAN_X: say.restart_dreams,
            pygame.KSCAN_LEFTBRACKET: lambda: say.turn("history", -1),
            pygame.KSCAN_RIGHTBRACKET: lambda: say.turn("history", +1),
            pygame.KSCAN_MINUS: lambda: say.turn("budget", -1),
            pygame.KSCAN_EQUALS: lambda: say.turn("budget", +1),
            pygame.KSCAN_COMMA: lambda: say.turn("denoising_steps", -1),
            pygame.KSCAN_PERIOD: lambda: say.turn("denoising_steps", +1),
            pygame.KSCAN_F5: lambda: say.turn("history", -1),
            pygame.KSCAN_F6: lambda: say.turn("history", +1),
            pygame.KSCAN_F7: lambda: say.turn("budget", -1),
            pygame.KSCAN_F8: lambda: say.turn("budget", +1),
            pygame.KSCAN_F9: lambda: say.turn("denoising_steps", -1),
            pygame.KSCAN_F10: lambda: say.turn("denoising_steps", +1),
            pygame.KSCAN_T: self._play_needle,
            pygame.KSCAN_V: self._instant_replay.save,
            pygame.KSCAN_B: say.place_bookmark,
            pygame.KSCAN_G: say.go_back,
            pygame.KSCAN_F1: self._toggle_help,
            pygame.KSCAN_TAB: lambda: self._window.capture_mouse(False),
            pygame.KSCAN_ESCAPE: self._leave,
        }

    def run(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Reset the session and play.

        Raises:
            pygame.error: no window can be opened.
            ValueError: the keymap names a key that no keyboard has.
            BaseException: whatever ended the stepping thread, KeyboardInterrupt included.
        """
        self._window = Window(self._title, self._size)
        self._loss = DisplayLoss(self._display_lost)
        try:
            if self.keymap.keys:
                self._held_keys = {named(name): name for name in self.keymap.keys}
                self._window.rows = ((", ".join(self.keymap.keys), "play"), *HELP[WALKING:])
            if self.keymap.waits:
                self._window.hint = f"the world waits for a key ({', '.join(self.keymap.keys)})"
            self._board = Scoreboard(self.session.reset(seed=seed, options=options))
            self._take(self._board.tick)
            self._stepper.start()
            clock = pygame.time.Clock()
            while self._running and self._stepper.is_alive():
                self._frame()
                clock.tick(DRAW_RATE)
        finally:
            with ExitStack() as ending:  # the last first, each of them whatever another one raises
                if self.session.bookmarks is not None:
                    ending.callback(self.session.bookmarks.wait)
                ending.callback(self._instant_replay.wait)
                ending.callback(self._window.close)
                ending.callback(self._take_all)
                if self._stepper.is_alive():
                    self._stepper.stop()
        if self._stepper.error is not None:
            raise self._stepper.error

    def _display_lost(self) -> None:
        if self._stepper.is_alive():
            self._stepper.stop()
        self._take_all()
        self._instant_replay.wait()
        self._finish()

    def _frame(self) -> None:
        for event in pygame.event.get():
            self._on(event)
        held, stick, pad_buttons = self._gamepad.read()
        self._input.hold(frozenset(self._down.values()) | held | pad_buttons, stick)
        self._take_all()
        notice = self._present_notice()
        window = self._window
        shown = (self._board.tick, notice, self._stepper.paused.is_set(), window.help, window.captured)
        # What is on the screen already is not drawn again: the dream needs the processor too.
        if not _same(shown, self._drawn) or self._exposed:
            self._draw(notice)
            self._drawn, self._exposed = shown, False

    def _draw(self, notice: str | None) -> None:
        tick, window = self._board.tick, self._window
        places = layout(window.screen.get_size(), 1 + len(tick.dreams), tick.true_frame.shape[0])
        window.draw_worlds(tick, places, self._stepper.paused.is_set())
        hud.draw(window.screen, places.hud, self._board, self._intent(tick), self.keymap.keys)
        window.draw_status(places.status, notice)
        if window.help:
            window.draw_help()
        pygame.display.flip()

    def _take_all(self) -> None:
        while not self._stepper.ticks.empty():
            tick = self._stepper.ticks.get()
            self._board.add(tick)
            self._take(tick)

    def _take(self, tick: Tick) -> None:
        self._instant_replay.add(tick)
        for sink in self._sinks:
            sink.add(tick)

    def _intent(self, tick: Tick) -> Intent | None:
        return None if tick.action is None else self.keymap.intent(tick.action)

    def _present_notice(self) -> str | None:
        now = time.monotonic()
        while not self.session.controls.notices.empty():
            self._notice, self._notice_until = self.session.controls.notices.get(), now + NOTICE_SECONDS
        if name := self._stepper.macro_name:
            return f"{name}: {self._notice}" if now < self._notice_until else f"{name} is playing"
        return self._notice if now < self._notice_until else None

    # -- events ----------------------------------------------------------------------------------

    def _on(self, event: pygame.event.Event) -> None:
        if event.type == pygame.QUIT:
            self._running = False
        elif event.type == pygame.KEYDOWN:
            key = place_of(event)
            if key in self._held_keys:
                self._press(key, self._held_keys[key])
            elif key in self._commands:
                self._commands[key]()
        elif event.type == pygame.KEYUP:
            self._down.pop(place_of(event), None)
        elif event.type == pygame.MOUSEBUTTONDOWN:
            self._click(event.button)
        elif event.type == pygame.MOUSEBUTTONUP:
            self._down.pop(-event.button, None)
        elif event.type == pygame.MOUSEMOTION and self._window.captured:
            self._input.move_mouse(*event.rel)
        elif event.type == pygame.WINDOWFOCUSLOST:
            self._down.clear()
            self._input.release()
            self._window.capture_mouse(False)
        elif event.type in (pygame.VIDEORESIZE, pygame.VIDEOEXPOSE, pygame.WINDOWEXPOSED):
            self._exposed = True
        elif event.type in (pygame.JOYDEVICEADDED, pygame.JOYDEVICEREMOVED):
            self._gamepad.find()

    def _click(self, button: int) -> None:
        if not self._window.captured:
            self._window.capture_mouse(True)  # the click that captures does nothing in the world
        elif button in _MOUSE_BUTTONS:
            self._press(-button, _MOUSE_BUTTONS[button])

    def _press(self, button: int, name: str) -> None:
        self._down[button] = name
        self._input.tap(name)

    def _pause(self) -> None:
        paused = self._stepper.paused
        if paused.is_set():
            paused.clear()
        else:
            paused.set()
        self._board.pause(paused.is_set())

    def _step_once(self) -> None:
        if self._stepper.paused.is_set():
            self._stepper.step_once()
        else:
            self._pause()

    def _play_needle(self) -> None:
        if self._make_macro is None:
            self.session.controls.notices.put("there is no needle macro for this world")
        elif self._stepper.macro_name is None:
            self._stepper.play_macro("needle", self._make_macro)

    def _toggle_help(self) -> None:
        self._window.help = not self._window.help

    def _leave(self) -> None:
        if self._window.captured:
            self._window.capture_mouse(False)
        elif self._window.help:
            self._window.help = False
        else:
            self._running = False


def _same(a: tuple[Any, ...], b: tuple[Any, ...]) -> bool:
    """Equal, the tick by identity: ticks hold arrays."""
    return len(a) == len(b) and a[0] is b[0] and a[1:] == b[1:]
