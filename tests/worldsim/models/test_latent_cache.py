"""Latents of the last frames, kept for several sessions over one checkpoint."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from worldsim.models.latent_cache import KEPT, LatentCache


def _frames(first: int, count: int) -> np.ndarray:
    return np.stack([np.full((2, 2, 3), i, np.uint8) for i in range(first, first + count)])


def _latents(frames: np.ndarray) -> Tensor:
    return torch.from_numpy(frames[:, :, :, :1].astype(np.float32))


def test_what_is_known_is_not_encoded_again() -> None:
    asked: list[int] = []

    def encode(frames: np.ndarray) -> Tensor:
        asked.append(len(frames))
        return _latents(frames)

    cache = LatentCache(encode)
    cache(_frames(0, 5))
    torch.testing.assert_close(cache(_frames(0, 8)), _latents(_frames(0, 8)))
    assert asked == [5, 3]


def test_what_others_push_out_meanwhile_is_still_found() -> None:
    pushing = False

    def encode(frames: np.ndarray) -> Tensor:
        nonlocal pushing
        if pushing:  # another session encodes its frames while this one waits for the processor
            pushing = False
            for i in range(KEPT):
                cache._keep(b"%d" % i, torch.zeros(2, 2, 1))
        return _latents(frames)

    cache = LatentCache(encode)
    cache(_frames(0, 5))
    pushing = True
    torch.testing.assert_close(cache(_frames(0, 8)), _latents(_frames(0, 8)))
