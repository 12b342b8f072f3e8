"""What the world model minimises: denoising, drawing from memory, and dead reckoning, in one pass over a clip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.data.clips import Clip, RowNoise
from training.data.returning_views import ReturningViews, reading_loss
from training.objectives.context_degradation import degrade_context
from training.objectives.image_loss import image_loss
from training.objectives.odometry import Walk, odometry_loss
from worldsim.diffusion import process as diffusion
from worldsim.models.world_model import MemoryViews, Past, WorldModel

Read = tuple[Tensor, Tensor]
"""What was drawn from memory for every frame (B, L, C, h, w), and that with its features (B, L, extra, h, w)."""
Look = Callable[[Tensor], Read]
"""Draws every frame from memory and from the context (B, L, C, h, w) before it."""
Predict = Callable[[Tensor, Read, Tensor, Tensor], Tensor]
"""Context, what was seen, noisy frames (B, L, C, h, w) and their levels (B, L) to clean latents (B, L, C, h, w)."""

LEAST_LEVEL = 0.5
"""Noise level from which a context is dreamt at least: below 1 it keeps to the true frames, as its target does."""

PAST_FADES = 0.5
"""Rows of a dreamt batch whose remembered frames have faded too."""

SSIM_WEIGHT = 0.5
"""Of a picture's structural similarity beside its L1, as the autoencoder was trained."""


@dataclass
class ObjectiveConfig:
    """Weights, and how much the context is disturbed so that the dream bears its own errors.

    ``picture`` weighs how far denoised latents look from true ones once the autoencoder has drawn both, on ``pictures``
    frames of every clip; 0 leaves it out. ``reading`` weighs what is drawn of views that come back, where a batch of
    them is given (:mod:`training.data.returning_views`). ``fade`` is the most that a dreamt context may have
    faded (:mod:`training.objectives.context_degradation`).
    """

    context_noise: float = 0.15
    pose_noise: float = 0.02
    guess: float = 1.0
    odometry: float = 0.1
    picture: float = 1.5
    pictures: int = 2
    reading: float = 1.0
    fade: float = 0.4


class Objective(nn.Module):
    """A world model with its losses; ``forward`` is what a distributed launcher wraps."""

    def __init__(self, model: WorldModel, config: ObjectiveConfig) -> None:
        super().__init__()
        self.model, self.config = model, config

    def forward(
        self, clip: Clip, noise: RowNoise, level: float | None = None, reads: ReturningViews | None = None
    ) -> dict[str, Tensor]:
        """Losses of one batch, all means over its rows; ``level`` puts every frame at one noise level."""
        m, c = self.model, self.config
        z, device = clip.latents, clip.latents.device
        length = z.shape[1]
        size = z.shape[2:]
        noisy_level = diffusion.sample_levels(noise.normal(length), noise.uniform(length))
        if level is not None:
            noisy_level = torch.full_like(noisy_level, level)
        if clip.dreamt and c.fade:
            clip = replace(clip, past_latents=degrade_context(clip.past_latents, noise, c.fade, PAST_FADES))
        clean, look, predict = self.context(clip, noise)
        noisy = diffusion.corrupt(z, noise.normal(length, *size), noisy_level)
        context = clean
        if clip.dreamt:
            # Frames dreamt in one step stand in for true ones from a random frame on, each time over what was dreamt
            # before, and fade as a dream of its own past does: so the model meets its own errors, and as the frame
            # asked for stays the true one it learns to take them back.
            first = (length * noise.uniform(1)).long()
            # (B, L, 1, 1, 1)
            dreamt_mask = (torch.arange(length, device=device)[None] >= first)[..., None, None, None]
            with torch.no_grad():
                for _ in range(clip.dreamt):
                    hint = 1 - (1 - LEAST_LEVEL) * noise.uniform(1).expand(-1, length)
                    start = diffusion.corrupt(z, noise.normal(length, *size), hint)
                    dreamt = predict(context, look(context), start, hint)
                    context = torch.where(dreamt_mask, dreamt.to(clean.dtype), clean)
                if c.fade:
                    context = torch.where(dreamt_mask, degrade_context(context, noise, c.fade), clean)
        views = look(context)
        guess, x0 = views[0], predict(context, views, noisy, noisy_level)
        error = (x0.float() - z).square().mean((2, 3, 4))
        denoise = (diffusion.loss_weight(noisy_level) * error).mean()
        drawn = F.mse_loss(guess.float(), z)
        acted = torch.cat([clip.before_latents[:, None], context[:, :-1]], 1).detach()
        actions = m.normalise(torch.cat([clip.earlier_actions[:, 2:], clip.actions], 1))
        walk = Walk(acted, actions, torch.cat([clip.earlier_poses, clip.poses], 1), clip.ground)
        odometry = odometry_loss(m.odometry, walk, noise)
        loss = denoise + c.guess * drawn + c.odometry * odometry
        losses = {"denoise": denoise, "guess": drawn, "odometry": odometry, "x0": error.mean()}
        if c.picture and c.pictures:
            shown = noise.uniform(length).argsort(1)[:, : c.pictures]
            row = torch.arange(len(z), device=device)[:, None]
            looks, _, similar = self._looks(x0[row, shown].flatten(0, 1), z[row, shown].flatten(0, 1))
            loss, losses["ssim"] = loss + c.picture * looks, similar
        if reads is not None and c.reading:
            losses["reading"] = reading_loss(m.frame_encoder, m.reader, reads)
            loss = loss + c.reading * losses["reading"]
        return {"loss": loss, **losses}

    def context(self, clip: Clip, noise: RowNoise) -> tuple[Tensor, Look, Predict]:
        """A clip's frames as context, a little disturbed (B, L, C, h, w), what looks at them and what predicts."""
        m, c = self.model, self.config
        z, device = clip.latents, clip.latents.device
        length, size = z.shape[1], z.shape[2:]
        clean_level = c.context_noise * noise.uniform(length)
        clean = diffusion.corrupt(z, noise.normal(length, *size), clean_level)
        n_past = clip.past_latents.shape[1]
        past_level = c.context_noise * noise.uniform(n_past)
        past_latents = diffusion.corrupt(clip.past_latents, noise.normal(n_past, *size), past_level)
        past = Past(
            m.features(past_latents) if n_past else past_latents.new_zeros(len(z), 0, *m.cells),
            m.normalise(clip.past_actions),
            clip.past_poses,
            torch.arange(-n_past, 0, device=device),
            clip.past_valid,
        )
        memory = m.remember(past, clip.before, 0, clip.budget)
        jitter = torch.cat([m.scale * noise.normal(length, 3), 20 * noise.normal(length, 2)], -1)
        earlier = torch.cat([clip.before[:, None], clip.poses[:, :-1]], 1)
        moved = m.motion(earlier, clip.poses)
        control = m.control(m.normalise(clip.actions), moved, clip.poses[..., 4])

        def look(context: Tensor) -> Read:
            return self._read(memory, context, clip.poses, c.pose_noise * jitter)

        def predict(context: Tensor, views: Read, noisy: Tensor, noisy_level: Tensor) -> Tensor:
            guess, read = views
            return guess + m.denoiser.clip(context, noisy, clean_level, noisy_level, control, read)

        return clean, look, predict

    def _looks(self, x0: Tensor, true: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """:func:`image_loss` of latents (N, C, h, w): the mean squared error blurs, and weighs all of them alike."""
        decode = self.model.autoencoder.decode
        with torch.no_grad():
            picture = decode(true).float()
        return image_loss(decode(x0).float(), picture, SSIM_WEIGHT)

    def _read(self, memory: MemoryViews, context: Tensor, poses: Tensor, jitter: Tensor) -> Read:
        """What every frame of a clip draws from memory and from the ``window`` frames before it."""
        m = self.model
        b, length = context.shape[:2]
        index = torch.arange(length, device=context.device)
        dreamt_mask = m.views(
            context, poses, index, torch.ones(b, length, dtype=torch.bool, device=context.device)
        )
        lag = index[:, None] - index[None]
        recent = (lag > 0) & (lag <= m.denoiser.window)  # (L, L)
        visible = torch.cat(
            [memory.valid[:, None].expand(b, length, -1), recent[None].expand(b, length, length)], 2
        )
        return m.read(memory + dreamt_mask, poses + jitter, index, visible)
