"""A checkpoint that walks can be collected for: LabMaze with a memory of pixels, 32 pixels each way."""

from __future__ import annotations

from pathlib import Path

import torch

from envs.actions import space, spec
from tests.helpers.small_model import small_config
from worldsim import checkpoint
from worldsim.models.world_model import WorldModel


def small_maze(folder: Path) -> str:
    """Write it, with random weights; its folder."""
    torch.manual_seed(0)
    config = small_config()
    config.action_dim, config.fov, config.pixels = 7, 75.0, True
    facts = {"env_id": "worldsim/LabMaze-v0", "family": "dmlab", "backend": "embedded"}
    checkpoint.save(folder, WorldModel(config), facts | {"action_spec": spec(space("dmlab"), "dmlab")})
    return str(folder)
