"""The causal DiT for one frame: all steps of it, over patches, against a ring of keys and values."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldsim.denoisers.causal_dit import CausalDiT
from worldsim.denoisers.layers import Block, level_embedding
from worldsim.dream_past import CONTEXT_LEVEL
from worldsim.engine.dense import Dense
from worldsim.engine.ring import Ring
from worldsim.schedules import next_frame, path


@dataclass
class _Block:
    """A block's layers; queries' and keys' entries are ordered so that the two that turn together lie side by side."""

    qkv: Dense
    out: Dense
    up: Dense
    down: Dense


class Denoiser:
    """:meth:`worldsim.denoisers.causal_dit.CausalDiT.advance`, then :meth:`...denoise`, along a rectified flow.

    Patches are (rows, p p C), cells of a patch row by row, channels last. What the conditions do to every block (the
    level of each step is known before the first) comes from one product for all blocks and steps.
    """

    def __init__(self, dit: CausalDiT) -> None:
        self.width, self.heads, self.tokens = dit.position.shape[1], dit.heads, dit.tokens
        self.patch, self.grid, self.channels, self.window = dit.patch, dit.grid, dit.channels, dit.window
        head = self.width // self.heads
        self.order = torch.arange(head).view(2, -1).t().flatten()  # the pairs that turn, side by side
        self.frequencies = 100.0 ** (-torch.arange(0, head, 2, dtype=torch.float64) / head)
        p, c, extra = dit.patch, dit.channels, dit.extra
        inside = dit.inside.weight.detach().view(self.width, c + extra, p, p).permute(2, 3, 1, 0)
        flat = p * p
        self.inside = Dense(inside[:, :, :c].reshape(flat * c, -1), None)
        self.inside_read = Dense(inside[:, :, c:].reshape(flat * extra, -1), None)
        place = dit.position.detach() + dit.inside.bias.detach()  # (S, width)
        self.clean, self.noisy = (place + kind for kind in dit.kind.detach())
        outside = dit.outside.weight.detach().view(c, p, p, -1).permute(1, 2, 0, 3).reshape(flat * c, -1)
        bias = dit.outside.bias.detach().view(c, p, p).permute(1, 2, 0).flatten()
        self.outside = Dense(outside.t(), bias)
        self.level = dit.level
        self.control = [Dense.of(dit.control[0]), Dense.of(dit.control[2])]
        self.blocks = [self._block(block) for block in dit.blocks]
        self.modulate = _modulations(dit)
        self._levels: dict[int, tuple[list[float], Tensor]] = {}
        self._masks: dict[tuple[int, int], Tensor] = {}

    def patches(self, latents: Tensor) -> Tensor:
        """Latents (B, C, h, w) to patches (B S, p p C)."""
        return self.patches_of_cells(latents.permute(0, 2, 3, 1))

    def patches_of_cells(self, cells: Tensor) -> Tensor:
        """Cells with their channels last (B, h, w, C) to patches (B S, p p C)."""
        (h, w), p = self.grid, self.patch
        y = cells.reshape(-1, h // p, p, w // p, p, cells.shape[-1]).permute(0, 1, 3, 2, 4, 5)
        return y.reshape(len(cells) * self.tokens, -1)

    def cells(self, patches: Tensor) -> Tensor:
        """The inverse of :meth:`patches_of_cells`."""
        (h, w), p = self.grid, self.patch
        y = patches.view(-1, h // p, w // p, p, p, self.channels).permute(0, 1, 3, 2, 4, 5)
        return y.reshape(-1, h, w, self.channels)

    def __call__(
        self,
        newest: Tensor,
        noise: Tensor,
        guess: Tensor,
        read: Tensor,
        controls: Tensor,
        ring: Ring,
        frame: int,
        steps: int,
    ) -> Tensor:
        """Denoise one frame; the one before it enters the ring.

        Args:
            newest: (B S, p p C), patches of the frame before.
            noise, guess: (B S, p p C); read: (B S, p p E), guess and features. The network corrects the guess.
            controls: (B, 2, K) of the frame before and this one; ring: of B dreams; frame: this one's index.

        Returns:
            clean patches (B S, p p C).
        """
        b = ring.batch
        levels, embedded = self._embedded(steps)
        rows = F.silu(self.control[0](controls.flatten(0, 1)))
        told = self.control[1](rows).view(b, 2, self.width)
        # The conditions of: the clean frame, and the noisy one at each step.
        conditions = F.silu(torch.cat([told[:, :1], told[:, 1:].expand(-1, steps, -1)], 1) + embedded)
        modulation = self.modulate(conditions.flatten(0, 1)).view(b, 1 + steps, 1, -1, self.width)
        angles = torch.tensor([[frame - 1], [frame]], dtype=torch.float64) * self.frequencies
        turns = torch.polar(torch.ones_like(angles), angles).to(torch.complex64)[:, None, None, None]
        base = self.inside_read(read)
        base.view(b, self.tokens, -1).add_(self.noisy)
        z = noise
        for i in range(steps):
            x = self.inside(z, base).view(b, 1, self.tokens, -1)
            if i == 0:
                before = self.inside(newest).view_as(x).add_(self.clean)
                x = torch.cat([before, x], 1)
            part = slice(0, 2) if i == 0 else slice(1 + i, 2 + i)
            y = self._network(x, modulation[:, part].unbind(3), turns if i == 0 else turns[1:], ring)
            x0 = y.add_(guess)
            keep = levels[i + 1] / levels[i]
            z = torch.lerp(x0, z, keep) if keep else x0
        return z

    def _network(self, x: Tensor, a: tuple[Tensor, ...], turns: Tensor, ring: Ring) -> Tensor:
        """x (B, T, S, width): a clean frame that enters the ring, if T = 2, and a noisy one; the output for the latter.

        a: six of (B, T, 1, width) for every block, then two; turns: (T, 1, 1, 1, head / 2).
        """
        b, t, s, width = x.shape
        heads, last = self.heads, len(self.blocks) - 1
        place = ring.place
        ring.count += t - 1
        places, clean = ring.places, ring.memory[:, :, place]
        mask = self._mask(place, places) if t == 2 else None
        for i, block in enumerate(self.blocks):
            scale1, shift1, gate1, scale2, shift2, gate2 = a[6 * i : 6 * i + 6]
            h = torch.addcmul(shift1, F.layer_norm(x, (width,)), scale1).view(-1, width)
            qkv = block.qkv(h).view(b, t, s, 3, heads, -1)
            pairs = torch.view_as_complex(qkv[:, :, :, :2].unflatten(-1, (-1, 2)))
            pairs.mul_(turns)
            memory = ring.memory[i]
            memory[:, 0] = qkv[:, -1, :, 1:]
            if t == 2:
                clean[i].copy_(qkv[:, 0, :, 1:])
                if i == last:  # of the clean frame nothing is wanted but its keys and values
                    qkv, x, mask, t = qkv[:, 1:], x[:, 1:], None, 1
                    gate1, scale2, shift2, gate2 = (m[:, 1:] for m in (gate1, scale2, shift2, gate2))
            q = qkv[:, :, :, 0].reshape(b, t * s, heads, -1).transpose(1, 2)
            k, v = memory[:, :places].flatten(1, 2).permute(2, 0, 3, 1, 4)  # (B, heads, L, head) each
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2)
            y = block.out(y.reshape(-1, width)).view(b, t, s, width)
            x = torch.addcmul(x, gate1, y)
            h = torch.addcmul(shift2, F.layer_norm(x, (width,)), scale2).view(-1, width)
            h = torch.ops.aten.gelu_(block.up(h), approximate="tanh")
            x = torch.addcmul(x, gate2, block.down(h).view(b, t, s, width))
        scale, shift = a[-2:]
        h = torch.addcmul(shift[:, -1:], F.layer_norm(x, (width,)), scale[:, -1:])
        return self.outside(h.view(-1, width))

    def _mask(self, place: int, places: int) -> Tensor:
        """Added to attention (2 S, L): the clean frame does not see the noisy one, which lies first."""
        key = (place, places)
        if key not in self._masks:
            mask = torch.zeros(2, self.tokens, places, self.tokens)
            mask[0, :, 0] = -torch.inf
            self._masks[key] = mask.view(2 * self.tokens, -1)
        return self._masks[key]

    def _embedded(self, steps: int) -> tuple[list[float], Tensor]:
        """Levels from noise to clean, and embeddings (1 + steps, width) of the context's and of each step's."""
        if steps not in self._levels:
            levels = path(next_frame(), steps)[:, 0]
            rows = torch.cat([torch.tensor([CONTEXT_LEVEL]), levels[:-1]])
            self._levels[steps] = levels.tolist(), self.level(level_embedding(rows))
        return self._levels[steps]

    def _block(self, block: nn.Module) -> _Block:
        assert isinstance(block, Block)
        heads = self.heads
        order = torch.cat([self.order + h * len(self.order) for h in range(heads)])
        order = torch.cat([order, order + self.width, torch.arange(2 * self.width, 3 * self.width)])
        qkv = Dense(block.qkv.weight[order].t(), block.qkv.bias[order])
        return _Block(qkv, Dense.of(block.out), Dense.of(block.up), Dense.of(block.down))


def _modulations(dit: CausalDiT) -> Dense:
    """All blocks' modulations and the last one as one layer; scales come with their 1 added."""
    layers = [block.modulate for block in dit.blocks] + [dit.modulate]
    weight = torch.cat([layer.weight.detach() for layer in layers])
    biases = []
    for layer in layers:
        bias = layer.bias.detach().clone().view(-1, dit.position.shape[1])
        bias[0] += 1
        if len(bias) == 6:
            bias[3] += 1
        biases.append(bias.flatten())
    return Dense(weight.t(), torch.cat(biases))
