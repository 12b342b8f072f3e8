"""From what is held down and how far the view was turned to an action, and back to words for the HUD."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

# What a player can hold, in the world's own words, whichever key, button or stick it came from.
MOVES = ("forward", "back", "left", "right", "jump", "sneak", "sprint", "attack", "use")
TURN_RATE = 120.0  # degrees a second of a held arrow key
MOUSE_DEGREES = 0.15  # a pixel of mouse motion, as in Minecraft at its middle sensitivity
TURNS = ("look left", "look right", "look up", "look down")


@dataclass(frozen=True)
class Intent:
    """What the player wants in one tick: the moves held and the turn of the view in degrees."""

    held: frozenset[str]  # of MOVES
    yaw: float  # to the right
    pitch: float  # down


class Keymap(Protocol):
    """The action language of one family of worlds."""

    tick_rate: int  # ticks a second of live play
    keys: tuple[str, ...]  # the names of the keys that play; none: those of a walker, and the mouse
    waits: bool  # whether the world stands still until a key is pressed

    def action(self, intent: Intent) -> Any:
        """The action that does what the player wants; None where it waits and no key is held."""
        ...

    def intent(self, action: Any) -> Intent:
        """What an action does, for the HUD."""
        ...


class MinecraftKeymap:
    """MineRL's dictionary of buttons and camera degrees."""

    tick_rate = 20
    keys: tuple[str, ...] = ()
    waits = False
    buttons = tuple(sorted(MOVES))

    def action(self, intent: Intent) -> dict[str, Any]:
        """Buttons in {0, 1}; ``camera`` float32 (pitch, yaw), degrees."""
        camera = np.clip(np.array([intent.pitch, intent.yaw], np.float32), -180, 180)
        return {**{name: int(name in intent.held) for name in self.buttons}, "camera": camera}

    def intent(self, action: dict[str, Any]) -> Intent:
        """The buttons that are down, and the camera."""
        pitch, yaw = (float(v) for v in action["camera"])
        return Intent(frozenset(name for name in self.buttons if int(action[name])), yaw, pitch)


class DoomKeymap(MinecraftKeymap):
    """Minecraft's dictionary without jumping and sneaking."""

    tick_rate = 17
    buttons = ("attack", "back", "forward", "left", "right", "sprint", "use")


class DMLabKeymap:
    """DeepMind Lab's seven integers; it has no sprint and no use."""

    tick_rate = 15
    keys: tuple[str, ...] = ()
    waits = False
    degrees_per_pixel = 0.06
    max_pixels = 512

    def action(self, intent: Intent) -> np.ndarray:
        """int32 (7,): look right and look up in pixels, strafe right, forward, fire, jump, crouch."""
        held = intent.held
        return np.array(
            [
                self._pixels(intent.yaw),
                self._pixels(-intent.pitch),
                ("right" in held) - ("left" in held),
                ("forward" in held) - ("back" in held),
                "attack" in held,
                "jump" in held,
                "sneak" in held,
            ],
            np.int32,
        )

    def intent(self, action: np.ndarray) -> Intent:
        """The seven integers as moves and degrees."""
        look, up, strafe, move, fire, jump, crouch = (int(v) for v in action)
        flags = {
            "right": strafe > 0,
            "left": strafe < 0,
            "forward": move > 0,
            "back": move < 0,
            "attack": fire > 0,
            "jump": jump > 0,
            "sneak": crouch > 0,
        }
        held = frozenset(name for name, on in flags.items() if on)
        return Intent(held, look * self.degrees_per_pixel, -up * self.degrees_per_pixel)

    def _pixels(self, degrees: float) -> int:
        return int(np.clip(round(degrees / self.degrees_per_pixel), -self.max_pixels, self.max_pixels))


KEYMAPS: dict[str, type[MinecraftKeymap] | type[DMLabKeymap]] = {
    "minecraft": MinecraftKeymap,
    "dmlab": DMLabKeymap,
    "doom": DoomKeymap,
}


class InputState:
    """What the player's hands do now: written at 60 Hz by the window, read once a tick by the stepper.

    Held turns (arrow keys, stick) turn at a rate; the mouse adds up what it moved since the last tick, so
    no motion is lost when a dream is slow. ``words`` are what can be held, besides TURNS; ``invert_y`` turns the
    vertical axis of mouse and stick round.
    """

    def __init__(
        self,
        turn_rate: float = TURN_RATE,
        mouse_degrees: float = MOUSE_DEGREES,
        words: tuple[str, ...] = MOVES,
        invert_y: bool = False,
    ) -> None:
        self._vertical = -1.0 if invert_y else 1.0
        self.turn_rate, self.mouse_degrees, self._words = turn_rate, mouse_degrees, frozenset(words)
        self._lock = threading.Lock()
        self._held: frozenset[str] = frozenset()
        self._stick = (0.0, 0.0)
        self._mouse = (0.0, 0.0)
        self._tapped: set[str] = set()

    def hold(self, held: frozenset[str], stick: tuple[float, float] = (0.0, 0.0)) -> None:
        """What is held now, of the world's words and TURNS; the stick's (right, down) in [-1, 1]."""
        with self._lock:
            self._held, self._stick = held, stick

    def tap(self, name: str) -> None:
        """Something was pressed: it counts for one tick, even if it is let go before that."""
        with self._lock:
            self._tapped.add(name)

    def move_mouse(self, right: float, down: float) -> None:
        """The mouse moved, in pixels."""
        with self._lock:
            self._mouse = (self._mouse[0] + right, self._mouse[1] + down)

    def release(self) -> None:
        """Let go of everything: the window lost the keyboard."""
        with self._lock:
            self._held, self._tapped = frozenset(), set()
            self._stick = self._mouse = (0.0, 0.0)

    def take(self, tick_rate: float) -> Intent:
        """What the player wants of the next tick."""
        with self._lock:
            held = self._held | self._tapped
            (right, down), (mouse_right, mouse_down) = self._stick, self._mouse
            self._tapped, self._mouse = set(), (0.0, 0.0)
        right += ("look right" in held) - ("look left" in held)
        down, mouse_down = down * self._vertical, mouse_down * self._vertical
        down += ("look down" in held) - ("look up" in held)
        step = self.turn_rate / tick_rate
        return Intent(
            held & self._words,
            yaw=max(-1.0, min(1.0, right)) * step + mouse_right * self.mouse_degrees,
            pitch=max(-1.0, min(1.0, down)) * step + mouse_down * self.mouse_degrees,
        )
