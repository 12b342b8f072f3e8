"""The true past of a session: the last frames, their poses and the actions between them."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from gymnasium import spaces

from worldsim.actions import vector
from worldsim.session.snapshot import Snapshot, SnapshotError


class TrueHistory:
    """The newest ``span`` true frames, the poses where the world tells them, and the actions between."""

    def __init__(self, action_space: spaces.Space[Any], span: int) -> None:
        self._space = action_space
        self._frames: deque[np.ndarray] = deque(maxlen=span)
        self._poses: deque[np.ndarray | None] = deque(maxlen=span)
        self._actions: deque[np.ndarray] = deque(maxlen=span - 1)

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def frame(self) -> np.ndarray:
        """The present true frame, uint8 (H, W, 3)."""
        return self._frames[-1]

    @property
    def pose(self) -> np.ndarray | None:
        """The present true pose, float64 (5,), None where the world tells none."""
        return self._poses[-1]

    def begin(self, observation: Any, info: dict[str, Any]) -> None:
        """Forget all and keep the first frame of a new world."""
        for past in (self._frames, self._poses, self._actions):
            past.clear()
        self._keep(observation, info)

    def add(self, action: Any, observation: Any, info: dict[str, Any]) -> None:
        """Keep what an action led to."""
        self._actions.append(vector(self._space, action))
        self._keep(observation, info)

    def context(self, with_poses: bool) -> dict[str, np.ndarray]:
        """All of it, as a dream's reset takes it: frames (n, H, W, 3), actions (n - 1, D), poses (n, 5)?"""
        frames, poses = self.newest(len(self), with_poses)
        none = np.zeros((0, spaces.flatdim(self._space)), np.float32)
        context = {"frames": frames, "actions": np.stack(self._actions) if self._actions else none}
        return context if poses is None else {**context, "poses": poses}

    def newest(self, n: int, with_poses: bool) -> tuple[np.ndarray, np.ndarray | None]:
        """The newest n frames (or all, where there are fewer) and, if asked for and known, their poses."""
        frames = np.stack(list(self._frames)[-n:])
        poses = [p for p in list(self._poses)[-n:] if p is not None]
        return frames, np.stack(poses) if with_poses and len(poses) == len(frames) else None

    def save(self) -> Snapshot:
        """A copy of it."""
        frames, _ = self.newest(len(self), with_poses=False)
        none = np.zeros((0, spaces.flatdim(self._space)), np.float32)
        arrays = {"frames": frames, "actions": np.stack(self._actions) if self._actions else none}
        if all(pose is not None for pose in self._poses):
            arrays["poses"] = np.stack([p for p in self._poses if p is not None])
        return Snapshot({}, arrays)

    def load(self, snapshot: Snapshot) -> None:
        """Go back to a copy.

        Raises:
            SnapshotError: it is of another world or another size of picture, or not whole.
        """
        frames, actions, poses = (snapshot.arrays.get(name) for name in ("frames", "actions", "poses"))
        span, wide = self._frames.maxlen or 0, spaces.flatdim(self._space)
        shape = self._frames[-1].shape if self._frames else None
        if frames is None or actions is None or frames.dtype != np.uint8 or not 1 <= len(frames) <= span:
            raise SnapshotError("this state has no true past")
        n = len(frames)
        if frames.shape[1:] != (shape or frames.shape[1:]) or actions.shape != (n - 1, wide):
            raise SnapshotError(
                "this state is of another world or another size of picture than the one played"
            )
        if poses is not None and poses.shape != (n, 5):
            raise SnapshotError("this state has poses that are none")
        for past, rows in ((self._frames, frames), (self._actions, actions.astype(np.float32))):
            past.clear()
            past.extend(row.copy() for row in rows)
        self._poses.clear()
        self._poses.extend([None] * n if poses is None else [row.astype(np.float64) for row in poses])

    def items(self) -> list[tuple[np.ndarray, np.ndarray | None]]:
        """Frames and poses, oldest first."""
        return list(zip(self._frames, self._poses, strict=True))

    def _keep(self, observation: Any, info: dict[str, Any]) -> None:
        # Copies: a world may draw its next frame into the same array, and sinks keep these.
        pov = observation["pov"] if isinstance(observation, dict) else observation
        pose = info.get("pose")
        self._frames.append(np.array(pov, np.uint8))
        self._poses.append(None if pose is None else np.array(pose, np.float64))
