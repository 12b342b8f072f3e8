"""A gamepad, where pygame sees one: left stick walks, right stick looks, triggers act."""

from __future__ import annotations

from typing import Any

import pygame
from pygame._sdl2 import controller

DEAD = 0.2  # a stick nearer to its middle than this rests
PULLED = 0.5  # a trigger farther than this acts
FULL = 32768
_BUTTONS = {
    pygame.CONTROLLER_BUTTON_A: "jump",
    pygame.CONTROLLER_BUTTON_B: "sneak",
    pygame.CONTROLLER_BUTTON_LEFTSHOULDER: "sprint",
    pygame.CONTROLLER_BUTTON_LEFTSTICK: "sprint",
    pygame.CONTROLLER_BUTTON_RIGHTSHOULDER: "use",
}
_TRIGGERS = {pygame.CONTROLLER_AXIS_TRIGGERLEFT: "use", pygame.CONTROLLER_AXIS_TRIGGERRIGHT: "attack"}


class Gamepad:
    """The first gamepad, read sixty times a second; there may be none.

    Where its sticks, triggers and buttons are is SDL's knowledge, since every make numbers them in its own way.
    """

    def __init__(self) -> None:
        self._pad: Any = None

    def find(self) -> None:
        """Look which gamepad is there, after one was plugged in or out."""
        controller.init()
        there = (i for i in range(controller.get_count()) if controller.is_controller(i))
        index = next(there, None)
        self._pad = None if index is None else controller.Controller(index)

    def read(self) -> tuple[frozenset[str], tuple[float, float], frozenset[str]]:
        """Moves of the left stick, the right stick's (right, down), and moves of the buttons."""
        if self._pad is None or not self._pad.attached():
            return frozenset(), (0.0, 0.0), frozenset()
        buttons = {name for button, name in _BUTTONS.items() if self._pad.get_button(button)}
        buttons |= {name for axis, name in _TRIGGERS.items() if self._axis(axis) > PULLED}
        look = (self._axis(pygame.CONTROLLER_AXIS_RIGHTX), self._axis(pygame.CONTROLLER_AXIS_RIGHTY))
        right, down = (
            self._axis(pygame.CONTROLLER_AXIS_LEFTX),
            self._axis(pygame.CONTROLLER_AXIS_LEFTY),
        )
        return _walk(right, down), look, frozenset(buttons)

    def _axis(self, axis: int) -> float:
        value = self._pad.get_axis(axis) / FULL
        return value if abs(value) > DEAD else 0.0


def _walk(right: float, down: float) -> frozenset[str]:
    moves = {"right": right > 0.4, "left": right < -0.4, "back": down > 0.4, "forward": down < -0.4}
    return frozenset(name for name, on in moves.items() if on)
