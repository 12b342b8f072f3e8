"""Keys by their place on the keyboard, named as a US keyboard names it, whatever is printed there or layout is on."""

from __future__ import annotations

from functools import lru_cache

import pygame

UNKNOWN = 0  # of an event that tells no place, as synthetic ones
_BESIDE_ASCII = 1 << 30  # SDL's codes of keys that print nothing are their places with this bit
_SAME = (
    *"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
    *(
        "SPACE",
        "LEFTBRACKET",
        "RIGHTBRACKET",
        "MINUS",
        "EQUALS",
        "COMMA",
        "PERIOD",
        "SLASH",
        "BACKSLASH",
        "SEMICOLON",
    ),
    *("RETURN", "ESCAPE", "TAB", "BACKSPACE", "DELETE"),
)  # names that pygame's key codes and places share
_OTHERS = {"QUOTE": "APOSTROPHE", "BACKQUOTE": "GRAVE"}


def place_of(event: pygame.event.Event) -> int:
    """The place (SDL's scancode) of the key of an event; of one that tells none, where a US keyboard has its letter."""
    return getattr(event, "scancode", UNKNOWN) or place(event.key)


def place(key: int) -> int:
    """Where a US keyboard has what a key code prints; the code itself where it has none."""
    if key & _BESIDE_ASCII:
        return key & ~_BESIDE_ASCII
    return _us().get(key, key)


def named(name: str) -> int:
    """The place of a key by pygame's name of it: a, left, space, return.

    Raises:
        ValueError: no key is called so.
    """
    try:
        return place(pygame.key.key_code(name))
    except ValueError:
        raise ValueError(
            f"no key is called {name!r}; expected a name such as a, left, space or return"
        ) from None


@lru_cache(maxsize=1)
def _us() -> dict[int, int]:
    names = {name: name for name in _SAME} | _OTHERS
    return {
        getattr(pygame, f"K_{code.lower() if len(code) == 1 else code}"): getattr(pygame, f"KSCAN_{scan}")
        for code, scan in names.items()
    }
