"""Errors count by what evidence says of a place: more in holes, and most where something is just being changed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from training.data.evidence_clips import GeneratorClips, covered
from training.objectives.generation import Generation, GenerationConfig, draw

SHAPE = torch.Size((2, 4, 3, 8, 8))


class Wrong(torch.nn.Module):
    """Is right but for one cell, the first, of every frame."""

    def forward(self, z: Tensor, *_: Tensor) -> Tensor:
        x0 = torch.zeros_like(z)
        x0[..., 0, 0] = 1
        return x0


def _loss(mark: float, **weights: float) -> float:
    evidence = torch.ones(2, 4, 4, 64, 64)
    evidence[:, :, 3, :8, :8] = mark
    clips = GeneratorClips(torch.zeros(SHAPE), torch.zeros(2, 4, 5), evidence, covered(evidence))
    d = draw(SHAPE, GenerationConfig(soft=0), False, torch.Generator().manual_seed(0))
    objective = Generation(Wrong(), GenerationConfig(hole=2, **weights))  # type: ignore[arg-type]
    return float(objective(clips, d)["loss"])


@pytest.mark.parametrize(("mark", "edit", "times"), [(1.0, 0, 1), (0.0, 0, 3), (0.0, 7, 3), (-1.0, 7, 10)])
def test_an_error_counts_by_what_is_known_of_its_place(mark: float, edit: float, times: float) -> None:
    assert _loss(mark, edit=edit) == pytest.approx(times * _loss(1.0), rel=1e-5)
