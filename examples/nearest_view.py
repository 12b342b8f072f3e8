"""The nearest remembered view: nothing is imagined, the true frame that was seen from nearest is shown again.

Where a camera is follows from the actions alone: looks turn it exactly, steps are taken to go their whole length (walls
and momentum are unknown here). ``worldsim bench nearest_view:make`` measures how far a memory without any imagination
comes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

TURNS = {"minecraft": 1.0, "dmlab": 0.06}  # degrees of one unit of a look
STEPS = {"minecraft": (0.216, 0.216), "dmlab": (0.25, 0.20)}  # units a frame, ahead and aside
SCALES = {"minecraft": 4.0, "dmlab": 1.0}  # units that count as much as a radian


class NearestView:
    """Poses are (x, z, yaw, pitch), radians."""

    def __init__(self, action_spec: dict[str, Any]) -> None:
        self.family = action_spec["family"]
        if self.family not in TURNS:
            raise ValueError(f"nearest_view knows the bodies of {', '.join(TURNS)}, found {self.family}")
        at, self.places = 0, {}
        for field in action_spec["fields"]:
            width = field["n"] if field["kind"] == "discrete" else int(np.prod(field["shape"]))
            self.places[field["name"]] = slice(at, at + width)
            at += width

    def begin(self, frames: np.ndarray, actions: np.ndarray) -> None:
        poses = [np.zeros(4)]
        for action in actions:
            poses.append(self._moved(poses[-1], action))
        self.poses, self.frames = poses, list(frames)  # a frame that is not known is None

    def step(self, action: np.ndarray) -> np.ndarray:
        here = self._moved(self.poses[-1], action)
        known = [i for i, frame in enumerate(self.frames) if frame is not None]
        poses = np.array([self.poses[i] for i in known])
        away = np.hypot(*(poses[:, :2] - here[:2]).T) / SCALES[self.family]
        turned = np.abs((poses[:, 2] - here[2] + np.pi) % (2 * np.pi) - np.pi) + np.abs(poses[:, 3] - here[3])
        self.poses.append(here)
        self.frames.append(None)
        return self.frames[known[int((away + turned).argmin())]]

    def correct(self, frames: np.ndarray) -> None:
        self.frames[-len(frames) :] = list(frames)

    def _moved(self, pose: np.ndarray, action: np.ndarray) -> np.ndarray:
        ahead, aside = STEPS[self.family]
        if self.family == "dmlab":
            look, up, right, forward = action[:4]
            down = -up
        else:
            down, look = action[self.places["camera"]]
            pressed = {
                name: float(action[self.places[name]][1]) for name in ("forward", "back", "left", "right")
            }
            forward, right = pressed["forward"] - pressed["back"], pressed["right"] - pressed["left"]
        degrees = np.array([look, down]) * TURNS[self.family]
        yaw, pitch = pose[2:] + np.deg2rad(degrees)
        step = np.array([-np.sin(yaw), np.cos(yaw)]) * forward * ahead
        step += np.array([-np.cos(yaw), -np.sin(yaw)]) * right * aside
        return np.array([*(pose[:2] + step), yaw, pitch])


def make(action_spec: dict[str, Any]) -> NearestView:
    """What ``--checkpoint nearest_view:make`` and ``worldsim bench nearest_view:make`` ask for."""
    return NearestView(action_spec)
