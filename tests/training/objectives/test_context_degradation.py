"""A faded frame has lost contrast, never gained it, and only the rows that were to fade have."""

from __future__ import annotations

import pytest
import torch

from training.data.clips import RowNoise
from training.objectives.context_degradation import degrade_context

CPU = torch.device("cpu")


def rows(count: int) -> RowNoise:
    return RowNoise(list(range(count)), CPU)


def test_nothing_fades_at_zero_and_no_row_gains_contrast() -> None:
    latents = torch.randn(64, 3, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(degrade_context(latents, rows(64), 0.0), latents)
    contrast = degrade_context(latents, rows(64), 0.4).std((1, 3, 4)).mean(1) / latents.std((1, 3, 4)).mean(1)
    assert (contrast <= 1.001).all() and contrast.min() < 0.5 and contrast.max() > 0.8


def test_half_the_rows_fade_where_half_are_to_and_frames_of_a_row_alike() -> None:
    latents = torch.randn(200, 1, 4, 8, 8, generator=torch.Generator().manual_seed(1)).expand(
        -1, 3, -1, -1, -1
    )
    some = degrade_context(latents, rows(200), 0.4, odds=0.5)
    touched = (some != latents).flatten(1).any(1)
    assert float(touched.float().mean()) == pytest.approx(0.5, abs=0.1)
    assert torch.equal(some[:, 0], some[:, 2])


def test_a_row_fades_alike_in_any_batch() -> None:
    latents = torch.randn(4, 2, 4, 8, 8, generator=torch.Generator().manual_seed(2))
    assert torch.allclose(
        degrade_context(latents, rows(4), 0.4)[:2], degrade_context(latents[:2], rows(2), 0.4)
    )
