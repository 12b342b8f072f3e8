"""Modulated compression: past actions modulate past frames, the last B are kept (section 6.1, Figure 6 right)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from worldsim.models.memory.attention import Layers
from worldsim.models.memory.variants.protocol import MemoryVariantConfig, compressor
from worldsim.models.memory.variants.tokens import Patches, Travel, Unpatch, age_embedding, ages


@compressor("modulated")
class Modulated(nn.Module):
    """Before each layer the action that led to a frame scales and shifts the frame's tokens (FiLM).

    At the start of training the kept frames are the last ones, unchanged; their actions stay as they are.
    """

    def __init__(
        self, config: MemoryVariantConfig, channels: int, action_dim: int, grid: tuple[int, int]
    ) -> None:
        super().__init__()
        cells = (grid[0] // config.patch) * (grid[1] // config.patch)
        self.inside = Patches(channels, config.width, config.patch)
        self.film = nn.ModuleList(nn.Linear(action_dim, 2 * config.width) for _ in range(config.depth))
        self.layers = Layers(config.width, config.heads, config.depth, cells)
        self.outside = Unpatch(config.width, channels, config.patch, grid)
        nn.init.zeros_(self.outside.conv.weight)
        self.travels = config.travel
        self.travel = Travel(action_dim, config.width) if config.travel else None

    def forward(
        self, frames: Tensor, actions: Tensor, valid: Tensor, budget: int, travel: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See :meth:`worldsim.models.memory.variants.protocol.Compressor.forward`."""
        m = frames.shape[1]
        keep = min(budget, m)
        kept = frames[:, m - keep :], actions[:, m - keep :], valid[:, m - keep :]
        if keep == 0:
            return kept
        tokens = self.inside(frames)  # (B, M, S, width)
        where = age_embedding(ages(m, frames.device), tokens.shape[-1])[:, None]
        if self.travel is not None and travel is not None:
            where = where + self.travel(travel)[:, :, None]
        for i, film in enumerate(self.film):
            scale, shift = film(actions)[:, -tokens.shape[1] :, None].chunk(2, -1)
            tokens = tokens * (1 + scale) + shift
            tokens = self.layers.layer(i, tokens, where, valid, keep if i == len(self.film) - 1 else m)
        return torch.add(kept[0], self.outside(tokens)), *kept[1:]
