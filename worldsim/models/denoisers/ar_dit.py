"""The denoiser of AR-Diffusion: a diffusion transformer over the latent tokens of frames (sections 3.2 and A).

Frames are (L, D) tokens, each frame at a noise level of its own. With temporal causal attention a token sees the tokens
of its frame and of the frames before it, up to ``window`` frames in all; so frames that are clean and will not change
any more can be kept as keys and values, and only those that still change are computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldsim.models.denoisers.layers import Block, Cache, level_embedding, rotary
from worldsim.models.denoisers.protocol import DenoiserError
from worldsim.models.mimetic_init import grid_of, places, tie_query_key


@dataclass
class ArDiTConfig:
    """``causal`` false is the ablation: a frame sees all frames less than ``window`` away, on both sides."""

    width: int = 192
    depth: int = 6
    heads: int = 3
    window: int = 16
    causal: bool = True


class ArDiT(nn.Module):
    """A network over frames of tokens; its raw output is taken for x0, eps or v by the caller.

    Args:
        tokens, dim: L and D of the latents; control_dim: length K of a frame's control vector.

    Raises:
        DenoiserError: a width that the heads do not divide.
    """

    def __init__(self, config: ArDiTConfig, tokens: int, dim: int, control_dim: int) -> None:
        super().__init__()
        self.config, self.tokens, self.dim, self.control_dim = config, tokens, dim, control_dim
        width = config.width
        if width % (2 * config.heads):
            raise DenoiserError(
                f"expected a width that {config.heads} heads of an even size divide, found {width}"
            )
        self.inside = nn.Linear(dim, width)
        self.place = places(*grid_of(tokens), width)
        self.level = nn.Sequential(nn.Linear(128, width), nn.SiLU(), nn.Linear(width, width))
        self.control = nn.Sequential(nn.Linear(control_dim, width), nn.SiLU(), nn.Linear(width, width))
        self.unknown = nn.Parameter(0.02 * torch.randn(width))  # in the place of a control that is not told
        self.blocks = nn.ModuleList(Block(width, config.heads) for _ in range(config.depth))
        for block in self.blocks:
            tie_query_key(cast(Block, block).qkv)
        self.modulate = nn.Linear(width, 2 * width)
        self.outside = nn.Linear(width, dim)
        for layer in (self.modulate, self.outside):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(
        self,
        z: Tensor,
        level: Tensor,
        control: Tensor,
        known_mask: Tensor | None = None,
        cache: Cache | None = None,
        first: int = 0,
        finished: int = 0,
    ) -> Tensor:
        """The raw output (B, T, L, D) for frames ``first`` to ``first`` + T of a video.

        Args:
            z: (B, T, L, D); level: (B, T) in [0, 1]; control: (B, T, K).
            known_mask: (B, T) bool, where the control is known; everywhere by default.
            cache: of the frames before ``first``; the first ``finished`` of these frames enter it.

        Raises:
            DenoiserError: a shape that this denoiser was not built for, or a cache where attention is not causal.
        """
        self._check(z, level, control, cache)
        (t, s), window = z.shape[1:3], self.config.window
        if t == 0:
            return z
        held = cache.keys[0].shape[2] // s if cache is not None and cache.keys else 0
        x = self.inside(z) + self.place
        c = self.control(control)
        if known_mask is not None:
            c = torch.where(known_mask[..., None], c, self.unknown.to(c.dtype))
        condition = F.silu(self.level(level_embedding(level)) + c)
        frames = torch.arange(first, first + t, device=z.device)
        turn = rotary(frames.repeat_interleave(s), self.config.width // self.config.heads)
        mask = self._mask(held, t, z.device)
        for i, block in enumerate(self.blocks):

            def attend(q: Tensor, k: Tensor, v: Tensor, i: int = i) -> Tensor:
                keys, values = (k, v) if cache is None else cache.before(i, k, v, held * s)
                if cache is not None and finished and window > 1:
                    cache.extend(i, k[:, :, : finished * s], v[:, :, : finished * s], (window - 1) * s)
                return F.scaled_dot_product_attention(q, keys, values, attn_mask=mask)

            x = block(x, condition, turn, attend)
        scale, shift = self.modulate(condition)[:, :, None].chunk(2, -1)
        return cast(Tensor, self.outside(F.layer_norm(x, x.shape[-1:]) * (1 + scale) + shift))

    def _mask(self, held: int, count: int, device: torch.device) -> Tensor | None:
        """Which tokens see which: (T L, (held + T) L) bool, queries first; None where all see all."""
        causal, window = self.config.causal, self.config.window
        if held + count <= window and (count == 1 or not causal):
            return None
        back = held + torch.arange(count, device=device)[:, None] - torch.arange(held + count, device=device)
        mask = (back.abs() < window) & (back >= 0) if causal else back.abs() < window
        return mask.repeat_interleave(self.tokens, 0).repeat_interleave(self.tokens, 1)

    def _check(self, z: Tensor, level: Tensor, control: Tensor, cache: Cache | None) -> None:
        if z.dim() != 4 or z.shape[2:] != (self.tokens, self.dim):
            raise DenoiserError(
                f"expected latents (B, T, {self.tokens}, {self.dim}), found {(*z.shape,)}; "
                "build the denoiser with the autoencoder's tokens"
            )
        if level.shape != z.shape[:2]:
            raise DenoiserError(
                f"expected one noise level a frame, {(*z.shape[:2],)}, found {(*level.shape,)}"
            )
        if control.shape != (*z.shape[:2], self.control_dim):
            raise DenoiserError(
                f"expected control {(*z.shape[:2], self.control_dim)}, found {(*control.shape,)}; "
                "give each frame the action that led to it"
            )
        if cache is not None and not self.config.causal:
            raise DenoiserError("finished frames can be kept under causal attention only; give no cache")
