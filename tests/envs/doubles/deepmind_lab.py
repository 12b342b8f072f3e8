"""A double of the module ``deepmind_lab``: an empty room, with the engine's own units and axes.

From its documentation: ``Lab(level, observations, config={str: str}, renderer=)``, ``reset(seed=)``,
``step(int array of 7, num_steps=)`` returns the reward, ``observations()`` a dictionary of arrays, only while
``is_running()``. Angles are Quake's: yaw grows to the left, pitch downwards; 100 units are a cell.
"""

from __future__ import annotations

import math
import types
from typing import Any

import numpy as np

KNOWN = ("RGB_INTERLEAVED", "DEBUG.POS.TRANS", "DEBUG.POS.ROT")


class Lab:
    """An endless floor; an episode is ``limit`` engine frames long."""

    limit = 40

    def __init__(
        self,
        level: str,
        observations: list[str],
        config: dict[str, str] | None = None,
        renderer: str = "software",
    ) -> None:
        assert all(isinstance(v, str) for v in (config or {}).values()), "every value of config is a string"
        assert set(observations) <= set(KNOWN) and renderer in ("software", "hardware")
        config = {"width": "320", "height": "240", **(config or {})}
        self.level, self.names = level, observations
        self._picture = np.zeros((int(config["height"]), int(config["width"]), 3), np.uint8)
        self.told: list[tuple[list[int], int]] = []
        self._running = False
        self.closed = False

    def reset(self, episode: int = -1, seed: int | None = None) -> bool:
        self.seed, self.frames, self._running = seed, 0, True
        self.position, self.yaw, self.pitch = np.array([150.0, 250.0, 51.0]), 30.0, 0.0
        return True

    def step(self, action: np.ndarray, num_steps: int = 1) -> float:
        assert self._running, "the episode is over"
        assert action.dtype == np.intc and action.shape == (7,)
        self.told.append((action.tolist(), num_steps))
        self.yaw -= 0.06 * int(action[0])
        self.pitch = min(89.0, max(-89.0, self.pitch - 0.06 * int(action[1])))
        a = math.radians(self.yaw)
        ahead, right = 10.0 * int(action[3]), 10.0 * int(action[2])
        self.position[:2] += (
            ahead * math.cos(a) + right * math.sin(a),
            ahead * math.sin(a) - right * math.cos(a),
        )
        self.frames += num_steps
        self._running = self.frames < self.limit
        return 0.0

    def is_running(self) -> bool:
        return self._running

    def observations(self) -> dict[str, Any]:
        assert self._running, "an ended episode has no observations"
        self._picture[:] = (int(self.seed or 0) % 251, int(self.yaw * 7) % 251, self.frames % 251)
        rotation = np.array([self.pitch, (self.yaw + 180) % 360 - 180, 0.0])
        every = {KNOWN[0]: self._picture, KNOWN[1]: self.position.copy(), KNOWN[2]: rotation}
        return {name: every[name] for name in self.names}

    def close(self) -> None:
        self.closed = True


def module() -> tuple[types.ModuleType, list[Lab]]:
    """The module, and the list that the engines made will be in."""
    made: list[Lab] = []

    def lab(*args: Any, **kwargs: Any) -> Lab:
        made.append(Lab(*args, **kwargs))
        return made[-1]

    double = types.ModuleType("deepmind_lab")
    double.Lab = lab  # type: ignore[attr-defined]
    return double, made
