"""A recording as a world that can only be watched: what was recorded is the truth, whatever is done."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
from numpy.typing import NDArray

from envs.episodes.episode import Episode

Observation = dict[str, NDArray[np.uint8]]


class Playback(gymnasium.Env[Observation, Any]):
    """Shows the frames and poses of an episode one after another; actions change nothing.

    For what no world here can play again: data of others, and frames of one's own.

    Args:
        episode: stays open as long as this.
        action_space: of its family.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}  # type: ignore[misc]

    def __init__(self, episode: Episode, action_space: gymnasium.Space[Any]) -> None:
        meta = episode.meta
        self.family, self.backend, self.version = meta["family"], meta["backend"], meta["env_version"]
        self.fov, self.size = meta["fov"], int(meta["size"])
        self.action_space = action_space
        pov = gymnasium.spaces.Box(0, 255, (self.size, self.size, 3), np.uint8)
        self.observation_space = gymnasium.spaces.Dict({"pov": pov})  # type: ignore[assignment]
        self._episode, self._steps, self._poses = episode, episode.steps, episode.poses
        self._before = len(episode.prelude)  # actions that led to its first frame
        self._at = -self._before

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin with its first frame; the seed says nothing."""
        super().reset(seed=seed)
        self._at = -self._before
        return self._observation()

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """The next frame; the last one ends it."""
        reward = float(self._steps["reward"][self._at]) if self._at >= 0 else 0.0
        self._at += 1
        observation, info = self._observation()
        return observation, reward, self._at == len(self._episode) - 1, False, info

    def _observation(self) -> tuple[Observation, dict[str, Any]]:
        info: dict[str, Any] = {"seed": self._episode.meta["seed"]}
        shown = max(0, self._at)
        if self._poses is not None:
            info["pose"] = np.array(self._poses[shown], np.float64)
        return {"pov": self._episode.frames(shown, shown + 1)[0]}, info
