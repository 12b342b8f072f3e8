"""How far ahead a dream holds: true context, then frames dreamt blind under the recorded actions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import torch
from tqdm import tqdm

from envs.episodes.episode import Episode
from training.evaluation.config import Config, dream_of
from training.evaluation.lockstep import Walk, replay
from training.evaluation.scores import Row, Scores
from worldsim.checkpoint import Loaded
from worldsim.dream.registry import Source
from worldsim.metrics.perceptual import Perceptual

HORIZONS = (1, 4, 16, 64)


def measure_ahead(
    source: Source,
    episodes: list[Episode],
    config: Config,
    networks: Perceptual | None = None,
    horizons: tuple[int, ...] = HORIZONS,
) -> dict[str, Any]:
    """SSIM, PSNR and by ``networks`` LPIPS at each horizon: {who: {horizon: {"ssim", "psnr", "lpips"}}}.

    Who is dream, copy and untrained. A method is not measured untrained: that says nothing of the method.
    """
    play = ahead_player(source, episodes[0], config, networks, horizons)
    rows = (play(episode) for episode in tqdm(episodes, "ahead", unit="episode"))
    return ahead_table(rows, source, config, networks, horizons)


def ahead_player(
    source: Source,
    like: Episode,
    config: Config,
    networks: Perceptual | None = None,
    horizons: tuple[int, ...] = HORIZONS,
) -> Callable[[Episode], Row[tuple[str, int]]]:
    """What plays one episode, of pictures and actions as those of ``like``; the order of episodes changes nothing."""
    dreams = {"dream": dream_of(source, config, [like])}
    if source.loaded is not None and not config.method:
        dreams["untrained"] = dream_of(replace(source, loaded=untrained(source.loaded)), config, [like])
    horizons = tuple(h for h in horizons if h <= config.farthest)

    def play(episode: Episode) -> Row[tuple[str, int]]:
        scores = Scores[tuple[str, int]](("ssim", "psnr"), networks)
        length = config.context + max(horizons)
        for start in range(0, len(episode) - length, length)[: config.starts or None]:
            walk, seed = Walk.of(episode, start, start + length), config.seed + start + config.context
            copy = walk.frames[config.context - 1]
            for step in replay(dreams, walk, None, seed=seed, context=config.context, revisits=False):
                ahead = step.index - config.context + 1
                if ahead in horizons:
                    for name, frame in {"copy": copy, **step.frames}.items():
                        scores.add((name, ahead), step.true, frame)
        return scores.end_episode()

    return play


def ahead_table(
    rows: Iterable[Row[tuple[str, int]]],
    source: Source,
    config: Config,
    networks: Perceptual | None = None,
    horizons: tuple[int, ...] = HORIZONS,
) -> dict[str, Any]:
    """As :func:`measure_ahead`, of what every episode gave."""
    scores = Scores[tuple[str, int]](("ssim", "psnr"), networks)
    for row in rows:
        scores.take(row)
    names = ["dream", "copy", *(["untrained"] if source.loaded is not None and not config.method else [])]
    return {
        name: {
            str(h): {k: scores.of((name, h), k) for k in scores.names}
            for h in horizons
            if h <= config.farthest
        }
        for name in names
    }


def untrained(loaded: Loaded[Any]) -> Loaded[Any]:
    """The same model with random weights, over the trained autoencoder."""
    torch.manual_seed(0)
    model = type(loaded.model)(loaded.model.config)
    model.autoencoder.load_state_dict(loaded.model.autoencoder.state_dict())
    device = next(loaded.model.parameters()).device
    return Loaded(model.to(device).eval(), loaded.description, loaded.path)
