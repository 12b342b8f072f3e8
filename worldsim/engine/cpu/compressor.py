"""The joint compressor of one layer: frames stay where they are, and only those that are kept ask questions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from worldsim.engine.cpu.linear import Dense
from worldsim.engine.kernels.layers import steer
from worldsim.models.memory.attention import Attention
from worldsim.models.memory.variants.joint import JointCompressor


class Compressor:
    """:class:`.joint.JointCompressor` of one dream; which frames are kept is told by their positions.

    Attention over time knows no order, so frames need not be sorted; keys and values lie cell by cell.
    """

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
        self.position = joint.position.detach().numpy()
        self._rooms: dict[
            int, tuple[Tensor, Tensor, Tensor]
        ] = {}  # by M: frames, what is read of them, keys and values

    def __call__(self, frames: list[Tensor], actions: Tensor, places: Tensor, kept: list[int]) -> Tensor:
        """M frames (S, width), actions (M, A), places (M, .), kept positions -> (kept, S, width)."""
        joint, m, (s, width) = self.joint, len(frames), frames[0].shape
        if len(joint.temporal) > 1:
            order = torch.tensor([i for i in range(m) if i not in set(kept)] + kept)
            valid = torch.ones(1, m, dtype=torch.bool)
            stacked = torch.stack(frames)[None, order]
            found: Tensor = joint(stacked, actions[None, order], places[None, order], valid, len(kept))[0]
            return found
        if m not in self._rooms:
            self._rooms = {  # a full memory has one M: that of a growing one is not kept
                m: (
                    torch.empty(m, s, width),
                    torch.empty(s + 1, m, width),
                    torch.empty((s + 1) * m, 2 * width),
                )
            }
        all_frames, h, kv = self._rooms[m]
        torch.stack(frames, out=all_frames)
        conditioning, where = joint.action(actions), joint.place(places)  # (M, width)
        steer(all_frames.numpy(), conditioning.numpy(), self.position, where.numpy(), self.eps, h.numpy())
        torch.addmm(self.kv.bias, h.view(-1, width), self.kv.weight, out=kv)
        index, count = torch.tensor(kept), len(kept)
        q = self.q(h[:, index].view(-1, width)).view(s + 1, count, self.heads, -1).transpose(1, 2)
        k, v = kv.view(s + 1, m, 2, self.heads, -1).permute(2, 0, 3, 1, 4)  # (S + 1, heads, M, head) each
        y = F.scaled_dot_product_attention(q, k, v).permute(2, 0, 1, 3)  # over time at each cell
        tokens = torch.cat([all_frames[index], conditioning[index, None]], 1)  # (count, S + 1, width)
        x = tokens + self.out(y.reshape(-1, width)).view_as(tokens)
        x = x + joint.spatial[-1](x + joint.position, s + 1)
        x = x + joint.mlp[-1](x)
        return x[:, :s] + x[:, s:]
