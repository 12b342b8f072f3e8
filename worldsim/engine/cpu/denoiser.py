"""The causal DiT for one frame: all steps of it, over patches, against a ring of keys and values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldsim.diffusion.schedules import next_frame, path
from worldsim.engine.cpu.linear import Dense
from worldsim.engine.cpu.workspace import Workspace
from worldsim.engine.kernels.layers import add_gated, gelu, normalise, split_heads
from worldsim.engine.kv_ring import Ring, causal_mask, ring_mask, rotary_turns
from worldsim.models.denoisers.causal_dit import CausalDiT
from worldsim.models.denoisers.layers import Block, level_embedding


@dataclass
class _Block:
    """Weights (inside, outside) of a block's layers, and their biases as arrays."""

    weights: tuple[Tensor, Tensor, Tensor, Tensor]  # queries keys and values, out, up, down
    biases: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]

    @classmethod
    def of(cls, block: nn.Module) -> _Block:
        assert isinstance(block, Block)
        layers = [Dense.of(layer) for layer in (block.qkv, block.out, block.up, block.down)]
        qkv, out, up, down = layers
        biases = (qkv.bias.numpy(), out.bias.numpy(), up.bias.numpy(), down.bias.numpy())
        return cls((qkv.weight, out.weight, up.weight, down.weight), biases)


class BlockWorkspace(Workspace):
    """A workspace with what a block's layers give as well."""

    def __init__(self, b: int, t: int, tokens: int, heads: int, width: int, places: int) -> None:
        super().__init__(b, t, tokens, heads, width, places)
        rows = len(self.x)
        self.y, self.qkv, self.up = (torch.zeros(rows, n * width) for n in (1, 3, 4))
        self.y_array, self.qkv_array, self.up_array = (z.numpy() for z in (self.y, self.qkv, self.up))


class Denoiser:
    """:meth:`worldsim.models.denoisers.causal_dit.CausalDiT.advance`, then :meth:`...denoise`, along a rectified flow.

    Patches are (rows, p p C), cells of a patch row by row, channels last. What the conditions do to every block (the
    level of each step is known before the first) comes from one product for all blocks and steps.
    """

    def __init__(self, dit: CausalDiT, context_level: float) -> None:
        self.context_level = context_level
        self.width, self.heads, self.tokens = dit.position.shape[1], dit.heads, dit.tokens
        self.patch, self.grid, self.channels, self.window = dit.patch, dit.grid, dit.channels, dit.window
        head = self.width // self.heads
        self.frequencies = 100.0 ** (-np.arange(0, head, 2) / head)
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
        self.blocks = [_Block.of(block) for block in dit.blocks]
        self.modulate = _modulations(dit)
        self._levels: dict[tuple[int, str], tuple[list[float], Tensor]] = {}
        self._workspaces: dict[tuple[int, int], BlockWorkspace] = {}
        self._commits: dict[int, BlockWorkspace] = {}

    def patches(self, latents: Tensor) -> Tensor:
        """Latents (B, C, h, w) to patches (B S, p p C)."""
        return self.patches_of_cells(latents.permute(0, 2, 3, 1))

    def patches_of_cells(self, cells: Tensor) -> Tensor:
        """Cells with their channels last (B, h, w, C) to patches (B S, p p C)."""
        (h, w), p = self.grid, self.patch
        y = cells.reshape(len(cells), h // p, p, w // p, p, cells.shape[-1]).permute(0, 1, 3, 2, 4, 5)
        return y.reshape(len(cells) * self.tokens, p * p * cells.shape[-1])

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
        spacing: str = "even",
        mark: Callable[[str], None] | None = None,
    ) -> Tensor:
        """Denoise one frame; the one before it enters the ring.

        Args:
            newest: (B S, p p C), patches of the frame before.
            noise, guess: (B S, p p C); read: (B S, p p E), guess and features. The network corrects the guess.
            controls: (B, 2, K) of the frame before and this one; ring: of B dreams; frame: this one's index.
            mark: called when the conditions are known, and after each step.

        Returns:
            clean patches (B S, p p C).
        """
        b = ring.batch
        levels, embedded = self._embedded(steps, spacing)
        rows = F.silu(self.control[0](controls.flatten(0, 1)))
        conditioning = self.control[1](rows).view(b, 2, self.width)
        # The conditions of: the clean frame, and the noisy one at each step; rows by frame and dream.
        conditions = torch.cat([conditioning[:, :1], conditioning[:, 1:].expand(-1, steps, -1)], 1) + embedded
        modulation = self.modulate(F.silu(conditions).transpose(0, 1).flatten(0, 1)).numpy()
        turns = rotary_turns(np.array([frame - 1, frame]), self.frequencies)
        place = ring.take()
        both, half = self._workspace(b, 2), self._workspace(b, 1)
        base = self.inside_read(read)
        base.view(b, self.tokens, -1).add_(self.noisy)
        count, z, mark = b * self.tokens, noise, mark or _untimed
        mark("conditions")
        for i in range(steps):
            room = half if i else both
            torch.addmm(base, z, self.inside.weight, out=room.x[-count:])
            if i == 0:
                torch.mm(newest, self.inside.weight, out=room.x[:count])
                room.x[:count].view(b, self.tokens, -1).add_(self.clean)
            first = 0 if i == 0 else 1 + i
            part = modulation[first * b : (2 + i) * b]
            y = self._network(room, part, tuple(x[2 - room.frames :] for x in turns), ring, place)
            x0 = y.add_(guess)
            keep = levels[i + 1] / levels[i]
            z = torch.lerp(x0, z, keep) if keep else x0
            mark(f"denoise {i + 1}")
        return z

    def _workspace(self, b: int, t: int) -> BlockWorkspace:
        if (b, t) not in self._workspaces:
            places = 1 + self.window
            self._workspaces[b, t] = BlockWorkspace(b, t, self.tokens, self.heads, self.width, places)
        return self._workspaces[b, t]

    def _network(
        self,
        room: BlockWorkspace,
        modulation: np.ndarray,
        turns: tuple[np.ndarray, ...],
        ring: Ring,
        place: int,
    ) -> Tensor:
        """The output for the noisy frame of the tokens in ``room.x``; before it may lie a clean one.

        modulation: (T B, .), scale, shift and gate, twice for every block, then a scale and a shift; turns: cos and sin
        (T, head / 2); place: the clean frame's in the ring, whose keys and values go there.
        """
        s, w = self.tokens, self.width
        places = np.array([place, 0][2 - room.frames :])
        count = min(ring.count, self.window)
        mask = ring_mask(room.frames, s, self.window, count)
        for i, block in enumerate(self.blocks):
            a = 6 * w * i
            self._project_qkv(room, block, modulation, a, turns, *ring.arrays[i], places)
            if i == len(self.blocks) - 1 and room.frames == 2:
                # Of the clean frame nothing is wanted any more but its keys and values.
                half = self._workspace(ring.batch, 1)
                half.x.copy_(room.x[len(half.x) :])
                half.queries.copy_(room.queries[:, s:])
                room, modulation, mask = half, modulation[ring.batch :], ring_mask(1, s, self.window, count)
            self._attend_mlp(room, block, modulation, a, *ring.flat[i], mask)
        a = 6 * w * len(self.blocks)
        normalise(room.x_array, room.h_array, modulation, a, a + w, s)
        return self.outside(room.h)

    def commit(self, patches: Tensor, controls: Tensor, first: int) -> Ring:
        """:meth:`.CausalDiT.commit` of one dream's frames, the first of index ``first``.

        Args:
            patches: (n S, p p C); controls: (n, K).

        Returns:
            a ring with the last of them.
        """
        n, s, w = len(controls), self.tokens, self.width
        ring = Ring(len(self.blocks), 1, self.heads, self.window, s, w // self.heads)
        if n == 0:
            return ring
        kept = min(n, self.window)
        if n not in self._commits:
            self._commits = {n: BlockWorkspace(1, n, s, self.heads, w, n)}  # usually the same n
        room, mask = self._commits[n], causal_mask(n, s, self.window)
        keys, values = (torch.empty(1, self.heads, n, s, w // self.heads) for _ in range(2))
        flat = keys.flatten(2, 3).flatten(0, 1).transpose(1, 2), values.flatten(2, 3).flatten(0, 1)
        conditioning = self.control[1](F.silu(self.control[0](controls)))
        conditions = F.silu(conditioning + self._embedded(1, "even")[1][0])
        modulation = self.modulate(conditions).numpy()
        turns = rotary_turns(np.arange(first, first + n), self.frequencies)
        torch.mm(patches, self.inside.weight, out=room.x)
        room.x.view(n, s, -1).add_(self.clean)
        for i, block in enumerate(self.blocks):
            self._project_qkv(
                room, block, modulation, 6 * w * i, turns, keys.numpy(), values.numpy(), np.arange(n)
            )
            ring.keys[i, :, :, 1 : 1 + kept] = keys[:, :, -kept:]
            ring.values[i, :, :, 1 : 1 + kept] = values[:, :, -kept:]
            if i < len(self.blocks) - 1:
                self._attend_mlp(room, block, modulation, 6 * w * i, *flat, mask)
        ring.count = kept
        return ring

    def _project_qkv(
        self,
        room: BlockWorkspace,
        block: _Block,
        modulation: np.ndarray,
        a: int,
        turns: tuple[np.ndarray, ...],
        keys: np.ndarray,
        values: np.ndarray,
        places: np.ndarray,
    ) -> None:
        """A block's first half: queries into the room, keys and values into their places of a ring."""
        normalise(room.x_array, room.h_array, modulation, a, a + self.width, self.tokens)
        torch.mm(room.h, block.weights[0], out=room.qkv)
        split_heads(room.qkv_array, block.biases[0], *turns, room.queries_array, keys, values, places)

    def _attend_mlp(
        self,
        room: BlockWorkspace,
        block: _Block,
        modulation: np.ndarray,
        a: int,
        keys: Tensor,
        values: Tensor,
        mask: Tensor,
    ) -> None:
        """A block's second half: attention and perceptron, added to the tokens."""
        (_, out, up, down), (_, out_bias, up_bias, down_bias) = block.weights, block.biases
        s, w = self.tokens, self.width
        torch.baddbmm(mask, room.queries, keys, out=room.logits)
        torch.softmax(room.logits, -1, out=room.probabilities)
        torch.bmm(room.probabilities, values, out=room.attended)
        room.h_by_head.copy_(room.attended_by_row)
        torch.mm(room.h, out, out=room.y)
        add_gated(room.x_array, room.y_array, out_bias, modulation, a + 2 * w, s)
        normalise(room.x_array, room.h_array, modulation, a + 3 * w, a + 4 * w, s)
        torch.mm(room.h, up, out=room.up)
        gelu(room.up_array, up_bias)
        torch.mm(room.up, down, out=room.y)
        add_gated(room.x_array, room.y_array, down_bias, modulation, a + 5 * w, s)

    def _embedded(self, steps: int, spacing: str) -> tuple[list[float], Tensor]:
        """Levels from noise to clean, and embeddings (1 + steps, width) of the context's and of each step's."""
        if (steps, spacing) not in self._levels:
            levels = path(next_frame(spacing), steps)[:, 0]
            rows = torch.cat([torch.tensor([self.context_level]), levels[:-1]])
            self._levels[steps, spacing] = levels.tolist(), self.level(level_embedding(rows))
        return self._levels[steps, spacing]


def _untimed(phase: str) -> None:
    """Nobody wants to know when a phase ended."""


def _modulations(dit: CausalDiT) -> Dense:
    """All blocks' modulations and the last one as one layer; scales come with their 1 added."""
    layers = [*(cast(Block, block).modulate for block in dit.blocks), dit.modulate]
    weight = torch.cat([layer.weight.detach() for layer in layers])
    biases = []
    for layer in layers:
        bias = layer.bias.detach().clone().view(-1, dit.position.shape[1])
        bias[0] += 1
        if len(bias) == 6:
            bias[3] += 1
        biases.append(bias.flatten())
    return Dense(weight.t(), torch.cat(biases))
