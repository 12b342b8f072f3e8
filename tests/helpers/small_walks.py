"""A checkpoint that walks can be collected for, LabMaze with a memory of pixels, 32 pixels each way; and walks."""

from __future__ import annotations

from pathlib import Path

import torch

from envs.actions import space, spec
from tests.helpers.small_model import small_config
from training import collect_walks
from worldsim import checkpoint
from worldsim.models.world_model import WorldModel

WALK = 24
"""Frames of a walk."""


def small_maze(folder: Path) -> str:
    """Write it, with random weights; its folder."""
    torch.manual_seed(0)
    config = small_config()
    config.action_dim, config.fov, config.pixels = 7, 75.0, True
    facts = {"env_id": "worldsim/LabMaze-v0", "family": "dmlab", "backend": "embedded"}
    checkpoint.save(folder, WorldModel(config), facts | {"action_spec": spec(space("dmlab"), "dmlab")})
    return str(folder)


def walks_words(checkpoint: str, folder: Path) -> list[str]:
    """What collects five walks in shards of two with it."""
    return [f"checkpoint={checkpoint}", f"out={folder}", "episodes=5", "shard=2", f"steps={WALK}"]


def small_walks(checkpoint: str, folder: Path) -> Path:
    """Collect them; their folder."""
    assert collect_walks.main(walks_words(checkpoint, folder)) == 0
    return folder
