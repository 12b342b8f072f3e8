"""Numbers that no run can have are refused, and a loss that is none ends a run with its last good state kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from training.loop import resume as state
from training.loop.adamw import OptimizerConfig
from training.loop.launch import launch
from training.loop.train import Diverged, LoopConfig, train
from worldsim.config import ConfigError


def _config(out: Path, **more: Any) -> LoopConfig:
    return LoopConfig(data="none", out=str(out), threads=1, tracker="none", **more)


def _trained(config: LoopConfig, loss: Callable[[nn.Module, int], Tensor]) -> None:
    torch.manual_seed(0)
    optimizer = OptimizerConfig(warmup=1)
    train(nn.Linear(2, 1), lambda m, step: {"loss": loss(m, step)}, Accelerator(cpu=True), optimizer, config)


def _square(model: nn.Module, step: int) -> Tensor:
    found: Tensor = model(torch.ones(1, 2)).square().sum()
    return found


@pytest.mark.parametrize("last", [math.nan, math.inf])
def test_a_loss_that_is_no_number_ends_the_run_and_the_good_state_stays(tmp_path: Path, last: float) -> None:
    _trained(_config(tmp_path, steps=2), _square)
    good = (tmp_path / state.FILE).read_bytes()
    with pytest.raises(Diverged, match=r"loss .* at step 3; .*state\.safetensors.* is kept; lower optimizer"):
        _trained(_config(tmp_path, steps=4), lambda m, step: _square(m, step) * (last if step == 3 else 1))
    assert (tmp_path / state.FILE).read_bytes() == good


def test_weights_that_are_no_numbers_are_not_saved_though_the_loss_was_one(tmp_path: Path) -> None:
    def loss(model: nn.Module, step: int) -> Tensor:
        square = _square(model, step)
        if step == 2:  # the root of nothing has an infinite slope
            return (square - square).sqrt()
        return square

    with pytest.raises(Diverged, match=r"weights .* at step 2; nothing was saved"):
        _trained(_config(tmp_path, steps=3), loss)
    assert not (tmp_path / state.FILE).exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("seconds", v) for v in (math.inf, math.nan, -1.0)],
        *[("save_every", v) for v in (math.nan, -1.0)],
        *[("log_every", v) for v in (0, -1)],
        *[("seed", v) for v in (-1, 2**64)],
        *[("steps", -2), ("sample_every", math.nan), ("threads", -1)],
    ],
)
def test_a_number_that_no_run_can_have_is_refused(name: str, value: float, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"{name}: expected .*, found"):
        LoopConfig(**{name: value})  # type: ignore[arg-type]
    config = _config(tmp_path)
    setattr(config, name, value)  # as of a trainer whose __post_init__ is its own
    with pytest.raises(ConfigError, match=f"{name}: expected .*, found"):
        launch(config)
    with pytest.raises(ConfigError, match=f"{name}: expected .*, found"):
        _trained(config, _square)
