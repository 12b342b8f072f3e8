"""A gamepad, where pygame sees one: left stick walks, right stick looks, triggers act."""

from __future__ import annotations

import pygame

DEAD = 0.2  # a stick nearer to its middle than this rests
_BUTTONS = {0: "jump", 1: "sneak", 4: "sprint", 5: "use", 9: "sprint", 10: "use"}


class Pad:
    """The first gamepad, read sixty times a second; there may be none."""

    def __init__(self) -> None:
        self._pad: pygame.joystick.JoystickType | None = None

    def find(self) -> None:
        """Look which gamepad is there, after one was plugged in or out."""
        self._pad = pygame.joystick.Joystick(0) if pygame.joystick.get_count() else None

    def read(self) -> tuple[frozenset[str], tuple[float, float], frozenset[str]]:
        """Moves of the left stick, the right stick's (right, down), and moves of the buttons."""
        if self._pad is None:
            return frozenset(), (0.0, 0.0), frozenset()
        axes = [self._pad.get_axis(i) for i in range(self._pad.get_numaxes())]
        count = self._pad.get_numbuttons()
        buttons = {name for i, name in _BUTTONS.items() if i < count and self._pad.get_button(i)}
        # With triggers (six axes) SDL on Linux puts the right stick at 3, 4; without them at 2, 3.
        look = (3, 4) if len(axes) >= 6 else (2, 3)
        if len(axes) >= 6:
            buttons |= {"attack"} if axes[5] > 0.5 else set()
            buttons |= {"use"} if axes[2] > 0.5 else set()
        stick = (_live(axes, look[0]), _live(axes, look[1]))
        return _walk(_live(axes, 0), _live(axes, 1)), stick, frozenset(buttons)


def _live(axes: list[float], axis: int) -> float:
    value = axes[axis] if axis < len(axes) else 0.0
    return value if abs(value) > DEAD else 0.0


def _walk(right: float, down: float) -> frozenset[str]:
    moves = {"right": right > 0.4, "left": right < -0.4, "back": down > 0.4, "forward": down < -0.4}
    return frozenset(name for name, on in moves.items() if on)
