"""The backbone of the other methods over the latent tokens of AR-Diffusion, so that its weights can be gone on from."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldsim.models.denoisers.forcing_dit import ForcingDiT, ForcingDiTConfig
from worldsim.models.denoisers.generator import MODULATIONS, embed
from worldsim.models.denoisers.token_frames import FrameCache, TokenFrames
from worldsim.models.mimetic_init import grid_of


class ForcingTokens(TokenFrames):
    """:class:`~worldsim.models.denoisers.forcing_dit.ForcingDiT`, which is causal, called as
    :class:`~worldsim.models.denoisers.ar_dit.ArDiT` is; ``patch`` of its configuration does not count, since a token is
    one already.
    """

    def __init__(
        self, config: ForcingDiTConfig, tokens: int, dim: int, control_dim: int, window: int
    ) -> None:
        super().__init__(tokens, dim, control_dim, window, causal=True)
        self.network = ForcingDiT(replace(config, patch=1), dim, grid_of(tokens), control_dim)
        self.unknown = nn.Parameter(0.02 * torch.randn(config.width))

    def forward(
        self,
        z: Tensor,
        level: Tensor,
        control: Tensor,
        known_mask: Tensor | None = None,
        cache: FrameCache | None = None,
        first: int = 0,
        finished: int = 0,
    ) -> Tensor:
        """As of :meth:`.ArDiT.forward`; frames whose control is not known count as if nothing had been done."""
        self.check(z, level, control, cache)
        if z.shape[1] == 0:
            return z
        n = self.network
        known = None if known_mask is None else known_mask[..., None]
        steering, done = n.control(control), control if known is None else control * known
        if known is not None:
            steering = torch.where(known, steering, self.unknown.to(steering.dtype))
        condition = F.silu(n.level(embed(level)) + steering)
        modulation = n.modulate(condition).unflatten(2, (1, MODULATIONS, -1))
        travel = done.float().cumsum(1)
        if cache is not None and cache.travel is not None:
            travel = travel + cache.travel[:, None]
        turn = n.turn(torch.arange(first, first + z.shape[1], device=z.device), travel)
        held = self.held(cache)
        mask = self.mask(held, z.shape[1], z.device)
        x = n.token_in(z) + n.position
        for i, block in enumerate(n.blocks):
            x = block(x, modulation, turn, self.attention(i, cache, held, finished, mask))
        if cache is not None and finished:
            cache.travel = travel[:, finished - 1]
        scale, shift = n.finish(condition)[:, :, None].chunk(2, -1)
        return cast(Tensor, n.token_out(F.rms_norm(x, x.shape[-1:]) * (1 + scale) + shift))
