"""A Gymnasium world's actions as models and episodes have them: a Discrete, a Box, or a Dict of those."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

FIELDS = 256  # of a Dict, as many as an episode may have


class ForeignActions(ValueError):
    """Actions that no model here can take; the message says which."""


class ActionLanguage:
    """Translates between a world's own actions and plain ones.

    A Discrete begins with 0. MultiDiscrete, MultiBinary and Tuple become a Dict whose fields are numbered, "0", "1" and
    so on; what lies deeper is named by all the names on the way, with dots between.

    Args:
        space: the world's own.

    Raises:
        ForeignActions: it holds something that is none of Discrete, Box, MultiDiscrete, MultiBinary, Tuple and Dict.
    """

    def __init__(self, space: spaces.Space[Any]) -> None:
        self._space = space
        if isinstance(space, spaces.Discrete | spaces.Box):
            self.plain: spaces.Space[Any] = _plain(space)
            return
        fields = list(_fields(space, ""))
        names = [name for name, _ in fields]
        if not 1 <= len(fields) <= FIELDS or len(set(names)) < len(names):
            raise ForeignActions(f"{len(fields)} fields of which {len(set(names))} have a name of their own")
        self.plain = spaces.Dict(dict(fields))

    def to_world(self, action: Any) -> Any:
        """A plain action as the world takes it."""
        return _nested(self._space, "", action if isinstance(self.plain, spaces.Dict) else {"": action})

    def from_world(self, action: Any) -> Any:
        """What a world says of itself, such as what its keys do, as a plain action; a Dict may name some fields only.

        Raises:
            ValueError: it is no action of the world.
        """
        try:
            found = dict(_read(self._space, "", action))
        except (AttributeError, LookupError, TypeError) as error:
            raise ValueError(f"expected an action of {self._space}, found {action!r}") from error
        return found if isinstance(self.plain, spaces.Dict) else found[""]


def _plain(space: spaces.Discrete | spaces.Box) -> spaces.Space[Any]:
    if isinstance(space, spaces.Discrete):
        return spaces.Discrete(int(space.n))
    return spaces.Box(space.low, space.high, space.shape, space.dtype.type)


def _children(space: spaces.Space[Any], name: str) -> list[tuple[str, Any, spaces.Space[Any]]]:
    """(name, key, space) of each part."""
    if isinstance(space, spaces.Dict):
        return [(_join(name, key), key, part) for key, part in space.spaces.items()]
    assert isinstance(space, spaces.Tuple)
    return [(_join(name, i), i, part) for i, part in enumerate(space.spaces)]


def _numbered(space: spaces.MultiDiscrete | spaces.MultiBinary, name: str) -> Iterator[tuple[str, int]]:
    """The name and the number of choices of each part, in the order of the flat array."""
    if isinstance(space, spaces.MultiDiscrete):
        sizes = [int(n) for n in np.asarray(space.nvec).reshape(-1)]
    else:
        sizes = [2] * int(np.prod(space.shape))
    width = len(str(len(sizes) - 1))  # a Dict is laid out by its names: 02 before 10
    for i, n in enumerate(sizes):
        yield _join(name, f"{i:0{width}d}"), n


def _fields(space: spaces.Space[Any], name: str) -> Iterator[tuple[str, spaces.Space[Any]]]:
    if isinstance(space, spaces.Discrete | spaces.Box):
        yield name, _plain(space)
    elif isinstance(space, spaces.MultiDiscrete | spaces.MultiBinary):
        if int(np.prod(space.shape)) > FIELDS:
            raise ForeignActions(f"{space}, more than {FIELDS} fields")
        for part, n in _numbered(space, name):
            yield part, spaces.Discrete(n)
    elif isinstance(space, spaces.Dict | spaces.Tuple):
        for part, _, inner in _children(space, name):
            yield from _fields(inner, part)
    else:
        raise ForeignActions(str(space))


def _nested(space: spaces.Space[Any], name: str, action: Mapping[str, Any]) -> Any:
    if isinstance(space, spaces.Discrete):
        return int(action[name]) + int(space.start)
    if isinstance(space, spaces.Box):
        return np.asarray(action[name], space.dtype)
    if isinstance(space, spaces.MultiDiscrete | spaces.MultiBinary):
        values = np.array([int(action[part]) for part, _ in _numbered(space, name)], space.dtype)
        return values.reshape(space.shape) + _start(space)
    parts = [(key, _nested(inner, part, action)) for part, key, inner in _children(space, name)]
    return dict(parts) if isinstance(space, spaces.Dict) else tuple(value for _, value in parts)


def _read(space: spaces.Space[Any], name: str, action: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(space, spaces.Discrete):
        yield name, int(action) - int(space.start)
    elif isinstance(space, spaces.Box):
        yield name, np.asarray(action, space.dtype)
    elif isinstance(space, spaces.MultiDiscrete | spaces.MultiBinary):
        values = (np.asarray(action).reshape(space.shape) - _start(space)).reshape(-1)
        for (part, _), value in zip(_numbered(space, name), values, strict=True):
            yield part, int(value)
    else:
        some = action.keys() if isinstance(space, spaces.Dict) else range(len(action))
        for part, key, inner in _children(space, name):
            if key in some:
                yield from _read(inner, part, action[key])


def _start(space: spaces.MultiDiscrete | spaces.MultiBinary) -> Any:
    """Where a MultiDiscrete begins to count."""
    return (
        np.asarray(space.start, space.dtype)
        if isinstance(space, spaces.MultiDiscrete)
        else space.dtype.type(0)
    )


def _join(name: str, part: object) -> str:
    return f"{name}.{part}" if name else str(part)
