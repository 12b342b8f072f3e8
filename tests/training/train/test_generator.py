"""A generator is trained on walks, goes on where it stopped, and plays."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from training.data.walks import read
from training.loop import resume as state
from training.loop.claim import claim
from training.objectives.generation import STRIDES
from training.train import generator as train_generator
from worldsim import checkpoint
from worldsim.config import GeneratorConfig
from worldsim.dream.world import DreamEnv

SMALL = [
    "generator.width=32", "generator.depth=1", "generator.heads=2", "generator.window=4",
    "clip.length=5", "clip.batch=4", "clip.window=4", "compile=false", "threads=1", "precision=fp32",
    "held_out_walks=1", "seconds=1e9", "log_every=1",
]  # fmt: skip


def _train(small: str, walks: Path, out: Path, *words: str) -> dict[str, float]:
    given = [f"checkpoint={small}", f"walks={walks}", f"out={out}", *SMALL, *words]
    assert train_generator.main(given) == 0
    trained: dict[str, float] = checkpoint.load(str(out / "checkpoint")).description.training["generator"]
    return trained


def test_a_generator_goes_on_from_that_of_its_checkpoint_at_another_level_of_contexts(
    small: str, walks: Path
) -> None:
    """How its own past is shown to it in play is no shape."""
    shape = GeneratorConfig(width=32, depth=1, heads=2, window=4)
    first = train_generator.with_generator(checkpoint.load(small), shape)
    again = train_generator.with_generator(first, replace(shape, context_level=0.7))
    assert again.model is first.model and again.model.config.generator.context_level == 0.7
    other = train_generator.with_generator(again, replace(shape, window=5))
    assert other.model is not first.model


def test_training_lowers_the_loss_on_walks_it_has_not_seen(small: str, walks: Path, tmp_path: Path) -> None:
    words = "generation.strided=0", "rates.warmup=5"
    few = _train(small, walks, tmp_path / "few", "steps=2", *words)
    more = _train(small, walks, tmp_path / "more", "steps=60", *words)
    assert more["held_out"]["loss"] < 0.8 * few["held_out"]["loss"]  # type: ignore[index]


def test_a_run_goes_on_where_it_stopped(small: str, walks: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    words = ["rates.cooldown=1e-9", "generation.strided_from=0"]
    _train(small, walks, whole, "steps=6", *words)
    _train(small, walks, parts, "steps=3", *words)
    assert _train(small, walks, parts, "steps=6", *words)["steps"] == 6
    a, b = (checkpoint.load(str(out / "checkpoint")).model.state_dict() for out in (whole, parts))
    for name, value in a.items():
        torch.testing.assert_close(value, b[name], msg=name)


def test_the_trained_checkpoint_plays_by_its_generator(small: str, walks: Path, tmp_path: Path) -> None:
    _train(small, walks, tmp_path, "steps=1")
    loaded = checkpoint.load(str(tmp_path / "checkpoint"))
    assert not any(name.startswith(("denoiser.", "free_running.")) for name in loaded.model.state_dict())
    assert loaded.model.config.generator.strides == list(STRIDES), "it is told the size of its steps"
    shard = read(walks)[0]
    frames, actions, poses = (np.array(x[0]) for x in (shard.frames, shard.actions, shard.poses))
    shown = []
    for engine in ("plain", "fast"):
        # With true poses, since an untrained odometry stands still, where all views are equally good.
        dream = DreamEnv(loaded, engine=engine, seed=1, pose_from="true")
        dream.reset(options={"frames": frames[:8], "actions": list(actions[1:8]), "poses": poses[:8]})
        rows = []
        for i in range(8, 15):
            dream.set_true_pose(poses[i])
            rows.append(dream.step(actions[i])[0])
            if i == 13:
                dream.correct(frames[10:14], poses[10:14])
        shown.append(np.stack(rows).astype(int))
    assert np.abs(shown[0][0] - shown[1][0]).max() <= 2
    assert np.abs(shown[0] - shown[1]).mean() < 3, (
        "rounded pictures are evidence again, so that small errors stay"
    )


def test_a_folder_that_another_process_trains_in_is_refused_in_a_sentence(
    small: str, walks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"checkpoint={small}", f"walks={walks}", f"out={tmp_path}", "steps=1"]
    with claim(tmp_path):
        assert train_generator.main(words) == 2
    assert "is being written by another process" in capsys.readouterr().err
    assert not (tmp_path / state.FILE).exists()


def test_progress_is_told_in_json(
    small: str, walks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _train(small, walks, tmp_path, "steps=2")
    first = json.loads(capsys.readouterr().out.splitlines()[0])
    assert first["step"] == 1
    assert first["frames"] == 20
