"""The modules as they were trained, on any device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldsim.diffusion.algorithms import autoregressive_step
from worldsim.diffusion.schedules import next_frame
from worldsim.engine.backend import Selection
from worldsim.engine.generation import Context, ModuleSampler, Target
from worldsim.engine.past import DreamPast
from worldsim.engine.pixel_recall import recall_pixels
from worldsim.frames import to_uint8
from worldsim.models.denoisers.causal_dit import CausalDiT
from worldsim.models.denoisers.layers import Cache
from worldsim.models.world_model import MemoryViews, Past, WorldModel, together


@dataclass
class KeptFrame:
    """What the reader sees of one frame: features (S, width) and points (P, 3)."""

    features: Tensor
    points: Tensor


class Eager:
    """A :class:`worldsim.engine.backend.Backend`; a past's context is a :class:`.layers.Cache`."""

    memory_format = torch.contiguous_format
    flushes_denormals = False
    keeps: tuple[type, ...] = (KeptFrame, MemoryViews, Cache)

    def __init__(self, model: WorldModel) -> None:
        self.model = model

    def compress(self, past: DreamPast, part: slice, budget: int) -> MemoryViews:
        """See :class:`.Backend`."""
        views = self._views(past, part)
        actions = _stacked(past.actions, part)
        behind = Past(views.features, actions, views.poses, views.index[0], views.valid)
        return self.model.remember(behind, past.poses[-1][None], past.count, budget)

    def look(self, latents: Tensor) -> Tensor:
        """See :class:`.Backend`."""
        return self.model.odometry.look(latents)

    def next_pose(
        self, looked: Tensor, pasts: Sequence[DreamPast], action: Tensor, given: Sequence[Tensor | None]
    ) -> tuple[Tensor, Tensor]:
        """See :class:`.Backend`."""
        before = torch.stack([past.poses[-1] for past in pasts])
        recent = [past.recent(self.model, action) for past in pasts]
        actions, motions = (torch.cat(rows) for rows in zip(*recent, strict=True))
        ground = before.new_tensor([past.ground for past in pasts])
        poses, moved = self.model.odometry.next_pose(before, looked, actions, motions, ground)
        if any(pose is not None for pose in given):
            poses = torch.stack([p if true is None else true for p, true in zip(poses, given, strict=True)])
            moved = self.model.motion(before, poses)
        return poses, moved

    def select(
        self, pasts: Sequence[DreamPast], memories: Sequence[Any], recent: Sequence[int], poses: Tensor
    ) -> Selection:
        """See :class:`.Backend`."""
        rows = []
        for past, memory, n in zip(pasts, memories, recent, strict=True):
            rows.append(memory + self._views(past, slice(max(0, len(past) - n), len(past))))
        views = together(rows)
        generated = views.index >= torch.tensor(
            [[past.true_until] for past in pasts], device=views.index.device
        )
        penalty = self.model.config.dream.generated_penalty * generated
        chosen, valid = self.model.choose(views, poses[:, None], penalty=penalty)
        best = [row[c][v].flip(0).tolist() for row, c, v in zip(views.index, chosen, valid, strict=True)]
        known = [row[v].tolist() for row, v in zip(views.index, views.valid, strict=True)]
        return Selection(best, views, known)

    def read(self, selection: Selection, poses: Tensor, index: int) -> tuple[Tensor, Tensor]:
        """See :class:`.Backend`."""
        return self.model.read(selection.views, poses[:, None], torch.tensor([index], device=poses.device))

    def denoise(
        self,
        pasts: Sequence[DreamPast],
        read: tuple[Tensor, Tensor],
        noise: Tensor,
        controls: tuple[Tensor, Tensor],
        steps: int,
        spacing: str,
        mark: Callable[[str], None],
    ) -> Tensor:
        """See :class:`.Backend`."""
        (guess, features), index = read, pasts[0].count
        denoiser = self._denoiser(pasts[0].free_running)
        earlier, now = (control[:, None] for control in controls)
        cache, pending = _joined([past.kept.context for past in pasts]), pasts[0].pending
        newest = torch.stack([past.latents[-1] for past in pasts])[:, None]

        def clean_of(z: Tensor, level: Tensor) -> Tensor:
            nonlocal pending
            if not pending:
                return guess + denoiser.denoise(z, level, now, features, cache, index)
            pending = False
            context = newest, torch.full_like(level, self.model.context_level), earlier
            return guess + denoiser.advance(context, (z, level, now), features, cache, index - 1)

        latents, _ = autoregressive_step(clean_of, guess[:, :0], noise[:, None], next_frame(spacing), steps)
        for i, past in enumerate(pasts):
            rows = ([x[i : i + 1] for x in kind] for kind in (cache.keys, cache.values))
            past.kept.context = Cache(*rows)
        mark("denoise")
        return latents[:, 0]

    def sample(
        self, pasts: Sequence[DreamPast], newest: Context, noise: Tensor, target: Target, levels: Tensor
    ) -> Tensor:
        """See :class:`worldsim.engine.generation.Sampler`."""
        return ModuleSampler(self.model.generator).sample(pasts, newest, noise, target, levels)

    def decode(self, latents: Tensor, side: int) -> Tensor:
        """See :class:`.Backend`: (B, 3, H, W) in [-1, 1]."""
        return self.model.autoencoder.decode_for(latents, side)

    def recall(
        self,
        pasts: Sequence[DreamPast],
        sources: Sequence[Sequence[int]],
        latents: Tensor,
        poses: Tensor,
        drawn: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """See :class:`.Backend`."""
        return recall_pixels(self.model, pasts, [row[::-1] for row in sources], latents, poses, drawn)

    def shown(self, drawn: Tensor) -> list[np.ndarray]:
        """See :class:`.Backend`."""
        return list(to_uint8(drawn))

    def measure(self, latents: Tensor, pitch: Tensor) -> Tensor:
        """See :class:`.Backend`."""
        return self.model.pixels.depth(latents, pitch)

    def keep(self, latents: Tensor, poses: Tensor, indices: Sequence[int]) -> list[KeptFrame]:
        """See :class:`.Backend`."""
        features = self.model.frame_encoder(latents)
        points = self.model.reader.points(features, poses)
        return [KeptFrame(f, p) for f, p in zip(features, points, strict=True)]

    def commit(self, latents: Tensor, controls: Tensor, first: int, free_running: bool) -> Cache:
        """See :class:`.Backend`."""
        cache, z = Cache(), latents[None]
        if self.model.config.generates:
            self.model.generator.commit(z, controls[None], cache, first)
        elif len(latents):
            level = torch.full(z.shape[:2], self.model.context_level, device=z.device)
            self._denoiser(free_running).commit(z, level, controls[None], cache, first)
        return cache

    def detach(self, context: Cache) -> Cache:
        """See :class:`.Backend`."""
        return context

    def attach(self, kept: Cache) -> Cache:
        """See :class:`.Backend`."""
        return kept

    def drawer(self, past: DreamPast, part: slice, index: int) -> Callable[[Tensor], Tensor]:
        """See :class:`.Backend`."""
        views = self._views(past, part)

        def draw(poses: Tensor) -> Tensor:
            at = torch.full((len(poses),), index, device=poses.device)
            return self.model.read(views, poses[None], at)[0][0]

        return draw

    def _denoiser(self, free_running: bool) -> CausalDiT:
        return self.model.free_running if free_running else self.model.denoiser

    def _views(self, past: DreamPast, part: slice) -> MemoryViews:
        """The frames in this part, as they are; there may be none."""
        frames, device = past.kept.frames, past.latents[-1].device
        return MemoryViews(
            _stacked([frame.features for frame in frames], part),
            _stacked([frame.points for frame in frames], part),
            _stacked(past.poses, part),
            torch.tensor(past.indices[part], dtype=torch.long, device=device)[None],
            torch.ones(1, part.stop - part.start, dtype=torch.bool, device=device),
        )


def _joined(caches: list[Cache]) -> Cache:
    """One cache of several dreams that have equally many frames."""
    if len(caches) == 1:
        return caches[0]
    kinds = [cache.keys for cache in caches], [cache.values for cache in caches]
    return Cache(*([torch.cat(rows) for rows in zip(*kind, strict=True)] for kind in kinds))


def _stacked(values: list[Tensor], part: slice) -> Tensor:
    """These of the values, of which there may be none: (1, n, ...)."""
    return torch.stack(values[part] or values[-1:])[None, : part.stop - part.start]
