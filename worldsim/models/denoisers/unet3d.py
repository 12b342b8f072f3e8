"""The 3-D U-Net of Meta-ARVDM (section 6.1): ResNet blocks with spatial and temporal attention, down and up.

Convolutions and norms look at one frame each, attention over time at one cell each, so the temporal axis may have
any length, and a frame that does not exist touches nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldsim.models.denoisers.layers import CrossAttention, frames_seen, level_embedding, rotary, rotate
from worldsim.models.denoisers.protocol import DenoiserError, check_inputs

GROUPS = 8  # of every group norm


@dataclass
class UNet3DConfig:
    """One width per level, four in the paper; ``halve[i]`` halves the resolution between levels i and i + 1.

    8x8 latents bear few halvings, so most levels keep their resolution. The paper leaves its widths unsaid;
    [64, 128, 256, 512] with ``resnets`` 2 and ``halve`` all true is the usual size at 64x64 pixels.

    Raises:
        DenoiserError: on construction, where the fields do not fit together.
    """

    widths: list[int] = field(default_factory=lambda: [32, 64, 96, 96])
    halve: list[bool] = field(default_factory=lambda: [True, False, False])
    resnets: int = 1
    heads: int = 4
    condition: int = 128

    def __post_init__(self) -> None:
        if not self.widths or len(self.halve) != len(self.widths) - 1:
            raise DenoiserError(
                f"expected one entry of halve between each two of {len(self.widths)} widths, "
                f"found {len(self.halve)}; give {max(len(self.widths) - 1, 0)}"
            )
        if min(self.resnets, self.heads, self.condition) < 1:
            raise DenoiserError("expected resnets, heads and condition of at least 1 in the 3-D U-Net")
        for width in self.widths:
            if width < 1 or width % GROUPS or width % (2 * self.heads):
                raise DenoiserError(
                    f"expected widths that {GROUPS} groups and {self.heads} heads of an even size divide, "
                    f"found {width}; use multiples of {max(GROUPS, 2 * self.heads)}"
                )


@dataclass
class Around:
    """What the blocks see besides the frames: rotary time, who sees whom, and the memory of cross attention."""

    batch: int
    turns: dict[int, tuple[Tensor, Tensor]]  # by width, (T, head / 2) each
    mask: Tensor | None  # (B or 1, 1, T, T) bool
    memory: Tensor | None  # (B, N, D)
    memory_valid: Tensor | None  # (B, N) bool


class ResNet(nn.Module):
    """Two 3x3 convolutions around a skip; the frame's condition scales and shifts between them (FiLM)."""

    def __init__(self, inside: int, outside: int, condition: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(GROUPS, inside)
        self.conv1 = nn.Conv2d(inside, outside, 3, padding=1)
        self.film = nn.Linear(condition, 2 * outside)
        self.norm2 = nn.GroupNorm(GROUPS, outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)
        self.skip = nn.Conv2d(inside, outside, 1) if inside != outside else nn.Identity()

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x (B T, inside, h, w), condition (B T, c) -> (B T, outside, h, w)."""
        scale, shift = self.film(condition)[..., None, None].chunk(2, 1)
        h = self.norm2(self.conv1(F.silu(self.norm1(x)))) * (1 + scale) + shift
        return cast(Tensor, self.skip(x) + self.conv2(F.silu(h)))


class Attention(nn.Module):
    """Pre-norm attention along the rows of (B, rows, L, width); zero at the start of training."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(
        self, x: Tensor, turn: tuple[Tensor, Tensor] | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """The update of x (B, R, L, width); ``mask`` (B or 1, 1, L, L) is the same for all rows."""
        b, r, length, width = x.shape
        qkv = self.qkv(self.norm(x)).view(b, r, length, 3, self.heads, -1)
        # Rows and heads share one axis, so that one mask serves all rows of a clip.
        q, k, v = qkv.permute(3, 0, 1, 4, 2, 5).flatten(2, 3)  # (B, R heads, L, head) each
        if turn is not None:
            q, k = rotate(q, *turn), rotate(k, *turn)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        y = y.view(b, r, self.heads, length, -1).transpose(2, 3).reshape(b, r, length, width)
        return cast(Tensor, self.out(y))


class Stage(nn.Module):
    """ResNet blocks of one level, then attention within each frame, over time, and to a memory if there is one."""

    def __init__(self, inside: int, outside: int, config: UNet3DConfig, memory_width: int) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(
            ResNet(inside if i == 0 else outside, outside, config.condition) for i in range(config.resnets)
        )
        self.spatial = Attention(outside, config.heads)
        self.temporal = Attention(outside, config.heads)
        self.across = CrossAttention(outside, config.heads, memory_width) if memory_width else None

    def forward(self, x: Tensor, condition: Tensor, around: Around) -> Tensor:
        """x (B T, inside, h, w), condition (B T, c) -> (B T, outside, h, w)."""
        for resnet in self.resnets:
            x = resnet(x, condition)
        n, c, h, w = x.shape
        tokens = x.view(around.batch, -1, c, h * w).transpose(2, 3)  # (B, T, S, c)
        tokens = tokens + self.spatial(tokens)
        over_time = tokens.transpose(1, 2)  # (B, S, T, c)
        update = self.temporal(over_time, around.turns[c], around.mask)
        tokens = tokens + update.transpose(1, 2)
        if self.across is not None and around.memory is not None:
            flat = tokens.flatten(1, 2)  # (B, T S, c)
            tokens = tokens + self.across(flat, around.memory, around.memory_valid).view_as(tokens)
        return tokens.transpose(2, 3).reshape(n, c, h, w)


class UNet3D(nn.Module):
    """A :class:`~worldsim.models.denoisers.protocol.Denoiser`: every frame of the axis sees every other."""

    def __init__(
        self,
        config: UNet3DConfig,
        channels: int,
        control_dim: int,
        beside_channels: int = 0,
        memory_width: int = 0,
    ) -> None:
        super().__init__()
        self.config, self.channels, self.control_dim = config, channels, control_dim
        self.beside_channels, self.memory_width = beside_channels, memory_width
        widths, c = config.widths, config.condition
        # The initial convolutional fusion of the latents with what is put beside them.
        self.stem = nn.Conv2d(channels + beside_channels, widths[0], 3, padding=1)
        self.level = nn.Sequential(nn.Linear(128, c), nn.SiLU(), nn.Linear(c, c))
        self.control = nn.Sequential(nn.Linear(control_dim, c), nn.SiLU(), nn.Linear(c, c))
        self.down, self.shrink = nn.ModuleList(), nn.ModuleList()
        self.up, self.grow = nn.ModuleList(), nn.ModuleList()
        before = widths[0]
        for i, width in enumerate(widths):
            self.down.append(Stage(before, width, config, memory_width))
            last = i == len(widths) - 1
            halve = not last and config.halve[i]
            self.shrink.append(nn.Conv2d(width, width, 2, stride=2) if halve else nn.Identity())
            before = width
        self.middle = Stage(before, before, config, memory_width)
        for i in reversed(range(len(widths))):
            self.up.append(Stage(before + widths[i], widths[i], config, memory_width))
            double = i > 0 and config.halve[i - 1]
            self.grow.append(_Double(widths[i]) if double else nn.Identity())
            before = widths[i]
        self.norm = nn.GroupNorm(GROUPS, before)
        self.out = nn.Conv2d(before, channels, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(cast(Tensor, self.out.bias))

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
        """The raw output (B, T, C, h, w) for all frames; see :meth:`.Denoiser.forward`."""
        check_inputs(self, z, level, control, beside, memory)
        b, t, _, h, w = z.shape
        side = 2 ** sum(self.config.halve)
        if h % side or w % side:
            raise DenoiserError(
                f"expected latents of a multiple of {side} cells each way, found {h} x {w}; "
                "set fewer entries of halve"
            )
        if t == 0:
            return z
        # Counted from the window's end, so that a frame keeps its place whatever memory lies before it.
        frames = torch.arange(-t, 0, device=z.device)
        turns = {width: rotary(frames, width // self.config.heads) for width in set(self.config.widths)}
        mask = frames_seen(t, valid, False, z.device)
        around = Around(b, turns, None if mask is None else mask[:, None], memory, memory_valid)
        condition = F.silu(self.level(level_embedding(level)) + self.control(control)).flatten(0, 1)
        if beside is None:
            beside = z.new_zeros(b, t, self.beside_channels, h, w)
        x = self.stem(torch.cat([z, beside], 2).flatten(0, 1))  # (B T, width, h, w)
        skips = []
        for stage, shrink in zip(self.down, self.shrink, strict=True):
            x = stage(x, condition, around)
            skips.append(x)
            x = shrink(x)
        x = self.middle(x, condition, around)
        for stage, grow in zip(self.up, self.grow, strict=True):
            x = grow(stage(torch.cat([x, skips.pop()], 1), condition, around))
        return cast(Tensor, self.out(F.silu(self.norm(x)))).unflatten(0, (b, t))


class _Double(nn.Module):
    """Twice the resolution: the nearest cell, then a 3x3 convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest")))
