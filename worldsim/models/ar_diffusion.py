"""AR-Diffusion: the tokenizer, the denoiser and their process as one model, and videos from it (section 3).

Generation follows the AD scheduler. Under causal attention a call computes the frames whose level it changes and, once,
those that became clean since the call before; all earlier ones are there as keys and values.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn

from worldsim.config import ArVaeConfig
from worldsim.diffusion.ad_scheduler import Plan, Progress, generate
from worldsim.diffusion.process import KINDS, DiffusionError, process_from, to_x0
from worldsim.diffusion.samplers import sampler_from
from worldsim.models.autoencoders.ar_vae import ArVae
from worldsim.models.denoisers.ar_dit import ArDiT, ArDiTConfig
from worldsim.models.denoisers.forcing_dit import ForcingDiTConfig
from worldsim.models.denoisers.forcing_tokens import ForcingTokens
from worldsim.models.denoisers.protocol import DenoiserError
from worldsim.models.denoisers.token_frames import FrameCache

BACKBONES = ("ar_dit", "forcing_dit")


@dataclass
class ArDiffusionConfig:
    """Everything that fixes the model; the defaults are table 6's but for the sizes.

    ``beta_start`` to ``beta_end`` grow linearly over ``timesteps``, as the paper prints them. With 0.002 at the end 35%
    of a latent's variance is still signal at the last timestep, where sampling begins without any; ``beta_end=0.02``,
    the usual value, leaves 0.004%. ``scale`` multiplies the latents before they are corrupted. ``process`` vp_linear is
    that chain; rectified_flow corrupts in a straight line and has no rates. ``backbone``
    ar_dit is the denoiser of the paper, forcing_dit that of the other methods, of its own sizes; of ``denoiser`` then
    only the window counts.
    ``context_level``: how noisy frames of its own are shown to it when it is played, so that it trusts what they are
    and not their errors; at most the last level that a frame is denoised from, or they were noisier than it.
    """

    action_dim: int = 20
    prediction: str = "x0"
    process: str = "vp_linear"
    beta_start: float = 0.0001
    beta_end: float = 0.002
    timesteps: int = 1000
    scale: float = 0.5
    context_level: float = 0.0
    autoencoder: ArVaeConfig = field(default_factory=ArVaeConfig)
    denoiser: ArDiTConfig = field(default_factory=ArDiTConfig)
    backbone: str = "ar_dit"
    forcing_dit: ForcingDiTConfig = field(default_factory=ForcingDiTConfig)

    @property
    def size(self) -> int:
        """Side of a frame in pixels."""
        return self.autoencoder.size


@dataclass(frozen=True)
class Sampling:
    """How a video is made: ``difference`` is s in units of ``steps``; ``guidance`` 1 follows the actions as trained.

    ``guidance`` w draws x0(no action) + w (x0(action) - x0(no action)) (classifier-free guidance).
    """

    difference: float = 5
    steps: int = 50
    guidance: float = 1.0
    sampler: str = "ddim"
    eta: float = 0.0


def _denoiser(config: ArDiffusionConfig) -> ArDiT | ForcingTokens:
    """The denoiser that a configuration asks for."""
    tokens, dim, steering = config.autoencoder.tokens, config.autoencoder.dim, config.action_dim
    if config.backbone not in BACKBONES:
        raise DenoiserError(f"backbone: expected {' or '.join(BACKBONES)}, found {config.backbone!r}")
    if config.backbone == "ar_dit":
        return ArDiT(config.denoiser, tokens, dim, steering)
    if not config.denoiser.causal:
        raise DenoiserError("forcing_dit is causal; leave denoiser.causal=false or backbone=forcing_dit out")
    return ForcingTokens(config.forcing_dit, tokens, dim, steering, config.denoiser.window)


class ArDiffusion(nn.Module):
    """Everything a checkpoint of AR-Diffusion holds.

    Raises:
        ArVaeError, DenoiserError, DiffusionError: sizes, rates or a kind of prediction that do not fit.
    """

    action_mean: Tensor
    action_std: Tensor

    def __init__(self, config: ArDiffusionConfig) -> None:
        super().__init__()
        self.config = config
        c = config
        if c.prediction not in KINDS:
            raise DiffusionError(f"prediction: expected {', '.join(KINDS)}, found {c.prediction!r}")
        # A chain of T steps with beta_1 ... beta_T is the continuous process with T beta over the unit interval.
        rates = {"beta_min": c.timesteps * c.beta_start, "beta_max": c.timesteps * c.beta_end}
        self.process = process_from(c.process, **(rates if c.process == "vp_linear" else {}))
        self.autoencoder = ArVae(c.autoencoder)
        self.denoiser = _denoiser(c)
        self.register_buffer("action_mean", torch.zeros(c.action_dim))
        self.register_buffer("action_std", torch.ones(c.action_dim))

    def normalise(self, actions: Tensor) -> Tensor:
        """Flattened actions (..., A) to zero mean and unit variance over the training data."""
        return (actions - self.action_mean) / self.action_std

    def forward(self, z: Tensor, level: Tensor, actions: Tensor, known_mask: Tensor | None = None) -> Tensor:
        """The raw prediction for scaled latents (B, F, L, D) at levels (B, F), with normalised actions (B, F, A)."""
        return cast(Tensor, self.denoiser(z, level, actions, known_mask))

    @torch.no_grad()
    def generate(
        self,
        given: Tensor,
        actions: Tensor,
        sampling: Sampling,
        random: torch.Generator | None = None,
        progress: Progress = iter,
    ) -> Tensor:
        """Frames after the given ones, one for each further action.

        Args:
            given: (B, G, L, D), latents of the autoencoder, G may be 0.
            actions: (B, G + F, A), normalised, the one that led to each frame.
            random: what noise is drawn from, on its own device.

        Returns:
            latents of the autoencoder (B, F, L, D).

        Raises:
            AdError, SamplerError: a plan or a sampler that cannot be.
        """
        plan = Plan(actions.shape[1] - given.shape[1], sampling.difference, sampling.steps, given.shape[1])
        size = (len(given), plan.frames, *given.shape[2:])
        noise = torch.randn(size, generator=random, device=None if random is None else random.device)
        z = torch.cat([given * self.config.scale, noise.to(given)], 1)
        sampler = sampler_from(sampling.sampler, self.process, sampling.eta)
        z = generate(self._predictor(actions, sampling.guidance), plan, z, sampler, random, progress)
        return z[:, plan.given :] / self.config.scale

    def _predictor(self, actions: Tensor, guidance: float) -> _Predictor:
        return _Predictor(self, actions, guidance)


class _Predictor:
    """Predicts the clean latents of the frames wanted; keeps the finished ones where attention is causal."""

    def __init__(self, model: ArDiffusion, actions: Tensor, guidance: float) -> None:
        self.model, self.guidance = model, guidance
        rows = len(actions)
        # Told and untold are rows of one batch, and so share one cache.
        self.twice = 2 if guidance != 1 else 1
        self.actions = actions.repeat(self.twice, 1, 1)
        self.known_mask = torch.ones(actions.shape[:2], dtype=torch.bool, device=actions.device)
        if self.twice == 2:
            self.known_mask = torch.cat([self.known_mask, ~self.known_mask])
        self.rows, self.kept = rows, 0
        self.cache = FrameCache() if model.config.denoiser.causal else None

    def __call__(self, z: Tensor, level: Tensor, frames: slice) -> Tensor:
        part = slice(self.kept, frames.stop) if self.cache is not None else slice(0, z.shape[1])
        finished = frames.start - part.start
        z, level = z[:, part].repeat(self.twice, 1, 1, 1), level[:, part].repeat(self.twice, 1)
        raw = self.model.denoiser(
            z, level, self.actions[:, part], self.known_mask[:, part], self.cache, part.start, finished
        )
        if self.cache is not None:
            self.kept = frames.start
        clean = to_x0(self.model.process, raw, z, level, self.model.config.prediction)
        clean = clean[:, frames.start - part.start : frames.stop - part.start]
        if self.twice == 1:
            return clean
        known, unknown = clean.split(self.rows)
        return unknown + self.guidance * (known - unknown)
