"""A causal diffusion transformer that completes what memory shows: every frame of a window has its own noise level.

It sees noisy latents, the picture that memory shows at the frame's pose with its holes marked
(:mod:`worldsim.engine.evidence`), the frames before with their noise levels, and what steered each frame. Where the
evidence covers the view the answer is nearly a copy, in its holes it is the prior of a video model. Trained by
diffusion forcing (Chen et al. 2024), so that true context, own context and pure noise are one family of inputs; the
step size of a few-step sampler is told as shortcut models have it (Frans et al. 2024).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldsim.config import GeneratorConfig
from worldsim.models.autoencoders.conv import DOWNSAMPLING
from worldsim.models.denoisers.layers import Cache, rotary, rotate

EVIDENCE_CHANNELS = 4
"""Channels E of a pixel of evidence: red, green, blue in [-1, 1], and the mark of its source, 0 for nothing."""
MODULATIONS = 6  # scale, shift and gate of attention and of the perceptron

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]


def embed(value: Tensor, width: int = 64) -> Tensor:
    """Numbers (...) in [0, 1] to sines and cosines (..., width) of geometrically rising frequencies up to 1000."""
    frequencies = torch.exp(torch.linspace(0, math.log(1000), width // 2, device=value.device))
    angle = value[..., None] * frequencies
    return torch.cat([angle.sin(), angle.cos()], -1)


class GeneratorBlock(nn.Module):
    """Attention over space and time and a perceptron; modulations are shared by all blocks but for a bias."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.query_norm, self.key_norm = nn.RMSNorm(width // heads), nn.RMSNorm(width // heads)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)
        self.bias = nn.Parameter(torch.zeros(MODULATIONS, width))
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.down.weight)

    def forward(self, x: Tensor, modulation: Tensor, turn: tuple[Tensor, Tensor], attend: Attend) -> Tensor:
        """x (B, T, S, width), modulation (B, T, 1, MODULATIONS, width), rotary turn per token."""
        b, t, s, width = x.shape
        m = (modulation + self.bias).unbind(3)  # six of (B, T, 1, width)
        h = F.rms_norm(x, (width,)) * (1 + m[0]) + m[1]
        q, k, v = self.qkv(h).view(b, t * s, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        # norms have weights in fp32 beside bf16; the same bits, and no warning that the two are mixed
        q, k = self.query_norm(q.float()).to(q.dtype), self.key_norm(k.float()).to(k.dtype)
        q, k = rotate(q, *turn), rotate(k, *turn)
        y = attend(q.to(v.dtype), k.to(v.dtype), v).transpose(1, 2).reshape(b, t, s, width)
        x = x + (1 + m[2]) * self.out(y)
        h = F.rms_norm(x, (width,)) * (1 + m[3]) + m[4]
        return cast(Tensor, x + (1 + m[5]) * self.down(F.silu(self.up(h))))


class _Conv(nn.Module):
    """Two convolutions added to their input; begins as the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + cast(Tensor, self.second(F.silu(self.first(F.silu(x)))))


class Generator(nn.Module):
    """Predicts clean latents of every frame of a window.

    Args:
        channels, grid: of the latents; control_dim: numbers that steer a frame (action, motion, pitch).
    """

    def __init__(
        self, config: GeneratorConfig, channels: int, grid: tuple[int, int], control_dim: int
    ) -> None:
        super().__init__()
        self.config, self.channels, self.grid = config, channels, grid
        self.window, self.patch, self.heads = config.window, config.patch, config.heads
        width, p, self.stem = config.width, config.patch, config.stem
        self.tokens = (grid[0] // p) * (grid[1] // p)
        pixels = EVIDENCE_CHANNELS * DOWNSAMPLING**2
        if config.stem:
            c = config.stem
            self.latents_in = nn.Conv2d(channels, c, 3, padding=1)
            self.evidence_in = nn.Conv2d(pixels, c, 1)
            self.before = nn.ModuleList(_Conv(c) for _ in range(config.stem_blocks))
            self.token_in = nn.Linear(c * p * p, width)
            self.token_out = nn.Linear(width, c * p * p)
            self.after = nn.ModuleList(_Conv(c) for _ in range(config.stem_blocks))
            self.latents_out = nn.Conv2d(c, channels, 3, padding=1)
            last: nn.Linear | nn.Conv2d = self.latents_out
        else:
            self.token_in = nn.Linear((channels + pixels) * p * p, width)
            self.token_out = last = nn.Linear(width, channels * p * p)
        self.position = nn.Parameter(0.02 * torch.randn(self.tokens, width))
        self.level = nn.Sequential(nn.Linear(64, width), nn.SiLU(), nn.Linear(width, width))
        self.stride = nn.Linear(64, width)
        self.control = nn.Sequential(nn.Linear(control_dim, width), nn.SiLU(), nn.Linear(width, width))
        self.modulate = nn.Linear(width, MODULATIONS * width)
        self.finish = nn.Linear(width, 2 * width)
        self.blocks = nn.ModuleList(GeneratorBlock(width, config.heads) for _ in range(config.depth))
        for layer in (self.modulate, self.finish, self.stride, last):
            nn.init.zeros_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def tokens_of(self, z: Tensor, evidence: Tensor) -> tuple[Tensor, Tensor | None]:
        """Latents (B, T, C, h, w) and evidence (B, T, E, H, W) to tokens (B, T, S, width) and the stem's maps."""
        b, t = z.shape[:2]
        features = F.pixel_unshuffle(evidence.flatten(0, 1), DOWNSAMPLING)  # (B T, 64 E, h, w)
        x, maps = z.flatten(0, 1), None
        if self.stem:
            x = self.latents_in(x) + self.evidence_in(features)
            for block in self.before:
                x = block(x)
            maps = x
        else:
            x = torch.cat([x, features.to(x.dtype)], 1)
        x = F.pixel_unshuffle(x, self.patch).flatten(2).transpose(1, 2)  # (B T, S, C p p)
        return cast(Tensor, self.token_in(x)).unflatten(0, (b, t)) + self.position, maps

    def latents_of(self, x: Tensor, condition: Tensor, maps: Tensor | None) -> Tensor:
        """Tokens (B, T, S, width) to latents (B, T, C, h, w)."""
        b, t = x.shape[:2]
        scale, shift = self.finish(condition)[:, :, None].chunk(2, -1)
        x = self.token_out(F.rms_norm(x, x.shape[-1:]) * (1 + scale) + shift).flatten(0, 1).transpose(1, 2)
        x = F.pixel_shuffle(x.unflatten(2, (self.grid[0] // self.patch, -1)), self.patch)
        if maps is not None:
            x = x + maps
            for block in self.after:
                x = block(x)
            x = self.latents_out(F.silu(x))
        return x.unflatten(0, (b, t))

    def condition(self, level: Tensor, control: Tensor, stride: Tensor | None = None) -> Tensor:
        """Levels (B, T), controls (B, T, K) and step sizes (B, T), 0 where none is told, to (B, T, width)."""
        size = torch.zeros_like(level) if stride is None else stride
        conditioning = self.level(embed(level)) + self.control(control) + self.stride(embed(size))
        return F.silu(conditioning)

    def modulation(self, condition: Tensor) -> Tensor:
        """(B, T, 1, MODULATIONS, width) of a condition (B, T, width)."""
        return cast(Tensor, self.modulate(condition)).unflatten(2, (1, MODULATIONS, -1))

    def forward(
        self, z: Tensor, level: Tensor, control: Tensor, evidence: Tensor, stride: Tensor | None = None
    ) -> Tensor:
        """Clean latents of every frame of clips, each seeing the frames up to it and no more than ``window`` before it.

        Args:
            z: (B, T, C, h, w); level: (B, T) in [0, 1], 0 clean; control: (B, T, K); evidence: (B, T, E, H, W).
            stride: (B, T), the step size of a few-step sampler, 0 for an infinitesimal one.
        """
        t, s = z.shape[1], self.tokens
        condition = self.condition(level, control, stride)
        x, maps = self.tokens_of(z, evidence)
        modulation = self.modulation(condition)
        turn = rotary(torch.arange(t, device=z.device).repeat_interleave(s), self.config.width // self.heads)
        frame = torch.arange(t, device=z.device).repeat_interleave(s)
        back = frame[:, None] - frame[None]
        mask = (back >= 0) & (back <= self.window)

        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)

        for block in self.blocks:
            x = block(x, modulation, turn, attend)
        return self.latents_of(x, condition, maps)

    def extend(
        self,
        z: Tensor,
        level: Tensor,
        control: Tensor,
        evidence: Tensor,
        cache: Cache,
        frame: int,
        *,
        stride: Tensor | None = None,
        commit: int = 0,
    ) -> Tensor:
        """:meth:`forward` for new frames (B, n, ...), the first of index ``frame``, after those whose keys are cached.

        The first ``commit`` of them enter the cache, which keeps ``window`` frames; one that enters sees window - 1 of
        those before it, so that a ring of ``window`` places is enough.
        """
        n, s = z.shape[1], self.tokens
        condition = self.condition(level, control, stride)
        x, maps = self.tokens_of(z, evidence)
        modulation = self.modulation(condition)
        index = torch.arange(frame, frame + n, device=z.device).repeat_interleave(s)
        turn = rotary(index, self.config.width // self.heads)
        cached = cache.keys[0].shape[2] // s if cache.keys else 0
        there = torch.cat([torch.arange(frame - cached, frame, device=z.device).repeat_interleave(s), index])
        back = index[:, None] - there[None]
        enters = index < frame + commit
        mask = (back >= 0) & (back <= self.window - enters[:, None].long())
        for i, block in enumerate(self.blocks):

            def attend(q: Tensor, k: Tensor, v: Tensor, i: int = i) -> Tensor:
                keys, values = cache.before(i, k, v)
                if commit:
                    cache.extend(i, k[:, :, : commit * s], v[:, :, : commit * s], self.window * s)
                return F.scaled_dot_product_attention(q, keys, values, attn_mask=mask)

            x = block(x, modulation, turn, attend)
        return self.latents_of(x, condition, maps)

    def commit(self, z: Tensor, control: Tensor, cache: Cache, frame: int) -> None:
        """Add true frames (B, n, C, h, w), the first of index ``frame``, to the context, clean and without evidence."""
        n = z.shape[1]
        if n:
            blank = z.new_zeros(len(z), n, EVIDENCE_CHANNELS, *(DOWNSAMPLING * side for side in z.shape[3:]))
            self.extend(z, z.new_zeros(len(z), n), control, blank, cache, frame, commit=n)
