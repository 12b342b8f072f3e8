"""What a benchmark counts: operations that oneDNN does on weights of its own layout are counted as any others."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from training.benchmark.work import Products
from worldsim.engine.cpu.convolution import TiledConv3x3
from worldsim.engine.cpu.linear import Bf16Product
from worldsim.engine.timer import PhaseTimer

pytestmark = pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="no bf16 in oneDNN here"
)


def _convolved() -> None:
    TiledConv3x3(torch.randn(20, 12, 3, 3), torch.randn(20), (8, 6))(torch.randn(2, 8, 6, 12))


def _multiplied() -> None:
    Bf16Product(torch.randn(12, 20), 16)(torch.randn(16, 12))


@pytest.mark.parametrize(
    ("work", "operations"), [(_convolved, 2 * 2 * 8 * 6 * 9 * 12 * 20), (_multiplied, 2 * 16 * 12 * 20)]
)
def test_what_is_multiplied_in_a_packed_layout_is_counted(work: Callable[[], None], operations: int) -> None:
    with torch.inference_mode(), Products.counting() as counted:
        mark = PhaseTimer()
        work()
        mark("decode")
    assert counted.phases["decode"].operations == operations
