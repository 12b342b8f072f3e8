"""What memory does not know is told from what was read, and only there has a dream to pass for true."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.discriminator import hinge
from training.doubt import Doubt


def known_and_unknown(n: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Guesses (n, 1, 4, 8, 8) beside a plane that says where they are right, and the truth; unknown (n, 1, 4, 4)."""
    unknown = (torch.rand(n, 1, 4, 4) < 0.5).float()
    true = torch.randn(n, 1, 4, 8, 8)
    plane = F.interpolate(unknown, scale_factor=2)[:, None]  # (n, 1, 1, 8, 8)
    guess = true * (1 - plane)
    return torch.cat([guess, plane], 2), guess, true, unknown


def test_doubt_is_the_error_to_be_expected_of_what_was_read() -> None:
    torch.manual_seed(0)
    doubt = Doubt(5, width=8)
    optimizer = torch.optim.Adam(doubt.parameters(), 1e-2)
    for _ in range(150):
        read, guess, true, _ = known_and_unknown(32)
        optimizer.zero_grad()
        doubt.loss(read, guess, true).backward()
        optimizer.step()
    read, _, _, unknown = known_and_unknown(64)
    share = doubt.share(read)
    assert share.shape == unknown.shape and float(share.min()) >= 0 and float(share.max()) <= 1
    assert float(share[unknown == 0].mean()) < 0.1
    assert 0.8 < float(share[unknown == 1].mean()) <= 1  # the variance of what is there, which is 1


def test_what_is_known_need_not_pass_but_is_judged_all_the_same() -> None:
    torch.manual_seed(0)
    judge = nn.Conv2d(3, 1, 2, stride=2)
    real, fake = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4, requires_grad=True)
    where = torch.zeros(2, 1, 2, 2)
    where[:, :, 0, 0] = 1
    passed, judged = hinge(judge, real, fake, where)
    (asked,) = torch.autograd.grad(passed, fake)
    assert (asked[:, :, :2, :2] != 0).all()
    asked[:, :, :2, :2] = 0
    assert (asked == 0).all()
    everywhere, same = hinge(judge, real, fake, torch.ones(2, 1, 2, 2))
    plain, judged_plain = hinge(judge, real, fake)
    assert torch.equal(everywhere, plain)
    assert torch.equal(judged, judged_plain) and torch.equal(same, judged_plain)
