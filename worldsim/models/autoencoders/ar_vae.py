"""AR-VAE: one frame to L short latent tokens, and back in the light of earlier frames' tokens (AR-Diffusion, 3.1).

The encoder looks at one frame at a time. In the decoder the tokens of a frame and its patches, which begin as learnable
placeholders shared by all frames, see one another and the tokens of the frames before, up to ``window`` frames in all;
nothing sees a later frame. So one more frame costs the same however long the video is (:meth:`ArVae.decode_next`).

Two things differ from the paper. Its latents are the first D features behind the decoder's first normalisation; here a
linear layer makes D of them and running statistics over the data normalise each, which leaves every single token free.
And time enters as rotary angles of the frame index, of which the paper says nothing.

Its training begins from published weights of TiTok; here it begins with attention that is local already and hands on
what it finds (:mod:`worldsim.models.mimetic_init`), and the trainer lets patches begin as principal components. From
small random numbers a short training stays at the mean picture (training/LOG.md). With ``linear`` a token is from the
start what a linear map makes of its own part of the picture, as principal components are, and the transformers learn
what to add to that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldsim.config import ArVaeConfig
from worldsim.models.autoencoders.exact import exactly
from worldsim.models.autoencoders.parts import from_parts, parts_of
from worldsim.models.autoencoders.transformer import Layer
from worldsim.models.denoisers.layers import Attend, Cache, rotary, rotate
from worldsim.models.mimetic_init import grid_of, identity_values, places, tie_query_key


class ArVaeError(ValueError):
    """Sizes that do not fit together, or frames and latents of another shape."""


@dataclass
class Stream:
    """What decoding frame by frame remembers: keys and values of the last tokens, and how many frames there were."""

    cache: Cache = field(default_factory=Cache)
    frames: int = 0


class ArVae(nn.Module):
    """Frames in [-1, 1] to latents (L, D) of about zero mean and unit variance, and back.

    Raises:
        ArVaeError: sizes that do not fit together.
    """

    DRAWING: ClassVar = (
        "from_latent.",
        "place_out",
        "placeholders",
        "decoder.",
        "norm_out.",
        "patches_out.",
        "smooth.",
        "part_out.",
    )
    """How the names of the weights begin that make frames of latents, which they change nothing of."""

    mean: Tensor
    scale: Tensor

    def __init__(self, config: ArVaeConfig) -> None:
        super().__init__()
        self.config = config
        c, w = config, config.width
        if min(c.size, c.patch, c.tokens, c.dim, c.depth, c.heads, c.window) < 1 or c.size % c.patch:
            raise ArVaeError(f"expected sizes of at least 1 and frames of whole patches, found {c}")
        if c.linear and any(c.size % count for count in grid_of(c.tokens)):
            raise ArVaeError(f"linear: expected tokens on a grid that divides the picture, found {c.tokens}")
        if w % (2 * c.heads):
            raise ArVaeError(f"expected a width that {c.heads} heads of an even size divide, found {w}")
        self.side = c.size // c.patch
        self.patches_in = nn.Conv2d(3, w, c.patch, stride=c.patch)
        self.place_in = places(self.side, self.side, w)
        self.queries = places(*grid_of(c.tokens), w)
        self.encoder = nn.ModuleList(Layer(w, c.heads) for _ in range(c.depth))
        self.norm_in = nn.LayerNorm(w)
        self.to_latent = nn.Linear(w, c.dim)
        self.register_buffer("mean", torch.zeros(c.dim))
        self.register_buffer("scale", torch.ones(c.dim))
        self.from_latent = nn.Linear(c.dim, w)
        self.place_out = places(*grid_of(c.tokens), w)
        self.placeholders = places(self.side, self.side, w)
        self.decoder = nn.ModuleList(Layer(w, c.heads) for _ in range(c.depth))
        self.norm_out = nn.LayerNorm(w)
        self.patches_out = nn.Linear(w, 3 * c.patch**2)
        self.smooth = nn.Conv2d(3, 3, 3, padding=1)  # over the borders of patches
        if c.linear:
            pixels = 3 * self.part[0] * self.part[1]
            self.part_in, self.part_out = nn.Linear(pixels, c.dim), nn.Linear(c.dim, pixels)
        nn.init.zeros_(self.smooth.weight)
        nn.init.zeros_(cast(Tensor, self.smooth.bias))
        for layer in (*self.encoder, *self.decoder):
            tie_query_key(cast(Layer, layer).qkv)
            identity_values(cast(Layer, layer).qkv, cast(Layer, layer).out)
        for linear in (self.to_latent, self.from_latent):
            nn.init.eye_(linear.weight)
        if c.linear:  # the transformers begin by adding nothing
            for last in (self.to_latent, self.patches_out):
                nn.init.zeros_(last.weight)
                nn.init.zeros_(cast(Tensor, last.bias))

    @property
    def part(self) -> tuple[int, int]:
        """Height and width of the part of a picture that is a token's own, in pixels."""
        rows, columns = grid_of(self.config.tokens)
        return self.config.size // rows, self.config.size // columns

    def encode_raw(self, frames: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] to latents (N, L, D) as the encoder puts them out; see :meth:`encode`."""
        size = self.config.size
        if frames.dim() != 4 or frames.shape[1:] != (3, size, size):
            raise ArVaeError(f"expected frames (N, 3, {size}, {size}), found {(*frames.shape,)}")
        # A convolution whose stride is its size, as the product that it is: on a CPU several times faster.
        patches = parts_of(frames, (self.config.patch, self.config.patch))
        patches = F.linear(patches, self.patches_in.weight.flatten(1), self.patches_in.bias) + self.place_in
        x = torch.cat([self.queries.expand(len(frames), -1, -1), patches], 1)  # (N, L + P, width)
        for layer in self.encoder:
            x = layer(x)
        latents = self.to_latent(self.norm_in(x[:, : self.config.tokens]))
        if self.config.linear:
            with exactly(frames):
                latents = latents.float() + self.part_in(parts_of(frames.float(), self.part))
        return cast(Tensor, latents)

    def encode(self, frames: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] to normalised latents (N, L, D), each frame on its own.

        Raises:
            ArVaeError: frames of another shape.
        """
        return (self.encode_raw(frames) - self.mean) / self.scale

    def decode(self, latents: Tensor, causal: bool = True) -> Tensor:
        """Videos of latents (B, T, L, D) to frames (B, T, 3, H, W), about [-1, 1].

        Args:
            causal: whether a frame sees the tokens of the frames before it; otherwise only its own.

        Raises:
            ArVaeError: latents of another shape.
        """
        self._check(latents)
        b, t = latents.shape[:2]
        x = self._begin(latents).flatten(0, 1)  # (B T, L + P, width)
        attend = self._among_frames(b, t, latents.device) if causal else F.scaled_dot_product_attention
        for layer in self.decoder:
            x = layer(x, attend)
        return self._finish(x, latents.flatten(0, 1)).unflatten(0, (b, t))

    def decode_next(self, latents: Tensor, stream: Stream) -> Tensor:
        """The frame (B, 3, H, W) of latents (B, L, D) that follow those the stream has seen; it remembers them.

        Raises:
            ArVaeError: latents of another shape.
        """
        self._check(latents[:, None])
        n = self.config.tokens
        turn = self._turn(torch.tensor([stream.frames], device=latents.device))

        x = self._begin(latents[:, None]).flatten(0, 1)
        for i, layer in enumerate(self.decoder):

            def attend(q: Tensor, k: Tensor, v: Tensor, i: int = i) -> Tensor:
                q, k = rotate(q, *turn), rotate(k, *turn)
                keys, values = stream.cache.before(i, k, v)
                if self.config.window > 1:
                    stream.cache.extend(i, k[:, :, :n], v[:, :, :n], (self.config.window - 1) * n)
                return F.scaled_dot_product_attention(q, keys, values)

            x = layer(x, attend)
        stream.frames += 1
        return self._finish(x, latents)

    def _begin(self, latents: Tensor) -> Tensor:
        """Latents (B, T, L, D) to the decoder's tokens and placeholders (B, T, L + P, width)."""
        tokens = self.from_latent(latents * self.scale + self.mean) + self.place_out
        return torch.cat([tokens, self.placeholders.expand(*latents.shape[:2], -1, -1)], 2)

    def _finish(self, x: Tensor, latents: Tensor) -> Tensor:
        """(N, L + P, width) and the latents (N, L, D) that they are of to frames (N, 3, H, W)."""
        with exactly(x):
            # (N, P, 3 p p)
            patches = self.patches_out(self.norm_out(x[:, self.config.tokens :].float()))
            grid = patches.transpose(1, 2).unflatten(2, (self.side, self.side))
            frames = F.pixel_shuffle(grid, self.config.patch)
            if self.config.linear:
                parts = self.part_out(latents.float() * self.scale + self.mean)
                frames = frames + from_parts(parts, self.part, grid_of(self.config.tokens)[0])
            return cast(Tensor, frames + self.smooth(frames))

    def _turn(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Rotary angles of frame indices (T,): (T, 1, 1, head / 2) each, the same for all that belongs to a frame."""
        cos, sin = rotary(frames, self.config.width // self.config.heads)
        return cos[:, None, None], sin[:, None, None]

    def _among_frames(self, b: int, t: int, device: torch.device) -> Attend:
        """Attention of T frames (B T, heads, L + P, head), to themselves and the tokens of those before them."""
        back, n = self.config.window - 1, self.config.tokens
        turn = self._turn(torch.arange(t, device=device))
        # (T, back)
        before = torch.arange(t, device=device)[:, None] >= torch.arange(back, 0, -1, device=device)
        each = torch.ones(t, n + self.side**2, dtype=torch.bool, device=device)
        mask = torch.cat([before.repeat_interleave(n, 1), each], 1).repeat(b, 1)[:, None, None]

        def with_earlier(x: Tensor) -> Tensor:
            """(B, T, heads, S, head) to (B T, heads, back L + S, head), the oldest frame's tokens first."""
            tokens = F.pad(x[:, :, :, :n], (0, 0, 0, 0, 0, 0, back, 0))
            return torch.cat([*(tokens[:, i : i + t] for i in range(back)), x], 3).flatten(0, 1)

        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            q, k, v = (x.unflatten(0, (b, t)) for x in (q, k, v))
            q, k = rotate(q, *turn), rotate(k, *turn)
            return F.scaled_dot_product_attention(
                q.flatten(0, 1), with_earlier(k), with_earlier(v), attn_mask=mask
            )

        return attend

    def _check(self, latents: Tensor) -> None:
        shape = (self.config.tokens, self.config.dim)
        if latents.dim() != 4 or latents.shape[2:] != shape:
            raise ArVaeError(f"expected latents (B, T, {shape[0]}, {shape[1]}), found {(*latents.shape,)}")
