"""A generator's blocks as the fast engine multiplies them, and all of them stacked for a kernel of all at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from worldsim.engine.cpu.linear import Product, TiledProduct, product
from worldsim.models.denoisers.generator import GeneratorBlock


@dataclass
class Block:
    """A block's products and the norms of queries and keys."""

    qkv: Product
    out: Product
    up: Product
    down: Product
    query_norm: np.ndarray
    key_norm: np.ndarray
    bias: Tensor

    @classmethod
    def of(cls, block: nn.Module, products: torch.dtype, rows: int) -> Block:
        assert isinstance(block, GeneratorBlock)
        layers = (block.qkv, block.out, block.up, block.down)
        weights = [product(layer.weight.t(), products, rows) for layer in layers]
        norms = [norm.weight.detach().float().clone().numpy() for norm in (block.query_norm, block.key_norm)]
        bias = block.bias.detach().float().clone()
        bias[[0, 2, 3, 5]] += 1  # scales and gates come with their 1 added
        qkv, out, up, down = weights
        return cls(qkv, out, up, down, norms[0], norms[1], bias.flatten())


def stacked(blocks: Sequence[Block]) -> tuple[np.ndarray, ...] | None:
    """Biases, weights and norms of all blocks as :func:`.tiled_block.transform` takes them, where tiles multiply."""
    stacks = []
    for products in zip(*((block.qkv, block.out, block.up, block.down) for block in blocks), strict=True):
        tiled = [one for one in products if isinstance(one, TiledProduct)]
        if len(tiled) < len(blocks):
            return None
        stacks.append(np.stack([one.weight for one in tiled]))
        for one, weight in zip(tiled, stacks[-1], strict=True):
            one.weight = weight  # one memory for both
    bias = np.stack([block.bias.numpy() for block in blocks])
    return (
        bias,
        *stacks,
        *(np.stack([getattr(b, name) for b in blocks]) for name in ("query_norm", "key_norm")),
    )
