"""A causal diffusion transformer over latent frames; past frames are clean context, cached as keys and values.

Training sees a clip twice in one pass, a clean copy and a noisy copy: clean frame i sees the ``window`` clean frames
that end with it, noisy frame i sees itself and the ``window`` clean frames before it. So every frame of a clip is a
target, and playing, which adds one clean frame at a time, computes exactly what training computed.

The same blocks also make a denoiser of the common protocol (``forward``): one copy, a level for each frame.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldsim.config import DenoiserConfig
from worldsim.models.denoisers.layers import (
    Block,
    Cache,
    CrossAttention,
    frames_seen,
    level_embedding,
    rotary,
)
from worldsim.models.denoisers.protocol import check_inputs

MOTION_FEATURES = 6


class CausalDiT(nn.Module):
    """Predicts clean latents of each frame from its noisy latents, its context and what was read from memory.

    Args:
        channels, grid: of the latents; extra: channels put beside them.
        action_dim: the control vector is the action and its motion, action_dim + MOTION_FEATURES long, unless
            ``control_dim`` gives another length.
        memory_width: width of the tokens of cross attention; 0 builds none.
        causal: whether :meth:`forward` lets a frame see only the frames up to it.
    """

    def __init__(
        self,
        config: DenoiserConfig,
        channels: int,
        extra: int,
        grid: tuple[int, int],
        action_dim: int,
        *,
        control_dim: int | None = None,
        memory_width: int = 0,
        causal: bool = True,
    ) -> None:
        super().__init__()
        self.control_dim = action_dim + MOTION_FEATURES if control_dim is None else control_dim
        self.beside_channels, self.memory_width, self.causal = extra, memory_width, causal
        width, p = config.width, config.patch
        self.window, self.patch, self.channels, self.extra, self.grid = (
            config.window,
            p,
            channels,
            extra,
            grid,
        )
        self.heads = config.heads
        self.tokens = (grid[0] // p) * (grid[1] // p)
        self.inside = nn.Linear((channels + extra) * p * p, width)
        self.position = nn.Parameter(0.02 * torch.randn(self.tokens, width))
        self.kind = nn.Parameter(0.02 * torch.randn(2, width))  # clean, noisy
        self.level = nn.Sequential(nn.Linear(128, width), nn.SiLU(), nn.Linear(width, width))
        self.control = nn.Sequential(nn.Linear(self.control_dim, width), nn.SiLU(), nn.Linear(width, width))
        self.blocks = nn.ModuleList(Block(width, config.heads) for _ in range(config.depth))
        self.modulate = nn.Linear(width, 2 * width)
        self.outside = nn.Linear(width, channels * p * p)
        for layer in (self.modulate, self.outside):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        if memory_width:
            self.across = nn.ModuleList(
                CrossAttention(width, config.heads, memory_width) for _ in range(config.depth)
            )
        self._masks: dict[tuple[int, str], Tensor] = {}

    def _patchify(self, x: Tensor) -> Tensor:
        """(B, T, C, h, w) to (B, T, tokens, C p p), tokens row by row."""
        b, t, c, h, w = x.shape
        p = self.patch
        x = x.reshape(b, t, c, h // p, p, w // p, p)
        return x.permute(0, 1, 3, 5, 2, 4, 6).reshape(b, t, self.tokens, c * p * p)

    def _unpatchify(self, x: Tensor) -> Tensor:
        """(B, T, tokens, C p p) to (B, T, C, h, w): the inverse of :meth:`_patchify`."""
        b, t = x.shape[:2]
        p, (h, w) = self.patch, self.grid
        x = x.reshape(b, t, h // p, w // p, self.channels, p, p)
        return x.permute(0, 1, 4, 2, 5, 3, 6).reshape(b, t, self.channels, h, w)

    def _embed(self, z: Tensor, read: Tensor | None, kind: int) -> Tensor:
        if read is None:
            read = z.new_zeros(*z.shape[:2], self.extra, *z.shape[3:])
        x = self.inside(self._patchify(torch.cat([z, read], 2)))
        return cast(Tensor, x + self.position + self.kind[kind])

    def _condition(self, level: Tensor, control: Tensor) -> Tensor:
        return F.silu(self.level(level_embedding(level)) + self.control(control))

    def _turn(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Rotary angles of every token of frames (T,)."""
        head = self.position.shape[1] // self.heads
        return rotary(frames.repeat_interleave(self.tokens), head)

    def _finish(self, x: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.modulate(condition)[:, :, None].chunk(2, -1)
        return self._unpatchify(self.outside(F.layer_norm(x, x.shape[-1:]) * (1 + scale) + shift))

    def _mask(self, length: int, device: torch.device) -> Tensor:
        """Who sees whom around each frame of a clip: (L, 1, 2 S, (window + 2) S) bool.

        Queries are the frame's clean and noisy tokens; keys the clean frames i - window ... i, then the noisy frame i.
        """
        key = (length, str(device))
        if key not in self._masks:
            w = self.window
            back = torch.arange(-w, 1)  # of the clean keys, relative to the frame
            exists = torch.arange(length)[:, None] + back >= 0  # (L, w + 1)
            no = torch.zeros(length, 1, dtype=torch.bool)
            clean = torch.cat([exists & (back > -w), no], 1)
            noisy = torch.cat([exists & (back < 0), ~no], 1)
            frames = torch.stack([clean, noisy], 1)  # (L, 2, w + 2)
            mask = frames.repeat_interleave(self.tokens, 1).repeat_interleave(self.tokens, 2)
            self._masks[key] = mask[:, None].to(device)
        return self._masks[key]

    def _attend_in_clip(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attention of a clip's clean and noisy copies (B, heads, 2 L S, head), over the window only."""
        b, heads, n, head = q.shape
        s, w = self.tokens, self.window
        length = n // (2 * s)

        def around(x: Tensor) -> Tensor:
            x = x.view(b, heads, 2, length, s, head)
            clean = F.pad(x[:, :, 0], (0, 0, 0, 0, w, 0))  # (B, heads, w + L, S, head)
            parts = [clean[:, :, i : i + length] for i in range(w + 1)]
            # (B L, heads, (w + 2) S, head)
            return torch.cat([*parts, x[:, :, 1]], 3).transpose(1, 2).flatten(0, 1)

        mine = (
            q.view(b, heads, 2, length, s, head)
            .permute(0, 3, 1, 2, 4, 5)
            .reshape(b * length, heads, 2 * s, head)
        )
        mask = self._mask(length, q.device).repeat(b, 1, 1, 1)
        y = F.scaled_dot_product_attention(mine, around(k), around(v), attn_mask=mask)
        return y.view(b, length, heads, 2, s, head).permute(0, 2, 3, 1, 4, 5).reshape(b, heads, n, head)

    def forward(
        self,
        z: Tensor,
        level: Tensor,
        control: Tensor,
        *,
        beside: Tensor | None = None,
        memory: Tensor | None = None,
        valid: Tensor | None = None,
        memory_valid: Tensor | None = None,
    ) -> Tensor:
        """The raw output (B, T, C, h, w) for all frames; see :meth:`.Denoiser.forward`.

        Every frame counts as a noisy one, also at level 0, so a single frame is what :meth:`denoise` makes of it
        with nothing cached. A frame sees all frames up to it (all of them, if not ``causal``), not just ``window``.
        """
        check_inputs(self, z, level, control, beside, memory)
        count = z.shape[1]
        if count == 0:
            return z
        x = self._embed(z, beside, 1)
        condition = self._condition(level, control)
        # Counted from the window's end, so that a frame keeps its place whatever memory lies before it.
        turn = self._turn(torch.arange(-count, 0, device=z.device))
        mask = frames_seen(count, valid, self.causal, z.device)
        if mask is not None:
            mask = mask.repeat_interleave(self.tokens, 1).repeat_interleave(self.tokens, 2)[:, None]

        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)

        for i, block in enumerate(self.blocks):
            x = block(x, condition, turn, attend)
            if memory is not None and self.memory_width:
                x = x + self.across[i](x.flatten(1, 2), memory, memory_valid).view_as(x)
        return self._finish(x, condition)

    def clip(
        self,
        clean: Tensor,
        noisy: Tensor,
        clean_level: Tensor,
        noisy_level: Tensor,
        control: Tensor,
        read: Tensor,
    ) -> Tensor:
        """Denoise every frame of a clip against the clean frames before it.

        Args:
            clean, noisy: (B, L, C, h, w); clean_level, noisy_level: (B, L).
            control: (B, L, A + MOTION_FEATURES), each frame's leading action and motion.
            read: (B, L, extra, h, w), what each frame read from memory.

        Returns:
            the network's output for the noisy frames (B, L, C, h, w).
        """
        length = clean.shape[1]
        x = torch.cat([self._embed(clean, None, 0), self._embed(noisy, read, 1)], 1)
        condition = self._condition(
            torch.cat([clean_level, noisy_level], 1), torch.cat([control, control], 1)
        )
        turn = self._turn(torch.arange(length, device=clean.device).repeat(2))
        for block in self.blocks:
            x = block(x, condition, turn, self._attend_in_clip)
        return self._finish(x[:, length:], condition[:, length:])

    def denoise(
        self, z: Tensor, level: Tensor, control: Tensor, read: Tensor, cache: Cache, frame: int
    ) -> Tensor:
        """The network's output for one noisy frame (B, 1, C, h, w) after the cached ones."""
        x = self._embed(z, read, 1)
        condition = self._condition(level, control)
        turn = self._turn(torch.tensor([frame], device=z.device))
        for i, block in enumerate(self.blocks):

            def attend(q: Tensor, k: Tensor, v: Tensor, i: int = i) -> Tensor:
                return F.scaled_dot_product_attention(q, *cache.before(i, k, v))

            x = block(x, condition, turn, attend)
        return self._finish(x, condition)

    def commit(self, z: Tensor, level: Tensor, control: Tensor, cache: Cache, frame: int) -> None:
        """Add clean frames (B, n, C, h, w), the first of index ``frame``, to the context."""
        self._extend(self._embed(z, None, 0), self._condition(level, control), z.shape[1], cache, frame)

    def advance(
        self,
        clean: tuple[Tensor, Tensor, Tensor],
        noisy: tuple[Tensor, Tensor, Tensor],
        read: Tensor,
        cache: Cache,
        frame: int,
    ) -> Tensor:
        """:meth:`commit` of one frame and :meth:`denoise` of the next in one pass, which costs little more than one.

        Args:
            clean, noisy: latents (B, 1, C, h, w), levels (B, 1) and control (B, 1, K) of the frame to be committed, of
                index ``frame``, and of the one after it; read: (B, 1, extra, h, w), for the noisy one.
        """
        x = torch.cat([self._embed(clean[0], None, 0), self._embed(noisy[0], read, 1)], 1)
        condition = self._condition(torch.cat([clean[1], noisy[1]], 1), torch.cat([clean[2], noisy[2]], 1))
        x = self._extend(x, condition, 1, cache, frame)
        return self._finish(x[:, 1:], condition[:, 1:])

    def _extend(self, x: Tensor, condition: Tensor, clean: int, cache: Cache, frame: int) -> Tensor:
        """Tokens (B, T, S, width) of ``clean`` clean frames and perhaps a noisy one; the clean ones enter the cache."""
        s, w = self.tokens, self.window
        turn = self._turn(torch.arange(frame, frame + x.shape[1], device=x.device))
        cached = min(cache.keys[0].shape[2] // s, w - 1) if cache.keys else 0
        # A clean frame sees window - 1 earlier ones and itself; a noisy one sees window earlier ones.
        mask = None
        if x.shape[1] > 1:
            place = cached + torch.arange(x.shape[1])[:, None]
            back = place - torch.arange(cached + x.shape[1])
            noisy = place == cached + clean
            frames = (back >= 0) & (back < w + noisy.long())
            mask = frames.repeat_interleave(s, 0).repeat_interleave(s, 1).to(x.device)
        for i, block in enumerate(self.blocks):

            def attend(q: Tensor, k: Tensor, v: Tensor, i: int = i) -> Tensor:
                keys, values = cache.before(i, k, v, (w - 1) * s)
                cache.extend(i, k[:, :, : clean * s], v[:, :, : clean * s], w * s)
                return F.scaled_dot_product_attention(q, keys, values, attn_mask=mask)

            x = block(x, condition, turn, attend)
        return x
