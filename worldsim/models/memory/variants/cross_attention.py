"""Cross attention: the denoiser looks at tokens of past frames and actions (version 1 of the paper)."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from worldsim.models.denoisers.protocol import Denoiser
from worldsim.models.memory.variants.protocol import MemoryVariantConfig, References, travel_for, way
from worldsim.models.memory.variants.tokens import Patches, Travel, age_embedding, ages


@way("cross_attention", compressors=("none",))
class CrossAttentionWay(nn.Module):
    """Patches of past frames with their action, age and place become tokens; the denoiser's layers attend to them."""

    def __init__(
        self, config: MemoryVariantConfig, channels: int, action_dim: int, grid: tuple[int, int]
    ) -> None:
        super().__init__()
        self.control_dim, self.beside_channels, self.memory_width = action_dim, 0, config.width
        cells = (grid[0] // config.patch) * (grid[1] // config.patch)
        self.inside = Patches(channels, config.width, config.patch)
        self.action = nn.Linear(action_dim, config.width)
        self.position = nn.Embedding(cells, config.width)
        self.norm = nn.LayerNorm(config.width)
        self.travel = Travel(action_dim, config.width) if config.travel else None

    def tokens(self, past: References) -> Tensor:
        """The tokens of the past, (B, M S, width), oldest first."""
        x = self.inside(past.latents) + self.action(past.actions)[:, :, None]  # (B, M, S, width)
        x = x + self.position.weight + age_embedding(ages(len(past), x.device), x.shape[-1])[:, None]
        if self.travel is not None and past.travel is not None:
            x = x + self.travel(past.travel)[:, :, None]
        return cast(Tensor, self.norm(x)).flatten(1, 2)

    def forward(
        self,
        denoiser: Denoiser,
        z: Tensor,
        level: Tensor,
        actions: Tensor,
        past: References,
        travel: Tensor | None = None,
    ) -> Tensor:
        """See :meth:`worldsim.models.memory.variants.protocol.Way.forward`."""
        past = past.packed()
        extra = travel_for(denoiser, travel)
        if len(past) == 0:
            return cast(Tensor, denoiser(z, level, actions, **extra))
        memory = self.tokens(past)
        valid = None
        if not bool(past.valid.all()):
            valid = past.valid.repeat_interleave(memory.shape[1] // len(past), 1)
        return cast(Tensor, denoiser(z, level, actions, memory=memory, memory_valid=valid, **extra))
