"""One action language per family of worlds, and the description of it that travels with data."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

MINECRAFT_BUTTONS = ("attack", "back", "forward", "jump", "left", "right", "sneak", "sprint", "use")
FAMILIES = ("minecraft", "dmlab")


def space(family: str) -> spaces.Space[Any]:
    """The action space of a family: MineRL's dictionary or DeepMind Lab's seven integers.

    Raises:
        ValueError: the family is neither ``minecraft`` nor ``dmlab``.
    """
    if family == "minecraft":
        buttons: dict[str, spaces.Space[Any]] = {name: spaces.Discrete(2) for name in MINECRAFT_BUTTONS}
        return spaces.Dict({**buttons, "camera": spaces.Box(-180.0, 180.0, (2,), np.float32)})
    if family == "dmlab":
        low = np.array([-512, -512, -1, -1, 0, 0, 0], np.int32)
        high = np.array([512, 512, 1, 1, 1, 1, 1], np.int32)
        return spaces.Box(low, high, dtype=np.int32)
    raise ValueError(f"expected an action family of {FAMILIES}, found {family!r}")


def noop(family: str) -> Any:
    """The action that does nothing."""
    if family == "minecraft":
        return {**dict.fromkeys(MINECRAFT_BUTTONS, 0), "camera": np.zeros(2, np.float32)}
    return np.zeros(space(family).shape or (), np.int32)


def spec(action_space: spaces.Space[Any], family: str) -> dict[str, Any]:
    """Describe an action space in JSON, in the order in which ``gymnasium.spaces.flatten`` lays it out.

    Raises:
        TypeError: the space holds something other than Discrete and Box.
    """
    if isinstance(action_space, spaces.Dict):
        return {"family": family, "fields": [_field(name, s) for name, s in action_space.spaces.items()]}
    return {"family": family, "fields": [_field("", action_space)]}


def _field(name: str, s: spaces.Space[Any]) -> dict[str, Any]:
    if isinstance(s, spaces.Discrete):
        return {"name": name, "kind": "discrete", "n": int(s.n)}
    if isinstance(s, spaces.Box):
        return {
            "name": name,
            "kind": "box",
            "low": s.low.tolist(),
            "high": s.high.tolist(),
            "shape": list(s.shape),
            "dtype": str(s.dtype),
        }
    raise TypeError(f"action field {name!r}: expected Discrete or Box, found {type(s).__name__}")
