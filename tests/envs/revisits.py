"""How often an episode shows again what it showed before, by brute force over its poses."""

from __future__ import annotations

import numpy as np

RANGES = {"0-16": (1, 16), "16-48": (16, 48), "48-112": (48, 112)}


def ages(poses: np.ndarray) -> np.ndarray:
    """For each of the (T, 5) poses how long ago its view was last seen before it was left; 0 if never.

    The same view: within half a unit, 8 degrees of yaw and of pitch. Left: a frame between them further
    than 1.5 units or 25 degrees away.
    """
    apart = np.linalg.norm(poses[:, None, :3] - poses[None, :, :3], axis=-1)
    yaw = np.abs((poses[:, None, 3] - poses[None, :, 3] + 180) % 360 - 180)
    pitch = np.abs(poses[:, None, 4] - poses[None, :, 4])
    same, gone = (apart < 0.5) & (yaw < 8) & (pitch < 8), (apart > 1.5) | (yaw > 25)
    found = np.zeros(len(poses), int)
    for i in range(len(poses)):
        away = np.flatnonzero(gone[i, :i])
        before = np.flatnonzero(same[i, : away[-1]]) if len(away) else away
        found[i] = i - before[-1] if len(before) else 0
    return found


def shares(poses: list[np.ndarray]) -> dict[str, float]:
    """The share of frames of these episodes that return after an age of each range."""
    every = np.concatenate([ages(p) for p in poses])
    return {name: float(((every >= low) & (every < high)).mean()) for name, (low, high) in RANGES.items()}
