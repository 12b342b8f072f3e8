"""What AR-Diffusion minimises: the squared error of its prediction at a drawn timestep composition (section 3.2).

Beside the paper, where it is asked for: the first frames of a clip may be given, clean, as when a video is continued,
and those the model may have drawn itself (:mod:`training.objectives.redraws`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.data.clips import RowNoise
from training.objectives import redraws
from training.objectives.loss_weights import clip_noise
from training.objectives.timesteps import Timesteps
from worldsim.diffusion.process import corrupt, per_frame, to_x0
from worldsim.models.ar_diffusion import ArDiffusion


@dataclass
class ContinuationConfig:
    """``given``: share of the clips whose first frames, any number of them but all, are clean; the composition is of
    the others, which alone are asked for. ``redrawn``: share of these clips in which the model draws the given frames
    after the first few itself, ``redraws`` times over at most.

    Raises:
        ValueError: a share that is none, or no redraw at all.
    """

    given: float = 0.0
    redrawn: float = 0.0
    redraws: int = 2

    def __post_init__(self) -> None:
        if not 0 <= self.given <= 1:
            raise ValueError(f"continuation.given: expected a share from 0 to 1, found {self.given}")
        redraws.check(self.redrawn, self.redraws)


class ArDiffusionObjective(nn.Module):
    """The model with its loss; ``forward`` is what a distributed launcher wraps.

    Args:
        drop_actions: how often a clip's actions are not told, which classifier-free guidance needs.
        noise_clip: the noise is held in [-noise_clip, noise_clip].

    Raises:
        ValueError: ``drop_actions`` is no probability.
    """

    def __init__(
        self,
        model: ArDiffusion,
        timesteps: Timesteps,
        drop_actions: float,
        noise_clip: float,
        continuation: ContinuationConfig | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= drop_actions <= 1:
            raise ValueError(f"drop_actions: expected a probability, 0 to 1, found {drop_actions}")
        self.model, self.timesteps = model, timesteps
        self.drop_actions, self.noise_clip = drop_actions, noise_clip
        self.continuation = continuation or ContinuationConfig()

    def forward(self, latents: Tensor, actions: Tensor, noise: RowNoise) -> dict[str, Tensor]:
        """The loss of a batch and the error of the clean latents.

        Args:
            latents: (B, F, L, D) of the autoencoder; actions: (B, F, A), flattened, the one that led to each frame.
        """
        m, (b, f) = self.model, latents.shape[:2]
        kind = m.config.prediction
        x, actions = m.config.scale * latents, m.normalise(actions)
        level = self.timesteps.draw(noise.uniform(2), noise.uniform(f)) / m.config.timesteps  # (B, F)
        eps = clip_noise(noise.normal(*x.shape[1:]), self.noise_clip)
        known_mask = (noise.uniform(1) >= self.drop_actions).expand(b, f)
        shown, asked = x, torch.ones_like(level)
        if self.continuation.given and self.training:  # held-out losses are of whole clips, for all runs
            level, given = self._continued(level, noise)
            shown = torch.where(
                per_frame(given, x), self._drawn_anew(x, given, actions, known_mask, noise), x
            )
            asked = (~given).float()
        z = corrupt(m.process, shown, eps, level)
        raw = m(z, level, actions, known_mask).float()
        target = x
        if kind == "eps":
            target = eps
        elif kind == "v":
            a, c = m.process.velocity(per_frame(level, x))
            target = a * eps - c * x
        with torch.no_grad():
            error = _mean((to_x0(m.process, raw, z, level, kind) - x).square(), asked)
        return {"loss": _mean((raw - target).square(), asked), "x0": error}

    def _continued(self, level: Tensor, noise: RowNoise) -> tuple[Tensor, Tensor]:
        """Levels (B, F), 0 where frames are given, and which are (B, F)."""
        f = level.shape[1]
        whether, count, which, each = noise.uniform(1), noise.uniform(1), noise.uniform(2), noise.uniform(f)
        counts = torch.where(
            whether < self.continuation.given, (1 + (count * (f - 1)).floor()).clamp_max(f - 1), 0
        )
        level = level.clone()
        for row, given in enumerate(counts[:, 0].long().tolist()):
            if given:
                rest = self.timesteps.of(f - given).draw(which[row : row + 1], each[row : row + 1, given:])
                level[row, :given], level[row, given:] = 0, rest[0] / self.model.config.timesteps
        return level, torch.arange(f, device=level.device) < counts

    @torch.no_grad()
    def _drawn_anew(
        self, x: Tensor, given: Tensor, actions: Tensor, known_mask: Tensor, noise: RowNoise
    ) -> Tensor:
        """Clips (B, F, L, D) whose frames after the first few the model drew itself, or the true ones."""
        c, m, f = self.continuation, self.model, x.shape[1]
        if not c.redrawn:
            return x
        whether, stay, start = noise.uniform(1), noise.uniform(1), noise.uniform(c.redraws)
        often, other = noise.uniform(1), noise.normal(c.redraws, *x.shape[1:])
        frames = torch.arange(f, device=x.device)
        mine = (whether < c.redrawn) & (frames >= (stay * given.sum(1, keepdim=True)).floor())

        def clean_of(now: Tensor, at: Tensor) -> Tensor:
            return to_x0(m.process, m(now, at, actions, known_mask).float(), now, at, m.config.prediction)

        for i in range(c.redraws):
            again = mine & (i < 1 + (often * c.redraws).floor())
            level = torch.where(
                again, redraws.STEP * (1 + (start[:, i : i + 1] * redraws.STEPS).floor()), 0.0
            )
            x = redraws.drawn_anew(m.process, clean_of, x, level, other[:, i])
        return x


def _mean(error: Tensor, asked: Tensor) -> Tensor:
    """Of errors (B, F, ...) in the frames that are asked for, (B, F) ones and zeros."""
    return (error.flatten(2).mean(2) * asked).sum() / asked.sum().clamp_min(1)
