"""Worlds of OpenAI's gym, the library before Gymnasium, whose reset gives an observation and whose step four things.

``gym:memory_maze:MemoryMaze-9x9-v0`` is such a world: its package registers with ``gym`` and not with Gymnasium. What
the library ``shimmy`` does for one version of gym each is little enough to be done here for all: 0.21 to 0.26 differ in
what reset and step give, and in how a seed is told.
"""

from __future__ import annotations

import importlib
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class OldGymError(ValueError):
    """A world of gym that cannot be played; the message says why."""


class OldGymWorld(gymnasium.Env[Any, Any]):
    """A world of gym as one of Gymnasium.

    Args:
        env: what ``gym.make`` gave.
        render_mode: None or ``rgb_array``.

    Raises:
        OldGymError: a space of a kind that is not known here.
    """

    def __init__(self, env: Any, render_mode: str | None = None) -> None:
        self.env, self.render_mode = env, render_mode
        self.observation_space = space_of(env.observation_space)
        self.action_space = space_of(env.action_space)
        described = dict(getattr(env, "metadata", None) or {})
        modes = described.get("render_modes", described.get("render.modes", []))
        fps = described.get("render_fps", described.get("video.frames_per_second"))
        self.metadata = {"render_modes": list(modes or []), **({"render_fps": fps} if fps else {})}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode; the seed is told however this version of gym takes it."""
        super().reset(seed=seed)
        found = self._reset(seed)
        if isinstance(found, tuple) and len(found) == 2 and isinstance(found[1], dict):
            return found[0], dict(found[1])
        return found, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One step; an end that gym's ``TimeLimit`` made is a truncation."""
        found = self.env.step(action)
        if len(found) == 5:
            observation, reward, terminated, truncated, info = found
            return observation, float(reward), bool(terminated), bool(truncated), dict(info)
        observation, reward, done, info = found
        cut = bool(info.get("TimeLimit.truncated", False))
        return observation, float(reward), bool(done) and not cut, bool(done) and cut, dict(info)

    def render(self) -> Any:
        """The present picture where ``render_mode`` is ``rgb_array``."""
        if self.render_mode != "rgb_array":
            return None
        try:
            found = self.env.render(mode="rgb_array")
        except TypeError:  # from 0.26 on the mode is told when a world is made
            found = self.env.render()
        return np.asarray(found[-1] if isinstance(found, list) else found)

    def close(self) -> None:
        """Close the world."""
        self.env.close()

    def _reset(self, seed: int | None) -> Any:
        if seed is None:
            return self.env.reset()
        try:
            return self.env.reset(seed=seed)
        except TypeError:  # before 0.24
            self.env.seed(seed)
            return self.env.reset()


def make(id: str, render_mode: str | None = None) -> OldGymWorld | None:
    """The world that gym knows by an id, ``module:id`` perhaps; None where gym is not here, or knows none.

    Raises:
        OldGymError: gym knows it and cannot make it, or a space of it is of no kind known here.
    """
    try:
        gym: Any = importlib.import_module("gym")
    except ImportError:
        return None
    kwargs = {} if render_mode is None else {"render_mode": render_mode}
    try:
        try:
            made = gym.make(id, **kwargs)
        except TypeError:  # before 0.26 there is no render_mode
            made = gym.make(id)
    except gym.error.Error as error:
        unknown = getattr(gym.error, "UnregisteredEnv", ()), getattr(gym.error, "NameNotFound", ())
        if isinstance(error, tuple(kind for kind in unknown if isinstance(kind, type))):
            return None
        raise OldGymError(f"gym cannot make {id}: {' '.join(str(error).split())}") from None
    except ImportError as error:
        raise OldGymError(f"gym cannot make {id}: {' '.join(str(error).split())}") from None
    return OldGymWorld(made, render_mode)


def space_of(space: Any) -> spaces.Space[Any]:
    """A space of gym as Gymnasium's, told by its class's name, since gym may be any version.

    Raises:
        OldGymError: another kind of space.
    """
    kind = type(space).__name__
    if isinstance(space, spaces.Space):
        return space
    if kind == "Box":
        return spaces.Box(
            np.asarray(space.low), np.asarray(space.high), tuple(space.shape), np.dtype(space.dtype).type
        )
    if kind == "Discrete":
        return spaces.Discrete(int(space.n), start=int(getattr(space, "start", 0)))
    if kind == "MultiBinary":
        return spaces.MultiBinary(space.n)
    if kind == "Dict":
        return spaces.Dict({name: space_of(part) for name, part in space.spaces.items()})
    raise OldGymError(
        f"expected a space that is Box, Discrete, MultiBinary or a Dict of those, found gym's {space}"
    )
