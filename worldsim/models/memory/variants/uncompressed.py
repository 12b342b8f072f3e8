"""No compression: the last frames and their actions as they are."""

from __future__ import annotations

from torch import Tensor, nn

from worldsim.models.memory.variants.protocol import MemoryVariantConfig, compressor


@compressor("none")
class Uncompressed(nn.Module):
    """Keeps the last ``budget`` of the past; with a budget of the history or more, all of it."""

    def __init__(
        self, config: MemoryVariantConfig, channels: int, action_dim: int, grid: tuple[int, int]
    ) -> None:
        super().__init__()

    def forward(
        self, frames: Tensor, actions: Tensor, valid: Tensor, budget: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See :meth:`worldsim.models.memory.variants.protocol.Compressor.forward`."""
        first = max(0, frames.shape[1] - budget)
        return frames[:, first:], actions[:, first:], valid[:, first:]
