"""The generator for one frame at a time: all denoising steps of it, over cells, against a ring of keys and values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldsim.engine.cpu.blocks import Block, stacked
from worldsim.engine.cpu.convolution import convolution_of
from worldsim.engine.cpu.linear import Dense, Product, product
from worldsim.engine.cpu.workspace import Workspace
from worldsim.engine.generation import Context, Target
from worldsim.engine.kernels.layers import add_gated, normalise_rms, silu, split_heads_rms
from worldsim.engine.kernels.tiled_block import fits, transform
from worldsim.engine.kv_ring import Ring, causal_mask, ring_mask, rotary_turns
from worldsim.engine.past import DreamPast
from worldsim.models.autoencoders.conv import DOWNSAMPLING
from worldsim.models.denoisers.generator import EVIDENCE_CHANNELS, Generator, embed

LEVELS_KEPT = 256
"""Pairs of a noise level and a step size for which what they add to a condition is kept."""


class FastGenerator:
    """A :class:`worldsim.engine.generation.Sampler`: the twin of :class:`.generator.Generator`.

    ``products``: what matrices are multiplied in, torch.float32 or torch.bfloat16.
    """

    def __init__(self, module: Generator, products: torch.dtype = torch.float32) -> None:
        g = module
        self.width, self.heads, self.tokens = g.config.width, g.heads, g.tokens
        self.patch, self.grid, self.channels, self.window = g.patch, g.grid, g.channels, g.window
        self.products, self.stem = products, g.stem
        self.frequencies = 100.0 ** (-np.arange(0, self.width // self.heads, 2) / (self.width // self.heads))
        self.position = g.position.detach().float() + g.token_in.bias.detach().float()
        if g.stem:
            conv = lambda layer: convolution_of(layer, self.grid, products)  # noqa: E731
            self.latents_in, self.latents_out = conv(g.latents_in), conv(g.latents_out)
            self.evidence_in = Dense.of(g.evidence_in)
            self.before, self.after = (
                [(conv(block.first), conv(block.second)) for block in cast(nn.ModuleList, blocks)]
                for blocks in (g.before, g.after)
            )
        else:
            self.evidence_in = Dense(torch.eye(EVIDENCE_CHANNELS * DOWNSAMPLING**2), None)
        self.token_in, self.token_out = self._patches_in(g.token_in), self._patches_out(g.token_out)
        self.level, self.stride = g.level, g.stride
        self._step_embeddings: dict[tuple[float, float], Tensor] = {}
        self.control = [Dense.of(g.control[0]), Dense.of(g.control[2])]
        self.modulate, self.finish = Dense.of(g.modulate), Dense.of(g.finish)
        self.finish.bias[: self.width] += 1
        self.blocks = [Block.of(block, products, self.tokens) for block in g.blocks]
        self.tiled = stacked(self.blocks) if fits(self.width, self.heads, self.tokens) else None
        self.nothing = np.zeros(self.width, np.float32)
        self._workspaces: dict[tuple[int, int, int], Workspace] = {}

    def _patches_in(self, layer: nn.Linear) -> Product:
        """A layer over patches whose channels come first, as one over patches whose cells come first, without bias."""
        weight = layer.weight.detach()
        w = weight.view(len(weight), -1, self.patch**2).transpose(1, 2).flatten(1)
        return product(w.t(), self.products, self.tokens)

    def _patches_out(self, layer: nn.Linear) -> Dense:
        """The same of a layer that gives patches, with its bias."""
        weight, p2 = layer.weight.detach(), self.patch**2
        w = weight.view(-1, p2, weight.shape[1]).transpose(0, 1).flatten(0, 1)
        return Dense(w.t(), layer.bias.detach().view(-1, p2).t().flatten())

    def commit(self, latents: Tensor, controls: Tensor, first: int) -> Ring:
        """A ring with true frames (n, C, h, w), the first of index ``first``; controls (n, K)."""
        n, s = len(latents), self.tokens
        ring = Ring(len(self.blocks), 1, self.heads, self.window, s, self.width // self.heads)
        if n == 0:
            return ring
        kept, head = min(n, self.window), self.width // self.heads
        room = self._workspace(1, n, n)
        cells = latents.permute(0, 2, 3, 1).contiguous()
        nothing = torch.zeros(n, EVIDENCE_CHANNELS, *(DOWNSAMPLING * side for side in self.grid))
        features = self._evidence_features(nothing)
        room.x.copy_(self._tokens(cells, features)[0])
        keys, values = (torch.empty(1, self.heads, n, s, head) for _ in range(2))
        flat = keys.flatten(2, 3).flatten(0, 1).transpose(1, 2), values.flatten(2, 3).flatten(0, 1)
        mask = causal_mask(n, s, self.window)
        modulation = self.modulate(self._conditions(controls, torch.zeros(n), torch.zeros(n)))
        turns = rotary_turns(np.arange(first, first + n), self.frequencies)
        for i, block in enumerate(self.blocks):
            shift_scale = (modulation + block.bias).numpy()
            self._project_qkv(room, block, shift_scale, turns, keys.numpy(), values.numpy(), np.arange(n))
            ring.keys[i, :, :, 1 : 1 + kept] = keys[:, :, -kept:]
            ring.values[i, :, :, 1 : 1 + kept] = values[:, :, -kept:]
            if i < len(self.blocks) - 1:
                self._attend_mlp(room, block, shift_scale, *flat, mask)
        ring.count = kept
        return ring

    def sample(
        self, pasts: Sequence[DreamPast], newest: Context, noise: Tensor, target: Target, levels: Tensor
    ) -> Tensor:
        """See :class:`worldsim.engine.generation.Sampler`."""
        b, steps = len(pasts), len(levels) - 1
        ring = Ring.of(pasts)
        enters = pasts[0].pending
        features = self._evidence_features(target.evidence)
        # The conditions of the frame that enters, and of the noisy one at each step; rows by frame and dream.
        controls = torch.cat([newest.control, target.control.repeat(steps, 1)])
        at = torch.cat([newest.level, levels[:-1].repeat_interleave(b)])
        size = torch.cat([torch.zeros(b), torch.full((steps * b,), target.stride)])
        conditions = self._conditions(controls, at, size)
        modulation, finish = self.modulate(conditions), self.finish(conditions).numpy()
        turns = rotary_turns(np.array([target.index - 1, target.index]), self.frequencies)
        place = ring.take() if enters else 0
        z = noise.permute(0, 2, 3, 1).contiguous()
        for i in range(steps):
            first = i == 0 and enters
            part = slice(0 if first else (1 + i) * b, (2 + i) * b)
            x, maps = self._tokens(z, features)
            room = self._workspace(b, 2 if first else 1, 1 + self.window)
            if first:
                earlier, _ = self._tokens(
                    newest.latents.permute(0, 2, 3, 1).contiguous(), self._evidence_features(newest.evidence)
                )
                room.x[: len(earlier)].copy_(earlier)
            room.x[-len(x) :].copy_(x)
            drawn = self._network(
                room, modulation[part], tuple(t[2 - room.frames :] for t in turns), ring, place
            )
            h = torch.empty_like(drawn)
            normalise_rms(drawn.numpy(), h.numpy(), finish[part][-b:], 0, self.width, self.tokens)
            x0 = self._cells(self.token_out(h), maps)
            keep = float(levels[i + 1] / levels[i])
            z = torch.lerp(x0, z, keep) if keep else x0
        for past in pasts:
            past.pending = False
        return z.permute(0, 3, 1, 2).contiguous()

    def _network(
        self, room: Workspace, modulation: Tensor, turns: tuple[np.ndarray, ...], ring: Ring, place: int
    ) -> Tensor:
        """All blocks over the tokens in the room; those of the noisy frames alone (B S, width)."""
        places = np.array([place, 0][2 - room.frames :])
        b, s, count = ring.batch, self.tokens, min(ring.count, self.window)
        if self.tiled is not None:
            transform(
                room.x_array,
                modulation.numpy(),
                *self.tiled,
                *turns,
                room.queries_array,
                *ring.whole,
                places,
                count,
            )
            return room.x[-b * s :]
        mask = ring_mask(room.frames, s, self.window, count)
        for i, block in enumerate(self.blocks):
            shift_scale = (modulation + block.bias).numpy()
            self._project_qkv(room, block, shift_scale, turns, *ring.arrays[i], places)
            if i == len(self.blocks) - 1 and room.frames == 2:
                # Of the frame that enters nothing is wanted any more but its keys and values.
                noisy = self._workspace(b, 1, 1 + self.window)
                noisy.x.copy_(room.x[len(noisy.x) :])
                noisy.queries.copy_(room.queries[:, s:])
                room, shift_scale, mask = noisy, shift_scale[b:], ring_mask(1, s, self.window, count)
            self._attend_mlp(room, block, shift_scale, *ring.flat[i], mask)
        return room.x[-b * s :]

    def _project_qkv(
        self,
        room: Workspace,
        block: Block,
        shift_scale: np.ndarray,
        turns: tuple[np.ndarray, ...],
        keys: np.ndarray,
        values: np.ndarray,
        places: np.ndarray,
    ) -> None:
        """A block's first half: queries into the room, keys and values into their places of a ring."""
        normalise_rms(room.x_array, room.h_array, shift_scale, 0, self.width, self.tokens)
        qkv = block.qkv(room.h)
        split_heads_rms(
            qkv.numpy(), block.query_norm, block.key_norm, *turns, room.queries_array, keys, values, places
        )

    def _attend_mlp(
        self,
        room: Workspace,
        block: Block,
        shift_scale: np.ndarray,
        keys: Tensor,
        values: Tensor,
        mask: Tensor,
    ) -> None:
        """A block's second half: attention and MLP, added to the tokens."""
        s, w = self.tokens, self.width
        torch.baddbmm(mask, room.queries, keys, out=room.logits)
        torch.softmax(room.logits, -1, out=room.probabilities)
        torch.bmm(room.probabilities, values, out=room.attended)
        room.h_by_head.copy_(room.attended_by_row)
        add_gated(room.x_array, block.out(room.h).numpy(), self.nothing, shift_scale, 2 * w, s)
        normalise_rms(room.x_array, room.h_array, shift_scale, 3 * w, 4 * w, s)
        up = block.up(room.h)
        silu(up.numpy())
        add_gated(room.x_array, block.down(up).numpy(), self.nothing, shift_scale, 5 * w, s)

    def _evidence_features(self, evidence: Tensor) -> Tensor:
        """What evidence (B, E, H, W) adds to cells: (B, h, w, .)."""
        cells = F.pixel_unshuffle(evidence, DOWNSAMPLING).permute(0, 2, 3, 1)
        b, h, w, c = cells.shape
        if not self.stem:
            return cells
        return self.evidence_in(cells.reshape(-1, c)).view(b, h, w, -1)

    def _tokens(self, cells: Tensor, features: Tensor) -> tuple[Tensor, Tensor | None]:
        """Latents (B, h, w, C) and what evidence adds to tokens (B S, width) and the stem's maps (B, h, w, .)."""
        maps: Tensor | None = None
        if self.stem:
            x = self.latents_in(cells) + features
            for first, second in self.before:
                x = x + second(first(x, silu=True), silu=True)
            maps = x
        else:
            x = torch.cat([cells, features], 3)
        (h, w), p = self.grid, self.patch
        y = x.reshape(len(x), h // p, p, w // p, p, -1).permute(0, 1, 3, 2, 4, 5)
        tokens = self.token_in(y.reshape(len(x) * self.tokens, -1))
        tokens.view(len(x), self.tokens, -1).add_(self.position)
        return tokens, maps

    def _cells(self, patches: Tensor, maps: Tensor | None) -> Tensor:
        """What comes out of tokens (B S, p p C') to latents (B, h, w, C)."""
        (h, w), p = self.grid, self.patch
        y = patches.view(-1, h // p, w // p, p, p, patches.shape[1] // p**2).permute(0, 1, 3, 2, 4, 5)
        x = y.reshape(-1, h, w, y.shape[-1])
        if maps is None:
            return x
        x = x + maps
        for first, second in self.after:
            x = x + second(first(x, silu=True), silu=True)
        return self.latents_out(x, silu=True).clone()

    def _conditions(self, controls: Tensor, levels: Tensor, strides: Tensor) -> Tensor:
        """Controls (n, K), levels (n,) and step sizes (n,) to (n, width)."""
        conditioning = self.control[1](F.silu(self.control[0](controls)))
        added = [
            self._level_and_stride(*pair) for pair in zip(levels.tolist(), strides.tolist(), strict=True)
        ]
        return F.silu(conditioning + torch.stack(added))

    def _level_and_stride(self, level: float, stride: float) -> Tensor:
        """What a level and a step size add to a condition (width,); a sampler has few of them, which are kept."""
        found = self._step_embeddings.get((level, stride))
        if found is None:
            at, size = torch.tensor([level, stride])
            found = self.level(embed(at)) + self.stride(embed(size))
            if len(self._step_embeddings) < LEVELS_KEPT:
                self._step_embeddings[level, stride] = found
        return found

    def _workspace(self, b: int, t: int, places: int) -> Workspace:
        key = b, t, places
        if key not in self._workspaces:
            self._workspaces[key] = Workspace(b, t, self.tokens, self.heads, self.width, places)
        return self._workspaces[key]
