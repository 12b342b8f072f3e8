"""A gamepad plays: one that SDL itself pretends is there (its virtual joysticks), read as any other."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pygame
import pytest

from worldsim.player.gamepad import Gamepad

CONTROLLER = 1  # SDL_JOYSTICK_TYPE_GAMECONTROLLER
FULL = 32767


def _sdl() -> Any:
    """The SDL that pygame has loaded, where it can make virtual joysticks."""
    maps = Path("/proc/self/maps")
    lines = maps.read_text().splitlines() if maps.exists() else []
    found = {line.split()[-1] for line in lines if "libSDL2-" in line}
    if not found:
        pytest.skip("pygame's SDL library cannot be found in this process")
    sdl = ctypes.CDLL(found.pop())
    if not hasattr(sdl, "SDL_JoystickAttachVirtual"):
        pytest.skip("this SDL has no virtual joysticks")
    sdl.SDL_JoystickFromInstanceID.restype = ctypes.c_void_p
    return sdl


class Virtual:
    """A gamepad whose sticks and buttons are moved by the test."""

    def __init__(self, sdl: Any) -> None:
        self.sdl = sdl
        self.index = sdl.SDL_JoystickAttachVirtual(CONTROLLER, 6, 11, 0)
        assert self.index >= 0, "SDL could not attach a virtual joystick"
        self.held = pygame.joystick.Joystick(self.index)
        self.handle = ctypes.c_void_p(sdl.SDL_JoystickFromInstanceID(self.held.get_instance_id()))

    def axis(self, which: int, value: float) -> None:
        self.sdl.SDL_JoystickSetVirtualAxis(self.handle, which, ctypes.c_int16(round(value * FULL)))
        pygame.event.pump()

    def button(self, which: int, down: bool) -> None:
        self.sdl.SDL_JoystickSetVirtualButton(self.handle, which, ctypes.c_uint8(down))
        pygame.event.pump()

    def unplug(self) -> None:
        self.held.quit()
        self.sdl.SDL_JoystickDetachVirtual(self.index)
        pygame.event.pump()


@pytest.fixture
def sdl(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setenv("SDL_JOYSTICK_ALLOW_BACKGROUND_EVENTS", "1")
    pygame.display.init()
    pygame.joystick.init()
    if pygame.joystick.get_count():
        pytest.skip("a real gamepad is plugged in")
    yield _sdl()
    pygame.joystick.quit()
    pygame.display.quit()


def test_sticks_walk_and_look_buttons_and_triggers_act(sdl: Any) -> None:
    virtual, pad = Virtual(sdl), Gamepad()
    assert pad.read() == (frozenset(), (0.0, 0.0), frozenset())  # nobody has looked for one yet
    pad.find()
    assert pad.read() == (frozenset(), (0.0, 0.0), frozenset())
    virtual.axis(pygame.CONTROLLER_AXIS_LEFTY, -1)
    virtual.axis(pygame.CONTROLLER_AXIS_RIGHTX, 0.5)
    virtual.button(pygame.CONTROLLER_BUTTON_A, True)
    walk, look, buttons = pad.read()
    assert walk == {"forward"} and buttons == {"jump"}
    assert look == (pytest.approx(0.5, abs=0.01), 0.0)
    virtual.button(pygame.CONTROLLER_BUTTON_A, False)
    virtual.axis(pygame.CONTROLLER_AXIS_LEFTY, 0.1)  # within the dead zone
    virtual.axis(pygame.CONTROLLER_AXIS_LEFTX, 0.9)
    virtual.axis(pygame.CONTROLLER_AXIS_RIGHTX, 0)
    virtual.axis(pygame.CONTROLLER_AXIS_TRIGGERRIGHT, 1)
    assert pad.read() == ({"right"}, (0.0, 0.0), {"attack"})
    virtual.unplug()


def test_one_that_is_unplugged_lets_go(sdl: Any) -> None:
    virtual, pad = Virtual(sdl), Gamepad()
    pad.find()
    virtual.axis(pygame.CONTROLLER_AXIS_LEFTY, 1)
    assert pad.read()[0] == {"back"}
    virtual.unplug()
    assert pad.read() == (frozenset(), (0.0, 0.0), frozenset())
    pad.find()
    assert pad.read() == (frozenset(), (0.0, 0.0), frozenset())
