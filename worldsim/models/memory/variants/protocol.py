"""What memory is made of: references, compressors and ways into the denoiser, each known by its name.

A new variant is one file of this package with a class under :func:`way` or :func:`compressor`;
:mod:`worldsim.models.memory.variants.registry` finds it there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from worldsim.models.denoisers.protocol import Denoiser


class MemoryVariantError(ValueError):
    """A memory variant that does not exist or cannot be built or used as asked."""


@dataclass
class MemoryVariantConfig:
    """Which way into the denoiser and which compression (section 6.1), and the size of their small transformers.

    ``travel``: whether they are told how far the actions between a remembered frame and the window add up to.
    """

    way: str = "prepend"
    compressor: str = "none"
    width: int = 64
    depth: int = 2
    heads: int = 4
    patch: int = 2
    travel: bool = False

    def __post_init__(self) -> None:
        if min(self.width, self.depth, self.heads, self.patch) < 1 or self.width % (2 * self.heads):
            raise MemoryVariantError(
                f"expected width, depth, heads and patch of at least 1 and a width that 2 x {self.heads} heads "
                f"divide, found width {self.width}, depth {self.depth} and patch {self.patch}; change one of them"
            )


@dataclass
class References:
    """Past frames that a step may see, oldest first: the frames of R_i (Algorithm 3).

    latents (B, M, C, h, w), actions (B, M, A) that led to each frame, level (B, M) each was disturbed to, and valid
    (B, M) bool: the others are padding. M may be 0. ``travel`` (B, M, A), where a model asks for it, is the sum of all
    actions up to each frame, those of frames between that are no reference too, less the sum up to the window.
    """

    latents: Tensor
    actions: Tensor
    level: Tensor
    valid: Tensor
    travel: Tensor | None = None
    cache: Any = field(default=None, repr=False, compare=False)
    """What a denoiser keeps of them between the calls of a step, where no gradient is wanted."""

    def __len__(self) -> int:
        return self.latents.shape[1]

    @staticmethod
    def none(z: Tensor, action_dim: int) -> References:
        """No past at all, for a window like z (B, w, C, h, w)."""
        b = len(z)
        return References(
            z[:, :0], z.new_zeros(b, 0, action_dim), z.new_zeros(b, 0), z.new_zeros(b, 0, dtype=torch.bool)
        )

    def newest(self, count: int) -> References:
        """The last ``count`` of them, all if there are fewer: the dial ``history``."""
        first = max(0, len(self) - count)
        return self.mapped(lambda x: x[:, first:])

    def mapped(self, change: Callable[[Tensor], Tensor]) -> References:
        """The same change of every tensor."""
        tensors = (self.latents, self.actions, self.level, self.valid, self.travel)
        return References(*(x if x is None else change(x) for x in tensors))  # type: ignore[arg-type]

    def packed(self) -> References:
        """The same past with the padding first, and none of it that every row of the batch has.

        So it does not matter where padding lies, and a past of nothing but padding is no past.
        """
        if len(self) == 0 or bool(self.valid.all()):
            return self
        order = self.valid.long().argsort(dim=1, stable=True)  # (B, M), valid ones last and in order
        row = torch.arange(len(order), device=order.device)[:, None]
        order = order[:, len(self) - int(self.valid.sum(1).max()) :]
        return self.mapped(lambda x: x[row, order])


class Compressor(Protocol):
    """Past frames and their actions to at most ``budget`` of each (section 6.1, Figure 6)."""

    def forward(
        self, frames: Tensor, actions: Tensor, valid: Tensor, budget: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Keep the last min(budget, M) of frames (B, M, C, h, w), actions (B, M, A) and valid (B, M)."""
        ...

    def __call__(
        self, frames: Tensor, actions: Tensor, valid: Tensor, budget: int, **travel: Any
    ) -> tuple[Tensor, Tensor, Tensor]:
        """:meth:`forward`, as torch calls it."""
        ...


class Way(Protocol):
    """How the (compressed) past meets the window (section 6.1, Figure 5).

    A way or a compressor of a configuration with ``travel`` takes one more argument of that name: sums of actions up to
    each frame of the window, (B, w, A), of the past (B, M, A), from the same origin.
    """

    compressors: tuple[str, ...]  # the compressions that go with it
    control_dim: int  # length of the control vectors that the denoiser gets
    beside_channels: int  # channels that it puts beside the latents
    memory_width: int  # width of the tokens that it gives to cross attention

    def forward(
        self, denoiser: Denoiser, z: Tensor, level: Tensor, actions: Tensor, past: References
    ) -> Tensor:
        """Denoise a window, given its past.

        Args:
            z: (B, w, C, h, w); level: (B, w); actions: (B, w, A), the action that led to each frame.

        Returns:
            the denoiser's raw output for the window (B, w, C, h, w). Without a valid past it is exactly
            ``denoiser(z, level, actions)``.
        """
        ...

    def __call__(
        self, denoiser: Denoiser, z: Tensor, level: Tensor, actions: Tensor, past: References, **travel: Any
    ) -> Tensor:
        """:meth:`forward`, as torch calls it."""
        ...


WAYS: dict[str, Any] = {}
COMPRESSORS: dict[str, Any] = {}
K = TypeVar("K", bound=type)


def way(name: str, compressors: tuple[str, ...]) -> Callable[[K], K]:
    """Make a class known as the way ``name``, built as ``Class(config, channels, action_dim, grid)``."""

    def register(cls: K) -> K:
        cls.compressors = compressors  # type: ignore[attr-defined]
        WAYS[name] = cls
        return cls

    return register


def compressor(name: str, ways: tuple[str, ...] = ()) -> Callable[[K], K]:
    """Make a class known as the compressor ``name``, built as ``Class(config, channels, action_dim, grid)``.

    It goes with the ways that name it, and with those in ``ways``.
    """

    def register(cls: K) -> K:
        cls.ways = ways  # type: ignore[attr-defined]
        COMPRESSORS[name] = cls
        return cls

    return register


def travel_for(module: object, travel: Tensor | None) -> dict[str, Tensor]:
    """The sums of actions as a denoiser or a compressor takes them, where it does."""
    return {} if travel is None or not getattr(module, "travels", False) else {"travel": travel}


def compress(by: Compressor, past: References, budget: int) -> References:
    """Compress references once, before the steps of denoising that look at them.

    Raises:
        MemoryVariantError: a budget below 1.
    """
    if budget < 1:
        raise MemoryVariantError(
            f"expected a budget of at least 1 latent, found {budget}; for no memory at all give no references"
        )
    past = past.packed()
    if len(past) == 0:
        return past
    extra = travel_for(by, past.travel)
    latents, actions, valid = by(past.latents, past.actions, past.valid, budget, **extra)
    first = len(past) - latents.shape[1]
    travel = None if past.travel is None else past.travel[:, first:]
    return References(latents, actions, past.level[:, first:], valid, travel)
