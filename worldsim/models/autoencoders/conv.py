"""A small convolutional autoencoder: one frame to a grid of latents, 8 times smaller each way, and back."""

from __future__ import annotations

from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldsim.config import AutoencoderConfig
from worldsim.models.autoencoders.exact import exactly
from worldsim.models.autoencoders.parts import from_parts, parts_of

DOWNSAMPLING = 8
PART = (DOWNSAMPLING, DOWNSAMPLING)
HEAD = 2  # modules of each decoder that turn its features into a frame
FINE = 24  # channels of the second head


class ResBlock(nn.Module):
    """Two 3x3 convolutions around a skip; (N, C, H, W) to the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(8, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2 = nn.GroupNorm(8, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        return x + cast(Tensor, self.conv2(F.silu(self.norm2(h))))


class ConvAutoencoder(nn.Module):
    """Frames (N, 3, H, W) in [-1, 1] to unit-variance latents (N, C, H/8, W/8) and back.

    A space-to-depth input and a depth-to-space output keep every convolution at half resolution or
    below, where a CPU is fast. ``scale`` holds the standard deviation of the raw latents per channel;
    :meth:`encode` divides by it, so that a denoiser sees unit variance. ``superresolution``, where it is configured, is
    a second head of the decoder, which adds to a frame enlarged to twice the side what is lost between its pixels. With
    ``linear`` a cell's latents are what a linear map makes of its own pixels and what the convolutions, which begin
    with nothing, add to that.
    """

    DRAWING: ClassVar = ("decoder.", "superresolution.", "part_out.")
    """How the names of the weights begin that make frames of latents, which they change nothing of."""

    scale: Tensor

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        a, b, c = config.encoder_widths
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(12, a, 3, padding=1),
            ResBlock(a),
            nn.Conv2d(a, b, 2, stride=2),
            ResBlock(b),
            nn.Conv2d(b, c, 2, stride=2),
            ResBlock(c),
            nn.GroupNorm(8, c),
            nn.SiLU(),
            nn.Conv2d(c, config.channels, 1),
        )
        a, b, c = config.decoder_widths
        self.decoder = nn.Sequential(
            nn.Conv2d(config.channels, c, 3, padding=1),
            ResBlock(c),
            ResBlock(c),
            nn.Conv2d(c, 4 * b, 1),
            nn.PixelShuffle(2),
            ResBlock(b),
            ResBlock(b),
            nn.Conv2d(b, 4 * a, 1),
            nn.PixelShuffle(2),
            ResBlock(a),
            nn.GroupNorm(8, a),
            nn.SiLU(),
            nn.Conv2d(a, 12, 3, padding=1),
            nn.PixelShuffle(2),
        )
        if config.superresolution:
            last = nn.Conv2d(FINE, 12, 3, padding=1)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(cast(Tensor, last.bias))
            self.superresolution = nn.Sequential(
                nn.Conv2d(a, 4 * FINE, 3, padding=1),
                nn.PixelShuffle(2),
                nn.SiLU(),
                nn.Conv2d(FINE, FINE, 3, padding=1),
                nn.SiLU(),
                last,
                nn.PixelShuffle(2),
            )
        if config.linear:
            pixels = 3 * DOWNSAMPLING**2
            self.part_in, self.part_out = (
                nn.Linear(pixels, config.channels),
                nn.Linear(config.channels, pixels),
            )
            for conv in (self.encoder[-1], self.decoder[-2]):
                nn.init.zeros_(cast(Tensor, conv.weight))
                nn.init.zeros_(cast(Tensor, conv.bias))
        self.register_buffer("scale", torch.ones(config.channels))

    def encode(self, frames: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] to latents (N, C, H/8, W/8), about unit variance.

        Raises:
            ValueError: the height or width is no multiple of 8.
        """
        if frames.shape[-1] % DOWNSAMPLING or frames.shape[-2] % DOWNSAMPLING:
            raise ValueError(
                f"the autoencoder needs frames in multiples of 8 pixels, found {tuple(frames.shape)}"
            )
        return self.encode_raw(frames) / self.scale[:, None, None]

    def encode_raw(self, frames: Tensor) -> Tensor:
        """Frames to latents (N, C, H/8, W/8) as the encoder puts them out; see :meth:`encode`."""
        latents = cast(Tensor, self.encoder(frames))
        if self.config.linear:
            with exactly(frames):
                parts = self.part_in(parts_of(frames.float(), PART))  # (N, H/8 W/8, C)
                latents = latents.float() + parts.transpose(1, 2).unflatten(2, latents.shape[2:])
        return latents

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (N, C, h, w) to frames (N, 3, 8h, 8w), about [-1, 1]."""
        raw = latents * self.scale[:, None, None]
        return self._drawn(raw, self.decoder[:-HEAD](raw))

    def decode_for(self, latents: Tensor, side: int) -> Tensor:
        """Frames for pictures of ``side`` pixels: by the head for twice the side where there is one and it is asked
        for, (N, 3, 16h, 16w), else as :meth:`decode`."""
        if self.config.superresolution and side > DOWNSAMPLING * latents.shape[-1]:
            return self.decode_both(latents)[1]
        return self.decode(latents)

    def decode_both(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """What both heads draw: frames (N, 3, 8h, 8w) and (N, 3, 16h, 16w)."""
        raw = latents * self.scale[:, None, None]
        features = self.decoder[:-HEAD](raw)
        small, fine = self._drawn(raw, features), self.superresolution[:-HEAD](features)
        with exactly(fine):
            return small, enlarged(small) + self.superresolution[-HEAD:](fine.float())

    def _drawn(self, raw: Tensor, features: Tensor) -> Tensor:
        """The frames (N, 3, H, W) of latents without their scale and of the decoder's last features of them."""
        with exactly(features):
            frames = cast(Tensor, self.decoder[-HEAD:](features.float()))
            if self.config.linear:
                parts = self.part_out(raw.float().flatten(2).transpose(1, 2))  # (N, h w, 3 * 8 * 8)
                frames = frames + from_parts(parts, PART, raw.shape[2])
            return frames


def enlarged(small: Tensor) -> Tensor:
    """Frames (N, 3, H, W) at twice the side, to which the second head adds."""
    return F.interpolate(small, scale_factor=2.0, mode="bilinear", align_corners=False)
