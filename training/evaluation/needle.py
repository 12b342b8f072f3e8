"""What a dream remembers: returning views of needle episodes, history from truth, by how long ago they were seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from tqdm import tqdm

from envs.episodes.episode import Episode
from training.evaluation.config import Config, dream_of
from training.evaluation.lockstep import replay
from training.evaluation.reconstruct import reconstruct
from training.evaluation.scores import LPIPS, Row, Scores
from worldsim.dream.registry import Source
from worldsim.frames import larger, to_tensor, to_uint8
from worldsim.metrics.perceptual import Perceptual
from worldsim.metrics.retrieval import RANGE_NAMES


def measure_needle(
    source: Source, episodes: list[Episode], config: Config, networks: Perceptual | None = None
) -> dict[str, Any]:
    """SSIM of revisits by age range, memory and forgetful, history from truth, as ``needle``; ``needle_lpips``.

    Each is {range: {"memory", "forgetful"}}; the latter, LPIPS, is there with ``networks`` only. Also the autoencoder's
    own reconstruction of the same frames (``ceiling``, of what is drawn from latents alone; of checkpoints) and the
    view as it was (``recall``).
    """
    play = needle_player(source, episodes[0], config, networks)
    rows = (play(episode) for episode in tqdm(episodes, "needle", unit="episode"))
    return needle_table(rows, source, networks)


def needle_player(
    source: Source, like: Episode, config: Config, networks: Perceptual | None = None
) -> Callable[[Episode], Row[tuple[str, str]]]:
    """What plays one episode, of pictures and actions as those of ``like``; the order of episodes changes nothing."""
    memory = dream_of(source, config, [like])
    dreams = {"memory": memory, "forgetful": dream_of(source, config, [like], memory.window)}

    def play(episode: Episode) -> Row[tuple[str, str]]:
        scores = Scores[tuple[str, str]](("ssim",), networks)
        for step in replay(dreams, episode, config.blind, seed=config.seed):
            if step.revisit is None:
                continue
            shown = dict(step.frames)
            if source.loaded is not None:
                shown["ceiling"] = reconstruct(source.loaded, step.true[None])[0]
            shown["recall"] = _as_large(step.revisit.thumbnail, len(step.true))
            for name, frame in shown.items():
                scores.add((step.revisit.range, name), step.true, frame)
        return scores.end_episode()

    return play


def needle_table(
    rows: Iterable[Row[tuple[str, str]]], source: Source, networks: Perceptual | None = None
) -> dict[str, Any]:
    """As :func:`measure_needle`, of what every episode gave."""
    scores = Scores[tuple[str, str]](("ssim",), networks)
    for row in rows:
        scores.take(row)
    names = ("memory", "forgetful", *(("ceiling",) if source.loaded is not None else ()), "recall")
    return {
        "needle_lpips" if k == LPIPS else "needle": {
            r: {name: scores.of((r, name), k) for name in names} for r in RANGE_NAMES
        }
        for k in scores.names
    }


def _as_large(frame: np.ndarray, size: int) -> np.ndarray:
    return frame if len(frame) == size else to_uint8(larger(to_tensor(frame[None]), size))[0]
