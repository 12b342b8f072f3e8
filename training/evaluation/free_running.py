"""Whether a dream that is left alone stays on the world's manifold: long rollouts against all true frames.

After true context nothing is corrected, so a frame cannot be compared with the true one of that moment: a dream may be
elsewhere. Compared are distributions: of frames, in a feature space that ships with us
(:mod:`worldsim.metrics.frechet`), and of clips, in one that knows videos (:mod:`worldsim.metrics.perceptual`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

import envs  # noqa: F401  (registers the worlds)
from envs.episodes.episode import Episode
from training.data.episodes import DataError
from training.evaluation.lockstep import Walk, replay
from worldsim.dream.env import Dream
from worldsim.metrics.frechet import Array, Encode, fit, frame_features, frechet_distance
from worldsim.metrics.perceptual import fvd

FRAMES = 300
"""How long a dream is left alone."""
SEGMENTS = ((0, 44), (64, 108), (128, 172), (192, 236), (256, 300))
OTHER = 1_000_000  # between the seed of a world and that of another
CLIP = 16  # frames of a clip; a segment holds two, side by side
SHOWN = 20  # frames between two pictures of a strip

Frames = NDArray[np.uint8]


def long_enough(episodes: list[Episode], context: int) -> None:
    """Whether every episode has the frames of a dream that is left alone.

    Raises:
        DataError: one is too short.
    """
    need = context + FRAMES
    if short := [e for e in episodes if len(e) < need]:
        raise DataError(
            f"left alone for {FRAMES} frames after {context}: expected episodes of {need} frames, "
            f"found one of {len(short[0])}; record with steps={need}"
        )


def free_run(dream: Dream[Any], episode: Episode, context: int, seed: int) -> Frames:
    """What is dreamt along an episode's actions after ``context`` true frames: (FRAMES, H, W, 3)."""
    walk = Walk.of(episode, 0, context + FRAMES, posed=False)
    steps = replay({"": dream}, walk, None, seed=seed, context=context, revisits=False)
    return np.stack([step.frames[""] for step in steps])


def elsewhere(episodes: list[Episode], context: int) -> Frames | None:
    """The same actions in other true worlds, (episodes, FRAMES, H, W, 3); None where the world is not ours to start.

    Whoever walks on without looking runs into walls in a true world too: this is what can be asked of a dream.
    """
    if any(e.meta.get("backend") != "embedded" for e in episodes):
        return None
    rows = []
    for episode in episodes:
        meta = episode.meta
        env: Any = gymnasium.make(meta["env_id"], disable_env_checker=True, **meta["env_kwargs"])
        env.reset(seed=meta["seed"] + OTHER)
        shown = [env.step(episode.action(i))[0] for i in range(context - 1, context + FRAMES - 1)]
        rows.append(np.stack([x["pov"] if isinstance(x, dict) else x for x in shown]))
        env.close()
    return np.stack(rows)


def held(
    encode: Encode, episodes: list[Episode], dreamt: Frames, context: int, other: Frames | None = None
) -> dict[str, Any]:
    """Latent Fréchet distance of every segment to all true frames, and how many dreams have left them.

    Returns:
        ``lfd`` of each segment; ``true``, the same of the true frames of that segment; where there are ``other`` frames
        (:func:`elsewhere`) that of those, ``elsewhere``; ``ratio`` of the last to the first; ``collapsed``, dreams
        whose last segment, by itself, is farther from all true frames than any such segment of one true episode; and
        ``n`` dreams.
    """
    true = np.stack([e.frames(context, context + FRAMES) for e in episodes])
    rows = {"lfd": dreamt, "true": true} | ({} if other is None else {"elsewhere": other})
    features = {
        name: frame_features(encode, x.reshape(-1, *x.shape[2:])).reshape(len(x), FRAMES, -1)
        for name, x in rows.items()
    }
    world, dreams = features["true"], features["lfd"]
    everything = fit(world.reshape(-1, world.shape[-1]))

    def lfd(of: Array, segment: tuple[int, int]) -> float:
        part = of[..., slice(*segment), :].reshape(-1, of.shape[-1])
        return frechet_distance(fit(part), everything)

    found: dict[str, Any] = {
        name: {f"{a}-{b}": round(lfd(of, (a, b)), 4) for a, b in SEGMENTS} for name, of in features.items()
    }
    farthest = max(lfd(episode, segment) for episode in world for segment in SEGMENTS)
    ratio = lfd(dreams, SEGMENTS[-1]) / max(lfd(dreams, SEGMENTS[0]), 1e-9)
    collapsed = sum(lfd(dream, SEGMENTS[-1]) > farthest for dream in dreams)
    return found | {"ratio": round(ratio, 3), "collapsed": collapsed, "n": len(dreamt)}


def videos(
    features: Callable[[Frames], NDArray[np.float32]],
    episodes: list[Episode],
    dreamt: Frames,
    context: int,
    other: Frames | None = None,
) -> dict[str, Any]:
    """Fréchet video distance of the clips of every segment to those of all segments of true frames.

    Args:
        features: clips uint8 (n, T, H, W, 3) to (n, D).

    Returns:
        ``dream``, ``true`` and, where there are ``other`` frames, ``elsewhere``, as in :func:`held`: of each segment
        the distance; and ``n`` clips a segment. From so few clips it is biased upwards: read it beside ``elsewhere``.
    """
    true = np.stack([e.frames(context, context + FRAMES) for e in episodes])
    rows = {"dream": dreamt, "true": true} | ({} if other is None else {"elsewhere": other})
    starts = {f"{a}-{b}": range(a, b - CLIP + 1, CLIP) for a, b in SEGMENTS}
    found: dict[str, dict[str, NDArray[np.float32]]] = {name: {} for name in rows}
    with tqdm(total=len(rows) * len(starts), desc="videos", unit="segment") as bar:
        for name, frames in rows.items():
            for segment, firsts in starts.items():
                clips = np.concatenate([frames[:, first : first + CLIP] for first in firsts])
                found[name][segment] = features(clips)
                bar.update()
    everything = np.concatenate(list(found["true"].values()))
    return {
        name: {segment: round(fvd(part, everything), 2) for segment, part in parts.items()}
        for name, parts in found.items()
    } | {"n": len(next(iter(found["true"].values())))}


def strips(episodes: list[Episode], dreamt: Frames, context: int) -> Frames:
    """Every :data:`SHOWN`-th frame of each episode, true ones above dreamt ones."""
    rows = []
    for episode, dream in zip(episodes, dreamt, strict=True):
        true = episode.frames(context, context + FRAMES)
        rows += [np.concatenate(list(frames[::SHOWN]), 1) for frames in (true, dream)]
    return np.concatenate(rows)
