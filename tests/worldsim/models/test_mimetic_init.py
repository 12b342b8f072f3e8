"""Attention that begins local: like places begin alike, like attends to like, and finds are handed on."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from worldsim.models.autoencoders.transformer import Layer
from worldsim.models.mimetic_init import grid_of, identity_values, places, tie_query_key


@pytest.mark.parametrize(("count", "rows"), [(16, (4, 4)), (32, (4, 8)), (7, (1, 7)), (1, (1, 1))])
def test_places_are_a_grid_as_square_as_can_be(count: int, rows: tuple[int, int]) -> None:
    assert grid_of(count) == rows


def test_of_a_finer_grid_those_places_are_most_alike_that_lie_within() -> None:
    """The four patches of an 8x8 grid most like a token of a 4x4 grid are the four that its square holds."""
    tokens, patches = places(4, 4, 96).detach(), places(8, 8, 96).detach()
    nearest = (tokens @ patches.T).topk(4).indices  # (16, 4)
    for i, found in enumerate(nearest.tolist()):
        assert {(p // 8 // 2) * 4 + p % 8 // 2 for p in found} == {i}


def test_a_layer_begins_by_bringing_a_place_what_stands_there() -> None:
    """Tokens without content take on more of the content at their own place than at others; evenly without likeness."""
    torch.manual_seed(0)
    layer = Layer(64, 4)
    identity_values(layer.qkv, layer.out)
    nn.init.zeros_(layer.down.weight)
    at, content = places(4, 4, 64).detach(), 0.5 * torch.randn(16, 64)

    def preference() -> float:
        with torch.no_grad():
            found = layer(torch.cat([at, at + content])[None])[0, :16] - at
        taken = found @ content.T
        return float(taken.diag().mean() / (taken.sum() - taken.trace()) * 240)

    assert abs(preference() - 1) < 0.3
    tie_query_key(layer.qkv)
    assert preference() > 1.5
