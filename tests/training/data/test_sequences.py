"""Stretches for a video model: what comes back in them, and what is left out."""

from __future__ import annotations

import numpy as np

from training.data.sequences import AFTER, Sequences
from training.data.walks import Walks

STEPS, TURN = 120, 50


def _walks() -> list[Walks]:
    """Two walks, whose latents count frames: one stands and turns away at frame 20 and back at 70, one walks on."""
    poses = np.zeros((2, STEPS, 5), np.float32)
    poses[0, 20 : 20 + TURN, 3] = 90.0
    poses[1, :, 0] = 5.0 * np.arange(STEPS)
    latents = np.broadcast_to(np.arange(STEPS)[None, :, None, None, None], (2, STEPS, 1, 2, 2)).astype(
        np.float16
    )
    frames, depth = np.zeros((2, STEPS, 8, 8, 3), np.uint8), np.zeros((2, STEPS, 1, 1), np.float16)
    return [Walks(frames, latents, depth, np.zeros((2, STEPS, 1), np.float32), poses)]


def _first_and_last(source: Sequences, length: int) -> tuple[np.ndarray, np.ndarray]:
    drawn = source.draw(0, 0, 200, length).latents[:, :, 0, 0, 0].numpy()
    return drawn[:, 0], drawn[:, -1]


def test_returning_rows_end_soon_after_a_view_that_comes_back() -> None:
    shards, back = _walks(), 20 + TURN
    _, last = _first_and_last(Sequences(shards, returning=1.0), 60)
    assert ((last >= back) & (last < STEPS)).all()
    assert (last < back + AFTER).mean() > 0.2
    first, _ = _first_and_last(Sequences(shards), 60)
    assert (first < 10).any() and (first > 50).any(), "anywhere, where nothing else is asked for"


def test_frames_are_left_out_before_the_last_ones() -> None:
    drawn = Sequences(_walks()).draw(0, 0, 50, 100, kept=20, last=8)
    assert (
        drawn.kept is not None
        and drawn.latents.shape[:2] == (50, 20)
        and drawn.actions.shape[:2] == (50, 100)
    )
    steps = np.diff(drawn.kept.numpy(), axis=1)
    assert (steps > 0).all() and (steps[:, -7:] == 1).all() and (steps[:, :-7] > 1).any()
    assert (drawn.kept[:, -1] == 99).all()
    counted = drawn.latents[:, :, 0, 0, 0].numpy()
    np.testing.assert_array_equal(np.diff(counted, axis=1), steps)
