"""What a task gives, and what all tasks measure with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.bench.truth import Truth, Worlds
from training.evaluation.lockstep import Step, replay
from worldsim.dream.env import Dream
from worldsim.metrics.perceptual import Perceptual
from worldsim.metrics.ssim import psnr, ssim

Frames = NDArray[np.uint8]
STRIP = 10
"""Pictures of a strip."""


@dataclass
class Strip:
    """True and dreamt frames (n, H, W, 3) below each other, with a word over each column."""

    true: Frames
    dreamt: Frames
    words: list[str]


@dataclass
class Measured:
    """Numbers of one episode by key; ``values`` of two models of one episode belong together, place by place.

    ``features`` are those of frames, by stretch, of which only whole sets of episodes have a score.
    """

    values: dict[str, list[float]] = field(default_factory=dict)
    strip: Strip | None = None
    features: NDArray[np.float64] | None = None

    def add(self, key: str, value: float) -> None:
        self.values.setdefault(key, []).append(round(float(value), 5))


@dataclass
class Tools:
    """What tasks measure with.

    Attributes:
        worlds: the true ones.
        networks: of LPIPS and of distances of pictures; None where they are not installed.
        seed: of the dreams.
    """

    worlds: Worlds
    networks: Perceptual | None
    seed: int = 0


def dreamt(
    dream: Dream[Any] | None,
    truth: Truth,
    tools: Tools,
    context: int,
    *,
    blind: int | None = None,
    revisits: bool = False,
) -> Iterator[Step]:
    """The steps after the context; those of the true world itself where there is no dream."""
    dreams = {} if dream is None else {"dream": dream}
    for step in replay(dreams, truth.walk, blind, seed=tools.seed, context=context, revisits=revisits):
        yield step if dreams else Step(step.index, step.true, {"dream": step.true}, step.revisit)


def rollout(dream: Dream[Any] | None, truth: Truth, tools: Tools, context: int) -> Frames:
    """All frames that are dreamt after the context, never corrected: (T - context, H, W, 3)."""
    return np.stack([step.frames["dream"] for step in dreamt(dream, truth, tools, context)])


def compare(
    found: Measured, tools: Tools, groups: list[str], true: Frames, other: Frames, *, with_psnr: bool = False
) -> None:
    """SSIM (also PSNR and, with networks, LPIPS) of pairs of frames (n, H, W, 3), each under ``METRIC GROUP``."""
    for group, a, b in zip(groups, true, other, strict=True):
        found.add(f"ssim {group}".strip(), ssim(a, b))
        if with_psnr:
            found.add(f"psnr {group}".strip(), psnr(a, b))
    if tools.networks is not None and len(true):
        for group, value in zip(groups, tools.networks.lpips(true, other), strict=True):
            found.add(f"lpips {group}".strip(), float(value))


def strip(true: Frames, shown: Frames, words: list[str]) -> Strip | None:
    """At most ``STRIP`` of these frames, evenly."""
    if not len(true):
        return None
    at = np.unique(np.linspace(0, len(true) - 1, STRIP).round().astype(int))
    return Strip(true[at], shown[at], [words[i] for i in at])
