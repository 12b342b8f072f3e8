"""Which weights learn by what: AdamW, but for the matrices that Muon is given a rate for."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from training.loop.adamw import AdamW, OptimizerConfig
from training.loop.fast import Rates, pace
from worldsim.config import ConfigError


def _network() -> nn.Module:
    return nn.ModuleDict({"blocks": nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 4)), "last": nn.Linear(4, 2)})


def _moved_by(learner: AdamW) -> dict[str, set[int]]:
    groups = {name: o.param_groups for name, o in learner.optimizers.items()}
    return {name: {id(p) for g in some for p in g["params"]} for name, some in groups.items()}


@pytest.mark.parametrize(("rate", "blocks"), [(0.0, ("blocks.",)), (0.01, ())])
def test_without_a_rate_or_blocks_all_is_adamws(rate: float, blocks: tuple[str, ...]) -> None:
    network = _network()
    learner = AdamW(network, OptimizerConfig(muon=rate), {}, blocks)
    assert _moved_by(learner) == {"optimizer": {id(p) for p in network.parameters()}}


def test_muon_moves_the_matrices_of_blocks_and_nothing_else() -> None:
    network = _network()
    by_name = {name: id(p) for name, p in network.named_parameters()}
    learner = AdamW(network, OptimizerConfig(muon=0.01), {"last": 0.5}, ("blocks.",))
    moved = _moved_by(learner)
    assert moved["muon"] == {by_name["blocks.0.weight"], by_name["blocks.1.weight"]}
    assert moved["optimizer"] == set(by_name.values()) - moved["muon"]


def test_both_rise_over_the_warm_up_and_fall_to_the_end() -> None:
    config = OptimizerConfig(lr=1e-3, muon=0.02, warmup=10, final=0.1)
    learner = AdamW(_network(), config, {"last": 0.5}, ("blocks.",))
    for step, progress, share in ((0, 0.0, 0.1), (9, 0.0, 1.0), (50, 0.5, 0.55), (99, 1.0, 0.1)):
        learner.set_rates(step, progress)
        rates = [g["lr"] for g in learner.optimizer.param_groups]
        assert rates == pytest.approx([1e-3 * share, 0.5e-3 * share])
        assert learner.optimizers["muon"].param_groups[0]["lr"] == pytest.approx(0.02 * share)


def test_no_warm_up_begins_at_the_peak() -> None:
    learner = AdamW(_network(), OptimizerConfig(lr=1e-3, warmup=0), {})
    learner.set_rates(0, 0.0)
    assert learner.optimizer.param_groups[0]["lr"] == pytest.approx(1e-3)
    assert pace(0, 0.5, Rates(warmup=0, cooldown=0.0)) == 1.0


@pytest.mark.parametrize("words", [{"lr": math.nan}, {"lr": math.inf}, {"warmup": -1}])
def test_rates_that_cannot_be_are_refused(words: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"optimizer\.{next(iter(words))}: expected .*, found"):
        OptimizerConfig(**words)
    with pytest.raises(ConfigError, match=r"rates\.muon: expected a finite number"):
        Rates(muon=math.nan)


def test_a_step_of_muon_turns_a_matrix_by_its_rate() -> None:
    """All singular values of what it moves by are about the rate, whatever the gradient's are."""
    network = _network()
    learner = AdamW(network, OptimizerConfig(muon=0.01, weight_decay=0.0, warmup=1), {}, ("blocks.",))
    learner.set_rates(0, 0.0)
    weight = network["blocks"][0].weight  # type: ignore[index]
    before = weight.detach().clone()
    torch.manual_seed(0)
    weight.grad = 1e-6 * torch.randn_like(weight)
    learner.optimizers["muon"].step()
    moved = torch.linalg.svdvals(weight.detach() - before) / 0.01
    assert float(moved.min()) > 0.4 and float(moved.max()) < 2.2
