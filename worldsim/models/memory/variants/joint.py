"""Joint compression of past frames and actions to a budget of latents (Meta-ARVDM section 6.1, Figure 6 left)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from worldsim.models.geometry import TURN_UNIT, motion
from worldsim.models.memory.attention import Attention, Layers, attend, mlp
from worldsim.models.memory.variants.protocol import MemoryVariantConfig, compressor
from worldsim.models.memory.variants.tokens import Patches, Travel, Unpatch, age_embedding, ages

POSE_FEATURES = 8


class JointCompressor(nn.Module):
    """For the ray reader: features of past frames and their actions attend together over time and space.

    The last B of both are kept. Frames come ordered so that the ones to keep are last: by time, as in the paper, or
    by relevance to the view (:func:`worldsim.models.memory.rays.selection.relevant_views`), which keeps what the next
    frames need. In the last layer only the kept rows are computed, since nobody reads the others.
    """

    def __init__(self, width: int, heads: int, depth: int, action_dim: int, cells: int) -> None:
        super().__init__()
        self.action = nn.Linear(action_dim, width)
        self.place = nn.Linear(POSE_FEATURES, width)
        self.position = nn.Parameter(torch.zeros(cells + 1, width))
        nn.init.normal_(self.position, std=0.02)
        self.temporal = nn.ModuleList(Attention(width, heads) for _ in range(depth))
        self.spatial = nn.ModuleList(Attention(width, heads) for _ in range(depth))
        self.mlp = nn.ModuleList(mlp(width) for _ in range(depth))

    def forward(self, frames: Tensor, actions: Tensor, places: Tensor, valid: Tensor, budget: int) -> Tensor:
        """Compress M frames to the last ``budget``.

        Args:
            frames: (B, M, S, width) features; actions: (B, M, A), each frame's leading action.
            places: (B, M, POSE_FEATURES), where each was seen relative to now; valid: (B, M).

        Returns:
            (B, min(budget, M), S, width), the kept frames with their kept action token added to every cell.
        """
        m, s = frames.shape[1:3]
        where = self.place(places)[:, :, None]
        tokens = torch.cat([frames, self.action(actions)[:, :, None]], 2)  # (B, M, S + 1, width)
        depth = len(self.temporal)
        for i in range(depth):
            keep = min(budget, m) if i == depth - 1 else m
            modules = self.temporal[i], self.spatial[i], self.mlp[i]
            tokens = attend(tokens, self.position, where, valid, keep, *modules)
        return tokens[:, :, :s] + tokens[:, :, s:]


def place_features(poses: Tensor, now: Tensor, ages: Tensor, scale: float) -> Tensor:
    """Where frames were seen relative to a pose: (B, M, 5), (B, 5), ages (B, M) in frames to (B, M, POSE_FEATURES)."""
    delta = motion(now[:, None].expand_as(poses), poses, scale)
    yaw = torch.deg2rad(delta[..., 3] * TURN_UNIT)
    near = delta[..., :3] / (1 + delta[..., :3].norm(dim=-1, keepdim=True))
    pitch = torch.deg2rad(poses[..., 4])
    rest = torch.stack([yaw.sin(), yaw.cos(), pitch.sin(), pitch.cos(), ages / 112], -1)
    return torch.cat([near, rest], -1)


@compressor("joint")
class Joint(nn.Module):
    """For a way into the denoiser: latents and their actions in, the last B of both out.

    An action is one more token of its frame, so that feed-forward, spatial and temporal attention treat them alike.
    At the start of training both come out as they went in.
    """

    def __init__(
        self, config: MemoryVariantConfig, channels: int, action_dim: int, grid: tuple[int, int]
    ) -> None:
        super().__init__()
        cells = (grid[0] // config.patch) * (grid[1] // config.patch)
        self.inside = Patches(channels, config.width, config.patch)
        self.action = nn.Linear(action_dim, config.width)
        self.layers = Layers(config.width, config.heads, config.depth, cells + 1)
        self.outside = Unpatch(config.width, channels, config.patch, grid)
        self.action_outside = nn.Linear(config.width, action_dim, bias=False)
        self.travels = config.travel
        self.travel = Travel(action_dim, config.width) if config.travel else None
        nn.init.zeros_(self.outside.conv.weight)
        nn.init.zeros_(self.action_outside.weight)

    def forward(
        self, frames: Tensor, actions: Tensor, valid: Tensor, budget: int, travel: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See :meth:`worldsim.models.memory.variants.protocol.Compressor.forward`."""
        m = frames.shape[1]
        keep = min(budget, m)
        last = slice(m - keep, m)
        if keep == 0:
            return frames[:, last], actions[:, last], valid[:, last]
        tokens = torch.cat([self.inside(frames), self.action(actions)[:, :, None]], 2)  # (B, M, S + 1, width)
        where = age_embedding(ages(m, frames.device), tokens.shape[-1])[:, None]
        if self.travel is not None and travel is not None:
            where = where + self.travel(travel)[:, :, None]
        tokens = self.layers(tokens, where, valid, keep)
        kept = frames[:, last] + self.outside(tokens[:, :, :-1])
        return kept, actions[:, last] + self.action_outside(tokens[:, :, -1]), valid[:, last]
