"""A double of OpenAI's gym, as old and as new as wanted, and of a maze that registers with it as memory_maze does."""

from __future__ import annotations

import types
from typing import Any

import numpy as np


class Discrete:
    def __init__(self, n: int) -> None:
        self.n = n


class Box:
    def __init__(self, low: Any, high: Any, shape: tuple[int, ...], dtype: Any) -> None:
        self.low, self.high = np.full(shape, low, dtype), np.full(shape, high, dtype)
        self.shape, self.dtype = shape, np.dtype(dtype)


class Maze:
    """Sixty-four pixels, six actions (memory_maze's); ``new`` for gym 0.26's reset and step."""

    observation_space = Box(0, 255, (64, 64, 3), np.uint8)
    action_space = Discrete(6)
    metadata: dict[str, Any] = {"render.modes": ["rgb_array"], "video.frames_per_second": 4}  # noqa: RUF012

    def __init__(self, new: bool) -> None:
        self.new, self.told = new, []

    def seed(self, seed: int) -> None:
        assert not self.new, "gym 0.26 has no seed()"
        self.value = seed % 200

    def reset(self, **kwargs: Any) -> Any:
        if kwargs and not self.new:
            raise TypeError("reset() got an unexpected keyword argument 'seed'")
        if self.new:
            self.value = kwargs.get("seed", 0) % 200
        self.steps = 0
        return (self._seen(), {"fresh": True}) if self.new else self._seen()

    def step(self, action: int) -> Any:
        self.told.append(action)
        self.steps += 1
        done = self.steps == 5
        if self.new:
            return self._seen(), 1.0, False, done, {}
        return self._seen(), 1.0, done, {"TimeLimit.truncated": True} if done else {}

    def close(self) -> None:
        pass

    def _seen(self) -> np.ndarray:
        return np.full((64, 64, 3), self.value + getattr(self, "steps", 0), np.uint8)


def module(new: bool) -> types.ModuleType:
    """What ``import gym`` would give."""
    gym: Any = types.ModuleType("gym")

    class Error(Exception):
        pass

    class UnregisteredEnv(Error):
        pass

    gym.error = types.SimpleNamespace(Error=Error, UnregisteredEnv=UnregisteredEnv)

    def make(id: str, **kwargs: Any) -> Maze:
        if kwargs and not new:
            raise TypeError("make() got an unexpected keyword argument 'render_mode'")
        if id != "memory_maze:MemoryMaze-9x9-v0":
            raise UnregisteredEnv(f"No registered env with id: {id}")
        return Maze(new)

    gym.make = make
    return gym
