"""DeepMind Lab as a gymnasium environment: an adapter over its own Python interface.

Never run against DeepMind Lab itself where this was written (it is built with bazel, from source that could not be
fetched): it is tested over a double made from its documentation. To install: clone deepmind/lab,
``bazel build -c opt //python/pip_package:build_pip_package``, run the built script, ``pip install`` the wheel.
"""

from __future__ import annotations

import importlib
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from envs import actions
from envs.adapters.engine_missing import EngineMissing
from envs.adapters.engine_seed import engine_seed
from envs.true_world import Observation, TrueWorld

LEVEL = "contributed/dmlab30/explore_goal_locations_small"
PICTURE, PLACE, ROTATION = "RGB_INTERLEAVED", "DEBUG.POS.TRANS", "DEBUG.POS.ROT"
UNITS_PER_CELL = 100.0


class DeepMindLabEnv(TrueWorld):
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
    label = "DeepMind Lab"
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
        super().__init__(size, max_steps, render_mode)
        if num_steps < 1:
            raise ValueError(f"DeepMind Lab: expected num_steps of at least 1, found {num_steps}")
        try:
            engine = importlib.import_module("deepmind_lab")
        except ImportError as error:
            raise EngineMissing(
                f"the deepmind_lab backend needs DeepMind Lab, which is not here ({error}): build its wheel with "
                "bazel from its repository and pip install it, or leave --backend out"
            ) from None
        self.num_steps = num_steps
        config = {"width": str(size), "height": str(size)}
        self._lab: Any = engine.Lab(level, [PICTURE, PLACE, ROTATION], config=config, renderer=renderer)
        self.action_space = actions.space("dmlab")
        self._low, self._high = self.action_space.low, self.action_space.high  # type: ignore[attr-defined]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode of the level with this seed."""
        self._lab.reset(seed=engine_seed(self._begin(seed, 2**31 - 1)))
        self._look()
        return self._observation()

    def step(self, action: NDArray[np.int32]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Hold the action for ``num_steps`` frames of the engine."""
        self._ready()
        asked = np.asarray(action)
        if asked.shape != (7,):
            raise ValueError(f"DeepMind Lab: expected an action of 7 integers, found shape {asked.shape}")
        command = np.clip(asked, self._low, self._high).astype(np.intc)
        reward = float(self._lab.step(command, num_steps=self.num_steps))
        over = not self._lab.is_running()
        if not over:  # an ended episode has nothing to observe
            self._look()
        observation, info = self._observation()
        return observation, reward, over, self._cut(), info

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
