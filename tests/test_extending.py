"""What docs/architecture.md says it takes: a memory variant is one file, a method one YAML."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.small_model import SIZE, SPEC
from tests.helpers.small_video import small_video
from worldsim.actions import space_from_spec
from worldsim.diffusion.methods import method
from worldsim.dream.video import MethodDream
from worldsim.models.memory import variants as package
from worldsim.models.memory.variants.protocol import COMPRESSORS
from worldsim.models.memory.variants.registry import variants
from worldsim.models.video_model import VideoModel

EXAMPLES = Path(__file__).parents[1] / "examples"


def _play(dream: MethodDream, steps: int = 4) -> np.ndarray:
    rng, space = np.random.default_rng(0), space_from_spec(SPEC)
    space.seed(0)
    frames = rng.integers(0, 256, (24, SIZE, SIZE, 3), np.uint8)
    dream.reset(seed=0, options={"frames": frames, "actions": [space.sample() for _ in range(23)]})
    return np.stack([dream.step(space.sample())[0] for _ in range(steps)])


def test_a_memory_variant_is_one_file_beside_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(EXAMPLES / "spread.py", tmp_path)
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    monkeypatch.setitem(COMPRESSORS, "spread", None)
    assert {("prepend", "spread"), ("channel", "spread")} <= set(variants())
    sys.modules.pop(f"{package.__name__}.spread")
    config = small_video("prepend", "none").model.config
    config.memory.compressor = "spread"
    torch.manual_seed(0)
    loaded = small_video("prepend", "none")
    loaded.model = VideoModel(config).eval()
    assert type(loaded.model.compressor).__name__ == "Spread"
    frames = torch.arange(16.0).view(1, 16, 1, 1, 1)
    kept, _, _ = loaded.model.compressor(
        frames, torch.zeros(1, 16, 20), torch.ones(1, 16, dtype=torch.bool), 4
    )
    assert kept.flatten().tolist() == [0, 5, 10, 15]
    assert _play(MethodDream(loaded, method("last_16", ["steps=2"]))).shape == (4, SIZE, SIZE, 3)


def test_a_method_is_one_yaml_anywhere() -> None:
    pairs = method(EXAMPLES / "pairs.yaml")
    assert (pairs.name, pairs.schedule.window, pairs.references.count) == ("pairs", 2, 8)
    assert _play(MethodDream(small_video(), pairs)).any()
