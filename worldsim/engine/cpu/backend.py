"""The fast parts as a backend of :mod:`worldsim.engine.step`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldsim.engine.backend import Selection, select_viewpoints
from worldsim.engine.cpu.denoiser import Denoiser
from worldsim.engine.cpu.reader import PreparedView
from worldsim.engine.cpu.twins import Build, twin
from worldsim.engine.generation import Context, Target
from worldsim.engine.kv_ring import Ring, RingRow
from worldsim.engine.past import DreamPast
from worldsim.engine.viewpoints import Viewpoint, most_relevant, viewpoints
from worldsim.models.memory.variants.joint import place_features
from worldsim.models.world_model import WorldModel


class Cpu:
    """A :class:`worldsim.engine.backend.Backend` of the twins of a model's modules, channels last.

    ``products`` may be torch.bfloat16: then the convolutions that make pictures multiply in it, some levels of 255 off;
    latents and all that is remembered of them stay as they are. It keeps of each frame a :class:`.reader.PreparedView`,
    or, for a generator, which remembers pictures, a :class:`.reader.Viewpoint`; a past's context is a ring and its row.
    """

    memory_format = torch.channels_last
    flushes_denormals = True
    keeps: tuple[type, ...] = (Viewpoint, PreparedView, RingRow)

    def __init__(self, model: WorldModel, products: torch.dtype = torch.float32) -> None:
        self.model, self.scale = model, model.scale
        build = Build(model.grid, products, model.context_level)
        self.parts = {name: twin(module, build) for name, module in model.named_children()}

    def compress(self, past: DreamPast, part: slice, budget: int) -> list[Viewpoint]:
        """See :class:`.Backend`."""
        candidates = past.kept.frames[part]
        if not candidates:
            return []
        now = past.poses[-1]
        best = most_relevant(candidates, now.tolist(), budget, self.scale)
        kept = [candidates[i] for i in best]
        if self.model.config.generates:
            return kept
        ages = torch.tensor([past.count - view.index for view in candidates], dtype=torch.float32)
        places = place_features(torch.stack(past.poses[part])[None], now[None], ages[None], self.scale)[0]
        frames, actions = [view.features for view in candidates], torch.stack(past.actions[part])
        features = self.parts["compressor"](frames, actions, places, best)
        return self.parts["reader"].prepare_views(
            features, [view.pose for view in kept], [view.index for view in kept]
        )

    def look(self, latents: Tensor) -> Tensor:
        """See :class:`.Backend`."""
        return self.parts["odometry"].look(latents.permute(0, 2, 3, 1))

    def next_pose(
        self, looked: Tensor, pasts: Sequence[DreamPast], action: Tensor, given: Sequence[Tensor | None]
    ) -> tuple[Tensor, Tensor]:
        """See :class:`.Backend`."""
        return self.parts["odometry"](looked, pasts, action, given)

    def select(
        self, pasts: Sequence[DreamPast], memories: Sequence[Any], recent: Sequence[int], poses: Tensor
    ) -> Selection:
        """See :class:`.Backend`."""
        return select_viewpoints(pasts, memories, recent, poses, self.model)

    def read(self, selection: Selection, poses: Tensor, index: int) -> Tensor:
        """See :class:`.Backend`: cells."""
        return self.parts["reader"](selection.views, poses.tolist(), index)

    def denoise(
        self,
        pasts: Sequence[DreamPast],
        read: Tensor,
        noise: Tensor,
        controls: tuple[Tensor, Tensor],
        steps: int,
        spacing: str,
        mark: Callable[[str], None],
    ) -> Tensor:
        """See :class:`.Backend`."""
        denoiser = self._denoiser(pasts[0].free_running)
        of_cells, newest = denoiser.patches_of_cells, torch.stack([past.latents[-1] for past in pasts])
        patches = denoiser(
            denoiser.patches(newest),
            denoiser.patches(noise),
            of_cells(read[..., : denoiser.channels]),
            of_cells(read),
            torch.stack(controls, 1),
            Ring.of(pasts),
            pasts[0].count,
            steps,
            spacing,
            mark,
        )
        return denoiser.cells(patches).permute(0, 3, 1, 2)

    def sample(
        self, pasts: Sequence[DreamPast], newest: Context, noise: Tensor, target: Target, levels: Tensor
    ) -> Tensor:
        """See :class:`worldsim.engine.generation.Sampler`."""
        return self.parts["generator"].sample(pasts, newest, noise, target, levels)

    def decode(self, latents: Tensor, side: int) -> list[np.ndarray]:
        """See :class:`.Backend`."""
        return self.parts["autoencoder"](latents.permute(0, 2, 3, 1), side)

    def recall(
        self,
        pasts: Sequence[DreamPast],
        sources: Sequence[Sequence[int]],
        latents: Tensor,
        poses: Tensor,
        drawn: list[np.ndarray],
    ) -> tuple[list[np.ndarray], Tensor]:
        """See :class:`.Backend`."""
        return self.parts["pixels"](pasts, sources, latents, poses.tolist(), drawn)

    def shown(self, drawn: list[np.ndarray]) -> list[np.ndarray]:
        """See :class:`.Backend`."""
        return drawn

    def measure(self, latents: Tensor, pitch: Tensor) -> Tensor:
        """See :class:`.Backend`."""
        return self.parts["pixels"].measure(latents, pitch)

    def keep(self, latents: Tensor, poses: Tensor, indices: Sequence[int]) -> list[Viewpoint]:
        """See :class:`.Backend`."""
        at = poses.tolist()
        if self.model.config.generates:
            return viewpoints(at, indices, self.scale)
        features = self.parts["frame_encoder"](latents.permute(0, 2, 3, 1))
        return self.parts["reader"].prepare_views(features, at, indices)

    def commit(self, latents: Tensor, controls: Tensor, first: int, free_running: bool) -> tuple[Ring, int]:
        """See :class:`.Backend`."""
        if self.model.config.generates:
            return self.parts["generator"].commit(latents, controls, first), 0
        denoiser = self._denoiser(free_running)
        return denoiser.commit(denoiser.patches(latents), controls, first), 0

    def detach(self, context: tuple[Ring, int]) -> RingRow:
        """See :class:`.Backend`."""
        ring, row = context
        return ring.row(row)

    def attach(self, kept: RingRow) -> tuple[Ring, int]:
        """See :class:`.Backend`."""
        return kept.ring(), 0

    def drawer(self, past: DreamPast, part: slice, index: int) -> Callable[[Tensor], Tensor]:
        """See :class:`.Backend`."""
        views, reader, reads = past.kept.frames[part], self.parts["reader"], self.model.config.memory.reads

        def draw(poses: Tensor) -> Tensor:
            at = poses.tolist()
            best = (most_relevant(views, pose, reads, self.scale) for pose in at)
            chosen = [[views[i] for i in row] for row in best]
            cells: Tensor = reader(chosen, at, index)
            return cells[..., : reader.channels].permute(0, 3, 1, 2)

        return draw

    def _denoiser(self, free_running: bool) -> Denoiser:
        return self.parts["free_running" if free_running else "denoiser"]
