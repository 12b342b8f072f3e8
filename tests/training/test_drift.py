"""A colour that has drifted is pulled back where it is; what only comes at another time or elsewhere is not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from training.drift import gap, moments, pull, variance

TRUE = torch.randn(40, 3, 4, 4, generator=torch.Generator().manual_seed(0))


def test_the_moments_of_a_frame_are_what_they_are_called() -> None:
    found = moments(TRUE)
    assert found.shape == (40, 12)
    assert torch.allclose(found[:, 5], TRUE[:, 1, 1].mean(-1))  # the second row of the second channel


@pytest.mark.parametrize("own", [TRUE.flip(0), TRUE.flip(-1)], ids=["another order", "seen in a mirror"])
def test_what_has_the_same_colours_has_not_drifted(own: Tensor) -> None:
    off = gap(own, TRUE)
    assert off.abs().max() < 1e-6
    made = own[None, :5].clone().requires_grad_()
    pull(made, off[None], variance(TRUE)).backward()
    assert made.grad is not None and made.grad.abs().max() < 1e-5


def test_more_or_less_contrast_is_no_drift() -> None:
    middle = TRUE.mean(-1, keepdim=True)
    assert gap(middle + 1.5 * (TRUE - middle), TRUE).abs().max() < 1e-6


@pytest.mark.parametrize("row", [0, 3], ids=["the sky", "the ground"])
def test_one_step_down_brings_a_drifted_dream_nearer(row: int) -> None:
    spread, drifted = variance(TRUE), TRUE.clone()
    drifted[:, 1, row] += 0.5
    made = drifted[None].clone().requires_grad_()
    pull(made, gap(drifted, TRUE)[None], spread).backward()
    assert made.grad is not None
    back = (made - 0.2 * made.grad / made.grad.abs().max()).detach()[0]

    def far(x: Tensor) -> float:
        return float((gap(x, TRUE).square() / spread).sum())

    assert far(back) < 0.7 * far(drifted)
    assert torch.allclose(back[:, 0], drifted[:, 0], atol=1e-5)


def test_a_row_of_the_batch_is_pulled_by_its_own_dream() -> None:
    spread, off = variance(TRUE), gap(TRUE + 1, TRUE)
    made = TRUE[:10].unflatten(0, (2, 5)).clone().requires_grad_()
    pull(made, torch.stack([off, torch.zeros_like(off)]), spread).backward()
    assert made.grad is not None and made.grad[0].abs().max() > 0 and made.grad[1].abs().max() == 0
