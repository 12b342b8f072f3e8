"""The past of one dream: its newest frames, and what a backend keeps of them."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldsim.config import DreamConfig
from worldsim.frames import smaller
from worldsim.models.odometry import N_RECENT, standing_height
from worldsim.models.world_model import WorldModel

Mask = NDArray[np.bool_]
"""Pixels (H, W) of a frame."""


@dataclass
class Kept:
    """What a backend keeps of a past, opaque to all others (:mod:`worldsim.engine.backend`).

    ``frames``: of each frame, ready to be read; ``context``: of the newest ones together, their keys and values.
    """

    frames: list[Any] = field(default_factory=list)
    context: Any = None


@dataclass
class DreamPast:
    """The newest frames, oldest first; ``count`` is how many there ever were, so the newest has index count - 1.

    A frame of its own that was seen from where the one before it was shows nothing more, and is forgotten once it has
    settled: whoever stands still would otherwise lose all that is true to copies of it. ``indices`` are of those kept.

    latents (C, h, w), ``pictures`` uint8 (H, W, 3) as they were shown, ``depths`` (., .) where they have been asked
    for (:mod:`worldsim.engine.pixel_recall`), ``actions`` (A,), normalised, that led to each, poses (5,). Frames from
    index ``true_until`` on are dreamt, ``n_generated`` of those kept; a second denoiser takes over after
    ``handover_after`` of them, or never, and ``cache_is_free_running`` is whether it made the keys and values.
    ``pending``: the newest frame's keys and values are not in the context yet; they come with those of the next.
    ``newest_control`` (A + 6,) is what steered the newest frame, where it is known; ``evidence`` (E, H, W) what a
    generator drew it from, where one did. ``first_seen``: of each frame that a generator drew, the pixels that no frame
    before showed (:mod:`worldsim.engine.provenance`), of others None. ``forgotten``: of each frame the cells of its
    distances (., .) that show what has been dug since (:mod:`worldsim.engine.edits`), None where there are none.
    ``edited``: the frames that each kind of edit led to.
    ``small``: of each picture one of the model's own size, where it has been asked for.
    """

    keep: int
    config: DreamConfig = field(default_factory=DreamConfig)
    latents: list[Tensor] = field(default_factory=list)
    pictures: list[np.ndarray] = field(default_factory=list)
    depths: list[Tensor | None] = field(default_factory=list)
    actions: list[Tensor] = field(default_factory=list)
    poses: list[Tensor] = field(default_factory=list)
    indices: list[int] = field(default_factory=list)
    kept: Kept = field(default_factory=Kept)
    count: int = 0
    true_until: int = 0
    cache_is_free_running: bool = False
    handover_after: int | None = None
    pending: bool = False
    newest_control: Tensor | None = None
    evidence: np.ndarray | None = None
    first_seen: list[Mask | None] = field(default_factory=list)
    forgotten: list[Mask | None] = field(default_factory=list)
    small: list[np.ndarray | None] = field(default_factory=list)
    edited: dict[str, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """True frames, where some are given."""
        self.first_seen = self.first_seen or [None] * len(self)
        self.forgotten = self.forgotten or [None] * len(self)
        self.small = self.small or [None] * len(self)
        if self.latents and not self.indices:
            self.count = self.true_until = self.count or len(self)
            self.indices = list(range(self.count - len(self), self.count))

    def __len__(self) -> int:
        return len(self.latents)

    def append(
        self,
        latent: Tensor,
        action: Tensor,
        pose: Tensor,
        picture: np.ndarray,
        distance: Tensor | None,
        kept: Any,
        first_seen: Mask | None = None,
    ) -> None:
        """A new newest frame, whose keys and values are pending; ``kept`` is what the backend keeps of it."""
        new = (self.count, latent, picture, distance, action, pose, first_seen, None, None, kept)
        for values, value in zip(self._lists, new, strict=True):
            values.append(value)
            del values[: -self.keep]
        self.count += 1
        self.pending = True

    @property
    def changed(self) -> set[int]:
        """The frames in which something was dug or put down."""
        return {index for frames in self.edited.values() for index in frames}

    def drop_redundant(self, scale: float) -> None:
        """Forget a frame that shows no more than the one before it, where it is old enough for that."""
        i, config = len(self) - self.config.settled, self.config
        if i < 1 or self.indices[i] < self.true_until or self.indices[i] in self.changed:
            return
        x, y = self.poses[i - 1].tolist(), self.poses[i].tolist()
        turned = max(abs((y[3] - x[3] + 180) % 360 - 180), abs(y[4] - x[4]))
        if math.dist(x[:3], y[:3]) < config.same_place * scale and turned < config.same_angle:
            for values in self._lists:
                del values[i : i + 1]

    @property
    def _lists(self) -> tuple[list[Any], ...]:
        """Everything of which there is one for each frame."""
        frames = self.indices, self.latents, self.pictures, self.depths, self.actions, self.poses
        return *frames, self.first_seen, self.forgotten, self.small, self.kept.frames

    @property
    def n_generated(self) -> int:
        """How many of the newest frames that are kept are dreamt, with no true one among them."""
        return len(self) - bisect_left(self.indices, self.true_until)

    def place(self, index: int) -> int:
        """Where a frame that is kept lies among them."""
        return bisect_left(self.indices, index)

    @property
    def side(self) -> int:
        """Pixels of its pictures each way; 0 of a past without any."""
        return len(self.pictures[-1]) if self.pictures else 0

    def replace_pictures(self, pictures: np.ndarray) -> None:
        """The newest frames are these, uint8 (n, H, W, 3), whatever they were."""
        n = len(pictures)
        self.pictures[len(self.pictures) - n :] = list(pictures)
        self.depths[len(self.depths) - n :] = [None] * n
        self.first_seen[len(self.first_seen) - n :] = [None] * n
        self.forgotten[len(self.forgotten) - n :] = [None] * n
        self.small[len(self.small) - n :] = [None] * n

    def small_pictures(self, places: Sequence[int], size: int) -> list[np.ndarray]:
        """The pictures at these places, uint8 (size, size, 3), each made smaller once."""
        for i in places:
            if self.small[i] is None:
                self.small[i] = smaller(self.pictures[i][None], size)[0]
        return [picture for picture in (self.small[i] for i in places) if picture is not None]

    def recallable(self, index: int, n_generated: int) -> bool:
        """Whether pixels are taken from a frame: a true one, or one of the ``n_generated`` first dreamt since."""
        return index < self.true_until + n_generated

    @property
    def free_running(self) -> bool:
        """Whether the next frame is the second denoiser's."""
        return self.handover_after is not None and self.n_generated >= self.handover_after

    @property
    def needs_replay(self) -> bool:
        """Whether keys and values are the other denoiser's."""
        return self.free_running != self.cache_is_free_running

    def recent(self, model: WorldModel, action: Tensor) -> tuple[Tensor, Tensor]:
        """What dead reckoning looks back on when an action (A,) leads on from the last pose.

        Returns:
            the last actions (1, N_RECENT, A) and motions (1, N_RECENT, 5), newest first; before the first frame, none.
        """
        line = torch.stack(self.line)
        return self.last_actions(action)[None], model.motion(line[1:], line[:-1])[None]

    def last_actions(self, action: Tensor) -> Tensor:
        """The last actions (N_RECENT, A), newest first, ``action`` (A,) the newest of them."""
        i = len(self.poses)
        actions = [action, *self.actions[max(0, i - N_RECENT + 1) : i][::-1]]
        return torch.stack(actions + self.actions[:1] * (N_RECENT - len(actions)))

    @property
    def line(self) -> list[Tensor]:
        """The last N_RECENT + 1 poses, newest first; before the first frame nothing moved."""
        poses = self.poses[-N_RECENT - 1 :][::-1]
        return poses + poses[-1:] * (N_RECENT + 1 - len(poses))

    @property
    def ground(self) -> float:
        """The height of the eye where it last stood; see :func:`worldsim.models.odometry.standing_height`."""
        return standing_height(float(pose[1]) for pose in reversed(self.poses))

    def control(self, model: WorldModel, first: int) -> Tensor:
        """What steered the frames from position ``first`` on: (n, A + 6)."""
        poses = torch.stack(self.poses[first:])
        before = torch.stack(self.poses[max(0, first - 1) : len(self) - 1]) if len(self) > 1 else poses
        if first == 0 and len(self) > 1:
            before = torch.cat([poses[:1], before])
        moved = model.motion(before, poses)
        return model.control(torch.stack(self.actions[first:]), moved, poses[:, 4])

    def behind(self, newest: int, history: int) -> slice:
        """Where the frames of the last ``history`` lie but for the ``newest``; there may be none."""
        stop = max(0, len(self) - newest)
        return slice(min(max(0, len(self) - history), stop), stop)
