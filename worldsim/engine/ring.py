"""Keys and values of the last clean frames in one place: a new frame takes that of the oldest, nothing is moved."""

from __future__ import annotations

import torch
from torch import Tensor

from worldsim.denoisers.layers import Cache


class Ring:
    """Of ``batch`` dreams that step together.

    ``memory`` (depth, B, 1 + window, S, 2, heads, head): keys and values of every block; place 0 is the noisy frame's,
    the others are taken in turn. Which of them is the oldest does not matter: rotary angles tell keys their time.
    ``count``: clean frames that ever came in.
    """

    def __init__(self, depth: int, batch: int, window: int, tokens: int, heads: int, head: int) -> None:
        self.memory = torch.zeros(depth, batch, 1 + window, tokens, 2, heads, head)
        self.window, self.count = window, 0

    @property
    def batch(self) -> int:
        """Dreams."""
        return self.memory.shape[1]

    @property
    def place(self) -> int:
        """Where the next clean frame goes."""
        return 1 + self.count % self.window

    @property
    def places(self) -> int:
        """Places in use, the noisy frame's among them."""
        return 1 + min(self.count, self.window)

    def frames(self) -> list[int]:
        """The places of the clean frames, from the oldest to the newest."""
        n = self.places - 1
        oldest = self.count % self.window if n == self.window else 0
        return [1 + (oldest + i) % self.window for i in range(n)]

    @classmethod
    def joined(cls, rows: list[tuple[Ring, int]]) -> Ring:
        """One ring of several dreams that have equally many frames, each given as a ring and its row there."""
        depth, _, places, tokens, _, heads, head = rows[0][0].memory.shape
        ring = cls(depth, len(rows), places - 1, tokens, heads, head)
        for i, (other, row) in enumerate(rows):
            frames = other.frames()
            ring.memory[:, i, 1 : 1 + len(frames)] = other.memory[:, row, frames]
            ring.count = len(frames)
        return ring

    @classmethod
    def of(cls, cache: Cache, window: int, tokens: int, order: Tensor) -> Ring:
        """The plain cache of one dream; ``order`` (head,) is that in which this ring's keys hold their entries."""
        depth = len(cache.keys)
        _, heads, length, head = cache.keys[0].shape
        count = min(length // tokens, window)
        ring = cls(depth, 1, window, tokens, heads, head)
        for i in range(depth):
            for j, values in enumerate((cache.keys[i][..., order], cache.values[i])):
                kept = values[0, :, -count * tokens :].unflatten(1, (count, tokens))  # (heads, n, S, head)
                ring.memory[i, 0, 1 : 1 + count, :, j] = kept.permute(1, 2, 0, 3)
        ring.count = count
        return ring

    def plain(self, row: int, order: Tensor) -> Cache:
        """The inverse of :meth:`of` for one dream: its clean frames from the oldest to the newest."""
        kept = (
            self.memory[:, row, self.frames()].permute(3, 0, 4, 1, 2, 5).flatten(3, 4)
        )  # (2, depth, heads, n S, head)
        back = order.argsort()
        return Cache([k[None][..., back] for k in kept[0]], [v[None] for v in kept[1]])
