"""What a dream remembers: returning views of needle episodes, history from truth, by how long ago they were seen."""

from __future__ import annotations

from typing import Any

import numpy as np
from tqdm import tqdm

from envs.episodes.episode import Episode
from training.evaluation.config import Config, dream_of
from training.evaluation.lockstep import replay
from training.evaluation.reconstruct import reconstruct
from training.evaluation.scores import LPIPS, Scores
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
    memory = dream_of(source, config, episodes)
    dreams = {"memory": memory, "forgetful": dream_of(source, config, episodes, memory.window)}
    scores = Scores[tuple[str, str]](("ssim",), networks)
    for episode in tqdm(episodes, "needle", unit="episode"):
        for step in replay(dreams, episode, config.blind, seed=config.seed):
            if step.revisit is None:
                continue
            shown = dict(step.frames)
            if source.loaded is not None:
                shown["ceiling"] = reconstruct(source.loaded, step.true[None])[0]
            shown["recall"] = _as_large(step.revisit.thumbnail, len(step.true))
            for name, frame in shown.items():
                scores.add((step.revisit.range, name), step.true, frame)
        scores.end_episode()
    names = ("memory", "forgetful", *(("ceiling",) if source.loaded is not None else ()), "recall")
    return {
        "needle_lpips" if k == LPIPS else "needle": {
            r: {name: scores.of((r, name), k) for name in names} for r in RANGE_NAMES
        }
        for k in scores.names
    }


def _as_large(frame: np.ndarray, size: int) -> np.ndarray:
    return frame if len(frame) == size else to_uint8(larger(to_tensor(frame[None]), size))[0]
