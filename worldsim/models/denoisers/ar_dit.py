"""The denoiser of AR-Diffusion: a diffusion transformer over the latent tokens of frames (sections 3.2 and A).

Who sees whom, and how finished frames are kept, is in :mod:`worldsim.models.denoisers.token_frames`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldsim.models.denoisers.layers import Block, Cache, level_embedding, rotary
from worldsim.models.denoisers.protocol import DenoiserError
from worldsim.models.denoisers.token_frames import TokenFrames
from worldsim.models.mimetic_init import grid_of, places, tie_query_key


@dataclass
class ArDiTConfig:
    """``causal`` false is the ablation: a frame sees all frames less than ``window`` away, on both sides."""

    width: int = 192
    depth: int = 6
    heads: int = 3
    window: int = 16
    causal: bool = True


class ArDiT(TokenFrames):
    """A network over frames of tokens; its raw output is taken for x0, eps or v by the caller.

    Args:
        tokens, dim: L and D of the latents; control_dim: length K of a frame's control vector.

    Raises:
        DenoiserError: a width that the heads do not divide.
    """

    def __init__(self, config: ArDiTConfig, tokens: int, dim: int, control_dim: int) -> None:
        super().__init__(tokens, dim, control_dim, config.window, config.causal)
        self.config = config
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
        self.check(z, level, control, cache)
        t, s = z.shape[1:3]
        if t == 0:
            return z
        held = self.held(cache)
        x = self.inside(z) + self.place
        c = self.control(control)
        if known_mask is not None:
            c = torch.where(known_mask[..., None], c, self.unknown.to(c.dtype))
        condition = F.silu(self.level(level_embedding(level)) + c)
        frames = torch.arange(first, first + t, device=z.device)
        turn = rotary(frames.repeat_interleave(s), self.config.width // self.config.heads)
        mask = self.mask(held, t, z.device)
        for i, block in enumerate(self.blocks):
            x = block(x, condition, turn, self.attention(i, cache, held, finished, mask))
        scale, shift = self.modulate(condition)[:, :, None].chunk(2, -1)
        return cast(Tensor, self.outside(F.layer_norm(x, x.shape[-1:]) * (1 + scale) + shift))
