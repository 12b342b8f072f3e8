"""How trainers over walks learn: Muon and AdamW, and an average of what they reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from training.loop.adamw import check_numbers


@dataclass
class Rates:
    """Muon (Jordan et al. 2024) for the matrices of the blocks, AdamW for all else; both rise over ``warmup`` steps and
    fall to nothing over the last ``cooldown`` of the budget."""

    muon: float = 0.02
    adamw: float = 1e-3
    weight_decay: float = 0.01
    warmup: int = 50
    cooldown: float = 0.3
    clip: float = 1.0
    ema: float = 0.998

    def __post_init__(self) -> None:
        least = dict.fromkeys(("muon", "adamw", "weight_decay", "warmup", "cooldown", "clip", "ema"), 0.0)
        check_numbers(self, least, "rates.")


Blocks = tuple[str, ...]
"""How the names of the parts begin whose matrices Muon moves."""


def optimizers(
    network: nn.Module, rates: Rates, blocks: Blocks = ("blocks.",)
) -> dict[str, torch.optim.Optimizer]:
    """Muon over the matrices of ``blocks``, AdamW over all other weights that learn."""
    learned = {n: p for n, p in network.named_parameters() if p.requires_grad}
    matrices = [p for n, p in learned.items() if p.ndim == 2 and n.startswith(blocks) and "bias" not in n]
    chosen = {id(p) for p in matrices}
    others = [p for p in learned.values() if id(p) not in chosen]
    return {
        "muon": torch.optim.Muon(matrices, lr=rates.muon, weight_decay=rates.weight_decay),
        "adamw": torch.optim.AdamW(
            others, lr=rates.adamw, betas=(0.9, 0.95), weight_decay=rates.weight_decay
        ),
    }


def pace(step: int, progress: float, rates: Rates) -> float:
    """The share of the peak learning rate at a step."""
    rise = min(1.0, (step + 1) / max(1, rates.warmup))
    return rise * (min(1.0, max(0.0, (1 - progress) / rates.cooldown)) if rates.cooldown else 1.0)


class Weights(nn.Module):
    """Weights by name, the very tensors, as a module that :mod:`training.loop.resume` saves and restores."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        for name, value in weights.items():
            self.register_buffer(name.replace(".", "/"), value)


class Muon:
    """A network, which is on its device already, by Muon and AdamW, with the average of the weights that learn.

    Args:
        saved: what of it is kept on disk, by name; where nothing is said, all that learns as ``network``.
        blocks: whose matrices Muon moves.
    """

    def __init__(
        self,
        network: nn.Module,
        rates: Rates,
        saved: dict[str, nn.Module] | None = None,
        blocks: Blocks = ("blocks.",),
    ) -> None:
        self.rates, self.clip = rates, rates.clip
        self.by_name = {n: p for n, p in network.named_parameters() if p.requires_grad}
        self.learned = list(self.by_name.values())
        self.average = {n: p.detach().clone() for n, p in self.by_name.items()}
        self.optimizers = optimizers(network, rates, blocks)
        self.peaks = {name: o.param_groups[0]["lr"] for name, o in self.optimizers.items()}
        saved = saved or {"network": Weights({n: p.data for n, p in self.by_name.items()})}
        self.parts = {**saved, "ema": Weights(self.average)}
        self.counters: dict[str, Any] = {"step": 0, "seconds": 0.0, "frames": 0}

    def set_rates(self, step: int, progress: float) -> None:
        """The shares of the peaks that :func:`pace` gives."""
        for name, optimizer in self.optimizers.items():
            optimizer.param_groups[0]["lr"] = self.peaks[name] * pace(step, progress, self.rates)

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Polyak average, short at first."""
        keep = min(self.rates.ema, (step + 1) / (step + 20))
        for name, value in self.by_name.items():
            self.average[name].lerp_(value, 1 - keep)

    @torch.no_grad()
    def take_average(self) -> None:
        """Give the network its average, when it has been trained."""
        for name, value in self.by_name.items():
            value.copy_(self.average[name])
