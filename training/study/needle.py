"""One pass over a needle episode for many rows at once: what Tables 1 to 3 are made of (section 6.1).

History from truth: at every 16th frame the past becomes true again, and the 16 frames after it are dreamt blind. A
*trial* is a frame whose view comes back after ``age`` frames; a *clip* is a whole stretch of 16 blind frames.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from envs.episodes.episode import Episode
from training.evaluation.lockstep import Walk, replay
from training.evaluation.maze_views import MazeViews, palettes
from worldsim.dream.env import Dream
from worldsim.metrics.frechet import Encode, clip_features, frame_features
from worldsim.metrics.motion import motion_smoothness, temporal_flickering
from worldsim.metrics.srr import View, retrieval
from worldsim.metrics.ssim import psnr, ssim
from worldsim.session.interfaces import BLIND

EVERY = 4  # frames whose features are kept: neighbours are nearly the same picture
CONTEXT, SHOWN = 4, 8  # columns of a strip: true frames before a blind stretch, frames of the stretch
TRUE = "true"

Frames = NDArray[np.uint8]
Scorer = Callable[[int, Frames], "float | None"]
"""Frame index and dreamt frame (H, W, 3) to 1 (retrieved), 0 (not) or None (no trial)."""


@dataclass
class Played:
    """What a pass leaves: numbers for JSON, and a strip of pictures.

    ``strip`` is (1 + rows, CONTEXT + SHOWN, H, W, 3), truth first; ``record["strip"]`` says what its columns are.
    """

    record: dict[str, Any]
    strip: Frames


def maze_scorer(episode: Episode, views: MazeViews | None = None) -> Scorer:
    """The SRR scorer of a LabMaze episode, whose true frames are drawn again with ids from the recorded poses.

    Raises:
        ValueError: the episode has no poses, or its maze does not look as it was recorded.
    """
    poses, size, seed = episode.poses, int(episode.meta["size"]), int(episode.meta["seed"])
    if poses is None:
        raise ValueError(f"{episode.path.name} tells no poses; SRR needs them to know what each frame shows")
    mazes, colours = views or MazeViews(size), palettes()
    known: dict[int, View] = {}

    def of(index: int, dreamt: Frames) -> float | None:
        if index not in known:
            known[index] = mazes.at(seed, poses[index])
            if not np.array_equal(known[index].frame, episode.frames(index, index + 1)[0]):
                raise ValueError(
                    f"{episode.path.name}: frame {index} was recorded otherwise than its maze is drawn now; "
                    "record the episode again"
                )
        verdict = retrieval(known[index], dreamt, colours)
        return float(verdict.retrieved) if verdict.trial else None

    return of


def play_needle(
    dreams: dict[str, Dream[Any]],
    encode: Encode,
    episode: Episode,
    seed: int = 0,
    scorer: Scorer | None = None,
    decode: Callable[[Frames], Frames] | None = None,
) -> Played:
    """Dream an episode once with every row and measure it.

    Args:
        dreams: by row; those of one world model are stepped in one batch.
        encode: the feature space of the Fréchet distances.
        scorer: for SRR; without it there is none.
        decode: frames through the autoencoder and back, for the row ``ceiling``; with it there is also the row
            ``recall``, the view as it was last seen.
    """
    walk = Walk.of(episode)
    true = walk.frames
    shown = {name: np.empty_like(true) for name in dreams}
    trials, views = list[tuple[int, int]](), list[Frames]()
    for step in replay(dreams, walk, BLIND, seed=seed):
        for name, frame in step.frames.items():
            shown[name][step.index] = frame
        if step.revisit is not None:
            trials.append((step.index, step.revisit.age))
            views.append(step.revisit.thumbnail)
    at = [i for i, _ in trials]
    stretches = [(first, first + BLIND) for first in range(1, len(true) - BLIND + 1, BLIND)]
    rows = {TRUE: {"clip": _motion(true, stretches), "features": features(encode, true, stretches)}}
    for name, frames in shown.items():
        rows[name] = {
            "trial": _trial(true[at], frames[at], at, scorer),
            "clip": _motion(frames, stretches) | _quality(true, frames, stretches),
            "features": features(encode, frames, stretches),
        }
    if decode is not None and at:
        for name, frames in (("ceiling", decode(true[at])), ("recall", np.stack(views))):
            rows[name] = {"trial": _trial(true[at], frames, at, scorer)}
    strip, columns = _strip(true, shown, trials)
    return Played({"trials": trials, "rows": rows, "strip": columns}, strip)


def _trial(true: Frames, frames: Frames, at: list[int], scorer: Scorer | None) -> dict[str, Any]:
    pairs = list(zip(true, frames, strict=True))
    found: dict[str, Any] = {"ssim": _round(ssim(*p) for p in pairs), "psnr": _round(psnr(*p) for p in pairs)}
    if scorer is not None:
        found["srr"] = [scorer(i, frame) for i, frame in zip(at, frames, strict=True)]
    return found


def _quality(true: Frames, frames: Frames, stretches: list[tuple[int, int]]) -> dict[str, list[float]]:
    """Mean SSIM and PSNR of every blind stretch."""

    def mean(score: Callable[[Frames, Frames], float], a: int, b: int) -> float:
        return float(np.mean([score(true[i], frames[i]) for i in range(a, b)]))

    return {
        name: _round(mean(score, a, b) for a, b in stretches)
        for name, score in (("ssim", ssim), ("psnr", psnr))
    }


def _motion(frames: Frames, stretches: list[tuple[int, int]]) -> dict[str, list[float]]:
    return {
        "flickering": _round(temporal_flickering(frames[a:b]) for a, b in stretches),
        "smoothness": _round(motion_smoothness(frames[a:b]) for a, b in stretches),
    }


def features(
    encode: Encode, frames: Frames, stretches: list[tuple[int, int]]
) -> dict[str, list[list[float]]]:
    """Features of each stretch as a clip, and of every fourth of its frames; rounded, for JSON."""
    found: dict[str, list[list[float]]] = {"frames": [], "clips": []}
    for first, end in stretches:
        clip = frames[first:end]
        known = partial(_known, encode(clip))  # both kinds are made of the same latents
        found["frames"] += [_round(row) for row in frame_features(known, clip)[::EVERY]]
        found["clips"].append(_round(clip_features(known, clip[None])[0]))
    return found


def _known(latents: Tensor, frames: Frames) -> Tensor:
    assert len(latents) == len(frames)
    return latents


def _strip(
    true: Frames, shown: dict[str, Frames], trials: list[tuple[int, int]]
) -> tuple[Frames, dict[str, Any]]:
    """The blind stretch with most old views that come back, the first of several such: chosen before it is scored."""
    stretches = range(BLIND, len(true) - BLIND, BLIND)
    ages = dict(trials)

    def returning(first: int) -> int:
        return sum(age > BLIND for i, age in trials if first < i <= first + BLIND)

    start = max(stretches, key=returning) if len(stretches) else 0
    picked = np.linspace(start + 1, min(start + BLIND, len(true) - 1), SHOWN).round().astype(int)
    columns = [max(0, i) for i in range(start - CONTEXT + 1, start + 1)] + picked.tolist()
    strip = np.stack(
        [true[columns], *(np.concatenate([true[columns[:CONTEXT]], f[picked]]) for f in shown.values())]
    )
    about = {
        "frames": columns,
        "ages": [ages.get(i) for i in columns],
        "context": CONTEXT,
        "rows": [TRUE, *shown],
    }
    return strip, about


def _round(values: Any) -> list[float]:
    return [round(float(v), 5) for v in values]
