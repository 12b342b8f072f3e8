"""AdamW with an EMA, and Muon for the matrices of transformers where it is asked for: how whole models learn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from worldsim.config import ConfigError


def check_numbers(config: object, least: Mapping[str, float], prefix: str = "") -> None:
    """Whether the numbers of these names are finite, and at least this much each.

    Args:
        prefix: how the names are typed, where the configuration is a part of another: ``optimizer.``.

    Raises:
        ConfigError: one is not.
    """
    for name, minimum in least.items():
        value = getattr(config, name)
        if not math.isfinite(value) or value < minimum:
            expected = f"at least {minimum:g}" if math.isfinite(value) else "a finite number"
            raise ConfigError(f"{prefix}{name}: expected {expected}, found {value:g}")


@dataclass
class OptimizerConfig:
    """AdamW with a linear warm-up and a linear decay to ``final`` times the peak at the end of the budget.

    ``muon``: the rate at which Muon moves the matrices of transformers' blocks instead, of trainers that have such; 0
    leaves them to AdamW.
    """

    lr: float = 1e-3
    muon: float = 0.0
    final: float = 0.02
    warmup: int = 100
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = 1.0
    ema: float = 0.995

    def __post_init__(self) -> None:
        least = dict.fromkeys(("lr", "muon", "final", "warmup", "weight_decay", "clip", "ema"), 0.0)
        check_numbers(self, least, "optimizer.")


class AdamW:
    """A model by AdamW, with an exponential moving average of weights and buffers from the end of the warm-up on.

    Args:
        rates: factors of the learning rate of the parts of the model that they name.
        blocks: how the names of the parts begin whose matrices Muon moves, if it does.
    """

    def __init__(
        self,
        model: nn.Module,
        config: OptimizerConfig,
        rates: dict[str, float],
        blocks: tuple[str, ...] = (),
    ) -> None:
        self.model, self.config, self.clip = model, config, config.clip
        self.learned = list(model.parameters())
        matrices = {
            name: p
            for name, p in model.named_parameters()
            if config.muon and p.ndim == 2 and p.requires_grad and name.startswith(blocks)
        }
        self.optimizer = torch.optim.AdamW(
            _groups(model, rates, matrices), config.lr, betas=config.betas, weight_decay=config.weight_decay
        )
        self.optimizers: dict[str, torch.optim.Optimizer] = {"optimizer": self.optimizer}
        if matrices:
            self.optimizers["muon"] = torch.optim.Muon(
                list(matrices.values()), lr=config.muon, weight_decay=config.weight_decay
            )
        self.ema = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(config.ema), use_buffers=True)
        self.parts: dict[str, nn.Module] = {"model": model, "ema": self.ema}
        self.counters: dict[str, Any] = {"step": 0, "seconds": 0.0}

    def set_rates(self, step: int, progress: float) -> None:
        """A linear rise over the warm-up, then a linear fall to the final share."""
        c = self.config
        share = min(1.0, (step + 1) / max(1, c.warmup)) * (1 - (1 - c.final) * progress)
        for group in self.optimizer.param_groups:
            group["lr"] = c.lr * group["rate"] * share
        if "muon" in self.optimizers:
            self.optimizers["muon"].param_groups[0]["lr"] = c.muon * share

    def follow(self, step: int) -> None:
        """What was learnt during the warm-up is not averaged."""
        if step >= self.config.warmup:
            self.ema.update_parameters(self.model)
        else:
            self.ema.module.load_state_dict(self.model.state_dict())


def _groups(
    model: nn.Module, rates: dict[str, float], others: dict[str, nn.Parameter]
) -> list[dict[str, Any]]:
    """The weights that go at each rate, those of no named part at 1; without those that ``others`` has."""
    by_rate: dict[float, list[nn.Parameter]] = {1.0: []}
    for name, parameter in model.named_parameters():
        if name in others:
            continue
        rate = next((r for part, r in rates.items() if name.startswith(part + ".")), 1.0)
        by_rate.setdefault(rate, []).append(parameter)
    return [{"params": some, "rate": rate} for rate, some in by_rate.items() if some]
