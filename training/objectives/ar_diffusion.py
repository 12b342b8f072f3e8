"""What AR-Diffusion minimises: the squared error of its prediction at a drawn timestep composition (section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.data.clips import RowNoise
from training.objectives.loss_weights import clip_noise
from training.objectives.timesteps import Timesteps
from worldsim.diffusion.process import corrupt, per_frame, to_x0
from worldsim.models.ar_diffusion import ArDiffusion


class ArDiffusionObjective(nn.Module):
    """The model with its loss; ``forward`` is what a distributed launcher wraps.

    Args:
        drop_actions: how often a clip's actions are not told, which classifier-free guidance needs.
        noise_clip: the noise is held in [-noise_clip, noise_clip].

    Raises:
        ValueError: ``drop_actions`` is no probability.
    """

    def __init__(
        self, model: ArDiffusion, timesteps: Timesteps, drop_actions: float, noise_clip: float
    ) -> None:
        super().__init__()
        if not 0 <= drop_actions <= 1:
            raise ValueError(f"drop_actions: expected a probability, 0 to 1, found {drop_actions}")
        self.model, self.timesteps = model, timesteps
        self.drop_actions, self.noise_clip = drop_actions, noise_clip

    def forward(self, latents: Tensor, actions: Tensor, noise: RowNoise) -> dict[str, Tensor]:
        """The loss of a batch and the error of the clean latents.

        Args:
            latents: (B, F, L, D) of the autoencoder; actions: (B, F, A), flattened, the one that led to each frame.
        """
        m, (b, f) = self.model, latents.shape[:2]
        kind = m.config.prediction
        x = m.config.scale * latents
        level = self.timesteps.draw(noise.uniform(2), noise.uniform(f)) / m.config.timesteps  # (B, F)
        eps = clip_noise(noise.normal(*x.shape[1:]), self.noise_clip)
        z = corrupt(m.process, x, eps, level)
        known_mask = (noise.uniform(1) >= self.drop_actions).expand(b, f)
        raw = m(z, level, m.normalise(actions), known_mask).float()
        target = x
        if kind == "eps":
            target = eps
        elif kind == "v":
            a, c = m.process.velocity(per_frame(level, x))
            target = a * eps - c * x
        with torch.no_grad():
            error = (to_x0(m.process, raw, z, level, kind) - x).square().mean()
        return {"loss": (raw - target).square().mean(), "x0": error}
