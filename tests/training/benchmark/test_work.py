"""What a benchmark counts: products on weights of another layout, and by our own loops, are counted as any others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from training.benchmark.work import Products
from worldsim.engine.cpu import generator
from worldsim.engine.cpu.convolution import TiledConv3x3
from worldsim.engine.cpu.linear import Bf16Product, TiledProduct
from worldsim.engine.kernels.tiles import available, laid_out
from worldsim.engine.timer import PhaseTimer

TILES = pytest.mark.skipif(not available(), reason="no tiles of bfloat16 here")
ONEDNN = pytest.mark.skipif(not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="no bf16 in oneDNN here")


def _convolved() -> None:
    TiledConv3x3(torch.randn(20, 12, 3, 3), torch.randn(20), (8, 6))(torch.randn(2, 8, 6, 12))


def _multiplied() -> None:
    Bf16Product(torch.randn(12, 20), 16)(torch.randn(16, 12))


def _multiplied_by_tiles() -> None:
    TiledProduct(torch.randn(12, 20))(torch.randn(16, 12))


def _transformed() -> None:
    """Two frames of 16 tokens, 64 wide, that see two of a ring's five places."""
    x, bias, norm, turn = _zeros(32, 64), _zeros(3, 384), _zeros(3, 64), _zeros(2, 32)
    weights = [
        np.stack([laid_out(_zeros(*sides))] * 3) for sides in ((64, 192), (64, 64), (64, 256), (256, 64))
    ]
    ring, queries = _zeros(3, 1, 1, 5, 16, 64), _zeros(1, 1, 2, 16, 64)
    places = np.array([1, 0])
    generator.transform(
        x, _zeros(2, 384), bias, *weights, norm, norm, turn, turn, queries, ring, ring.copy(), places, 1
    )


def _zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


@pytest.mark.parametrize(
    ("work", "operations"),
    [
        pytest.param(_convolved, 2 * 2 * 8 * 6 * 9 * 12 * 20, marks=TILES),
        pytest.param(_multiplied, 2 * 16 * 12 * 20, marks=ONEDNN),
        pytest.param(_multiplied_by_tiles, 2 * 16 * 12 * 20, marks=TILES),
        pytest.param(_transformed, 3 * 32 * 6 * 64**2 + 2.5 * 32 * (18 * 64**2 + 4 * 64 * 32), marks=TILES),
    ],
)
def test_what_is_multiplied_is_counted(work: Callable[[], None], operations: int) -> None:
    with torch.inference_mode(), Products.counting() as counted:
        mark = PhaseTimer()
        work()
        mark("decode")
    assert counted.phases["decode"].operations == operations
