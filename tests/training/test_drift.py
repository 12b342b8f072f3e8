"""What has drifted as a whole is pulled back, in colour and in contrast; what only comes at another time is not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from training.drift import gap, moments, pull, variance

TRUE = torch.randn(40, 3, 4, 4, generator=torch.Generator().manual_seed(0))


def test_the_moments_of_a_frame_are_what_they_are_called() -> None:
    z = TRUE[:2]
    found = moments(z)
    assert found.shape == (2, 12 + 12 + 9)
    assert torch.allclose(found[:, 5], z[:, 1, 1].mean(-1))  # the second row of the second channel
    assert torch.allclose(found[:, 17], z[:, 1, 1].square().mean(-1))
    assert torch.allclose(found[:, 24 + 2], (z[:, 0] * z[:, 2]).mean((-1, -2)))


def test_the_same_frames_in_another_order_have_not_drifted() -> None:
    off = gap(TRUE.flip(0), TRUE)
    assert off.abs().max() < 1e-6
    made = TRUE[None, :5].clone().requires_grad_()
    pull(made, off[None], variance(TRUE)).backward()
    assert made.grad is not None and made.grad.abs().max() < 1e-6


@pytest.mark.parametrize(
    "drifted",
    [TRUE + torch.tensor([0.5, 0.0, 0.0])[:, None, None], 1.5 * TRUE, 0.5 * TRUE],
    ids=["a colour", "more contrast", "less contrast"],
)
def test_one_step_down_brings_a_drifted_dream_nearer(drifted: Tensor) -> None:
    spread = variance(TRUE)
    off = gap(drifted, TRUE)
    made = drifted[None].clone().requires_grad_()
    pull(made, off[None], spread).backward()
    assert made.grad is not None
    back = (made - 0.2 * made.grad / made.grad.std()).detach()[0]

    def far(x: Tensor) -> float:
        return float((gap(x, TRUE).square() / spread).sum())

    assert far(back) < 0.9 * far(drifted)


def test_a_row_of_the_batch_is_pulled_by_its_own_dream() -> None:
    spread, off = variance(TRUE), gap(TRUE + 1, TRUE)
    made = TRUE[:10].unflatten(0, (2, 5)).clone().requires_grad_()
    pull(made, torch.stack([off, torch.zeros_like(off)]), spread).backward()
    assert made.grad is not None and made.grad[0].abs().max() > 0 and made.grad[1].abs().max() == 0
