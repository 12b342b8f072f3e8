"""The benchmark of the trainers counts frames, and relates them to what the machine can multiply."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from envs.actions import space, spec
from tests.helpers.small_model import small_config
from training.benchmark import __main__ as benchmark
from worldsim import checkpoint
from worldsim.models.world_model import WorldModel

SMALL = (
    "generator.width=32 generator.depth=1 generator.heads=2 walks=2 steps=2 warmup=1 threads=1 compile=false"
)


def test_it_ends_in_one_json_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    config = small_config()
    config.action_dim, config.fov, config.pixels = 7, 75.0, True
    facts = {"env_id": "worldsim/LabMaze-v0", "family": "dmlab", "action_spec": spec(space("dmlab"), "dmlab")}
    checkpoint.save(tmp_path, WorldModel(config), facts)
    assert benchmark.main(["train", f"checkpoint={tmp_path}", "old=false", *SMALL.split()]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["benchmark"] == "train" and found["hardware"]
    frames = found["generator"]
    assert frames["steps"] == 2 and 0 < frames["slowest"] <= frames["frames_per_second"] <= frames["fastest"]
    assert found["matrix_gflops"] > 0 and 0 < found["share"] < 1
    assert "denoiser" not in found and "ratio" not in found
