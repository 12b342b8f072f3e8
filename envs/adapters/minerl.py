"""MineRL, the real Minecraft, as a gymnasium environment: an adapter over its old gym interface, 1.0 and 0.4.4.

Never run against Minecraft itself where this was written (it needs a JDK 8 and a download at build time): it is
tested over doubles made from MineRL's documentation. To install: a JDK 8, then ``pip install minerl==0.4.4``
(Minecraft 1.11.2), or MineRL 1.0 from its repository (Minecraft 1.16.5). The game is not pixel-deterministic: a
recording is the truth, and playing its actions again gives other frames.
"""

from __future__ import annotations

import importlib
from importlib import metadata
from typing import Any, ClassVar

import numpy as np

from envs import actions
from envs.adapters.engine_missing import EngineMissing
from envs.adapters.engine_seed import engine_seed
from envs.adapters.picture import square
from envs.true_world import Observation, TrueWorld

TASKS = {"0": "MineRLNavigate-v0", "1": "MineRLBasaltFindCave-v0"}  # by major version
EYE = 1.62


class MineRLEnv(TrueWorld):
    """One MineRL task; the picture is its ``pov``, cut to a square in the middle and made smaller.

    Actions go into MineRL's own no-op, so that whatever else a task knows (hotbar, inventory, crafting) rests;
    where there is no ``use`` but ``place`` (0.4.4), using places dirt. ``info["pose"]`` is there where the
    observation has ``location_stats``. What MineRL calls done is terminated, or truncated at its time limit.

    Args:
        size: height and width of the picture in pixels.
        max_steps: truncate an episode after this many steps; None leaves that to the task.
        render_mode: None or ``rgb_array``.
        task: MineRL's name of the environment; None for one without tools that every version has.

    Raises:
        ValueError: a size, max_steps or render_mode that cannot be.
        EngineMissing: MineRL is not installed.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 20}  # type: ignore[misc]
    label = "MineRL"
    fov = 70.0
    backend = "minerl"
    family = "minecraft"
    version = 1

    def __init__(
        self,
        size: int = 64,
        max_steps: int | None = None,
        render_mode: str | None = None,
        task: str | None = None,
    ) -> None:
        super().__init__(size, max_steps, render_mode)
        gym, self.engine_version = _gym_with_minerl()
        self._env = gym.make(task or TASKS.get(self.engine_version.split(".")[0], TASKS["1"]))
        self.action_space = actions.space("minecraft")

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """A new world; MineRL forgets its seed at every reset, so it is told before each."""
        self._env.seed(engine_seed(self._begin(seed)))
        return self._observation(self._env.reset())

    def step(self, action: dict[str, Any]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Press the keys for one tick of Minecraft (1/20 s)."""
        self._ready()
        command = self._env.action_space.noop()
        for name in actions.MINECRAFT_BUTTONS:
            if name in command:
                command[name] = int(action[name])
        if "use" not in command and "place" in command and action["use"]:
            command["place"] = "dirt"
        # (pitch, yaw) degrees
        command["camera"] = np.clip(np.asarray(action["camera"], np.float32), -180.0, 180.0)
        raw, reward, done, info = self._env.step(command)
        limit = bool(info.get("TimeLimit.truncated", False))
        cut = self._cut()
        observation, ours = self._observation(raw)
        return observation, float(reward), bool(done) and not limit, (bool(done) and limit) or cut, ours

    def close(self) -> None:
        """End Minecraft."""
        self._env.close()

    def _observation(self, raw: dict[str, Any]) -> tuple[Observation, dict[str, Any]]:
        self._pov = square(np.asarray(raw["pov"], np.uint8), self.size)
        info: dict[str, Any] = {"seed": self.world_seed}
        if (where := raw.get("location_stats")) is not None:
            x, y, z, yaw, pitch = (float(where[k]) for k in ("xpos", "ypos", "zpos", "yaw", "pitch"))
            info["pose"] = np.array([x, y + EYE, z, (yaw + 180.0) % 360.0 - 180.0, pitch])
        return {"pov": self._pov.copy()}, info


def _gym_with_minerl() -> tuple[Any, str]:
    """The old ``gym`` module with MineRL's tasks registered, and MineRL's version."""
    try:
        gym, minerl = importlib.import_module("gym"), importlib.import_module("minerl")
    except ImportError as error:
        raise EngineMissing(
            f"the minerl backend needs MineRL, which is not here ({error}): install a JDK 8 and then "
            "pip install minerl==0.4.4, or MineRL 1.0 from its repository, or leave --backend out"
        ) from None
    try:
        return gym, metadata.version("minerl")
    except metadata.PackageNotFoundError:
        return gym, str(getattr(minerl, "__version__", "1"))
