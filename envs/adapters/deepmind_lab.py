"""DeepMind Lab as a gymnasium environment: an adapter over its own Python interface.

Never run against DeepMind Lab itself where this was written (it is built with bazel, from source that could not be
fetched): it is tested over a double made from its documentation. To install: clone deepmind/lab,
``bazel build -c opt //python/pip_package:build_pip_package``, run the built script, ``pip install`` the wheel.
"""

from __future__ import annotations

import importlib
from typing import Any, ClassVar

import gymnasium
import numpy as np
from numpy.typing import NDArray

from envs import actions
from envs.adapters.engine_missing import EngineMissing
from envs.adapters.engine_seed import engine_seed
from envs.asked import check

LEVEL = "contributed/dmlab30/explore_goal_locations_small"
PICTURE, PLACE, ROTATION = "RGB_INTERLEAVED", "DEBUG.POS.TRANS", "DEBUG.POS.ROT"
UNITS_PER_CELL = 100.0
Observation = dict[str, NDArray[np.uint8]]


class DeepMindLabEnv(gymnasium.Env[Observation, NDArray[np.int32]]):
    """One level; an action is DeepMind Lab's seven integers, held for ``num_steps`` of its 60 frames a second.

    ``info["pose"]`` is (x, y, z, yaw, pitch) from DEBUG.POS.*, in cells of 100 units and turned into this house's
    axes: its second axis is our x, its first our z, its height our y, and its yaw, which grows to the left, counts
    the other way. Frames end where the level says so (terminated); then the last picture stays.

    Args:
        size: height and width of the picture in pixels.
        max_steps: truncate an episode after this many steps; None leaves that to the level.
        render_mode: None or ``rgb_array``.
        level: the level's name, as in its ``game_scripts/levels``.
        num_steps: the engine's frames a step.
        renderer: ``software`` or ``hardware``.

    Raises:
        ValueError: a size, max_steps, num_steps or render_mode that cannot be.
        EngineMissing: DeepMind Lab is not installed.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 15}  # type: ignore[misc]
    fov = 90.0  # the engine's default
    backend = "deepmind_lab"
    family = "dmlab"
    version = 1

    def __init__(
        self,
        size: int = 64,
        max_steps: int | None = None,
        render_mode: str | None = None,
        level: str = LEVEL,
        num_steps: int = 4,
        renderer: str = "software",
    ) -> None:
        check("DeepMind Lab", size, max_steps, render_mode)
        if num_steps < 1:
            raise ValueError(f"DeepMind Lab: expected num_steps of at least 1, found {num_steps}")
        try:
            engine = importlib.import_module("deepmind_lab")
        except ImportError as error:
            raise EngineMissing(
                f"the deepmind_lab backend needs DeepMind Lab, which is not here ({error}): build its wheel with "
                "bazel from its repository and pip install it, or leave --backend out"
            ) from None
        self.size, self.max_steps, self.render_mode, self.num_steps = size, max_steps, render_mode, num_steps
        config = {"width": str(size), "height": str(size)}
        self._lab: Any = engine.Lab(level, [PICTURE, PLACE, ROTATION], config=config, renderer=renderer)
        pov = gymnasium.spaces.Box(0, 255, (size, size, 3), np.uint8)
        self.observation_space = gymnasium.spaces.Dict({"pov": pov})  # type: ignore[assignment]
        self.action_space = actions.space("dmlab")
        self._low, self._high = self.action_space.low, self.action_space.high  # type: ignore[attr-defined]
        self._pov: NDArray[np.uint8] | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode of the level with this seed."""
        super().reset(seed=seed)
        self.world_seed = int(self.np_random.integers(2**31 - 1)) if seed is None else int(seed)
        self._lab.reset(seed=engine_seed(self.world_seed))
        self._steps = 0
        self._look()
        return self._observation()

    def step(self, action: NDArray[np.int32]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Hold the action for ``num_steps`` frames of the engine."""
        if self._pov is None:
            raise RuntimeError("DeepMind Lab: there is no world yet; call reset() first")
        asked = np.asarray(action)
        if asked.shape != (7,):
            raise ValueError(f"DeepMind Lab: expected an action of 7 integers, found shape {asked.shape}")
        command = np.clip(asked, self._low, self._high).astype(np.intc)
        reward = float(self._lab.step(command, num_steps=self.num_steps))
        self._steps += 1
        over = not self._lab.is_running()
        if not over:  # an ended episode has nothing to observe
            self._look()
        cut = self.max_steps is not None and self._steps >= self.max_steps
        observation, info = self._observation()
        return observation, reward, over, cut, info

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]
        """The newest picture, uint8 (size, size, 3), when made with ``render_mode="rgb_array"``."""
        return None if self.render_mode is None or self._pov is None else self._pov.copy()

    def close(self) -> None:
        """End the engine."""
        self._lab.close()

    def _look(self) -> None:
        observations = self._lab.observations()
        # (H, W, 3), copied: the engine reuses its memory
        self._pov = np.array(observations[PICTURE], np.uint8)
        ahead, aside, up = (float(v) / UNITS_PER_CELL for v in observations[PLACE])
        # degrees; pitch grows downwards, yaw to the left
        pitch, left = (float(v) for v in observations[ROTATION][:2])
        self._pose = np.array([aside, up, ahead, (180.0 - left) % 360.0 - 180.0, pitch])

    def _observation(self) -> tuple[Observation, dict[str, Any]]:
        assert self._pov is not None
        return {"pov": self._pov.copy()}, {"pose": self._pose.copy(), "seed": self.world_seed}
