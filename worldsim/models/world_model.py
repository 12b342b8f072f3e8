"""The world model: autoencoder, memory, denoiser and odometry, wired once for training and for playing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldsim.config import ConfigError, ModelConfig
from worldsim.models.autoencoders.conv import DOWNSAMPLING, ConvAutoencoder
from worldsim.models.denoisers.causal_dit import MOTION_FEATURES, CausalDiT
from worldsim.models.denoisers.generator import Generator
from worldsim.models.geometry import PITCH_UNIT, motion
from worldsim.models.memory.rays.pixel_memory import PixelMemory
from worldsim.models.memory.rays.reader import FrameEncoder, RayReader
from worldsim.models.memory.rays.selection import relevant_views, spread_views
from worldsim.models.memory.variants.joint import JointCompressor, place_features
from worldsim.models.odometry import Odometry

RAREST = 30.0
"""Standard deviations that an action steers a frame by at most: a key pressed once in a hundred thousand frames counts
for hundreds, which drown whatever else is told."""


@dataclass
class Past:
    """Past frames to be compressed.

    features (B, M, S, width), each one's leading action (B, M, A), poses (B, M, 5), index (M,), valid (B, M).
    """

    features: Tensor
    actions: Tensor
    poses: Tensor
    index: Tensor
    valid: Tensor


@dataclass
class MemoryViews:
    """Frames ready to be read.

    features (B, N, S, width), points (B, N, P, 3), poses (B, N, 5), index (B, N), valid (B, N).
    """

    features: Tensor
    points: Tensor
    poses: Tensor
    index: Tensor
    valid: Tensor

    def __add__(self, other: MemoryViews) -> MemoryViews:
        return MemoryViews(
            torch.cat([self.features, other.features], 1),
            torch.cat([self.points, other.points], 1),
            torch.cat([self.poses, other.poses], 1),
            torch.cat([self.index, other.index], 1),
            torch.cat([self.valid, other.valid], 1),
        )

    def __len__(self) -> int:
        return self.features.shape[1]


def together(rows: list[MemoryViews]) -> MemoryViews:
    """Views of several dreams as one batch; shorter rows are filled up with invalid frames, which nobody reads."""
    longest = max(len(row) for row in rows)

    def filled(values: list[Tensor]) -> Tensor:
        return torch.cat([F.pad(x, (0, 0) * (x.dim() - 2) + (0, longest - x.shape[1])) for x in values])

    return MemoryViews(
        filled([row.features for row in rows]),
        filled([row.points for row in rows]),
        filled([row.poses for row in rows]),
        filled([row.index for row in rows]),
        filled([row.valid for row in rows]),
    )


class WorldModel(nn.Module):
    """Everything a checkpoint holds. Latents have unit variance; poses are the world's own units and degrees."""

    action_mean: Tensor
    action_std: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        _check_dream(config)
        m, channels, action = config.memory, config.autoencoder.channels, config.action_dim
        side = config.size // DOWNSAMPLING
        self.grid = (side, side)
        self.cells = (side * side, m.width)  # shape of one frame's features
        self.scale = m.scene_scale
        self.autoencoder = ConvAutoencoder(config.autoencoder)
        self.frame_encoder = FrameEncoder(channels, m.width)
        self.compressor = JointCompressor(m.width, m.heads, m.depth, action, side * side)
        self.reader = RayReader(channels, m.width, m.heads, self.grid, config.fov, m.scene_scale)
        if not config.generates:
            self.denoiser = CausalDiT(config.denoiser, channels, channels + m.width // 2, self.grid, action)
        if config.free_running:
            self.free_running = CausalDiT(
                config.denoiser, channels, channels + m.width // 2, self.grid, action
            )
        if config.generates:
            control = action + MOTION_FEATURES
            self.generator = Generator(config.generator, channels, self.grid, control)
        if config.pixels:
            self.pixels = PixelMemory(channels, self.grid, config.size, config.fov, m.scene_scale)
        self.odometry = Odometry(channels, self.grid, action, m.scene_scale, still=not config.posed)
        self.register_buffer("action_mean", torch.zeros(action))
        self.register_buffer("action_std", torch.ones(action))

    @property
    def window(self) -> int:
        """Frames of short-term context."""
        config = self.config
        return config.generator.window if config.generates else config.denoiser.window

    @property
    def context_level(self) -> float:
        """Noise level at which a dream's own past is shown to what draws the next frame."""
        config = self.config
        return config.generator.context_level if config.generates else config.dream.context_level

    def normalise(self, actions: Tensor) -> Tensor:
        """Flattened actions (..., A) to zero mean and unit variance over the training data."""
        return (actions - self.action_mean) / self.action_std

    def control(self, actions: Tensor, moved: Tensor, pitch: Tensor) -> Tensor:
        """What steers a frame: normalised leading action (..., A), motion (..., 5), pitch (...) in degrees."""
        return torch.cat([actions.clamp(-RAREST, RAREST), moved, pitch[..., None] / PITCH_UNIT], -1)

    def features(self, latents: Tensor) -> Tensor:
        """What the reader and the compressor see of frames: latents (B, N, C, h, w) to (B, N, S, width)."""
        b, n = latents.shape[:2]
        return cast(Tensor, self.frame_encoder(latents.flatten(0, 1))).unflatten(0, (b, n))

    def views(self, latents: Tensor, poses: Tensor, index: Tensor, valid: Tensor) -> MemoryViews:
        """Frames as they are, uncompressed: latents (B, N, C, h, w), poses (B, N, 5), index (N,), valid (B, N)."""
        features = self.features(latents)
        return MemoryViews(
            features, self.reader.points(features, poses), poses, index.expand(len(latents), -1), valid
        )

    def remember(self, past: Past, now: Tensor, now_index: int, budget: int) -> MemoryViews:
        """Compress the past jointly to ``budget`` latents, the ones that matter for the pose ``now`` (B, 5)."""
        b, m = past.features.shape[:2]
        if m == 0:
            empty = past.features
            points = self.reader.points(empty, past.poses)
            return MemoryViews(empty, points, past.poses, past.index.expand(b, -1), past.valid)
        keep = min(budget, m)
        ages = (now_index - past.index).expand(b, -1)
        places = place_features(past.poses, now, ages.float(), self.scale)
        chosen, _ = self._choose(past.poses, past.valid, now, keep)
        rank = torch.full((b, m), -1, device=chosen.device).scatter(
            1, chosen, torch.arange(keep, device=chosen.device).expand(b, -1)
        )
        order = rank.argsort(dim=1, stable=True)  # the kept ones last, the most relevant the very last
        valid, poses = past.valid.gather(1, order), _take(past.poses, order)
        kept = self.compressor(
            _take(past.features, order), _take(past.actions, order), _take(places, order), valid, keep
        )
        poses, index = poses[:, m - keep :], past.index.expand(b, -1).gather(1, order)[:, m - keep :]
        return MemoryViews(kept, self.reader.points(kept, poses), poses, index, valid[:, m - keep :])

    def read(
        self,
        views: MemoryViews,
        target: Tensor,
        index: Tensor,
        visible: Tensor | None = None,
        reader: Callable[..., tuple[Tensor, ...]] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Draw new frames from remembered ones.

        Args:
            views: N remembered frames; target: (B, T, 5), poses of the new frames; index: (T,), theirs.
            visible: (B, T, N) bool, which remembered frames each new frame may see; default all valid ones.
            reader: what computes in the place of the model's own reader, with its arguments and results.

        Returns:
            a guess of the latents (B, T, C, h, w), and guess and features stacked for the denoiser.
        """
        b, t = target.shape[:2]
        flat = target.flatten(0, 1)
        chosen, valid = self.choose(views, target, visible)
        row = torch.arange(b, device=flat.device).repeat_interleave(t)[:, None]
        ages = (index.repeat(b)[:, None] - views.index[row, chosen]).float()
        guess, extra = (reader or self.reader)(
            views.features[row, chosen],
            views.points[row, chosen],
            views.poses[row, chosen],
            ages,
            valid,
            flat,
        )
        guess = guess.unflatten(0, (b, t))
        return guess, torch.cat([guess, extra.unflatten(0, (b, t))], 2)

    def choose(
        self,
        views: MemoryViews,
        target: Tensor,
        visible: Tensor | None = None,
        penalty: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Which views are read for new frames, as :meth:`read` takes them: (B T, R), and whether each is valid.

        ``penalty`` (B, N) is how much farther off each view counts than it is.
        """
        (b, t), n = target.shape[:2], len(views)
        if visible is None:
            visible = views.valid[:, None].expand(b, t, n)
        poses = views.poses[:, None].expand(b, t, n, 5).flatten(0, 1)
        count = min(self.config.memory.reads, n)
        if penalty is not None:
            penalty = penalty.repeat_interleave(t, 0)
        return self._choose(poses, visible.flatten(0, 1), target.flatten(0, 1), count, penalty)

    def _choose(
        self, poses: Tensor, valid: Tensor, target: Tensor, count: int, penalty: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        if not self.config.posed:
            return spread_views(valid, count)
        return relevant_views(poses, valid, target, count, self.scale, penalty)

    def motion(self, before: Tensor, after: Tensor) -> Tensor:
        """Change of pose in this model's units, (..., 5)."""
        return motion(before, after, self.scale)


def _take(x: Tensor, order: Tensor) -> Tensor:
    """Reorder the second axis of x (B, M, ...) by order (B, K)."""
    return x[torch.arange(len(x), device=x.device)[:, None], order]


def _check_dream(config: ModelConfig) -> None:
    body, keys = config.dream.body, config.dream.edits.keys
    if config.dream.enlarged and not config.dream.enlarged >= 1:
        raise ConfigError(f"dream.enlarged: expected 1 or more, or 0 for any, found {config.dream.enlarged}")
    if config.dream.smears and not config.dream.enlarged:
        raise ConfigError("dream.smears: expected dream.enlarged, beyond which something is a smear")
    if len(body) not in (0, 4):
        raise ConfigError(f"dream.body: expected 4 numbers or none, found {len(body)}")
    if len(keys) not in (0, 2) or any(key >= config.action_dim for key in keys):
        raise ConfigError(f"dream.edits.keys: expected 2 places of {config.action_dim} or none, found {keys}")
