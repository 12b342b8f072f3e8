"""One denoising step of a frame over a ring of keys and values, as a function of tensors of fixed shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldsim.engine.compiled.lowering import lowered
from worldsim.models.denoisers.causal_dit import CausalDiT
from worldsim.models.denoisers.generator import Generator
from worldsim.models.denoisers.layers import Attend

HIDDEN = -1e4
"""Added to the logit of what is not to be seen; finite, since some libraries make nan of what is not."""


def hidden_places(frames: int, window: int, count: int, place: int) -> Tensor:
    """Added to attention over the places of a ring (frames, window): HIDDEN where one is empty.

    Args:
        count: clean frames in the ring, the one at ``place`` among them where one enters.
        place: of the frame that enters, counted from 1, whose old keys nobody sees; 0 where none does.
    """
    mask = torch.zeros(frames, window)
    mask[:, min(count, window) :] = HIDDEN
    if place:
        mask[:, place - 1] = HIDDEN
    return mask


class _Ringed(nn.Module):
    """Attention of T new frames over a ring and themselves; of two the first, which enters, does not see the second."""

    among: Tensor

    def __init__(self, tokens: int, enters: bool, products: torch.dtype) -> None:
        super().__init__()
        self.tokens, self.enters, self.products = tokens, enters, products
        t = 1 + enters
        among = torch.zeros(t, t).masked_fill(torch.ones(t, t).triu(1).bool(), HIDDEN)
        self.register_buffer("among", among, persistent=False)

    def attends(
        self, keys: Tensor, values: Tensor, hidden: Tensor
    ) -> tuple[Callable[[int], Attend], list[Tensor], list[Tensor]]:
        """How block i attends, and where the keys and values of the frame that enters will lie, block by block.

        keys, values: (depth, B, heads, 1 + window, S, head) of a ring, whose place 0 is not read; hidden: (T, window).
        """
        s, t = self.tokens, len(hidden)
        mask = torch.cat([hidden, self.among], 1)  # (T, window + T)
        mask = mask[:, None, :, None].expand(-1, s, -1, s).reshape(t * s, -1).to(self.products)
        new_keys: list[Tensor] = []
        new_values: list[Tensor] = []

        def attend_in(i: int) -> Attend:
            def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
                if self.enters:
                    new_keys.append(k[:, :, :s].float())
                    new_values.append(v[:, :, :s].float())
                all_keys = torch.cat([keys[i, :, :, 1:].flatten(2, 3), k], 2).to(self.products)
                all_values = torch.cat([values[i, :, :, 1:].flatten(2, 3), v], 2).to(self.products)
                y = F.scaled_dot_product_attention(q.to(self.products), all_keys, all_values, attn_mask=mask)
                return y.float()

            return attend

        return attend_in, new_keys, new_values

    def turns(self, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
        """Angles (T, head / 2) of frames as those of their tokens (T S, head / 2)."""
        each = (x[:, None].expand(-1, self.tokens, -1).flatten(0, 1) for x in (cos, sin))
        return next(each), next(each)


class GeneratorStep(_Ringed):
    """One denoising step of a generator; where a frame ``enters``, it is computed in the same pass."""

    def __init__(self, generator: Generator, enters: bool, products: torch.dtype = torch.float32) -> None:
        super().__init__(generator.tokens, enters, products)
        self.net = cast(Generator, lowered(generator, products))

    def forward(
        self,
        latents: Tensor,
        level: Tensor,
        control: Tensor,
        evidence: Tensor,
        stride: Tensor,
        keep: Tensor,
        cos: Tensor,
        sin: Tensor,
        keys: Tensor,
        values: Tensor,
        hidden: Tensor,
    ) -> tuple[Tensor, ...]:
        """T frames, the noisy one last.

        Args:
            latents: (B, T, C, h, w); level, stride: (B, T); control: (B, T, K); evidence: (B, T, SEEN, H, W).
            keep: (B,), the next level over this one; cos, sin: (T, head / 2); keys, values, hidden: :meth:`attends`.

        Returns:
            the noisy frame at the next level (B, C, h, w); where a frame enters also its keys and values
            (depth, B, heads, S, head).
        """
        net = self.net
        condition = net.condition(level, control, stride)
        x, maps = net.tokens_of(latents, evidence)
        modulation, turns = net.modulation(condition), self.turns(cos, sin)
        attend_in, new_keys, new_values = self.attends(keys, values, hidden)
        for i, block in enumerate(net.blocks):
            x = block(x, modulation, turns, attend_in(i))
        if maps is not None:
            maps = maps.unflatten(0, latents.shape[:2])[:, -1]
        x0 = net.latents_of(x[:, -1:], condition[:, -1:], maps)[:, 0].float()
        return _advanced(latents[:, -1], x0, keep, new_keys, new_values)


class DenoiserStep(_Ringed):
    """One denoising step of a causal DiT, as :class:`GeneratorStep`; ``read`` (B, E, h, w) begins with the guess."""

    def __init__(self, dit: CausalDiT, enters: bool, products: torch.dtype = torch.float32) -> None:
        super().__init__(dit.tokens, enters, products)
        self.net = cast(CausalDiT, lowered(dit, products))

    def forward(
        self,
        latents: Tensor,
        level: Tensor,
        control: Tensor,
        read: Tensor,
        keep: Tensor,
        cos: Tensor,
        sin: Tensor,
        keys: Tensor,
        values: Tensor,
        hidden: Tensor,
    ) -> tuple[Tensor, ...]:
        """See :meth:`GeneratorStep.forward`."""
        net = self.net
        x = net._embed(latents[:, -1:], read[:, None], 1)
        if self.enters:
            x = torch.cat([net._embed(latents[:, :1], None, 0), x], 1)
        condition, turns = net._condition(level, control), self.turns(cos, sin)
        attend_in, new_keys, new_values = self.attends(keys, values, hidden)
        for i, block in enumerate(net.blocks):
            x = block(x, condition, turns, attend_in(i))
        x0 = read[:, : net.channels] + net._finish(x[:, -1:], condition[:, -1:])[:, 0]
        return _advanced(latents[:, -1], x0, keep, new_keys, new_values)


def _advanced(
    z: Tensor, x0: Tensor, keep: Tensor, new_keys: list[Tensor], new_values: list[Tensor]
) -> tuple[Tensor, ...]:
    following = x0 + keep[:, None, None, None] * (z - x0)
    return (following, torch.stack(new_keys), torch.stack(new_values)) if new_keys else (following,)
