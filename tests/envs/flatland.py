"""A tiny world of each family for the tests: a plain with a wall, moved in without momentum."""

from __future__ import annotations

import math
from typing import Any

import gymnasium
import numpy as np

from envs import actions
from envs.actions import space

SIDE = 12


class Flatland(gymnasium.Env[Any, Any]):
    """A plain of 12x12 cells with a wall that has one gap; frames (8, 8, 3) tell pose and time."""

    fov, backend, version = 90.0, "test", 1

    def __init__(self, family: str = "minecraft") -> None:
        self.family = family
        self.action_space = space(family)
        self.observation_space = gymnasium.spaces.Dict(
            {"pov": gymnasium.spaces.Box(0, 255, (8, 8, 3), np.uint8)}
        )
        self.heights = np.zeros((SIDE, SIDE), np.float32)
        self.heights[6, :9] = np.nan

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        x, z, yaw = self.np_random.uniform([1, 1, -180], [5, 11, 180])
        self.pose = np.array([x, 1.62, z, yaw, 0.0])
        if options:
            self.pose = np.array(options["pose"], np.float64)
        self.time = 0
        return self._seen()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self.family == "minecraft":
            down, right = (float(v) for v in action["camera"])
            ahead, aside = action["forward"] - action["back"], action["right"] - action["left"]
        else:
            right, down, aside, ahead = 0.06 * action[0], -0.06 * action[1], int(action[2]), int(action[3])
        self.pose[3] = (self.pose[3] + right + 180) % 360 - 180
        self.pose[4] = np.clip(self.pose[4] + down, -90, 90)
        a = math.radians(self.pose[3])
        x = self.pose[0] + 0.2 * (-ahead * math.sin(a) - aside * math.cos(a))
        z = self.pose[2] + 0.2 * (ahead * math.cos(a) - aside * math.sin(a))
        if 0 <= x < SIDE and 0 <= z < SIDE and not np.isnan(self.heights[int(x), int(z)]):
            self.pose[0], self.pose[2] = x, z
        self.time += 1
        return (*self._seen()[:1], 0.5, False, False, self._seen()[1])

    def walkmap(self) -> tuple[np.ndarray, float, tuple[float, float]]:
        return self.heights, 1.0, (0.0, 0.0)

    def _seen(self) -> tuple[Any, dict[str, Any]]:
        frame = np.random.default_rng(self.time).integers(0, 256, (8, 8, 3), np.uint8)
        frame[0, :5, 0] = (self.pose * 7 % 256).astype(np.uint8)
        return {"pov": frame}, {"pose": self.pose.copy()}


def walk(family: str, turn: float = 0.0) -> Any:
    """Forward, turning."""
    action = actions.noop(family)
    if family == "minecraft":
        action["forward"], action["camera"] = 1, np.array([0.0, turn], np.float32)
    else:
        action[3], action[0] = 1, round(turn / 0.06)
    return action
