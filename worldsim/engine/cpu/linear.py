"""A linear layer over few rows: the weight lies as the product reads it, half as fast again as the usual way."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from worldsim.engine.kernels import tiles


class Dense:
    """rows (n, inside) to (n, outside): ``bias + rows @ weight``; weight (inside, outside), bias (outside,)."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.weight = weight.detach().float().contiguous()
        self.bias = self.weight.new_zeros(weight.shape[1]) if bias is None else bias.detach().float().clone()

    @classmethod
    def of(cls, layer: nn.Module) -> Dense:
        """The layer's own weights, copied; a 1x1 convolution is a linear layer over cells."""
        assert isinstance(layer, nn.Linear | nn.Conv2d)
        return cls(layer.weight.flatten(1).t(), layer.bias)

    def __call__(self, rows: Tensor, onto: Tensor | None = None) -> Tensor:
        """(n, outside); ``onto`` (n, outside) takes the place of the bias."""
        return torch.addmm(self.bias if onto is None else onto, rows, self.weight)


KEPT_ROWS = 256
"""Rows up to which the memory that so many are rounded to is kept for the next time."""


class TiledProduct:
    """:class:`Bf16Product` by tiles; not for two threads at once: what is rounded lies in one place."""

    def __init__(self, weight: Tensor) -> None:
        self.inside, self.outside = weight.shape
        self.weight = tiles.laid_out(weight.detach().float().numpy())
        self._rounded: dict[int, np.ndarray] = {}

    def __call__(self, rows: Tensor) -> Tensor:
        n, inside = rows.shape
        assert inside == self.inside, f"expected rows of {self.inside}, found {inside}"
        groups, depth = self.weight.shape[:2]
        rounded = self._rounded.get(n)
        if rounded is None:
            full = -(-n // tiles.SIDE) * tiles.SIDE, depth * tiles.DEEP
            rounded = np.zeros(full, np.uint16)
            if n <= KEPT_ROWS:
                self._rounded[n] = rounded
        out = torch.empty(len(rounded), groups * tiles.GROUP * tiles.SIDE)
        tiles.multiply(rows.contiguous().numpy(), rounded, self.weight, out.numpy())
        return out[:n, : self.outside].contiguous()


class Bf16Product:
    """rows (n, inside) float32 to (n, outside) float32, multiplied in bfloat16; weight (inside, outside), no bias.

    The weight is laid out once as oneDNN's kernel reads it, where torch has that library; a product of plain tensors
    lays it out anew every time, which costs a seventh of it for 16 rows and gives the same numbers.
    ``rows``: how many there usually are, for which the layout is chosen.
    """

    def __init__(self, weight: Tensor, rows: int) -> None:
        self.weight = weight.detach().to(torch.bfloat16).contiguous()
        self.packed: Tensor | None = None
        if torch.backends.mkldnn.is_available():
            outside_first = self.weight.t().contiguous()
            self.packed = torch.ops.mkldnn._reorder_linear_weight(outside_first, rows)

    def __call__(self, rows: Tensor) -> Tensor:
        short = rows.to(torch.bfloat16)
        if self.packed is None:
            return (short @ self.weight).float()
        found: Tensor = torch.ops.mkldnn._linear_pointwise(short, self.packed, None, "none", [], "")
        return found.float()


class Fp32Product:
    """:class:`Bf16Product` in single precision, a plain matrix product."""

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight.detach().float().contiguous()

    def __call__(self, rows: Tensor) -> Tensor:
        return rows @ self.weight


Product = TiledProduct | Bf16Product | Fp32Product


def product(weight: Tensor, products: torch.dtype, rows: int) -> Product:
    """A product by weight (inside, outside) in torch.float32 or torch.bfloat16, of ``rows`` rows as a rule."""
    if products is torch.float32:
        return Fp32Product(weight)
    return TiledProduct(weight) if tiles.available() else Bf16Product(weight, rows)
