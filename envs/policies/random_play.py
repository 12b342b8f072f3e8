"""A policy for any world: actions drawn at random, each held for a while."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import gymnasium
import numpy as np

HOLD = 6.0  # frames that an action is held, on average


class RandomPlay:
    """Draws from the world's action space; every action new each frame would only tremble on the spot.

    It is a function of its seed and of how often it was reset.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], seed: int = 0) -> None:
        self._space = deepcopy(env.action_space)
        self._seed, self._resets = int(seed), 0
        self.done = False

    def reset(self, info: dict[str, Any]) -> None:
        """Begin an episode."""
        self._rng = np.random.default_rng([self._seed, self._resets])
        self._space.seed(int(self._rng.integers(2**31)))
        self._resets += 1
        self._left = 0

    def __call__(self, observation: Any, info: dict[str, Any]) -> Any:
        """The raw action."""
        if self._left == 0:
            self._action, self._left = self._space.sample(), int(self._rng.geometric(1 / HOLD))
        self._left -= 1
        return deepcopy(self._action)
