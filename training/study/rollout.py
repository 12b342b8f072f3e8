"""Long rollouts of many rows and seeds in one batch: what Table 4 and Figures 9 and 11 are made of (section 6.2).

True context once, then ``length`` frames from the dream's own past; scored segment by segment of 16 frames.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from envs.episodes.episode import Episode
from training.evaluation.lockstep import Walk, replay
from training.study.needle import TRUE, Frames, Played, features
from worldsim.dream.env import Dream
from worldsim.metrics.degradation import segments
from worldsim.metrics.frechet import Encode
from worldsim.metrics.ssim import psnr, ssim

PICTURED = (1, 4, 8, 16, 32, 48, 64, 96, 128)  # frames ahead that the strip shows


class TooShort(ValueError):
    """An episode that does not hold context and rollout."""


def play_rollout(
    row_of: Callable[[str], Dream[Any]],
    names: list[str],
    encode: Encode,
    episode: Episode,
    context: int,
    length: int,
    seeds: list[int],
) -> Played:
    """Dream ``length`` frames after ``context`` true ones with every row under every seed.

    Args:
        row_of: a fresh dream for a row's name; the dreams of one world model are stepped in one batch.

    Returns:
        scores by row and seed: SSIM and PSNR of each frame, features of each segment; the strip shows the first seed.

    Raises:
        TooShort: fewer than context + length frames.
    """
    if len(episode) < context + length:
        raise TooShort(
            f"{episode.path.name}: expected at least {context} + {length} frames, found {len(episode)}; "
            "record longer episodes or ask for a shorter rollout"
        )
    walk = Walk.of(episode, 0, context + length)
    truth = walk.frames[context:]
    seed_of = {f"{name}/{seed}": seed for name in names for seed in seeds}
    dreams = {key: row_of(key.split("/")[0]) for key in seed_of}
    shown = {key: np.empty_like(truth) for key in dreams}
    for step in replay(dreams, walk, None, seed=seed_of, context=context, revisits=False):
        for key, frame in step.frames.items():
            shown[key][step.index - context] = frame
    parts = segments(length)

    def scores_of(frames: Frames) -> dict[str, Any]:
        return {
            "ssim": [round(ssim(a, b), 5) for a, b in zip(truth, frames, strict=True)],
            "psnr": [round(psnr(a, b), 5) for a, b in zip(truth, frames, strict=True)],
            "features": features(encode, frames, parts),
        }

    rows: dict[str, Any] = {TRUE: {"features": features(encode, truth, parts)}}
    for name in names:
        rows[name] = {str(seed): scores_of(shown[f"{name}/{seed}"]) for seed in seeds}
    pictured = [k for k in PICTURED if k <= length]
    at = [k - 1 for k in pictured]
    strip = np.stack([truth[at], *(shown[f"{name}/{seeds[0]}"][at] for name in names)])
    about = {"frames": pictured, "ages": [None] * len(pictured), "context": 0, "rows": [TRUE, *names]}
    return Played({"rows": rows, "strip": about}, strip)
