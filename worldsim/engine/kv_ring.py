"""Keys and values of the last clean frames in one place: a new frame takes that of the oldest, nothing is moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from worldsim.models.denoisers.layers import Cache

if TYPE_CHECKING:
    from worldsim.engine.past import DreamPast


@dataclass
class RingRow:
    """One dream's part of a ring, as it lies there: keys and values (depth, heads, 1 + window, S, head)."""

    keys: Tensor
    values: Tensor
    count: int

    def ring(self) -> Ring:
        """A ring of this dream alone, with every frame in its place."""
        depth, heads, places, tokens, head = self.keys.shape
        made = Ring(depth, 1, heads, places - 1, tokens, head, self.keys.device)
        made.keys[:, 0], made.values[:, 0], made.count = self.keys, self.values, self.count
        return made


class Ring:
    """Of ``batch`` dreams that step together.

    ``keys`` and ``values`` (depth, B, heads, 1 + window, S, head) of every block; place 0 is the noisy frame's, the
    others are taken in turn. Which of them is the oldest does not matter: rotary angles tell keys their time.
    ``count``: clean frames that ever came in.
    """

    def __init__(
        self,
        depth: int,
        batch: int,
        heads: int,
        window: int,
        tokens: int,
        head: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self.keys = torch.zeros(depth, batch, heads, 1 + window, tokens, head, device=device)
        self.values = torch.zeros_like(self.keys)
        self.window, self.count = window, 0

    @cached_property
    def arrays(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The same memory, as numba reads it, block by block; on a CPU."""
        return [(k.numpy(), v.numpy()) for k, v in zip(self.keys, self.values, strict=True)]

    @cached_property
    def whole(self) -> tuple[np.ndarray, np.ndarray]:
        """The same memory (depth, B, heads, 1 + window, S, head), as numba reads it; on a CPU."""
        return self.keys.numpy(), self.values.numpy()

    @cached_property
    def flat(self) -> list[tuple[Tensor, Tensor]]:
        """The same memory, as attention reads it: (B heads, head, places S) and (B heads, places S, head) a block."""
        return [
            (k.flatten(2, 3).flatten(0, 1).transpose(1, 2), v.flatten(2, 3).flatten(0, 1))
            for k, v in zip(self.keys, self.values, strict=True)
        ]

    @property
    def batch(self) -> int:
        """Dreams."""
        return self.keys.shape[1]

    def frames(self) -> list[int]:
        """The places of the clean frames, from the oldest to the newest."""
        n = min(self.count, self.window)
        oldest = self.count % self.window if n == self.window else 0
        return [1 + (oldest + i) % self.window for i in range(n)]

    def take(self) -> int:
        """The place of a new clean frame."""
        self.count += 1
        return 1 + (self.count - 1) % self.window

    @classmethod
    def joined(cls, rows: list[tuple[Ring, int]]) -> Ring:
        """One ring of several dreams that have equally many frames, each given as a ring and its row there."""
        depth, _, heads, places, tokens, head = rows[0][0].keys.shape
        ring = cls(depth, len(rows), heads, places - 1, tokens, head, rows[0][0].keys.device)
        if len({other.count for other, _ in rows}) == 1:  # as they lie: sums over places keep their order
            for i, (other, row) in enumerate(rows):
                ring.keys[:, i], ring.values[:, i] = other.keys[:, row], other.values[:, row]
            ring.count = rows[0][0].count
            return ring
        for i, (other, row) in enumerate(rows):
            frames = other.frames()
            ring.keys[:, i, :, 1 : 1 + len(frames)] = other.keys[:, row][:, :, frames]
            ring.values[:, i, :, 1 : 1 + len(frames)] = other.values[:, row][:, :, frames]
            ring.count = len(frames)
        return ring

    @classmethod
    def of(cls, pasts: Sequence[DreamPast]) -> Ring:
        """The ring whose rows are exactly these dreams', made where they come from several."""
        rows: list[tuple[Ring, int]] = [past.kept.context for past in pasts]
        ring = rows[0][0]
        if ring.batch != len(rows) or any(r is not ring or i != j for j, (r, i) in enumerate(rows)):
            ring = cls.joined(rows)
            for i, past in enumerate(pasts):
                past.kept.context = ring, i
        return ring

    @classmethod
    def filled(
        cls,
        cache: Cache,
        window: int,
        tokens: int,
        depth: int,
        heads: int,
        head: int,
        device: torch.device | str,
    ) -> Ring:
        """A ring of one dream with the frames that the plain denoiser has cached, the inverse of :meth:`plain`."""
        ring = cls(depth, 1, heads, window, tokens, head, device)
        for i, (keys, values) in enumerate(zip(cache.keys, cache.values, strict=True)):
            n = ring.count = keys.shape[2] // tokens
            ring.keys[i, :, :, 1 : 1 + n] = keys.unflatten(2, (n, tokens))
            ring.values[i, :, :, 1 : 1 + n] = values.unflatten(2, (n, tokens))
        return ring

    def row(self, row: int) -> RingRow:
        """A copy of one dream's part."""
        return RingRow(self.keys[:, row].clone(), self.values[:, row].clone(), self.count)

    def plain(self, row: int) -> Cache:
        """The clean frames of one dream, from the oldest to the newest, as the plain denoiser caches them."""
        frames = self.frames()
        keys, values = (x[:, row][:, :, frames].flatten(2, 3) for x in (self.keys, self.values))
        return Cache([k[None] for k in keys], [v[None] for v in values])


@lru_cache(64)
def ring_mask(t: int, tokens: int, window: int, count: int) -> Tensor:
    """Added to attention (T S, places S) over a ring with ``count`` clean frames: nobody sees places still empty.

    Of T = 2 frames the first, which enters, does not see the noisy one, in place 0.
    """
    mask = torch.zeros(t, tokens, 1 + window, tokens)
    mask[:, :, 1 + count :] = -torch.inf
    mask[: t - 1, :, 0] = -torch.inf
    return mask.view(t * tokens, -1)


@lru_cache(4)
def causal_mask(n: int, tokens: int, window: int) -> Tensor:
    """Added to attention (n S, n S) among n frames, each of which sees itself and the ``window`` - 1 before it."""
    ago = torch.arange(n)[:, None] - torch.arange(n)
    mask = ((ago >= 0) & (ago < window)).repeat_interleave(tokens, 0).repeat_interleave(tokens, 1)
    return torch.zeros(n * tokens, n * tokens).masked_fill(~mask, -torch.inf)


def rotary_turns(frames: np.ndarray, frequencies: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines (n, head / 2) of frames' rotary angles; indices (n,)."""
    angles = frames[:, None] * frequencies  # float64: frame 10,000 is as exact as 10
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
