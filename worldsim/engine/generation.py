"""How a generator draws a frame: evidence from memory, its own past with noise, and steps by whether something is new.

What memory shows is copied in two steps; a view of which something is new takes twice as many to make it up. A
frame that was drawn is a memory like any other from then on: what was imagined once is evidence when it returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldsim.diffusion import process as diffusion
from worldsim.diffusion.schedules import next_frame, path
from worldsim.engine.past import DreamPast
from worldsim.models.denoisers.generator import Generator

SOMETHING_NEW = 0.03
"""Share of a view that memory does not show, from which a frame takes twice as many steps."""


class Sampler(Protocol):
    """What runs a generator: the plain module, or a fast twin of it."""

    def sample(
        self, pasts: Sequence[DreamPast], newest: Context, noise: Tensor, target: Target, levels: Tensor
    ) -> Tensor:
        """Denoise the next frame of each dream: noise (B, C, h, w) along levels (n + 1,) to clean latents.

        The newest frame enters the context first.
        """


class Context:
    """The newest frame as it enters the context: latents (B, C, h, w) as they are shown, levels (B,), and what it was
    drawn from, control (B, K) and evidence (B, E, H, W)."""

    def __init__(self, latents: Tensor, level: Tensor, control: Tensor, evidence: Tensor) -> None:
        self.latents, self.level, self.control, self.evidence = latents, level, control, evidence


class Target:
    """What the next frame is drawn from: its index, control (B, K), evidence (B, E, H, W), and the step size that
    the generator is told, 0 for none."""

    def __init__(self, index: int, control: Tensor, evidence: Tensor, stride: float = 0.0) -> None:
        self.index, self.control, self.evidence, self.stride = index, control, evidence, stride


class ModuleSampler:
    """The module as it was trained, on any device, over a cache of keys and values in each past."""

    def __init__(self, generator: Generator) -> None:
        self.generator = generator

    def sample(
        self, pasts: Sequence[DreamPast], newest: Context, noise: Tensor, target: Target, levels: Tensor
    ) -> Tensor:
        """See :class:`Sampler`."""
        rows = []
        for i, past in enumerate(pasts):
            one, n = slice(i, i + 1), newest
            cache = past.kept.context
            if past.pending:
                self.generator.extend(
                    n.latents[one, None], n.level[one, None], n.control[one, None], n.evidence[one, None],
                    cache, target.index - 1, commit=1,
                )  # fmt: skip
            z = noise[one, None]
            for now, then in pairwise(levels):
                level = now.expand(1, 1)
                x0 = self.generator.extend(
                    z, level, target.control[one, None], target.evidence[one, None], cache, target.index,
                    stride=torch.full_like(level, target.stride),
                ).float()  # fmt: skip
                z = diffusion.reverse(z, x0, level, then.expand(1, 1)) if then else x0
            rows.append(z[:, 0])
        return torch.cat(rows)


def novelty(evidence: NDArray[np.float32]) -> float:
    """The share of a view that memory does not show, of its evidence (E, H, W)."""
    return 1 - float((evidence[3] > 0).mean())


def steps_by_novelty(evidence: NDArray[np.float32], steps: int) -> int:
    """Denoising steps of a frame with this evidence (E, H, W): ``steps``, twice as many where something is new."""
    return steps * (1 if novelty(evidence) < SOMETHING_NEW else 2)


def shown_again(past: DreamPast, random: torch.Generator, level: float) -> tuple[Tensor, float]:
    """The newest frame (C, h, w) as it is shown to the generator, and its level: with noise where it is the dream's."""
    latent = past.latents[-1]
    if past.indices[-1] < past.true_until:
        return latent, 0.0
    noise = torch.randn(latent.shape, generator=random).to(latent.device)
    return (1 - level) * latent + level * noise, level


def generate(
    sampler: Sampler,
    pasts: Sequence[DreamPast],
    randoms: Sequence[torch.Generator],
    controls: tuple[Tensor, Tensor],
    evidence: Sequence[NDArray[np.float32]],
    steps: Sequence[int],
    spacing: str,
    strides: Sequence[float],
    context_level: float,
) -> Tensor:
    """Latents (B, C, h, w) of the next frame of each dream.

    Args:
        controls: (B, K) of the newest frame and of the one to be drawn; evidence: B of (E, H, W); steps: B.
        strides: the step sizes that the generator was trained to take; context_level: at which its own past is shown.
    """
    index = pasts[0].count
    shown, level, noise = [], [], []
    for past, random in zip(pasts, randoms, strict=True):
        latent, at = shown_again(past, random, context_level)
        shown.append(latent)
        level.append(at)
        noise.append(torch.randn(latent.shape, generator=random).to(latent.device))
    before = [
        np.zeros_like(now) if p.evidence is None else p.evidence
        for p, now in zip(pasts, evidence, strict=True)
    ]
    device = shown[0].device
    evidence_now, seen_before = (torch.from_numpy(np.stack(x)).to(device) for x in (evidence, before))
    rows: dict[int, list[int]] = {}
    for i, count in enumerate(steps):
        rows.setdefault(count, []).append(i)
    out: dict[int, Tensor] = {}
    for count, some in rows.items():
        newest = Context(
            torch.stack([shown[i] for i in some]),
            torch.tensor([level[i] for i in some], device=device),
            controls[0][some],
            seen_before[some],
        )
        stride = 1 / count if spacing == "even" and 1 / count in strides else 0.0
        target = Target(index, controls[1][some], evidence_now[some], stride)
        levels = path(next_frame(spacing), count)[:, 0].to(device)
        drawn = sampler.sample(
            [pasts[i] for i in some], newest, torch.stack([noise[i] for i in some]), target, levels
        )
        out |= dict(zip(some, drawn, strict=True))
    return torch.stack([out[i] for i in range(len(pasts))])
