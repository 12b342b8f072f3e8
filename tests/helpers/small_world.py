"""A world and a dream small enough to follow by hand: turning on the spot in a painted drum."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

SIDE = 64
_BUTTONS = ("attack", "back", "forward", "jump", "left", "right", "sneak", "sprint", "use")
ACTIONS = spaces.Dict(
    {**{b: spaces.Discrete(2) for b in _BUTTONS}, "camera": spaces.Box(-180.0, 180.0, (2,), np.float32)}
)


def act(yaw: float = 0.0, **buttons: int) -> dict[str, Any]:
    return {**dict.fromkeys(_BUTTONS, 0), **buttons, "camera": np.array([0.0, yaw], np.float32)}


class Drum(gymnasium.Env[Any, Any]):
    """The camera turns by ``camera[1]`` degrees and walks by one unit a step along x."""

    family, backend, fov, version = "minecraft", "embedded", 70.0, 1
    action_space = ACTIONS
    observation_space = spaces.Dict({"pov": spaces.Box(0, 255, (SIDE, SIDE, 3), np.uint8)})

    def __init__(self, tells_pose: bool = True, max_steps: int | None = None) -> None:
        self.tells_pose, self.max_steps = tells_pose, max_steps
        self.closed = False

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
        super().reset(seed=seed)
        coarse = np.random.default_rng(seed or 0).integers(0, 255, (8, 45, 3), np.uint8)
        self.paint = np.kron(coarse, np.ones((8, 8, 1), np.uint8))  # one column a degree
        self.x, self.yaw, self.steps = 0.0, 0.0, 0
        return self._look()

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        self.yaw = (self.yaw + float(action["camera"][1])) % 360
        self.x += float(action["forward"]) - float(action["back"])
        self.steps += 1
        over = self.max_steps is not None and self.steps >= self.max_steps
        return (*self._look()[:1], 0.0, False, over, self._look()[1])

    def close(self) -> None:
        self.closed = True

    def save_state(self) -> dict[str, np.ndarray]:
        return {"paint": self.paint, "at": np.array([self.x, self.yaw, self.steps])}

    def load_state(self, state: dict[str, np.ndarray]) -> tuple[dict[str, Any], dict[str, Any]]:
        self.paint, (self.x, self.yaw, steps) = state["paint"], map(float, state["at"])
        self.steps = int(steps)
        return self._look()

    def _look(self) -> tuple[dict[str, Any], dict[str, Any]]:
        picture = np.roll(self.paint, -round(self.yaw), axis=1)[:, :SIDE]
        shade = (picture // (1 + abs(self.x))).astype(np.uint8)
        pose = np.array([self.x, 0.0, 0.0, (self.yaw + 180) % 360 - 180, 0.0])
        return {"pov": shade}, {"pose": pose} if self.tells_pose else {}


class LastFrameDream:
    """Dreams that nothing changes: its next frame is its last one. Writes down what it is told."""

    histories, budgets = (8, 16, 48, 112), (8, 16, 32, 48)

    def __init__(self, pose_from: str = "dream") -> None:
        self.history, self.budget, self.denoising_steps, self.pose_from = 112, 48, 2, pose_from
        self.calls: list[tuple[str, Any]] = []
        self.past: list[np.ndarray] = []

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        self.calls.append(("reset", {k: v.shape for k, v in options.items()}))
        self.past = list(options["frames"])
        return self.past[-1], self._info()

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.calls.append(("step", None))
        self.past.append(self.past[-1])
        return self.past[-1], 0.0, False, False, self._info()

    def together(
        self, dreams: Any, action: Any
    ) -> list[tuple[np.ndarray, float, bool, bool, dict[str, Any]]]:
        return [dream.step(action) for dream in dreams]

    def prepare(self) -> None:
        pass

    def prefetch(self, frame: np.ndarray) -> None:
        pass

    def correct(self, frames: np.ndarray, poses: np.ndarray | None = None) -> None:
        self.calls.append(("correct", (len(frames), None if poses is None else len(poses))))
        self.past[-len(frames) :] = list(frames)

    def set_true_pose(self, pose: np.ndarray) -> None:
        self.calls.append(("set_true_pose", pose))

    def _info(self) -> dict[str, Any]:
        frames = min(len(self.past), self.history)
        return {"pose": None, "memory_frames": frames, "memory_latents": self.budget, "step_ms": 0.0}


class NoteRecorder:
    """Stands for a recorder: remembers whether it records."""

    def __init__(self, refuses: bool = False) -> None:
        self.recording, self.refuses = False, refuses

    def start(self) -> None:
        if self.refuses:
            raise PermissionError("no permission to write there")
        self.recording = True

    def stop(self) -> Path:
        self.recording = False
        return Path("episode.zip")
