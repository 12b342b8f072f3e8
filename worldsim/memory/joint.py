"""Joint compression of past frames and actions to a budget of latents (Meta-ARVDM section 6.1, Figure 6 left)."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldsim.memory.geometry import motion

POSE_FEATURES = 8


class Attention(nn.Module):
    """Pre-norm attention in which the last ``keep`` items of a sequence look at all of it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, keep: int, mask: Tensor | None = None) -> Tensor:
        """x (N, L, width), mask (N, L) of items that may be seen; the update of the last ``keep`` items."""
        n, length, width = x.shape
        h = self.norm(x)
        q = self.q(h[:, length - keep :]).view(n, keep, self.heads, -1).transpose(1, 2)
        k, v = self.kv(h).view(n, length, 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        seen = None if mask is None else mask[:, None, None, :]
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        return cast(Tensor, self.out(y.transpose(1, 2).reshape(n, keep, width)))


class JointCompressor(nn.Module):
    """Past frames and their actions, attending together over time and space; the last B of both are kept.

    Frames come ordered so that the ones to keep are last: by time, as in the paper, or by relevance to the view
    (:func:`worldsim.memory.selection.relevant_views`), which keeps what the next frames need. In the last layer only
    the kept rows are computed, since nobody reads the others.
    """

    def __init__(self, width: int, heads: int, depth: int, action_dim: int, cells: int) -> None:
        super().__init__()
        self.action = nn.Linear(action_dim, width)
        self.place = nn.Linear(POSE_FEATURES, width)
        self.position = nn.Parameter(torch.zeros(cells + 1, width))
        nn.init.normal_(self.position, std=0.02)
        self.temporal = nn.ModuleList(Attention(width, heads) for _ in range(depth))
        self.spatial = nn.ModuleList(Attention(width, heads) for _ in range(depth))
        self.mlp = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
            )
            for _ in range(depth)
        )
        for mlp in self.mlp:
            last = cast(nn.Sequential, mlp)[3]
            nn.init.zeros_(cast(nn.Linear, last).weight)

    def forward(self, frames: Tensor, actions: Tensor, places: Tensor, valid: Tensor, budget: int) -> Tensor:
        """Compress M frames to the last ``budget``.

        Args:
            frames: (B, M, S, width) features; actions: (B, M, A), each frame's leading action.
            places: (B, M, POSE_FEATURES), where each was seen relative to now; valid: (B, M).

        Returns:
            (B, min(budget, M), S, width), the kept frames with their kept action token added to every cell.
        """
        b, m, s, width = frames.shape
        where = self.place(places)[:, :, None]
        tokens = torch.cat([frames, self.action(actions)[:, :, None]], 2)  # (B, M, S + 1, width)
        depth = len(self.temporal)
        for i in range(depth):
            keep = min(budget, m) if i == depth - 1 else m
            # Position and place steer attention only; the kept content stays what the frame encoder made of it.
            steered = tokens + self.position + where
            over_time = steered.transpose(1, 2).reshape(b * (s + 1), m, width)
            # A frame always sees itself, so that an empty memory stays finite.
            mask = valid | ~valid.any(1, keepdim=True)
            update = self.temporal[i](over_time, keep, mask.repeat_interleave(s + 1, 0))
            tokens = tokens[:, m - keep :] + update.view(b, s + 1, keep, width).transpose(1, 2)
            over_space = (tokens + self.position).reshape(b * keep, s + 1, width)
            tokens = tokens + self.spatial[i](over_space, s + 1).view(b, keep, s + 1, width)
            tokens = tokens + self.mlp[i](tokens)
        return tokens[:, :, :s] + tokens[:, :, s:]


def place_features(poses: Tensor, now: Tensor, ages: Tensor, scale: float) -> Tensor:
    """Where frames were seen relative to a pose: (B, M, 5), (B, 5), ages (B, M) in frames to (B, M, POSE_FEATURES)."""
    delta = motion(now[:, None].expand_as(poses), poses, scale)
    yaw = torch.deg2rad(delta[..., 3] * 15)
    near = delta[..., :3] / (1 + delta[..., :3].norm(dim=-1, keepdim=True))
    pitch = torch.deg2rad(poses[..., 4])
    rest = torch.stack([yaw.sin(), yaw.cos(), pitch.sin(), pitch.cos(), ages / 112], -1)
    return torch.cat([near, rest], -1)
