"""What goes over the socket: JSON up, checked field by field; down JSON, and one binary message a frame."""

from __future__ import annotations

import io
import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from PIL import Image

VERSION = 1
MOST_BYTES = 2048  # of one message upwards
MOST_HELD = 32  # names in one message
MOST_PIXELS = 4000.0  # of mouse motion in one message
LONGEST_NAME = 24
COMMANDS = (
    "pause",
    "step",
    "record",
    "compare",
    "history_from",
    "restart",
    "needle",
    "clip",
    "bookmark",
    "back",
)
DIALS = ("history", "budget", "denoising_steps")


class MessageError(ValueError):
    """A message that is not of this protocol; the sentence says what was expected."""


@dataclass(frozen=True)
class Hands:
    """What the player's hands do now.

    ``number`` counts these messages upwards, and comes back with the first picture that answers them. ``held`` is what
    is held, ``tapped`` what was pressed since the last one, in the world's words; ``stick`` is (right, down) in
    [-1, 1], ``mouse`` the pixels moved since the last one.
    """

    number: int
    held: frozenset[str]
    tapped: frozenset[str]
    stick: tuple[float, float]
    mouse: tuple[float, float]


@dataclass(frozen=True)
class Command:
    """One of ``COMMANDS``."""

    name: str


@dataclass(frozen=True)
class Turn:
    """A dial by so many choices, -1 or 1."""

    dial: str
    by: int


@dataclass(frozen=True)
class Put:
    """A dial at a value."""

    dial: str
    value: int


@dataclass(frozen=True)
class Hidden:
    """Whether the page cannot be seen."""

    hidden: bool


@dataclass(frozen=True)
class Shown:
    """The frame of this number is on the screen."""

    number: int


Message = Hands | Command | Turn | Put | Hidden | Shown


def parse(text: str) -> Message:
    """Read one message of a page.

    Raises:
        MessageError: it is too long, no JSON, of an unknown type, or a field is missing or wrong.
    """
    if len(text.encode("utf-8", "replace")) > MOST_BYTES:
        raise MessageError(f"expected at most {MOST_BYTES} bytes")
    try:
        found = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise MessageError("expected JSON") from None
    if not isinstance(found, dict):
        raise MessageError("expected an object")
    kind = found.get("type")
    if kind == "hands":
        return Hands(
            _whole(found, "number", 2**53),
            _names(found, "held"),
            _names(found, "tapped"),
            _pair(found, "stick", 1.0),
            _pair(found, "mouse", MOST_PIXELS),
        )
    if kind == "command":
        return Command(_one_of(found, "name", COMMANDS))
    if kind == "turn":
        by = found.get("by")
        if isinstance(by, bool) or by not in (-1, 1):
            raise MessageError("expected a by of -1 or 1")
        return Turn(_one_of(found, "dial", DIALS), int(by))
    if kind == "put":
        return Put(_one_of(found, "dial", DIALS), _whole(found, "value", 10**6))
    if kind == "hidden":
        if not isinstance(found.get("hidden"), bool):
            raise MessageError("expected a hidden of true or false")
        return Hidden(found["hidden"])
    if kind == "shown":
        return Shown(_whole(found, "number", 2**53))
    raise MessageError("expected a type of hands, command, turn, put, hidden or shown")


def png(frame: np.ndarray) -> bytes:
    """A picture uint8 (H, W, 3), lossless, and packed quickly rather than tightly."""
    packed = io.BytesIO()
    Image.fromarray(frame).save(packed, "PNG", compress_level=1)
    return packed.getvalue()


def pack(header: dict[str, Any], pictures: Mapping[str, bytes]) -> bytes:
    """One binary message: the header's length in bytes (uint32, little endian), the header as JSON, the pictures.

    The header's ``pictures`` are ``[name, bytes]`` of each, in the order in which they follow.
    """
    fields = {**header, "pictures": [[name, len(data)] for name, data in pictures.items()]}
    head = json.dumps(fields, allow_nan=False, separators=(",", ":")).encode()
    return b"".join((struct.pack("<I", len(head)), head, *pictures.values()))


def unpack(message: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The header and the pictures uint8 (H, W, 3) of a binary message; what a page does, for clients in Python.

    Raises:
        MessageError: it is cut short.
    """
    try:
        (length,) = struct.unpack_from("<I", message)
        header = json.loads(message[4 : 4 + length])
        at, pictures = 4 + length, {}
        for name, size in header["pictures"]:
            with Image.open(io.BytesIO(message[at : at + size]), formats=("PNG",)) as image:
                pictures[name] = np.asarray(image.convert("RGB"))
            at += size
    except (struct.error, ValueError, KeyError, TypeError, OSError) as error:
        raise MessageError("expected a header and whole pictures") from error
    return header, pictures


def _no_number(word: str) -> NoReturn:
    raise ValueError(word)


def _whole(found: dict[str, Any], name: str, most: int) -> int:
    value = found.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise MessageError(f"expected a {name} that is a whole number from 0 to {most}")
    return value


def _one_of(found: dict[str, Any], name: str, choices: tuple[str, ...]) -> str:
    value = found.get(name)
    if not isinstance(value, str) or value not in choices:
        raise MessageError(f"expected a {name} of {', '.join(choices)}")
    return value


def _names(found: dict[str, Any], name: str) -> frozenset[str]:
    values = found.get(name, [])
    few = isinstance(values, list) and len(values) <= MOST_HELD
    if not few or not all(isinstance(v, str) and len(v) <= LONGEST_NAME for v in values):
        raise MessageError(f"expected {name} to be at most {MOST_HELD} names")
    return frozenset(values)


def _pair(found: dict[str, Any], name: str, most: float) -> tuple[float, float]:
    """Two finite numbers, no farther from 0 than ``most``."""
    values = found.get(name, [0, 0])
    if not isinstance(values, list) or len(values) != 2:
        raise MessageError(f"expected a {name} of two numbers")
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        raise MessageError(f"expected a {name} of two numbers")
    right, down = (max(-most, min(most, v)) for v in values)
    if not math.isfinite(right) or not math.isfinite(down):
        raise MessageError(f"expected a {name} of finite numbers")
    return float(right), float(down)
