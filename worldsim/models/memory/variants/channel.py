"""Channel concatenation: the past, fused by a light transformer, beside each denoised frame (section 6.1)."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from worldsim.models.denoisers.layers import CrossAttention
from worldsim.models.denoisers.protocol import Denoiser
from worldsim.models.memory.attention import Layers
from worldsim.models.memory.variants.protocol import MemoryVariantConfig, References, travel_for, way
from worldsim.models.memory.variants.tokens import Patches, Travel, Unpatch, age_embedding, ages


@way("channel", compressors=("none", "modulated"))
class Channel(nn.Module):
    """A transformer encoder fuses past frames with their actions; each denoised frame draws channels from it.

    Concatenating M frames along channels would fix M. Instead each cell of a denoised frame attends, knowing its own
    action and how far back each memory lies, to the encoded memories of that cell; so M may be any number, and the
    channels do not depend on the noise: no denoised frame learns of another through them.
    """

    def __init__(
        self, config: MemoryVariantConfig, channels: int, action_dim: int, grid: tuple[int, int]
    ) -> None:
        super().__init__()
        self.control_dim, self.beside_channels, self.memory_width = action_dim, 2 * channels, 0
        self.width = config.width
        cells = (grid[0] // config.patch) * (grid[1] // config.patch)
        self.inside = Patches(channels, config.width, config.patch)
        self.action = nn.Linear(action_dim, config.width)
        self.layers = Layers(config.width, config.heads, config.depth, cells)
        self.asking = nn.Linear(action_dim, config.width)
        self.read = CrossAttention(config.width, config.heads, config.width)
        self.outside = Unpatch(config.width, self.beside_channels, config.patch, grid)
        self.travel = Travel(action_dim, config.width) if config.travel else None

    def draw(self, actions: Tensor, past: References, travel: Tensor | None = None) -> Tensor:
        """The channels beside a window with actions (B, w, A): (B, w, E, h, w), zero for rows without a past."""
        (b, w), m = actions.shape[:2], len(past)
        device = actions.device
        tokens = self.inside(past.latents) + self.action(past.actions)[:, :, None]  # (B, M, S, width)
        where = age_embedding(ages(m, device), self.width)[:, None]  # (M, 1, width)
        if self.travel is not None and past.travel is not None:
            where = where + self.travel(past.travel)[:, :, None]  # (B, M, 1, width)
        tokens = self.layers(tokens, where, past.valid, m) + where
        s = tokens.shape[2]
        later = -torch.arange(w, device=device)  # the first denoised frame asks at age 0
        query = self.asking(actions) + age_embedding(later, self.width)  # (B, w, width)
        if self.travel is not None and travel is not None:
            query = query + self.travel(travel)
        query = query[:, None] + self.layers.position[:, None]  # (B, S, w, width)
        memory = tokens.transpose(1, 2).flatten(0, 1)  # (B S, M, width)
        valid = None if bool(past.valid.all()) else past.valid.repeat_interleave(s, 0)
        found = self.read(query.flatten(0, 1), memory, valid).view(b, s, w, -1)
        return cast(Tensor, self.outside(found.transpose(1, 2)))

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
        beside = self.draw(actions, past, travel) if len(past) else None
        extra = travel_for(denoiser, travel)
        return cast(Tensor, denoiser(z, level, actions, beside=beside, **extra))
