"""A dream stepped by networks that a library compiled, on a CPU or a GPU; what is not a network stays as it is.

A network is compiled when it is first asked for at a shape: those of one dream, and of a dream beside its twin, which
are rows of one batch. Other shapes (a whole past that is replaced) come seldom and are left to the plain module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldsim.diffusion.schedules import next_frame, path
from worldsim.engine.backend import Selection, select_viewpoints
from worldsim.engine.compiled.calls import Calls, Compiler
from worldsim.engine.compiled.steps import hidden_places
from worldsim.engine.eager import Eager
from worldsim.engine.generation import Context, Target
from worldsim.engine.kv_ring import Ring, RingRow, rotary_turns
from worldsim.engine.past import DreamPast
from worldsim.engine.pixel_recall import gather_sources
from worldsim.engine.viewpoints import Viewpoint, most_relevant, viewpoints
from worldsim.models.odometry import N_RECENT, standing_height
from worldsim.models.world_model import WorldModel


class Compiled(Eager):
    """A :class:`worldsim.engine.backend.Backend`; a past's context is a ring and its row in it.

    ``products``, ``strict``: as those of :class:`.calls.Calls`.
    """

    keeps: tuple[type, ...] = (*Eager.keeps, Viewpoint, RingRow)

    def __init__(
        self,
        model: WorldModel,
        compiler: Compiler,
        products: torch.dtype = torch.float32,
        strict: bool = False,
    ) -> None:
        super().__init__(model)
        self.run = Calls(model, compiler, products, strict)
        self.device = next(model.parameters()).device
        self.points_only = model.config.generates and model.config.posed
        self._pinned: dict[tuple[int, ...], Tensor] = {}

    def compress(self, past: DreamPast, part: slice, budget: int) -> Any:
        """See :class:`.Backend`."""
        if not self.points_only:
            return super().compress(past, part, budget)
        candidates = past.kept.frames[part]
        if not candidates:
            return []
        best = most_relevant(candidates, past.poses[-1].tolist(), budget, self.model.scale)
        return [candidates[i] for i in best]

    def look(self, latents: Tensor) -> Tensor:
        """See :class:`.Backend`."""
        return self.run("look", latents)[0]

    def next_pose(
        self, looked: Tensor, pasts: Sequence[DreamPast], action: Tensor, given: Sequence[Tensor | None]
    ) -> tuple[Tensor, Tensor]:
        """See :class:`.Backend`."""
        line = torch.stack([torch.stack(past.line) for past in pasts])
        actions = torch.stack([past.last_actions(action) for past in pasts])
        ground = torch.tensor([_ground(past) for past in pasts], dtype=line.dtype, device=self.device)
        poses, moved = self.run("next_pose", looked, line, actions, ground)
        if any(pose is not None for pose in given):
            poses = torch.stack([p if true is None else true for p, true in zip(poses, given, strict=True)])
            moved = self.model.motion(line[:, 0], poses)
        return poses, moved

    def select(
        self, pasts: Sequence[DreamPast], memories: Sequence[Any], recent: Sequence[int], poses: Tensor
    ) -> Selection:
        """See :class:`.Backend`."""
        if not self.points_only:
            return super().select(pasts, memories, recent, poses)
        return select_viewpoints(pasts, memories, recent, poses, self.model)

    def read(self, selection: Selection, poses: Tensor, index: int) -> tuple[Tensor, Tensor]:
        """See :class:`.Backend`."""
        full = len(selection.views) >= self.model.config.memory.reads
        at = torch.tensor([index], device=self.device)

        def reader(*args: Tensor) -> tuple[Tensor, ...]:
            return self.run("read", *args, usual=full)

        return self.model.read(selection.views, poses[:, None], at, reader=reader)

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
        name = "free_running" if pasts[0].free_running else "denoiser"
        newest = torch.stack([past.latents[-1] for past in pasts])
        context = torch.full((len(pasts),), self.model.context_level, device=self.device)
        levels = path(next_frame(spacing), steps)[:, 0].to(self.device)
        features = read[1][:, 0]
        z = self._steps(name, pasts, (newest, context, controls[0]), (noise, controls[1]), levels, features)
        mark("denoise")
        return z

    def sample(
        self, pasts: Sequence[DreamPast], newest: Context, noise: Tensor, target: Target, levels: Tensor
    ) -> Tensor:
        """See :class:`worldsim.engine.generation.Sampler`."""
        earlier = newest.latents, newest.level, newest.control, newest.evidence
        stride = torch.tensor([[0.0, target.stride]], device=self.device).expand(len(pasts), -1)
        now = noise, target.control, target.evidence
        return self._steps("", pasts, earlier, now, levels, stride)

    def _steps(
        self,
        name: str,
        pasts: Sequence[DreamPast],
        newest: tuple[Tensor, ...],
        now: tuple[Tensor, ...],
        levels: Tensor,
        beside: Tensor,
    ) -> Tensor:
        """All steps of a frame; the newest one enters the ring with the first of them, where it is pending.

        Args:
            name: of the denoiser; empty for the generator.
            newest: latents, level, control and, for a generator, evidence; now: latents, control and evidence.
            beside: what was read (B, E, h, w), or step sizes (B, 2).
        """
        b, ring, enters = len(pasts), Ring.of(pasts), pasts[0].pending
        place = ring.take() if enters else 0
        net: Any = getattr(self.model, name or "generator")
        head = ring.keys.shape[-1]
        frequencies = 100.0 ** (-np.arange(0, head, 2) / head)
        index = pasts[0].count
        cos, sin = (
            torch.from_numpy(x).to(self.device)
            for x in rotary_turns(np.array([index - 1, index]), frequencies)
        )
        keep, z = levels[1:] / levels[:-1], now[0]
        for i in range(len(levels) - 1):
            first, level = i == 0 and enters, levels[i].expand(b)
            frames = slice(0 if first else 1, 2)

            def both(a: Tensor, x: Tensor, first: bool = first) -> Tensor:
                return torch.stack([a, x] if first else [x], 1)

            args = [
                both(newest[0], z),
                both(newest[1], level),
                both(newest[2], now[1]),
                *([both(newest[3], now[2])] if not name else []),
                beside[:, frames] if not name else beside,
                keep[i].expand(b),
                cos[frames],
                sin[frames],
                ring.keys,
                ring.values,
                self._hidden(1 + first, net.window, ring.count, place if first else 0),
            ]
            kind = "enter" if first else "step"
            found = self.run(f"{name}_{kind}" if name else kind, *args)
            z = found[0]
            if first:
                ring.keys[:, :, :, place], ring.values[:, :, :, place] = found[1:]
        for past in pasts:
            past.pending = False
        return z

    def _hidden(self, frames: int, window: int, count: int, place: int) -> Tensor:
        return _mask(frames, window, min(count, window), place, str(self.device))

    def decode(self, latents: Tensor, side: int) -> Tensor:
        """See :class:`.Backend`: (B, 3, H, W) in [-1, 1]."""
        large = self.model.config.autoencoder.superresolution
        return self.run("decode", latents.contiguous(), side=side if large else 0)[0]

    def recall(
        self,
        pasts: Sequence[DreamPast],
        sources: Sequence[Sequence[int]],
        latents: Tensor,
        poses: Tensor,
        drawn: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """See :class:`.Backend`."""
        depths, reads = self.measure(latents, poses[:, 4]), self.model.config.memory.reads
        views = gather_sources(pasts, [row[::-1] for row in sources], self.measure, reads)
        mixed = self.run("mix", drawn, depths, poses, *vars(views).values(), side=pasts[0].side)
        return mixed[0], depths

    def shown(self, drawn: Tensor) -> list[np.ndarray]:
        """See :class:`.Backend`; from a GPU by way of memory that it writes itself, with one wait for this one copy."""
        if self.device.type != "cuda":
            return super().shown(drawn)
        pictures = ((drawn.float().clamp(-1, 1) + 1.0) * 127.5).round().to(torch.uint8)
        pictures = pictures.permute(0, 2, 3, 1).contiguous()
        shape = tuple(pictures.shape)
        if shape not in self._pinned:
            self._pinned[shape] = torch.empty(shape, dtype=torch.uint8, pin_memory=True)
        self._pinned[shape].copy_(pictures, non_blocking=True)
        arrived = torch.cuda.Event()
        arrived.record()
        arrived.synchronize()
        return list(self._pinned[shape].numpy().copy())

    def measure(self, latents: Tensor, pitch: Tensor) -> Tensor:
        """See :class:`.Backend`."""
        return self.run("measure", latents, pitch)[0]

    def keep(self, latents: Tensor, poses: Tensor, indices: Sequence[int]) -> list[Any]:
        """See :class:`.Backend`."""
        if not self.points_only:
            return list(super().keep(latents, poses, indices))
        return viewpoints(poses.tolist(), indices, self.model.scale)

    def commit(self, latents: Tensor, controls: Tensor, first: int, free_running: bool) -> Any:
        """See :class:`.Backend`."""
        cache = super().commit(latents, controls, first, free_running)
        net: Any = self.model.generator if self.model.config.generates else self._denoiser(free_running)
        head = net.position.shape[1] // net.heads
        ring = Ring.filled(cache, net.window, net.tokens, len(net.blocks), net.heads, head, self.device)
        return ring, 0

    def detach(self, context: Any) -> Any:
        """See :class:`.Backend`."""
        ring, row = context
        return ring.row(row)

    def attach(self, kept: Any) -> Any:
        """See :class:`.Backend`."""
        return kept.ring(), 0


def _ground(past: DreamPast) -> float:
    """``DreamPast.ground`` where poses may lie on a GPU, from which they come many at a time."""

    def heights() -> Any:
        for stop in range(len(past.poses), 0, -4 * N_RECENT):
            part = torch.stack(past.poses[max(0, stop - 4 * N_RECENT) : stop])
            yield from reversed(part[:, 1].tolist())

    return standing_height(heights())


@lru_cache(256)
def _mask(frames: int, window: int, count: int, place: int, device: str) -> Tensor:
    return hidden_places(frames, window, count, place).to(device)
