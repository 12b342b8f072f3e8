"""The past of one dream: its newest frames as latents, as features to be read, and as keys and values."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldsim.config import DreamConfig
from worldsim.models.denoisers.causal_dit import CausalDiT
from worldsim.models.denoisers.layers import Cache
from worldsim.models.odometry import LATELY, ground_of
from worldsim.models.world_model import Past, Views, WorldModel


@dataclass
class DreamPast:
    """The newest frames, oldest first; ``count`` is how many there ever were, so the newest has index count - 1.

    A frame of its own that was seen from where the one before it was shows nothing more, and is forgotten once it has
    settled: whoever stands still would otherwise lose all that is true to copies of it. ``indices`` are of those kept.

    latents (C, h, w), ``pictures`` uint8 (H, W, 3) as they were shown, ``distances`` (., .) where they have been asked
    for (:mod:`worldsim.engine.pixel_recall`), features (S, width) and points (P, 3) of each for the reader, ``led``
    (A,) the normalised action that led to it, poses (5,). Frames from index ``true_until`` on are dreamt, ``own`` of
    those kept; a second denoiser takes over after ``alone_after`` of them, or never, and ``by_second`` is whether it
    made the keys and values. ``pending``: the newest frame's keys and values are not in the cache yet; they are
    computed together with the first denoising step of the frame after it.
    ``views``, ``ring`` and ``steered`` are the fast engine's (:mod:`worldsim.engine.cpu.backend`): frames ready to be
    read, a ring of keys and values with this dream's row in it, and the newest frame's control (A + 6,) where it is
    known. ``evidence`` (SEEN, H, W) is what a generator drew the newest frame from, where one did.
    """

    keep: int
    config: DreamConfig = field(default_factory=DreamConfig)
    latents: list[Tensor] = field(default_factory=list)
    pictures: list[np.ndarray] = field(default_factory=list)
    distances: list[Tensor | None] = field(default_factory=list)
    features: list[Tensor] = field(default_factory=list)
    points: list[Tensor] = field(default_factory=list)
    led: list[Tensor] = field(default_factory=list)
    poses: list[Tensor] = field(default_factory=list)
    indices: list[int] = field(default_factory=list)
    count: int = 0
    true_until: int = 0
    by_second: bool = False
    alone_after: int | None = None
    cache: Cache = field(default_factory=Cache)
    pending: bool = False
    views: list[Any] = field(default_factory=list)
    ring: Any = None
    steered: Tensor | None = None
    evidence: np.ndarray | None = None

    def __post_init__(self) -> None:
        """True frames, where some are given."""
        if self.latents and not self.indices:
            self.count = self.true_until = self.count or len(self)
            self.indices = list(range(self.count - len(self), self.count))

    def __len__(self) -> int:
        return len(self.latents)

    def append(
        self,
        latent: Tensor,
        features: Tensor,
        points: Tensor,
        led: Tensor,
        pose: Tensor,
        picture: np.ndarray,
        distance: Tensor | None = None,
    ) -> None:
        """A new newest frame, whose keys and values are pending."""
        new: tuple[tuple[list[Any], Any], ...] = (
            (self.indices, self.count),
            (self.latents, latent),
            (self.pictures, picture),
            (self.distances, distance),
            (self.features, features),
            (self.points, points),
            (self.led, led),
            (self.poses, pose),
        )
        for kept, value in new:
            kept.append(value)
            del kept[: -self.keep]
        self.count += 1
        self.pending = True

    def settle(self, scale: float) -> None:
        """Forget a frame that shows no more than the one before it, where it is old enough for that."""
        i = len(self) - self.config.settled
        if i < 1 or self.indices[i] < self.true_until:
            return
        x, y = self.poses[i - 1].tolist(), self.poses[i].tolist()
        turned = max(abs((y[3] - x[3] + 180) % 360 - 180), abs(y[4] - x[4]))
        if math.dist(x[:3], y[:3]) < self.config.same_place * scale and turned < self.config.same_angle:
            for kept in self._lists:
                del kept[i : i + 1]

    @property
    def _lists(self) -> tuple[list[Any], ...]:
        """Everything of which there is one for each frame; views are the fast engine's alone."""
        frames = (self.indices, self.latents, self.pictures, self.distances, self.features, self.points)
        return *frames, self.led, self.poses, self.views

    @property
    def own(self) -> int:
        """How many of the newest frames that are kept are dreamt, with no true one among them."""
        return len(self) - bisect_left(self.indices, self.true_until)

    def place(self, index: int) -> int:
        """Where a frame that is kept lies among them."""
        return bisect_left(self.indices, index)

    def show(self, pictures: np.ndarray) -> None:
        """The newest frames are these, uint8 (n, H, W, 3), whatever they were."""
        n = len(pictures)
        self.pictures[len(self.pictures) - n :] = list(pictures)
        self.distances[len(self.distances) - n :] = [None] * n

    def recallable(self, index: int, own: int) -> bool:
        """Whether pixels are taken from a frame: a true one, or one of the first ``own`` that were dreamt since."""
        return index < self.true_until + own

    @property
    def left_alone(self) -> bool:
        """Whether the next frame is the second denoiser's."""
        return self.alone_after is not None and self.own >= self.alone_after

    @property
    def changes_hands(self) -> bool:
        """Whether keys and values are the other one's: they are then replayed."""
        return self.left_alone != self.by_second

    def denoiser(self, model: WorldModel) -> CausalDiT:
        """What denoises the next frame."""
        return model.alone if self.left_alone else model.denoiser

    def lately(self, model: WorldModel, led: Tensor, i: int) -> tuple[Tensor, Tensor]:
        """What dead reckoning looks back on when ``led`` (A,) leads to frame ``i``, of which there may be none yet.

        Returns:
            the last actions (1, LATELY, A) and motions (1, LATELY, 5), newest first; before the first frame, none.
        """
        actions = [led, *self.led[max(0, i - LATELY + 1) : i][::-1]]
        actions += self.led[:1] * (LATELY - len(actions))
        poses = self.poses[max(0, i - LATELY - 1) : i][::-1]
        poses += poses[-1:] * (LATELY + 1 - len(poses))
        line = torch.stack(poses)
        return torch.stack(actions)[None], model.motion(line[1:], line[:-1])[None]

    @property
    def ground(self) -> float:
        """The height of the eye where it last stood; see :func:`worldsim.models.odometry.ground_of`."""
        return ground_of(float(pose[1]) for pose in reversed(self.poses))

    def reckon(self, model: WorldModel) -> None:
        """Poses of the newest frames, those that have none yet, by dead reckoning from the last one that has."""
        first = len(self.poses)
        seen = model.odometry.look(torch.stack(self.latents[first - 1 :]))
        for i, look in zip(range(first, len(self)), seen, strict=False):
            lately, ground = self.lately(model, self.led[i], i), seen.new_tensor([self.ground])
            pose, _ = model.odometry.next_pose(self.poses[-1][None], look[None], *lately, ground)
            self.poses.append(pose[0])

    def control(self, model: WorldModel, first: int) -> Tensor:
        """What steered the frames from position ``first`` on: (1, n, A + 6)."""
        poses = torch.stack(self.poses[first:])
        before = torch.stack(self.poses[max(0, first - 1) : len(self) - 1]) if len(self) > 1 else poses
        if first == 0 and len(self) > 1:
            before = torch.cat([poses[:1], before])
        moved = model.motion(before, poses)
        return model.control(torch.stack(self.led[first:]), moved, poses[:, 4])[None]

    def replay(self, model: WorldModel) -> None:
        """Compute features, keys and values of the newest frames again, as if they had come one by one."""
        first = max(0, len(self) - self.config.replayed)
        latents, poses = torch.stack(self.latents[first:]), torch.stack(self.poses[first:])
        features = model.frame_encoder(latents)
        self.features[first:] = list(features)
        self.points[first:] = list(model.reader.points(features, poses))
        self.cache, self.pending, self.by_second = Cache(), True, self.left_alone
        self.evidence = None
        if model.config.generates:
            control = self.control(model, first)[:, :-1]
            model.generator.commit(latents[None, :-1], control, self.cache, self.count - len(latents))
        elif len(latents) > 1:
            z, control = latents[None, :-1], self.control(model, first)[:, :-1]
            level = torch.full(z.shape[:2], model.context_level, device=z.device)
            self.denoiser(model).commit(z, level, control, self.cache, self.count - len(latents))

    def encode_features(self, model: WorldModel) -> None:
        """Features and points of every frame, from its latents and pose."""
        features = model.frame_encoder(torch.stack(self.latents))
        self.features = list(features)
        self.points = list(model.reader.points(features, torch.stack(self.poses)))

    def recent(self, n: int) -> Views:
        """The newest n frames (or all, where there are fewer), as they are."""
        return self._views(max(0, len(self) - n), len(self))

    def older_than(self, n: int, history: int) -> Views:
        """The frames of the last ``history`` but for the newest n, as they are; there may be none."""
        stop = max(0, len(self) - n)
        return self._views(min(max(0, len(self) - history), stop), stop)

    def _views(self, start: int, stop: int) -> Views:
        device = self.latents[-1].device

        def stacked(values: list[Tensor]) -> Tensor:
            return torch.stack(values[start:stop] or values[-1:])[None, : stop - start]

        return Views(
            stacked(self.features),
            stacked(self.points),
            stacked(self.poses),
            torch.tensor(self.indices[start:stop], dtype=torch.long, device=device)[None],
            torch.ones(1, stop - start, dtype=torch.bool, device=device),
        )

    def behind(self, history: int, window: int) -> Past:
        """The frames of the last ``history`` that lie behind the short window; there may be none."""
        n = len(self)
        stop = max(0, n - window)
        part = slice(min(max(0, n - history), stop), stop)

        def stacked(values: list[Tensor]) -> Tensor:
            some = torch.stack(values[part] or values[-1:])[None]
            return some[:, : part.stop - part.start]

        latents = stacked(self.latents)
        index = torch.tensor(self.indices[part], dtype=torch.long, device=latents.device)
        valid = torch.ones(1, len(index), dtype=torch.bool, device=latents.device)
        return Past(stacked(self.features), stacked(self.led), stacked(self.poses), index, valid)
