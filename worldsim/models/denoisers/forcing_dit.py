"""A causal diffusion transformer for diffusion forcing: each frame has a noise level of its own.

The blocks are the generator's (:mod:`worldsim.models.denoisers.generator`), so that its weights can be gone on from;
what it does not have is any picture, pose or limit to how far back a frame may look. Time is told by rotary angles,
and with ``travel`` so is how far the actions between two frames add up to: a learned angle per head, zero at first, by
which attention can find what was mask before one turned away, whenever that was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldsim.models.denoisers.generator import MODULATIONS, GeneratorBlock, embed
from worldsim.models.denoisers.layers import Cache, CrossAttention, frames_seen, rotary
from worldsim.models.denoisers.protocol import DenoiserError, check_inputs


@dataclass
class ForcingDiTConfig:
    """Sizes; ``patch`` latents a token each way. ``travel``: whether attention is told of sums of actions;
    ``timeless``: of the pairs of a head that it turns by angles, the share, the slowest ones, that time does not turn,
    so that what was long ago is as near as what was just now.

    Raises:
        DenoiserError: on construction, heads that do not divide the width into even parts.
    """

    width: int = 256
    depth: int = 8
    heads: int = 4
    patch: int = 2
    travel: bool = True
    timeless: float = 0.0

    def __post_init__(self) -> None:
        if min(self.width, self.depth, self.heads, self.patch) < 1 or self.width % (2 * self.heads):
            raise DenoiserError(
                f"expected a width that 2 x {self.heads} heads divide, found {self.width}; change one of them"
            )
        if not 0 <= self.timeless <= 1:
            raise DenoiserError(
                f"expected a share from 0 to 1 of pairs to be timeless, found {self.timeless}"
            )

    @property
    def timeless_pairs(self) -> int:
        """How many pairs of a head time does not turn."""
        return round(self.timeless * (self.width // self.heads // 2))


class ForcingDiT(nn.Module):
    """A :class:`~worldsim.models.denoisers.protocol.Denoiser` in which no frame sees a later one.

    Args:
        channels, grid: of the latents; beside_channels, memory_width: what ways of memory bring, 0 for none.
    """

    def __init__(
        self,
        config: ForcingDiTConfig,
        channels: int,
        grid: tuple[int, int],
        control_dim: int,
        beside_channels: int = 0,
        memory_width: int = 0,
    ) -> None:
        super().__init__()
        self.config, self.channels, self.grid = config, channels, grid
        self.control_dim, self.beside_channels, self.memory_width = control_dim, beside_channels, memory_width
        self.travels, self.run_block = config.travel, run_block
        width, p = config.width, config.patch
        self.tokens = (grid[0] // p) * (grid[1] // p)
        self.token_in = nn.Linear((channels + beside_channels) * p * p, width)
        self.token_out = nn.Linear(width, channels * p * p)
        self.position = nn.Parameter(0.02 * torch.randn(self.tokens, width))
        self.level = nn.Sequential(nn.Linear(64, width), nn.SiLU(), nn.Linear(width, width))
        self.control = nn.Sequential(nn.Linear(control_dim, width), nn.SiLU(), nn.Linear(width, width))
        self.modulate = nn.Linear(width, MODULATIONS * width)
        self.finish = nn.Linear(width, 2 * width)
        self.blocks = nn.ModuleList(GeneratorBlock(width, config.heads) for _ in range(config.depth))
        for layer in (self.modulate, self.finish, self.token_out):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        if config.travel:
            self.turning = nn.Parameter(torch.zeros(config.heads, width // config.heads // 2, control_dim))
        if memory_width:
            self.across = nn.ModuleList(
                CrossAttention(width, config.heads, memory_width) for _ in range(config.depth)
            )

    def forward(
        self,
        z: Tensor,
        level: Tensor,
        control: Tensor,
        *,
        beside: Tensor | None = None,
        memory: Tensor | None = None,
        valid: Tensor | None = None,
        memory_valid: Tensor | None = None,
        travel: Tensor | None = None,
        before: Cache | None = None,
        times: Tensor | None = None,
    ) -> Tensor:
        """The raw output (B, T, C, h, w) for all frames; see :meth:`.Denoiser.forward`.

        Args:
            travel: (B, T, K), sums of actions up to each frame from any common one; of ``control``, where not given.
            before: what :meth:`remember` kept of the frames before these, which need not be put before them again.
            times: (B, T), when each frame was, where some between them are left out; one after the other if not given.
        """
        check_inputs(self, z, level, control, beside, memory)
        b, t = z.shape[:2]
        if t == 0:
            return z
        condition, modulation = self._steering(level, control)
        x = self._tokens_of(z, beside)
        # Counted from the end of what comes before, so that a frame keeps its place whatever memory lies there.
        when = torch.arange(t, device=z.device) if times is None else times
        turn = self.turn(when, control.cumsum(1) if travel is None else travel)
        mask = self._mask(t, valid, z.device)
        if before is not None:
            mask = F.pad(mask, (before.keys[0].shape[2], 0), value=True)
        for i, block in enumerate(self.blocks):
            kept = None if before is None else (before.keys[i], before.values[i])
            x = self.run_block(block, x, modulation, turn, mask, kept)
            if memory is not None and self.memory_width:
                x = x + self.across[i](x.flatten(1, 2), memory, memory_valid).view_as(x)
        scale, shift = self.finish(condition)[:, :, None].chunk(2, -1)
        x = self.token_out(F.rms_norm(x, x.shape[-1:]) * (1 + scale) + shift).flatten(0, 1).transpose(1, 2)
        out = F.pixel_shuffle(x.unflatten(2, (self.grid[0] // self.config.patch, -1)), self.config.patch)
        return out.unflatten(0, (b, t))

    def remember(self, z: Tensor, level: Tensor, control: Tensor, travel: Tensor | None = None) -> Cache:
        """Keys and values of frames (B, M, C, h, w), for windows that come right after them; no frame sees those."""
        m, cache = z.shape[1], Cache()
        _, modulation = self._steering(level, control)
        x = self._tokens_of(z, None)
        turn = self.turn(
            torch.arange(-m, 0, device=z.device), control.cumsum(1) if travel is None else travel
        )
        mask = self._mask(m, None, z.device)
        for i, block in enumerate(self.blocks):

            def attend(q: Tensor, k: Tensor, v: Tensor, i: int = i) -> Tensor:
                cache.extend(i, k, v, k.shape[2])
                return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)

            x = block(x, modulation, turn, attend)
        return cache

    def _steering(self, level: Tensor, control: Tensor) -> tuple[Tensor, Tensor]:
        """The condition (B, T, width) of frames and what it makes of the blocks, (B, T, 1, MODULATIONS, width)."""
        condition = F.silu(self.level(embed(level)) + self.control(control))
        return condition, self.modulate(condition).unflatten(2, (1, MODULATIONS, -1))

    def _mask(self, count: int, valid: Tensor | None, device: torch.device) -> Tensor:
        """Which tokens see which, (B or 1, 1, n, n)."""
        mask = frames_seen(count, valid, True, device)
        assert mask is not None
        return mask.repeat_interleave(self.tokens, 1).repeat_interleave(self.tokens, 2)[:, None]

    def _tokens_of(self, z: Tensor, beside: Tensor | None) -> Tensor:
        """(B, T, C, h, w) and what stands beside it to (B, T, S, width)."""
        if self.beside_channels:
            some = z.new_zeros(*z.shape[:2], self.beside_channels, *z.shape[3:]) if beside is None else beside
            z = torch.cat([z, some.to(z.dtype)], 2)
        x = F.pixel_unshuffle(z.flatten(0, 1), self.config.patch).flatten(2).transpose(1, 2)
        return cast(Tensor, self.token_in(x)).unflatten(0, z.shape[:2]) + self.position

    def turn(self, frames: Tensor, travel: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines of every token's angles: (n, head / 2) of frames (T,), (B, 1, n, head / 2) of frames
        (B, T), or (B, heads, n, head / 2) with sums of actions."""
        cos, sin = rotary(frames, self.config.width // self.config.heads)  # (T, head / 2)
        if count := self.config.timeless_pairs:
            cos[..., -count:], sin[..., -count:] = 1, 0
        if frames.ndim == 2:
            cos, sin = cos[:, None], sin[:, None]
        if self.config.travel:
            with torch.autocast(travel.device.type, enabled=False):  # sums over a walk need all their digits
                angle = torch.einsum("btk,hdk->bhtd", travel.float(), self.turning.float())
                more, less = angle.cos(), angle.sin()
                cos, sin = cos * more - sin * less, sin * more + cos * less
        return cos.repeat_interleave(self.tokens, -2), sin.repeat_interleave(self.tokens, -2)


def run_block(
    block: nn.Module,
    x: Tensor,
    modulation: Tensor,
    turn: tuple[Tensor, Tensor],
    mask: Tensor,
    before: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """One block of tokens (B, T, S, width) with who sees whom, (B or 1, 1, n, n): what a trainer compiles.

    ``before``: keys and values of tokens that come before these.
    """

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if before is not None:
            k, v = torch.cat([before[0], k], 2), torch.cat([before[1], v], 2)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)

    return cast(Tensor, block(x, modulation, turn, attend))
