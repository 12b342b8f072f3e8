"""Messages between a dream server and whoever plays: msgpack, arrays as their bytes, every field checked.

Nothing in a message names code, and nothing is unpickled. docs/remote.md has the protocol for other languages.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import msgpack
import numpy as np

from worldsim.actions import ActionSpecDamaged, check_spec
from worldsim.dream.predictor import Settings, Spec
from worldsim.session.snapshot import Snapshot

VERSION = 1
PORT = 8766
MOST_BYTES = 64 * 2**20  # of one message
MOST_ITEMS, LONGEST_TEXT = 65_536, 2**24  # of one list or map; of one string, in bytes
MOST_SIDE = 1024  # pixels of a picture
MOST_ROWS = 8  # dreams in one step
MOST_DIAL = 10_000  # frames, latents, or steps
DTYPES = ("bool", "uint8", "uint16", "int32", "int64", "float32", "float64")


class MessageError(ValueError):
    """A message that is not of this protocol; the sentence says what was expected."""


def encode(message: Mapping[str, Any]) -> bytes:
    """A message; arrays become ``{"dtype", "shape", "data"}``, C order, little endian."""
    packed: bytes = msgpack.packb(message, default=_plain)
    return packed


def decode(data: Any) -> dict[str, Any]:
    """Read one message.

    Raises:
        MessageError: it is no msgpack, too large, too deep, or no map with a ``type``.
    """
    if not isinstance(data, bytes):
        raise MessageError("expected a binary message")
    if len(data) > MOST_BYTES:
        raise MessageError(f"expected at most {MOST_BYTES} bytes")
    try:
        found = msgpack.unpackb(
            data,
            object_hook=_array,
            strict_map_key=True,
            max_str_len=LONGEST_TEXT,
            max_bin_len=MOST_BYTES,
            max_array_len=MOST_ITEMS,
            max_map_len=MOST_ITEMS,
            max_ext_len=0,
        )
    except MessageError:
        raise
    except (
        ValueError,
        TypeError,
        RecursionError,
        MemoryError,
        OverflowError,
    ) as error:  # msgpack's are ValueErrors
        raise MessageError(f"expected msgpack ({type(error).__name__})") from None
    if not isinstance(found, dict) or not isinstance(found.get("type"), str):
        raise MessageError("expected a map with a type")
    return found


def array(
    message: Mapping[str, Any], name: str, dtype: str, shape: tuple[int | None, ...], most: int = MOST_ITEMS
) -> np.ndarray:
    """A field that has to be an array of this shape, where None is any number up to ``most``; numbers are finite.

    Raises:
        MessageError: it is not.
    """
    found = message.get(name)
    fits = (
        isinstance(found, np.ndarray)
        and found.dtype == dtype
        and found.ndim == len(shape)
        and all(
            side <= most if want is None else side == want
            for side, want in zip(found.shape, shape, strict=True)
        )
    )
    if not fits or (dtype.startswith("float") and not np.isfinite(found).all()):  # type: ignore[arg-type]
        words = ", ".join("n" if side is None else str(side) for side in shape)
        raise MessageError(f"expected {name} to be finite {dtype} ({words})")
    assert isinstance(found, np.ndarray)
    return found


def whole(message: Mapping[str, Any], name: str, least: int = 0, most: int = 2**53) -> int:
    """A field that has to be a whole number.

    Raises:
        MessageError: it is not, or lies outside.
    """
    value = message.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise MessageError(f"expected {name} to be a whole number from {least} to {most}")
    return value


def settings(message: Mapping[str, Any], spec: Spec) -> Settings:
    """The dials of a dream, within what its predictor can do.

    Raises:
        MessageError: they are not.
    """
    words = message.get("settings")
    if not isinstance(words, dict):
        raise MessageError("expected settings")
    budget = max(*spec.histories, *spec.budgets, spec.budget)
    found = Settings(
        whole(words, "history", 0, max(spec.histories)),
        whole(words, "budget", 0, budget),
        whole(words, "denoising_steps", 1, spec.most_steps),
        str(words.get("pose_from")),
    )
    if found.pose_from not in ("dream", "true"):
        raise MessageError("expected a pose_from of dream or true")
    return found


def spec_words(spec: Spec) -> dict[str, Any]:
    """What a predictor can do, as a message says it."""
    return asdict(spec)


def spec_from(words: Any) -> Spec:
    """The other way.

    Raises:
        MessageError: a field is missing or impossible.
    """
    if not isinstance(words, dict):
        raise MessageError("expected a spec")
    name, poseless = words.get("name", ""), words.get("poseless", "")
    if not all(isinstance(text, str) and len(text) <= 200 for text in (name, poseless)):
        raise MessageError("expected a name and a poseless of at most 200 letters")
    try:
        check_spec(words.get("action_spec"))
    except ActionSpecDamaged as error:
        raise MessageError(str(error)) from None
    return Spec(
        name=name,
        action_spec=words["action_spec"],
        size=whole(words, "size", 1, MOST_SIDE),
        histories=_ladder(words, "histories", 1, None),
        window=whole(words, "window", 1, MOST_DIAL),
        budgets=_ladder(words, "budgets", 0, [0]),
        budget=whole({"budget": 0, **words}, "budget", 0, MOST_DIAL),
        steps=whole({"steps": 1, **words}, "steps", 1, MOST_DIAL),
        most_steps=whole({"most_steps": 1, **words}, "most_steps", 1, MOST_DIAL),
        shortest=None if words.get("shortest") is None else whole(words, "shortest", 0, MOST_DIAL),
        poseless=poseless,
    )


def _ladder(words: Mapping[str, Any], name: str, least: int, given: list[int] | None) -> tuple[int, ...]:
    values = words.get(name, given)
    if not isinstance(values, list | tuple) or not 1 <= len(values) <= 32:
        raise MessageError(f"expected {name} to be 1 to 32 numbers")
    return tuple(whole({name: value}, name, least, MOST_DIAL) for value in values)


def snapshot_words(snapshot: Snapshot) -> dict[str, Any]:
    """A state to keep, as a message says it: its JSON as text, its arrays by name."""
    return {"tree": json.dumps(snapshot.tree, allow_nan=False), "arrays": snapshot.arrays}


def snapshot_from(message: Mapping[str, Any]) -> Snapshot:
    """The other way.

    Raises:
        MessageError: it is none.
    """
    tree, arrays = message.get("tree"), message.get("arrays")
    if not isinstance(tree, str) or not isinstance(arrays, dict):
        raise MessageError("expected a tree and arrays")
    try:
        found = json.loads(tree)
    except (ValueError, RecursionError):
        raise MessageError("expected a tree that is JSON") from None
    if not isinstance(found, dict) or not all(isinstance(a, np.ndarray) for a in arrays.values()):
        raise MessageError("expected a tree that is an object, and arrays")
    return Snapshot(found, arrays)


def numbers(words: Any) -> dict[str, Any]:
    """What was said of a frame: numbers, None, and a pose (5,) by name; everything else is left out."""
    if not isinstance(words, dict):
        return {}
    return {
        name: value
        for name, value in words.items()
        if value is None
        or (isinstance(value, int | float) and math.isfinite(value))
        or (name == "pose" and isinstance(value, np.ndarray) and value.shape == (5,))
    }


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        little = np.ascontiguousarray(value, value.dtype.newbyteorder("<"))
        return {"dtype": value.dtype.name, "shape": list(value.shape), "data": little.tobytes()}
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a {type(value).__name__} does not go into a message")


def _array(found: dict[str, Any]) -> Any:
    """The array that a map is, where it has an array's three fields."""
    if found.keys() != {"dtype", "shape", "data"}:
        return found
    dtype, shape, data = found["dtype"], found["shape"], found["data"]
    if dtype not in DTYPES or not isinstance(data, bytes) or not isinstance(shape, list) or len(shape) > 6:
        raise MessageError(f"expected an array of {', '.join(DTYPES)} and at most 6 sides")
    if not all(isinstance(side, int) and 0 <= side <= MOST_BYTES for side in shape):
        raise MessageError("expected an array's sides to be whole numbers")
    item = np.dtype(dtype).newbyteorder("<")
    if math.prod(shape) * item.itemsize != len(data):
        raise MessageError(
            f"expected {math.prod(shape)} numbers of {dtype} in an array, found {len(data)} bytes"
        )
    return np.frombuffer(data, item).reshape(shape).copy()
