"""A memory variant in one file: instead of the newest frames, some that lie evenly over all of the past."""

import torch
from torch import Tensor, nn

from worldsim.models.memory.variants.protocol import MemoryVariantConfig, compressor


@compressor("spread", ways=("prepend", "channel"))
class Spread(nn.Module):
    def __init__(
        self, config: MemoryVariantConfig, channels: int, action_dim: int, grid: tuple[int, int]
    ) -> None:
        super().__init__()

    def forward(
        self, frames: Tensor, actions: Tensor, valid: Tensor, budget: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        m = frames.shape[1]
        kept = torch.linspace(0, m - 1, min(budget, m)).round().long()
        return frames[:, kept], actions[:, kept], valid[:, kept]
