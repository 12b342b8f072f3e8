"""What a video model minimises: denoising a window whose frames have levels of their own, given some of its past.

One draw stands for any method: a window's length, a pattern of levels, a choice of reference frames and whether they
are compressed. So one checkpoint serves every preset of ``assets/configs/methods``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from training.data.clips import Clip, RowNoise
from training.objectives.loss_weights import clip_noise, fused_snr, min_snr
from training.objectives.noise_levels import PATTERNS, LevelsConfig, draw_levels
from worldsim.diffusion.process import corrupt
from worldsim.diffusion.references import anchors_and_last, last, strided
from worldsim.models.memory.variants.protocol import References
from worldsim.models.video_model import VideoModel

WEIGHTS = ("fused_snr", "min_snr", "none")


@dataclass
class VideoObjectiveConfig:
    """``weight`` of the squared error (section 6.1: fused SNR, decay 0.96), and how much references are disturbed.

    ``windows`` are the lengths of the denoised window; ``compressed`` is how often the past is compressed; ``lasts``
    are how many of the last frames are shown where the references are the last ones.
    """

    weight: str = "fused_snr"
    decay: float = 0.96
    cap: float = 5.0
    noise_clip: float = 6.0
    context_noise: float = 0.15
    windows: list[int] = field(default_factory=lambda: [1, 4, 16])
    window_odds: list[float] = field(default_factory=lambda: [0.25, 0.15, 0.6])
    compressed: float = 0.4
    lasts: list[int] = field(default_factory=lambda: [1, 2, 8, 16, 48, 64])
    levels: LevelsConfig = field(default_factory=LevelsConfig)

    def __post_init__(self) -> None:
        if self.weight not in WEIGHTS:
            raise ValueError(f"weight: expected {', '.join(WEIGHTS)}, found {self.weight!r}")
        if len(self.windows) != len(self.window_odds):
            raise ValueError("expected one entry of window_odds for each of windows")


@dataclass
class Draw:
    """What a whole batch shares: the window's length, the pattern of its levels, the references, whether compressed."""

    window: int
    pattern: str
    references: list[int]
    compressed: bool


def draw_setting(config: VideoObjectiveConfig, past: int, seed: int, step: int) -> Draw:
    """The setting of a step: the same in every process."""
    rng = np.random.default_rng((seed, step, 1))
    odds = np.array([getattr(config.levels, name) for name in PATTERNS])
    window = int(rng.choice(config.windows, p=np.array(config.window_odds) / sum(config.window_odds)))
    pattern = str(rng.choice(PATTERNS, p=odds / odds.sum()))
    kind = rng.choice(["last", "anchors", "strided"], p=[0.7, 0.15, 0.15])
    if kind == "last":
        chosen = last(past, int(rng.choice(config.lasts)))
    elif kind == "anchors":
        chosen = anchors_and_last(past, int(rng.integers(1, 5)), int(rng.choice([2, 8])))
    else:
        chosen = strided(past, 16, 2)
    return Draw(window, pattern, chosen, bool(rng.random() < config.compressed))


class VideoObjective(nn.Module):
    """A video model with its loss; ``forward`` is what a distributed launcher wraps."""

    def __init__(self, model: VideoModel, config: VideoObjectiveConfig) -> None:
        super().__init__()
        self.model, self.config = model, config

    def forward(self, clip: Clip, noise: RowNoise, setting: Draw) -> dict[str, Tensor]:
        """The loss of one batch, a mean over its rows, and the unweighted error of the clean latents."""
        m, c = self.model, self.config
        w = setting.window
        x, actions = clip.latents[:, :w], m.normalise(clip.actions[:, :w])
        size = x.shape[2:]
        level = draw_levels(setting.pattern, noise.uniform(3), noise.uniform(w))
        eps = clip_noise(noise.normal(w, *size), c.noise_clip)
        z = corrupt(m.process, x, eps, level)
        past = self._past(clip, noise, setting)
        if setting.compressed:
            past = m.compress(past, clip.budget)
        raw = m(z, level, actions, past).float()
        target = self._target(x, eps, level)
        error = (raw - target).square().mean((2, 3, 4))  # (B, w)
        kind = m.config.prediction
        if c.weight == "fused_snr":
            weight = fused_snr(m.process, level, kind, c.cap, c.decay)
        elif c.weight == "min_snr":
            weight = min_snr(m.process, level, kind, c.cap)
        else:
            weight = torch.ones_like(level)
        return {"loss": (weight * error).mean(), "error": error.detach().mean()}

    def _past(self, clip: Clip, noise: RowNoise, setting: Draw) -> References:
        rows = torch.tensor(setting.references, dtype=torch.long, device=clip.latents.device)
        z = clip.past_latents[:, rows]
        level = self.config.context_noise * noise.uniform(len(rows))
        shown = corrupt(self.model.process, z, noise.normal(*z.shape[1:]), level)
        valid = clip.past_valid[:, rows]
        return References(shown, self.model.normalise(clip.past_actions[:, rows]), level, valid)

    def _target(self, x: Tensor, eps: Tensor, level: Tensor) -> Tensor:
        """What the denoiser should put out, exactly, at every level."""
        kind = self.model.config.prediction
        if kind == "x0":
            return x
        if kind == "eps":
            return eps
        a, b = self.model.process.velocity(level[..., None, None, None])
        return a * eps - b * x
