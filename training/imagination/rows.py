"""Everything that is scored side by side: dreams, other true worlds, and those with their pictures spoilt."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from tqdm import tqdm

from training.imagination.config import Config
from training.imagination.play import (
    Frames,
    Walk,
    begin_in_dream,
    begin_in_world,
    dream_of,
    player_in_dream,
    player_in_world,
    world_of,
)
from worldsim.checkpoint import Loaded
from worldsim.frames import to_tensor, to_uint8

REFERENCES = (
    100_000  # between the first seed of what is played and that of the worlds that all is compared to
)
BLUR = 2.0  # pixels of 64, the width of the Gaussian that makes mud
SQUARE = 8  # pixels of 64, the side of a piece of confetti
BATCH = 64


def true_worlds(loaded: Loaded[Any], config: Config, first: int, count: int) -> tuple[list[Walk], Frames]:
    """True worlds under the policy: their contexts, and the frames that followed, (count, frames, H, W, 3)."""
    env = world_of(loaded)
    contexts, rows = [], []
    for seed in tqdm(range(first, first + count), "true worlds", unit="world"):
        stage, context = begin_in_world(env, config, seed)
        contexts.append(context)
        rows.append(stage.walk(player_in_world(env, config, seed + 1), config.frames).frames)
    env.close()
    return contexts, np.stack(rows)


def dreams(loaded: Loaded[Any], config: Config, contexts: list[Walk], memory: bool = True) -> list[Walk]:
    """What is dreamt after each context, never corrected."""
    dream = dream_of(loaded, config, memory)
    found = []
    for i, context in enumerate(tqdm(contexts, "dreams" if memory else "twins", unit="dream")):
        seed = config.first_seed + i
        stage = begin_in_dream(dream, context, seed)
        found.append(stage.walk(player_in_dream(dream, config, seed + 1), config.frames))
    return found


def decoded(loaded: Loaded[Any], frames: Frames) -> Frames:
    """Frames (..., H, W, 3) through the autoencoder and back: the sharpest that can be drawn from latents alone."""
    flat, autoencoder = frames.reshape(-1, *frames.shape[-3:]), loaded.model.autoencoder
    device = next(autoencoder.parameters()).device
    with torch.inference_mode():
        parts = [
            to_uint8(autoencoder.decode(autoencoder.encode(to_tensor(flat[i : i + BATCH], device))))
            for i in range(0, len(flat), BATCH)
        ]
    return np.concatenate(parts).reshape(frames.shape)


def blurred(frames: Frames) -> Frames:
    """Frames (..., H, W, 3) as mud: what a dream fades to that draws the mean of what might be there."""
    width = BLUR * frames.shape[-2] / 64
    sigma = (*(0.0,) * (frames.ndim - 3), width, width, 0.0)
    return gaussian_filter(frames.astype(np.float32), sigma, mode="nearest").round().astype(np.uint8)


def confetti(frames: Frames) -> Frames:
    """Walks (n, T, H, W, 3) cut into squares that lie in another order, one for each walk: sharp, and no place."""
    n, t, h, w, c = frames.shape
    side = SQUARE * h // 64
    rows, columns = h // side, w // side
    cut = frames.reshape(n, t, rows, side, columns, side, c).transpose(0, 1, 2, 4, 3, 5, 6)
    cut = cut.reshape(n, t, rows * columns, side, side, c)
    mixed = np.stack(
        [walk[:, np.random.default_rng(i).permutation(rows * columns)] for i, walk in enumerate(cut)]
    )
    back = mixed.reshape(n, t, rows, columns, side, side, c).transpose(0, 1, 2, 4, 3, 5, 6)
    return np.ascontiguousarray(back.reshape(frames.shape))
