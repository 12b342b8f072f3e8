"""One action language per family of worlds, and the description of it that travels with data."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

MINECRAFT_BUTTONS = ("attack", "back", "forward", "jump", "left", "right", "sneak", "sprint", "use")
FAMILIES = ("minecraft", "dmlab", "doom")  # and gym:ID, for any ID of Gymnasium
DOOM_BUTTONS = ("attack", "back", "forward", "left", "right", "sprint", "use")


def space(family: str) -> spaces.Space[Any]:
    """The action space of a family: MineRL's dictionary, Doom's, DeepMind Lab's seven integers, or a gym world's own.

    Doom's ``camera`` is (pitch, yaw) in degrees, as MineRL's is.

    Raises:
        ValueError: the family is none of ``FAMILIES`` nor ``gym:ID``; or there is no such world.
    """
    if family in ("minecraft", "doom"):
        names = MINECRAFT_BUTTONS if family == "minecraft" else DOOM_BUTTONS
        buttons: dict[str, spaces.Space[Any]] = {name: spaces.Discrete(2) for name in names}
        return spaces.Dict({**buttons, "camera": spaces.Box(-180.0, 180.0, (2,), np.float32)})
    if family.startswith("gym:"):
        from envs.adapters.gym_world import action_space  # which knows Gymnasium's other worlds

        return action_space(family)
    if family == "dmlab":
        low = np.array([-512, -512, -1, -1, 0, 0, 0], np.int32)
        high = np.array([512, 512, 1, 1, 1, 1, 1], np.int32)
        return spaces.Box(low, high, dtype=np.int32)
    raise ValueError(f"expected an action family of {FAMILIES} or gym:ID, found {family!r}")


def noop(family: str) -> Any:
    """The action that does nothing."""
    if family == "minecraft":
        return {**dict.fromkeys(MINECRAFT_BUTTONS, 0), "camera": np.zeros(2, np.float32)}
    if family == "doom":
        return {**dict.fromkeys(DOOM_BUTTONS, 0), "camera": np.zeros(2, np.float32)}
    return rest(space(family))


def rest(action_space: spaces.Space[Any]) -> Any:
    """The first action of a Discrete, the zero of a Box or what is nearest to it, both of a Dict."""
    if isinstance(action_space, spaces.Dict):
        return {name: rest(part) for name, part in action_space.spaces.items()}
    if isinstance(action_space, spaces.Box):
        zeros = np.zeros(action_space.shape, action_space.dtype)
        return np.clip(zeros, action_space.low, action_space.high, dtype=action_space.dtype)
    return 0


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
