"""The next frame of one dream or of several: memory, dead reckoning, reading, denoising and decoding, in one pass.

Dreams that share a model and a clock (the one that remembers and its forgetful twin) differ only in what they remember,
so they are the rows of one batch: on a processor most of a small step is overhead, which they share.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldsim.diffusion.algorithms import autoregressive_step
from worldsim.diffusion.schedules import next_frame
from worldsim.engine.evidence import Evidence
from worldsim.engine.generation import PlainSampler, generate, remembered, steps_by_novelty
from worldsim.engine.past import DreamPast
from worldsim.engine.pixel_recall import recalled
from worldsim.engine.timer import Laps
from worldsim.frames import to_uint8
from worldsim.models.denoisers.layers import Cache
from worldsim.models.world_model import Views, WorldModel, together


@dataclass
class Mind:
    """A dream's past, its compressed memory and its dials. ``age``: frames since the last compression."""

    past: DreamPast
    history: int = 0
    budget: int = 1
    steps: int = 1
    spacing: str = "even"
    memory: Views | list[Any] | None = None  # the fast engine's memory is a list
    age: int = 0
    stale: bool = True
    random: torch.Generator = field(default_factory=torch.Generator)

    def fits(self, other: Mind) -> bool:
        """Whether the two can be rows of one batch."""
        a, b = self.past, other.past
        replayed = a.config.replayed
        clock = (self.steps, self.spacing) == (other.steps, other.spacing)
        return (
            clock
            and a.left_alone == b.left_alone
            and (a.count, min(len(a), replayed), a.pending) == (b.count, min(len(b), replayed), b.pending)
        )

    def refresh(self, model: WorldModel) -> None:
        """Compress what lies behind the short window, where it is time."""
        if self.stale or self.age >= self.past.config.refresh:
            past = self.past
            behind = past.behind(self.history, model.window)
            self.memory = model.remember(behind, past.poses[-1][None], past.count, self.budget)
            self.age, self.stale = 0, False

    def views(self, model: WorldModel) -> Views:
        """Everything that the next frame may read."""
        assert isinstance(self.memory, Views)
        # Frames that left the short window since the last compression are not in the memory yet.
        return self.memory + self.past.recent(min(self.history, model.window + self.age))


def imagine(
    model: WorldModel, minds: list[Mind], led: Tensor, guides: list[Tensor | None]
) -> tuple[list[np.ndarray], dict[str, float]]:
    """One frame for each mind (all of which :meth:`Mind.fits`), which enters its past.

    Args:
        led: (A,), the normalised action; guides: the true pose (5,) of the next frame, where a dream is to use it.

    Returns:
        frames uint8 (H, W, 3), and the milliseconds of each phase.
    """
    lap = Laps()
    pasts = [mind.past for mind in minds]
    b = len(minds)
    for mind in minds:
        if mind.past.changes_hands:
            mind.past.replay(model)
        mind.refresh(model)
    lap("compress")
    newest = torch.stack([past.latents[-1] for past in pasts])  # (B, C, h, w)
    before = torch.stack([past.poses[-1] for past in pasts])
    leds = led.expand(b, -1)
    lately = [past.lately(model, led, len(past)) for past in pasts]
    actions, motions = (torch.cat(rows) for rows in zip(*lately, strict=True))
    ground = before.new_tensor([past.ground for past in pasts])
    pose, moved = model.odometry.next_pose(before, model.odometry.look(newest), actions, motions, ground)
    pose = torch.stack([p if guide is None else guide for p, guide in zip(pose, guides, strict=True)])
    if any(guide is not None for guide in guides):
        moved = model.motion(before, pose)
    lap("odometry")
    read_from = [mind.views(model) for mind in minds]
    views = together(read_from)
    control = model.control(leds[:, None], moved[:, None], pose[:, None, 4])
    if model.config.generates:
        clean = _generated(model, minds, views, read_from, pose, control, lap)
    else:
        clean = _denoised(model, minds, views, pose, control, newest, lap)
    clean = within_the_data(clean)
    lap("denoise")
    drawn = model.autoencoder.decode(clean[:, 0])
    lap("decode")
    distances: Tensor | list[None] = [None] * b
    if model.config.pixels:
        chosen, valid = model.choose(views, pose[:, None])
        sources = [
            [i for i in row.index[0, c][v].tolist() if past.recallable(i, model.config.own_pixels)]
            for past, row, c, v in zip(pasts, read_from, chosen, valid, strict=True)
        ]
        drawn, distances = recalled(model, pasts, sources, clean[:, 0], pose, drawn)
        lap("pixels")
    frames = list(to_uint8(drawn))
    features = model.frame_encoder(clean[:, 0])
    points = model.reader.points(features, pose)
    for i, mind in enumerate(minds):
        mind.past.append(clean[i, 0], features[i], points[i], led, pose[i], frames[i], distances[i])
        mind.past.settle(model.scale)
        mind.age += 1
    lap("keep")
    return frames, lap.ms


def _generated(
    model: WorldModel,
    minds: list[Mind],
    views: Views,
    read_from: list[Views],
    pose: Tensor,
    control: Tensor,
    lap: Laps,
) -> Tensor:
    """Latents (B, 1, C, h, w) of the next frames, by the model's generator."""
    pasts, g = [mind.past for mind in minds], model.config.generator
    draw = Evidence(model.config.size, model.config.fov, model.scale)
    chosen, valid = model.choose(views, pose[:, None])
    evidence = []
    for past, row, c, v, p in zip(pasts, read_from, chosen, valid, pose, strict=True):
        best_first = row.index[0, c][v].flip(0).tolist()
        evidence.append(remembered(draw, past, best_first, p.tolist(), model.pixels.distances))
    lap("read")
    before = torch.cat([past.control(model, len(past) - 1)[0] for past in pasts])
    steps = [steps_by_novelty(seen, mind.steps) for seen, mind in zip(evidence, minds, strict=True)]
    sampler, randoms = PlainSampler(model.generator), [mind.random for mind in minds]
    controls = before, control[:, 0]
    clean = generate(
        sampler, pasts, randoms, controls, evidence, steps, minds[0].spacing, g.strides, model.context_level
    )
    for past, seen in zip(pasts, evidence, strict=True):
        past.evidence = seen
    return clean[:, None]


def _denoised(
    model: WorldModel,
    minds: list[Mind],
    views: Views,
    pose: Tensor,
    control: Tensor,
    newest: Tensor,
    lap: Laps,
) -> Tensor:
    """Latents (B, 1, C, h, w) of the next frames, by the model's denoisers."""
    pasts = [mind.past for mind in minds]
    denoiser, index = pasts[0].denoiser(model), pasts[0].count
    guess, read = model.read(views, pose[:, None], torch.tensor([index], device=pose.device))
    lap("read")
    cache = _joined([past.cache for past in pasts])

    def denoise(z: Tensor, level: Tensor) -> Tensor:
        if not pasts[0].pending:
            return guess + denoiser.denoise(z, level, control, read, cache, index)
        earlier = torch.cat([past.control(model, len(past) - 1) for past in pasts])
        shown = torch.full_like(level, model.context_level)
        for past in pasts:
            past.pending = False
        noisy = (z, level, control)
        return guess + denoiser.advance((newest[:, None], shown, earlier), noisy, read, cache, index - 1)

    noise = torch.cat([torch.randn(guess[:1].shape, generator=mind.random) for mind in minds])
    clean, _ = autoregressive_step(
        denoise, guess[:, :0], noise.to(guess.device), next_frame(minds[0].spacing), minds[0].steps
    )
    for i, past in enumerate(pasts):
        past.cache = Cache([k[i : i + 1] for k in cache.keys], [v[i : i + 1] for v in cache.values])
    return clean


def within_the_data(latents: Tensor) -> Tensor:
    """Frames of latents (..., C, h, w) scaled down to the root mean square of true ones, 1, where theirs is larger.

    Frame by frame a dream of its own past gains contrast, until nothing is left but colours; this stops it.
    """
    size = latents.square().mean((-3, -2, -1), keepdim=True).sqrt()
    return latents / size.clamp_min(1)


def _joined(caches: list[Cache]) -> Cache:
    if len(caches) == 1:
        return caches[0]
    return Cache(
        [torch.cat(rows) for rows in zip(*(c.keys for c in caches), strict=True)],
        [torch.cat(rows) for rows in zip(*(c.values for c in caches), strict=True)],
    )
