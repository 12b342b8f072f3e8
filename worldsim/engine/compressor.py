"""The joint compressor: in its last layer frames stay where they are, and only those that are kept ask questions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from worldsim.engine.dense import Dense
from worldsim.memory.attention import Attention, attend
from worldsim.memory.joint import JointCompressor


class Compressor:
    """:class:`worldsim.memory.joint.JointCompressor` of one dream; which frames are kept is told by their positions."""

    def __init__(self, joint: JointCompressor) -> None:
        self.joint = joint
        last = joint.temporal[-1]
        assert isinstance(last, Attention)
        self.heads, self.eps = last.heads, last.norm.eps
        scale, shift = last.norm.weight.detach(), last.norm.bias.detach()

        def after_norm(layer: torch.nn.Linear) -> Dense:
            """The layer, with the norm's scale and shift as part of it."""
            return Dense((layer.weight * scale).t(), layer.bias + layer.weight @ shift)

        self.q, self.kv, self.out = after_norm(last.q), after_norm(last.kv), Dense.of(last.out)

    def __call__(self, frames: Tensor, actions: Tensor, places: Tensor, kept: Tensor) -> Tensor:
        """frames (M, S, width), actions (M, A), places (M, .), kept (K,) positions -> (K, S, width)."""
        joint, (m, s, width) = self.joint, frames.shape
        where = joint.place(places)[:, None]  # (M, 1, width)
        tokens = torch.cat([frames, joint.action(actions)[:, None]], 1)  # (M, S + 1, width)
        for i in range(len(joint.temporal) - 1):
            modules = joint.temporal[i], joint.spatial[i], joint.mlp[i]
            valid = torch.ones(1, m, dtype=torch.bool)
            tokens = attend(tokens[None], joint.position, where[None], valid, m, *modules)[0]
        h = F.layer_norm(tokens + (where + joint.position), (width,), eps=self.eps)
        n, count = s + 1, len(kept)
        kv = self.kv(h.view(-1, width)).view(m, n, 2, self.heads, -1)
        q = self.q(h[kept].view(-1, width)).view(count, n, self.heads, -1)
        k, v = kv.permute(2, 1, 3, 0, 4)  # (S + 1, heads, M, head) each: attention over time at each cell
        y = F.scaled_dot_product_attention(q.permute(1, 2, 0, 3), k, v).permute(2, 0, 1, 3)
        x = tokens[kept] + self.out(y.reshape(-1, width)).view(count, n, width)
        x = x + joint.spatial[-1](x + joint.position, n)
        x = x + joint.mlp[-1](x)
        return x[:, :s] + x[:, s:]
