"""Figure 10 of a dream that a generator draws, as the shipped ones are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.helpers.small_run import record
from tests.helpers.small_walks import small_maze
from training import evaluate
from training.study import losses
from training.train.video_on_walks import FACTS
from worldsim import checkpoint
from worldsim.config import GeneratorConfig
from worldsim.models.world_model import WorldModel


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generating")
    loaded = checkpoint.load(small_maze(folder / "plain"))
    config = loaded.model.config
    config.generates, config.generator = True, GeneratorConfig(width=32, depth=1, heads=2, patch=2, window=4)
    config.memory.histories, config.memory.budgets = [4, 8, 112], [2, 4, 16]
    torch.manual_seed(0)
    facts = {name: getattr(loaded.description, name) for name in FACTS}
    checkpoint.save(folder / "model", WorldModel(config), facts)
    record(folder / "explore", steps=40)
    return folder


def test_its_timestep_sets_are_rolled_out_and_predicted(place: Path, tmp_path: Path) -> None:
    words = [
        "figure=10", "env=labmaze", f"out={tmp_path}", f"checkpoint={place / 'model'}", f"explore={place / 'explore'}",
        "context=6", "rollout=16", "rollouts=2", "seeds=1", "timesteps=2", "workers=1", "only=[world]",
    ]  # fmt: skip
    assert evaluate.main(words) == 0
    result = json.loads((tmp_path / "labmaze" / "figure10.json").read_text())
    assert all("scores" in row for row in result["rows"])
    assert result["losses"]["frames"] == 1 and result["losses"]["levels"] == list(losses.LEVELS)
    assert len(result["predicted"]) == 4
    model = checkpoint.load(str(place / "model")).model
    assert result["losses"]["values"] == model.config.autoencoder.channels * 4 * 4
    # One that has learned nothing draws nothing, whatever the level: the error is the variance of what is true.
    assert max(result["losses"]["x0"]) == pytest.approx(min(result["losses"]["x0"]), rel=1e-4)
