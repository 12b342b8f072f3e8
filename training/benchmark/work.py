"""The work in one dreamt frame: its matrix products and convolutions by phase, and what they alone take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, register_flop_formula

from training.benchmark.dreaming import wait
from worldsim.engine.cpu import generator
from worldsim.engine.cpu.convolution import TiledConv3x3
from worldsim.engine.cpu.linear import TiledProduct
from worldsim.engine.timer import PhaseTimer


@register_flop_formula(torch.ops.mkldnn._linear_pointwise)
def _packed_product(rows: torch.Size, weight: torch.Size, *_: Any, **__: Any) -> int:
    """Rows (n, inside) by a packed weight (outside, inside)."""
    return 2 * rows.numel() * weight[0]


def _product(product: TiledProduct, rows: Tensor) -> tuple[int, int]:
    """Operations and bytes of rows (n, inside)."""
    return 2 * rows.numel() * product.outside, rows.nbytes + product.weight.nbytes


def _convolution(convolution: TiledConv3x3, x: Tensor, silu: bool = False) -> tuple[int, int]:
    """Operations and bytes of cells (N, h, w, C)."""
    return 18 * x.numel() * convolution.outside, x.nbytes + convolution.weight.nbytes


def _blocks(x: np.ndarray, modulation: np.ndarray, bias: np.ndarray, *rest: Any) -> tuple[int, int]:
    """Operations and bytes of a transformer's blocks over rows (n, width): its products and its attention.

    The last block does not finish the frames before the last.
    """
    weights, queries, keys, count = rest[:4], rest[8], rest[9], rest[12]
    read, frames, depth = min(count + 1, keys.shape[3]) * keys.shape[4], queries.shape[2], len(bias)
    first, *others = (weight.size // depth for weight in weights)
    finished = depth - (frames - 1) / frames
    operations = int(len(x) * (2 * first * depth + finished * (2 * sum(others) + 4 * x.shape[1] * read)))
    return operations, x.nbytes + sum(array.nbytes for array in (*weights, *rest[9:11]))


_BY_TILES: list[tuple[Any, str, Callable[..., tuple[int, int]]]] = [
    (TiledProduct, "__call__", _product),
    (TiledConv3x3, "__call__", _convolution),
    (generator, "transform", _blocks),
]
"""What of the fast engine multiplies by tiles, and what counts it."""


@dataclass
class Phase:
    """Of one phase: floating point operations, bytes of the operands, and the calls themselves."""

    operations: int = 0
    bytes: int = 0
    calls: list[Callable[[], Any]] = field(default_factory=list)


class Products(TorchDispatchMode):
    """Counts the products, convolutions and attentions of every phase while a step runs under it.

    Winograd's convolutions count as the products that they are, not as the ones they replace; the loops between the
    products are not counted: they are a few percent of the operations.
    """

    def __init__(self) -> None:
        super().__init__()
        self.phases: dict[str, Phase] = {}
        self._open = Phase()

    @classmethod
    @contextmanager
    def counting(cls) -> Iterator[Products]:
        """Counts what is done inside."""
        products = cls()
        PhaseTimer.watcher = products._ended
        try:
            with products, products._by_tiles():
                yield products
        finally:
            PhaseTimer.watcher = None

    @contextmanager
    def _by_tiles(self) -> Iterator[None]:
        """Counts what is multiplied by the loops of our own, which torch does not see."""
        with ExitStack() as replaced:
            for owner, name, count in _BY_TILES:
                function = getattr(owner, name)
                replaced.enter_context(patch.object(owner, name, self._counted(function, count)))
            yield

    def _counted(
        self, function: Callable[..., Any], count: Callable[..., tuple[int, int]]
    ) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self._add(*count(*args, **kwargs), partial(function, *args, **kwargs))
            return function(*args, **kwargs)

        return call

    def _add(self, operations: int, size: int, call: Callable[[], Any]) -> None:
        self._open.operations += operations
        self._open.bytes += size
        self._open.calls.append(call)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func._overloadpacket not in flop_registry:
            with self:  # a linear layer is a product within
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        out = func(*args, **kwargs)
        if count := flop_registry.get(func._overloadpacket):
            size = sum(x.numel() * x.element_size() for x in args if isinstance(x, Tensor))
            self._add(count(*args, **kwargs, out_val=out), size, lambda: func(*args, **kwargs))
        return out

    def _ended(self, phase: str) -> None:
        self.phases[phase], self._open = self._open, Phase()

    @torch.inference_mode()
    def isolated_ms(self, repeats: int = 30) -> dict[str, float]:
        """Median milliseconds of each phase's calls and nothing else, in the order of a step."""
        spent: dict[str, list[float]] = {name: [] for name in self.phases}
        for _ in range(repeats):
            for name, phase in self.phases.items():
                began = time.perf_counter()
                for call in phase.calls:
                    call()
                spent[name].append((time.perf_counter() - began) * 1e3)
        return {name: float(np.median(ms)) for name, ms in spent.items()}


def matrix_rate(device: torch.device, size: int = 1024, dtype: torch.dtype = torch.float32) -> float:
    """Floating point operations a second of a matrix product, the best of five."""
    a = torch.randn(size, size, device=device).to(dtype)
    return 2 * size**3 / _best(lambda: a @ a, device)


def read_rate(device: torch.device, megabytes: int = 16) -> float:
    """Bytes a second that a sum over as much memory as a step's weights reads, the best of five."""
    a = torch.randn(megabytes << 18, device=device)
    return a.numel() * 4 / _best(a.sum, device)


def _best(work: Callable[[], Any], device: torch.device) -> float:
    best = float("inf")
    for _ in range(6):
        began = time.perf_counter()
        work()
        wait(device)
        best = min(best, time.perf_counter() - began)
    return best
