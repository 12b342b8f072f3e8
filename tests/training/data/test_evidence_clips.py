"""Clips around moments that walks seldom hold, and evidence of a world that was changed in between."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from training.data import rare_moments
from training.data.evidence_clips import ClipConfig, Clips
from training.data.walks import Walks
from worldsim.config import EditConfig, ModelConfig
from worldsim.engine.evidence import GENERATED, SMEAR
from worldsim.models.world_model import WorldModel

STEPS, SIDE, CELLS = 40, 64, 8
DUG = 20
"""The frame that digging leads to, of the second walk."""


@pytest.fixture(scope="module")
def model() -> WorldModel:
    torch.manual_seed(0)
    config = ModelConfig(generates=True, action_dim=4)
    config.dream.edits = EditConfig(keys=[1, 3])
    return WorldModel(config)


@pytest.fixture(scope="module")
def walks(model: WorldModel) -> Walks:
    """Two walks that stand before a wall 2 away; the first turns from plain to open at frame 12."""
    rng = np.random.default_rng(0)
    channels = model.config.autoencoder.channels
    latents = rng.normal(size=(2, STEPS, channels, CELLS, CELLS)).astype(np.float16)
    latents[0, :12] *= 0.05
    actions = np.zeros((2, STEPS, 4), np.float32)
    actions[1, DUG, 1] = 1
    frames = np.full((2, STEPS, SIDE, SIDE, 3), 200, np.uint8)
    depth = np.full((2, STEPS, 32, 32), np.log(2.0), np.float16)
    return Walks(frames, latents, depth, actions, np.zeros((2, STEPS, 5), np.float32))


def test_rare_moments_are_found(walks: Walks) -> None:
    both = [(0, 0), (0, 1)]
    assert {k: v.tolist() for k, v in rare_moments.exits([walks], both).items()} == {(0, 0): [12]}


@pytest.mark.parametrize(("shares", "row", "moment"), [({"edits": 1.0}, 1, DUG), ({"exits": 1.0}, 0, 12)])
def test_clips_are_cut_around_them(
    model: WorldModel, walks: Walks, shares: dict[str, float], row: int, moment: int
) -> None:
    clips = Clips([walks], model, ClipConfig(batch=8, **shares))
    sources = clips.batch(0, 0).sources
    assert all(s.episode == row for s in sources)
    assert all(s.start + 4 <= moment < s.start + 16 for s in sources)
    clips.keep([(0, 1 - row)])
    assert all(s.episode == 1 - row for s in clips.batch(0, 0).sources), "others are held out"


def test_evidence_has_a_hole_where_something_was_dug_from_that_frame_on(
    model: WorldModel, walks: Walks
) -> None:
    config = ClipConfig(batch=4, edits=1.0, odds=[0, 0, 1, 0], shaken=0, dropped=0, generated=0)
    clips = Clips([walks], model, config).batch(0, 0)
    for evidence, source in zip(clips.evidence, clips.sources, strict=True):
        known, changing = (evidence[:, 3] > 0).numpy(), (evidence[:, 3] < 0).numpy().any((1, 2))
        middle = known[:, SIDE // 2, SIDE // 2]
        since = np.arange(source.start, source.start + 16) >= DUG
        assert np.array_equal(middle, ~since) and known[:, 2, 2].all()
        assert np.flatnonzero(changing).tolist() == [DUG - source.start]


def test_what_looks_made_up_and_has_grown_is_a_smear_that_counts_as_a_hole(walks: Walks) -> None:
    """Who walks a block towards a wall two blocks away sees it twice as large in the end."""
    poses = np.zeros((2, STEPS, 5), np.float32)
    poses[..., 2] = np.linspace(0, 1, STEPS)
    depth = np.log(2.0 - poses[..., 2])[..., None, None] * np.ones((1, 1, 32, 32))
    approach = replace(walks, poses=poses, depth=depth.astype(np.float16))
    config = ModelConfig(generates=True, action_dim=4)
    config.dream.enlarged, config.dream.smears = 1.12, True
    told = ClipConfig(batch=4, odds=[0, 0, 1, 0], shaken=0, dropped=0, generated=1)
    clips = Clips([approach], WorldModel(config), told).batch(0, 0)
    marks = clips.evidence[:, :, 3, 24:40, 24:40]
    assert {GENERATED, SMEAR} == {round(float(x), 3) for x in marks.unique()}
    later = marks.mean((2, 3))
    assert (later[:, -1] < later[:, 0]).all(), "the nearer, the less is known"
    assert torch.equal(clips.covered[:, :, 3:5, 3:5] > 0, F.avg_pool2d((marks > SMEAR).float(), 8) > 0)
