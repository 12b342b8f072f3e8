"""What denoisers over frames of latent tokens share: who sees whom, and finished frames kept as keys and values.

Frames are (L, D) tokens, each frame at a noise level of its own. With temporal causal attention a token sees those of
its frame and of the frames before it, up to ``window`` frames in all; so frames that are clean and will not change any
more can be kept as keys and values, and only those that still change are computed (AR-Diffusion, sections 3.2 and A).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldsim.models.denoisers.layers import Attend, Cache
from worldsim.models.denoisers.protocol import DenoiserError


@dataclass
class FrameCache(Cache):
    """``travel`` (B, K): the sum of what steered all frames up to the newest one that is kept, where that is told."""

    travel: Tensor | None = None

    def newest(self, tokens: int) -> FrameCache:
        """What is kept of the last ``tokens`` tokens."""
        if tokens == 0:
            return FrameCache(travel=self.travel)
        keys, values = ([x[:, :, -tokens:] for x in some] for some in (self.keys, self.values))
        return FrameCache(keys, values, self.travel)


class TokenFrames(nn.Module):
    """A network over frames of tokens; its raw output is taken for x0, eps or v by the caller.

    Args:
        tokens, dim: L and D of the latents; control_dim: length K of a frame's control vector.
        window: frames that a token sees; ``causal`` false: of those before and behind it.
    """

    def __init__(self, tokens: int, dim: int, control_dim: int, window: int, causal: bool) -> None:
        super().__init__()
        self.tokens, self.dim, self.control_dim = tokens, dim, control_dim
        self.window, self.causal = window, causal

    def held(self, cache: Cache | None) -> int:
        """Frames that a cache keeps."""
        return cache.keys[0].shape[2] // self.tokens if cache is not None and cache.keys else 0

    def attention(
        self, block: int, cache: Cache | None, held: int, finished: int, mask: Tensor | None
    ) -> Attend:
        """What a block attends with: to the frames of the cache too, which the first ``finished`` frames enter."""
        s = self.tokens

        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys, values = (k, v) if cache is None else cache.before(block, k, v, held * s)
            if cache is not None and finished and self.window > 1:
                limit = (self.window - 1) * s
                cache.extend(block, k[:, :, : finished * s], v[:, :, : finished * s], limit)
            return F.scaled_dot_product_attention(q, keys, values, attn_mask=mask)

        return attend

    def mask(self, held: int, count: int, device: torch.device) -> Tensor | None:
        """Which tokens see which: (T L, (held + T) L) bool, queries first; None where all see all."""
        causal, window = self.causal, self.window
        if held + count <= window and (count == 1 or not causal):
            return None
        back = held + torch.arange(count, device=device)[:, None] - torch.arange(held + count, device=device)
        mask = (back.abs() < window) & (back >= 0) if causal else back.abs() < window
        return mask.repeat_interleave(self.tokens, 0).repeat_interleave(self.tokens, 1)

    def check(self, z: Tensor, level: Tensor, control: Tensor, cache: Cache | None) -> None:
        """Whether these are what the network was built for.

        Raises:
            DenoiserError: they are not.
        """
        if z.dim() != 4 or z.shape[2:] != (self.tokens, self.dim):
            raise DenoiserError(
                f"expected latents (B, T, {self.tokens}, {self.dim}), found {(*z.shape,)}; "
                "build the denoiser with the autoencoder's tokens"
            )
        if level.shape != z.shape[:2]:
            raise DenoiserError(
                f"expected one noise level a frame, {(*z.shape[:2],)}, found {(*level.shape,)}"
            )
        if control.shape != (*z.shape[:2], self.control_dim):
            raise DenoiserError(
                f"expected control {(*z.shape[:2], self.control_dim)}, found {(*control.shape,)}; "
                "give each frame the action that led to it"
            )
        if cache is not None and not self.causal:
            raise DenoiserError("finished frames can be kept under causal attention only; give no cache")
