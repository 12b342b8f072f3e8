"""Table 2 of AR-Diffusion: calls by the closed form, each frame denoised as often, the paper's numbers beside."""

from __future__ import annotations

import pytest

from training.benchmark import ad

SMALL = [
    "model.denoiser.width=16",
    "model.denoiser.depth=1",
    "model.denoiser.heads=2",
    "model.autoencoder.width=16",
    "model.autoencoder.depth=1",
    "model.autoencoder.heads=2",
    "model.autoencoder.tokens=4",
    "device=cpu",
    "model.autoencoder.dim=3",
]


def test_calls_and_token_frames_grow_with_s_as_the_scheduler_says() -> None:
    found = ad.run([*SMALL, "frames=[16]", "differences=[0,10,50]", "steps=10"])
    rows = found["rows"]
    assert [row["s"] for row in rows] == [0, 10, 50]
    assert [row["calls"] for row in rows] == [10 + 15 * s for s in (0, 2, 10)]
    # Each of 16 frames changes in 10 calls; where not all end together, all but the last enter the cache once.
    assert rows[0]["token_frames"] == 160 and rows[2]["token_frames"] == 160 + 15
    assert all(row["seconds"] > 0 for row in rows) and rows[0]["ratio"] == 1
    assert [row["paper_seconds"] for row in rows] == [2.4, 7.9, 30.5]
    assert rows[2]["paper_ratio"] == pytest.approx(12.71)
    assert found["clock"] == "processor" and found["hardware"]


def test_rows_that_the_paper_does_not_have_are_refused() -> None:
    with pytest.raises(ValueError, match=r"frames of \[16, 128\]"):
        ad.run(["frames=[32]"])
