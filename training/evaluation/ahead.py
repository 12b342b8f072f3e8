"""How far ahead a dream holds: true context, then frames dreamt blind under the recorded actions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from tqdm import tqdm

from envs.episodes.episode import Episode
from training.data.episodes import DataError
from training.evaluation.config import Config, dream_of
from training.evaluation.lockstep import Walk, replay
from training.evaluation.scores import Row, Scores
from worldsim.checkpoint import Loaded
from worldsim.dream.registry import Source
from worldsim.metrics.perceptual import Perceptual

HORIZONS = (1, 4, 16, 64)
SHOWN = (1, 2, 4, 8, 16, 24, 32, 48, 64)  # frames ahead that are looked at
TRUE = "true"
LABEL = 96  # pixels

Pictures = dict[str, dict[int, NDArray[np.uint8]]]
"""Of one walk: who drew, how many frames ahead, the picture (H, W, 3)."""


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


def long_enough(episodes: list[Episode], config: Config) -> None:
    """Whether any episode has room for a walk; shorter ones beside it add nothing.

    Raises:
        DataError: none has.
    """
    need = config.context + max(h for h in HORIZONS if h <= config.farthest) + 1
    if (longest := max(len(episode) for episode in episodes)) < need:
        raise DataError(
            f"{config.context} frames of context and those ahead of them take episodes of {need} frames, found "
            f"{longest} at most; record with steps={need - 1}, or set a smaller context= or farthest="
        )


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


def pictures_of(source: Source, episode: Episode, config: Config) -> Pictures:
    """The frames of the first walk of an episode that are :data:`SHOWN`, true and dreamt."""
    dreams, found = {"dream": dream_of(source, config, [episode])}, Pictures()
    shown = [n for n in SHOWN if n <= max(h for h in HORIZONS if h <= config.farthest)]
    walk, seed = Walk.of(episode, 0, config.context + shown[-1]), config.seed + config.context
    for step in replay(dreams, walk, None, seed=seed, context=config.context, revisits=False):
        if (ahead := step.index - config.context + 1) in shown:
            for name, frame in {TRUE: step.true, "dream": step.frames["dream"]}.items():
                found.setdefault(name, {})[ahead] = frame
    return found


def untrained(loaded: Loaded[Any]) -> Loaded[Any]:
    """The same model with random weights, over the trained autoencoder."""
    torch.manual_seed(0)
    model = type(loaded.model)(loaded.model.config)
    model.autoencoder.load_state_dict(loaded.model.autoencoder.state_dict())
    device = next(loaded.model.parameters()).device
    return Loaded(model.to(device).eval(), loaded.description, loaded.path)


def strips(rows: Pictures) -> NDArray[np.uint8]:
    """A line for each who drew, with its name and how far ahead every picture is."""
    columns = sorted({ahead for row in rows.values() for ahead in row})
    side = len(next(iter(rows[TRUE].values())))
    head = 12
    canvas = Image.new("RGB", (LABEL + side * len(columns), head + side * len(rows)), "white")
    draw = ImageDraw.Draw(canvas)
    for column, ahead in enumerate(columns):
        draw.text((LABEL + side * column + side // 2, head // 2), f"{ahead} ahead", "black", anchor="mm")
    for line, (name, row) in enumerate(rows.items()):
        draw.text((4, head + side * line + side // 2), name, "black", anchor="lm")
        for column, ahead in enumerate(columns):
            if ahead in row:
                canvas.paste(Image.fromarray(row[ahead]), (LABEL + side * column, head + side * line))
    return np.asarray(canvas)
