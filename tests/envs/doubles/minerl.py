"""A double of MineRL's old gym interface: what ``gym.make`` returns for a task of 0.4.4 or 1.0.

From its documentation: ``seed(s)`` counts for the next ``reset`` only, ``reset()`` returns the observation alone,
``step(action)`` a 4-tuple; the action is a dictionary with exactly the keys of the task, ``camera`` is (pitch, yaw)
in degrees from -180 to 180. 1.0 has ``pov`` of 360x640 and ``use``; 0.4.4 has 64x64 and ``place``.
"""

from __future__ import annotations

import types
from typing import Any

import numpy as np

BUTTONS = ("attack", "back", "forward", "jump", "left", "right", "sneak", "sprint")
MORE = {"0": ("place",), "1": ("ESC", "drop", "inventory", "pickItem", "swapHands", "use")}


class _ActionSpace:
    def __init__(self, major: str) -> None:
        self.keys = (*BUTTONS, *MORE[major], "camera")

    def noop(self) -> dict[str, Any]:
        action: dict[str, Any] = dict.fromkeys(self.keys, 0)
        if "place" in action:
            action["place"] = "none"
        action["camera"] = np.zeros(2, np.float32)
        return action


class Task:
    """A world that remembers what it was told and paints its yaw, its seed and its time."""

    def __init__(self, name: str, major: str, limit: int = 6, stats: bool = True) -> None:
        self.name, self.limit, self.stats = name, limit, stats
        self.shape = (64, 64, 3) if major == "0" else (360, 640, 3)
        self.action_space = _ActionSpace(major)
        self.told: list[dict[str, Any]] = []
        self.seeds: list[int] = []
        self.closed = False
        self._next_seed: int | None = None
        self.over = True

    def seed(self, seed: int) -> None:
        self._next_seed = seed

    def reset(self) -> dict[str, Any]:
        assert self._next_seed is not None, (
            "MineRL draws another world where no seed was told before the reset"
        )
        self.seeds.append(self._next_seed)
        self.world, self._next_seed = self._next_seed, None
        self.time, self.yaw, self.pitch, self.over = 0, 350.0, 0.0, False
        return self._observation()

    def step(self, action: dict[str, Any]) -> tuple[dict[str, Any], float, bool, dict[str, Any]]:
        assert not self.over, "a step after the end"
        assert set(action) == set(self.action_space.keys), "an action has exactly the keys of the task"
        assert np.abs(action["camera"]).max() <= 180
        self.told.append(action)
        self.time += 1
        self.pitch = min(90.0, max(-90.0, self.pitch + float(action["camera"][0])))
        self.yaw += float(action["camera"][1])
        self.over = self.time >= self.limit
        info = {"TimeLimit.truncated": True} if self.over else {}
        return self._observation(), 0.0, self.over, info

    def close(self) -> None:
        self.closed = True

    def _observation(self) -> dict[str, Any]:
        h, w, _ = self.shape
        pov = np.zeros(self.shape, np.uint8)
        pov[:, (w - h) // 2 : (w + h) // 2] = (self.world % 251, int(self.yaw) % 251, self.time)
        pov[:, : (w - h) // 2] = 255  # the sides, which a square picture does not show
        seen: dict[str, Any] = {"pov": pov}
        if self.stats:
            where = {"xpos": 1.5, "ypos": 64.0, "zpos": -2.5, "yaw": self.yaw, "pitch": self.pitch}
            seen["location_stats"] = {k: np.array(v, np.float32) for k, v in where.items()}
        return seen


def modules(version: str, **options: Any) -> tuple[dict[str, types.ModuleType], list[Task]]:
    """The modules ``gym`` and ``minerl`` of a version, and the list that the tasks made will be in."""
    made: list[Task] = []

    def make(name: str) -> Task:
        made.append(Task(name, version.split(".")[0], **options))
        return made[-1]

    gym, minerl = types.ModuleType("gym"), types.ModuleType("minerl")
    gym.make = make  # type: ignore[attr-defined]
    minerl.__version__ = version  # type: ignore[attr-defined]
    return {"gym": gym, "minerl": minerl}, made
