"""Matrix products in a short type, as casts that are part of a network."""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, nn


class _Short(nn.Module):
    """A linear layer or a convolution that multiplies in a short type; float32 in and out."""

    def __init__(self, layer: nn.Module, products: torch.dtype) -> None:
        super().__init__()
        self.layer, self.products = layer.to(products), products

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.layer(x.to(self.products))).float()


def lowered(module: nn.Module, products: torch.dtype) -> nn.Module:
    """A module whose matrix products and convolutions are made in ``products``: the module, or a copy of it.

    Casts are part of the graph, so that every library makes the same ones.
    """
    if products is torch.float32:
        return module
    module = copy.deepcopy(module)

    def lower(parent: nn.Module) -> None:
        for name, child in parent.named_children():
            if isinstance(child, nn.Linear | nn.Conv2d):
                setattr(parent, name, _Short(child, products))
            else:
                lower(child)

    lower(module)
    return module
