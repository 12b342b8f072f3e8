"""Whatever a Gymnasium world renders or observes, as the square picture that is shown, recorded and learned from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from PIL import Image

CHANNELS = (1, 3, 4)  # grey, colour, colour with an alpha
LEAST = 8  # pixels of a side of an observation that is a picture and no code of cells
_SIGHTLESS = (
    "depth",
    "segm",
    "mask",
    "label",
    "normal",
    "flow",
)  # what beside colour is no sight, by its name
Path = tuple[str | int, ...]


class NoPicture(ValueError):
    """What should be a picture is none; the message says what it is."""


class Pictures:
    """Makes uint8 (H, W, 3) of one episode's pictures, in whatever form a world has them.

    Grey, colour, with alpha (left out), channels last or first; whole numbers of 0 to 255, bool, floats of 0 to 255 or
    of 0 to 1, which of the two says the first picture that is not black.
    """

    def __init__(self) -> None:
        self._unit: bool | None = None

    def colour(self, found: Any) -> NDArray[np.uint8]:
        """One picture.

        Raises:
            NoPicture: it is none.
        """
        if found is None or isinstance(found, str | bytes):
            raise NoPicture("None" if found is None else type(found).__name__)
        try:
            array = np.asarray(found)
        except Exception:  # a tensor on another device, a ragged list
            raise NoPicture(f"a {type(found).__name__}") from None
        if array.dtype.kind not in "biuf" or array.ndim not in (2, 3) or not array.size:
            raise NoPicture(_described(array))
        array = _channels_last(array)
        if array.shape[2] == 4:
            array = array[..., :3]
        picture = self._bytes(array)
        return np.repeat(picture, 3, 2) if picture.shape[2] == 1 else picture

    def _bytes(self, array: NDArray[Any]) -> NDArray[np.uint8]:
        if array.dtype == np.uint8:
            return array
        if array.dtype.kind == "b":
            return array.astype(np.uint8) * np.uint8(255)
        values = np.nan_to_num(array.astype(np.float64), posinf=0.0, neginf=0.0)
        low, high = float(values.min()), float(values.max())
        if array.dtype.kind == "f":
            if high > 1.0:
                self._unit = False
            elif self._unit is None and high > 0.0:
                self._unit = True
            if self._unit:
                values, high = values * 255.0, high * 255.0
        if low < 0 or high > 255.5:
            raise NoPicture(f"{_described(array)} with values from {low:g} to {high:g}")
        return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def letterboxed(picture: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """A picture (H, W, 3) as (size, size, 3): all of it, in its proportions, on black."""
    height, width = picture.shape[:2]
    if (height, width) == (size, size):
        return np.array(picture)
    scale = size / max(height, width)
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    small = Image.fromarray(np.ascontiguousarray(picture)).resize((columns, rows), Image.Resampling.BOX)
    whole = np.zeros((size, size, 3), np.uint8)
    top, left = (size - rows) // 2, (size - columns) // 2
    whole[top : top + rows, left : left + columns] = np.asarray(small)
    return whole


def squeezed(picture: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """A picture (H, W), (H, W, 1) or (H, W, 3) as (size, size, 3), nothing cut off, its proportions lost."""
    grey = picture.ndim == 2 or picture.shape[2] == 1
    picture = np.repeat(picture.reshape(*picture.shape[:2], 1), 3, 2) if grey else picture
    if picture.shape[:2] == (size, size):
        return np.array(picture)
    return np.array(Image.fromarray(picture).resize((size, size), Image.Resampling.BOX), np.uint8)


def picture_in(space: spaces.Space[Any]) -> Path | None:
    """Where in an observation a picture is, as keys from the outside in; None where there is none.

    Colour goes before grey, what is named depth or a mask after all else, and the larger before the smaller.
    """
    found = [(_rank(path, part), path) for path, part in _parts(space, ()) if _is_picture(part)]
    return min(found, key=lambda pair: pair[0])[1] if found else None


def first_bytes_in(space: spaces.Space[Any]) -> Path | None:
    """Where the picture is by the rule of the worlds of version 1: the first uint8 array that looks like one."""
    if isinstance(space, spaces.Dict):
        return next(((name,) for name, part in space.spaces.items() if first_bytes_in(part) == ()), None)
    picture = isinstance(space, spaces.Box) and space.dtype == np.uint8
    deep = space.shape or ()
    return () if picture and (len(deep) == 2 or (len(deep) == 3 and deep[2] in (1, 3))) else None


def look_up(observation: Any, path: Path) -> Any:
    """The part of an observation at a path."""
    for key in path:
        observation = observation[key]
    return observation


def _parts(space: spaces.Space[Any], path: Path) -> Iterator[tuple[Path, spaces.Space[Any]]]:
    if isinstance(space, spaces.Dict):
        for name, part in space.spaces.items():
            yield from _parts(part, (*path, name))
    elif isinstance(space, spaces.Tuple):
        for i, part in enumerate(space.spaces):
            yield from _parts(part, (*path, i))
    else:
        yield path, space


def _is_picture(space: spaces.Space[Any]) -> bool:
    """A Box of bytes or of floats from 0 to 1 or 255, large enough; a board of 12 kinds of pieces is none."""
    if not isinstance(space, spaces.Box) or len(space.shape) not in (2, 3):
        return False
    if len(space.shape) == 3 and not {space.shape[0], space.shape[2]} & {1, 3}:
        return False
    height, width = _sides(space.shape)
    low, high = float(space.low.min()), float(space.high.max())
    known = (space.dtype == np.uint8 and high == 255) or (space.dtype.kind == "f" and high in (1.0, 255.0))
    return known and low >= 0 and min(height, width) >= LEAST


def _sides(shape: tuple[int, ...]) -> tuple[int, int]:
    if len(shape) == 2:
        return shape[0], shape[1]
    return (shape[1], shape[2]) if _first(shape) else (shape[0], shape[1])


def _rank(path: Path, space: spaces.Space[Any]) -> tuple[bool, bool, int]:
    shape = space.shape or ()
    height, width = _sides(shape)
    sightless = any(word in str(key).lower() for key in path for word in _SIGHTLESS)
    return sightless, len(shape) == 2 or height * width == int(np.prod(shape)), -height * width


def _first(shape: tuple[int, ...]) -> bool:
    """Whether the channels of (C, H, W) come first."""
    return shape[2] not in CHANNELS and shape[0] in CHANNELS


def _channels_last(array: NDArray[Any]) -> NDArray[Any]:
    if array.ndim == 2:
        return array[..., None]
    if _first(array.shape):
        return array.transpose(1, 2, 0)
    if array.shape[2] not in CHANNELS:
        raise NoPicture(_described(array))
    return array


def _described(array: NDArray[Any]) -> str:
    return f"an array of shape {array.shape}, {array.dtype}"
