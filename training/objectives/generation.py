"""Diffusion forcing for a generator: every frame of a clip at its own noise level, holes of memory weighted up.

A part of the rows asks for few steps: what one step of some size does is learned from what two of half that size do
(shortcut models, Frans et al. 2024, with clean latents as the prediction, as Dreamer 4 has it).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.data.evidence_clips import GeneratorClips, Source
from training.objectives import redraws
from worldsim.diffusion import process as diffusion
from worldsim.models.autoencoders.conv import DOWNSAMPLING
from worldsim.models.denoisers.generator import Generator

FLOW = diffusion.RectifiedFlow()
STRIDES = (1.0, 0.5, 0.25, 0.125)
"""Step sizes that are learned; half of the smallest is told as infinitesimal, 0."""
LEAST_BLEND = 0.5
"""How far a row that fades does so at least, of 1, where nothing but the other view is left."""
EvidenceOf = Callable[[Sequence[Source], Tensor], Tensor]
"""Clips and latents (R, L, C, h, w) in the place of their frames to the evidence (R, L, E, H, W) that these give."""


@dataclass
class GenerationConfig:
    """``clean``: highest level of the frames that count as context; ``contexts``: shares of them among the frames of a
    clip, one of which each clip takes. ``noise``: share of frames at pure noise; ``mean`` and ``std`` of the logits of
    the other levels. ``hole``: how much more an error counts where memory shows nothing, and ``edit`` where
    something is just being changed, which is small and rare. ``floor``: level below which
    the weight 1 / t^2 of a squared error no longer rises. ``strided``: share of the rows that ask for few steps, from
    ``strided_from`` of the budget on. ``soft``: share of the rows whose context is blurred, as a dream's own is at
    first; what is asked for stays sharp. ``redrawn``: share of the rows, from the same time on, whose context the
    generator draws itself, from true frames under much noise: it is shown errors of its own, and the truth is asked
    for (Resampling Forcing, arXiv 2512.15702). ``redraws``: it does so at most as many times, one after the other, each
    over what the last has made: errors add up as those of a long dream do. ``reshown``: share of these rows whose
    evidence is of what was drawn, too, as in play, where a dream's errors are looked up in its own pictures.
    ``lost_rows``: share of the redrawn rows, among those with evidence of their own, that turn into one of the views
    that a dream was lost in (``lost``, a file of `training.imagination.latents bare=true`): it is asked for the truth
    all the same, so that there is a way out of them."""

    clean: float = 0.5
    contexts: list[float] = field(default_factory=lambda: [0.35, 0.7])
    noise: float = 0.1
    mean: float = 0.4
    std: float = 1.2
    hole: float = 2.0
    edit: float = 0.0
    floor: float = 0.25
    strided: float = 0.25
    strided_from: float = 0.5
    soft: float = 0.4
    redrawn: float = 0.2
    redraws: int = 1
    reshown: float = 0.0
    lost_rows: float = 0.0
    lost: str = ""


@dataclass
class Draw:
    """Random numbers of a batch: noise (B, L, C, h, w), level (B, L), stride (B, L), 0 where none is asked for, and how
    much of each frame is blurred, soft (B, L). The rows with strides come first, ``strided`` of them; the last R ones
    are drawn anew N times from levels ``start`` (N, R, 1) and ``other`` noise (N, R, L, C, h, w), where they are
    ``context`` (B, L), the first ``reshown`` of them with evidence of their own, the first F as far as ``blend``
    (F, 1, 1, 1, 1) the lost view that ``which`` (F,) in [0, 1) says."""

    noise: Tensor
    level: Tensor
    stride: Tensor
    soft: Tensor
    strided: int
    context: Tensor
    start: Tensor
    other: Tensor
    blend: Tensor
    which: Tensor
    reshown: int = 0

    def to(self, device: torch.device) -> Draw:
        """Every tensor on the device."""
        moved: dict[str, Any] = {k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor)}
        return replace(self, **moved)


def draw(shape: torch.Size, config: GenerationConfig, strided: bool, random: torch.Generator) -> Draw:
    """Random numbers for latents (B, L, C, h, w)."""
    b, length = shape[:2]
    noise = torch.randn(shape, generator=random)

    def uniform(*size: int) -> Tensor:
        return torch.rand(size, generator=random)

    level = torch.sigmoid(torch.randn((b, length), generator=random) * config.std + config.mean).clamp(
        0.02, 1
    )
    level = torch.where(uniform(b, length) < config.noise, torch.ones_like(level), level)
    shares = torch.tensor(config.contexts)[torch.randint(0, len(config.contexts), (b, 1), generator=random)]
    rows = round(config.strided * b) if strided else 0
    shares[:rows] = max(config.contexts)
    context = uniform(b, length) < shares
    stride = torch.zeros(b, length)
    if rows:
        sizes = torch.tensor(STRIDES)[torch.randint(0, len(STRIDES), (rows, length), generator=random)]
        stride[:rows] = torch.where(context[:rows], 0.0, sizes)
        # its multiples
        starts = sizes * (1 + (uniform(rows, length) / sizes).floor().clamp_max(1 / sizes - 1))
        level[:rows] = starts
    level = torch.where(context, config.clean * uniform(b, length), level)
    soft = ((uniform(b, 1) < config.soft) & context) * uniform(b, length)
    drawn = min(round(config.redrawn * b), b - rows) if strided else 0
    soft[b - drawn :] = 0
    times = int(torch.randint(1, config.redraws + 1, (), generator=random))
    start = redraws.STEP * torch.randint(1, redraws.STEPS + 1, (times, drawn, 1), generator=random)
    other = torch.randn((times, drawn, *shape[1:]), generator=random)
    reshown = round(config.reshown * drawn)
    some = min(round(config.lost_rows * drawn), reshown)
    blend = LEAST_BLEND + (1 - LEAST_BLEND) * uniform(some, 1, 1, 1, 1)
    return Draw(noise, level, stride, soft, rows, context, start, other, blend, uniform(some), reshown)


class Generation(nn.Module):
    """A generator with its loss; ``forward`` is what a distributed launcher wraps. ``lost``: views (N, C, h, w) that
    rows fade to."""

    lost: Tensor | None

    def __init__(self, generator: Generator, config: GenerationConfig, lost: Tensor | None = None) -> None:
        super().__init__()
        self.generator, self.config = generator, config
        self.register_buffer("lost", lost, persistent=False)

    def forward(self, clips: GeneratorClips, d: Draw, drawn: Tensor | None = None) -> dict[str, Tensor]:
        """Losses of one batch; ``drawn``: its last rows (R, L, C, h, w) as :meth:`redrawn` has them.

        Returns:
            ``loss``; and mean squared errors of clean latents at levels above 0.8, where memory shows everything
            (``known``) and where it shows nothing (``unknown``).
        """
        c, z = self.config, clips.latents
        level = d.level
        shown = torch.lerp(z, blurred(z), diffusion.per_frame(d.soft, z))
        spoilt = d.soft > 0
        if drawn is not None:
            first = len(z) - len(drawn)
            mine = diffusion.per_frame(d.context[first:], z)
            shown = torch.cat([shown[:first], torch.where(mine, drawn, z[first:])])
            spoilt = torch.cat([spoilt[:first], d.context[first:]])
        noisy, target = diffusion.corrupt(shown, d.noise, level), z
        if d.strided:
            target = torch.cat([self.halves(clips, noisy, level, d.stride, d.strided), z[d.strided :]])
        x0 = self.generator(noisy, level, clips.control, clips.evidence, d.stride).float()
        error = (x0 - target).square().mean(2)  # (B, L, h, w)
        hole, edited = 1 - clips.covered, F.avg_pool2d((clips.evidence[:, :, 3] < 0).float(), DOWNSAMPLING)
        steep = level.clamp_min(c.floor).pow(-2)
        steep = torch.where(spoilt, 1.0, steep)[..., None, None]  # of what cannot be known nobody asks much
        loss = (steep * (1 + c.hole * hole + c.edit * edited) / (1 + c.hole / 2) * error).mean()
        truth = (x0.detach() - z).square().mean(2)
        high = ((level > 0.8) & (d.stride == 0))[..., None, None].expand_as(error)
        return {
            "loss": loss,
            "known": _mean(truth, high & (hole < 0.02)),
            "unknown": _mean(truth, high & (hole > 0.98)),
        }

    def redrawn(
        self, clips: GeneratorClips, d: Draw, evidence_of: EvidenceOf | None = None
    ) -> tuple[Tensor, Tensor] | None:
        """The last rows (R, L, C, h, w), drawn anew as often as ``d`` says, and their evidence (R, L, E, H, W); None
        where none is. With ``evidence_of`` evidence is drawn anew, too."""
        first = len(clips.latents) - d.start.shape[1]
        z, control, evidence = clips.latents[first:], clips.control[first:], clips.evidence[first:]
        if not len(z):
            return None
        n = d.reshown if evidence_of else 0
        if evidence_of and self.lost is not None and (k := len(d.blend)):
            views = self.lost[(d.which * len(self.lost)).long()].to(z)
            z = torch.cat([torch.lerp(z[:k], views[:, None], d.blend), z[k:]])
            evidence = torch.cat([evidence_of(clips.sources[first : first + k], z[:k]), evidence[k:]])
        for start, noise in zip(d.start, d.other, strict=True):
            z = self.drawn_anew(z, control, evidence, start, noise)
            if evidence_of and n:
                evidence = torch.cat([evidence_of(clips.sources[first : first + n], z[:n]), evidence[n:]])
        return z, evidence

    @torch.no_grad()
    def drawn_anew(
        self, z: Tensor, control: Tensor, evidence: Tensor, start: Tensor, noise: Tensor
    ) -> Tensor:
        """Clips (R, L, C, h, w) as the generator draws them from themselves under noise of levels ``start`` (R, 1)."""
        level = start.expand(-1, z.shape[1])
        stride = torch.full_like(level, redraws.STEP)

        def clean_of(now: Tensor, at: Tensor) -> Tensor:
            return self.generator(now, at, control, evidence, stride)  # type: ignore[no-any-return]

        return redraws.drawn_anew(FLOW, clean_of, z, level, noise)

    @torch.no_grad()
    def halves(
        self, clips: GeneratorClips, noisy: Tensor, level: Tensor, stride: Tensor, rows: int
    ) -> Tensor:
        """The clean latents that one step would have to predict to end where two of half the size end, (rows, L, ...);
        the true ones where no step is asked for."""
        z, t, d = noisy[:rows], level[:rows], stride[:rows]
        control, evidence = clips.control[:rows], clips.evidence[:rows]
        half = d / 2
        step_size = torch.where(half < min(STRIDES), 0.0, half)
        first = self.generator(z, t, control, evidence, step_size).float()
        middle = torch.where(diffusion.per_frame(d > 0, z), diffusion.reverse(z, first, t, t - half), z)
        second = self.generator(middle, t - half, control, evidence, step_size).float()
        end = diffusion.reverse(middle, second, t - half, (t - d).clamp_min(0))
        pace = diffusion.per_frame(t / d.clamp_min(diffusion.TINY), z)
        return torch.where(diffusion.per_frame(d > 0, z), z + (end - z) * pace, clips.latents[:rows])


def blurred(z: Tensor) -> Tensor:
    """Latents (B, L, C, h, w), each cell the mean of those around it."""
    flat = F.pad(z.flatten(0, 1), (1, 1, 1, 1), mode="replicate")
    return F.avg_pool2d(flat, 3, 1).view_as(z)


def _mean(error: Tensor, where: Tensor) -> Tensor:
    return (error * where).sum() / where.sum().clamp_min(1)
