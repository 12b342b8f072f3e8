"""A memory of pixels is learned from walks with known poses and from the model's own dreams, and from nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.small_model import small_config
from tests.helpers.small_run import record
from training.data.episodes import DataError, LatentEpisode, latent_episodes, open_episodes
from training.evaluation.recall_buffer import GIVEN, DreamsConfig, RecallBuffer
from training.objectives.photometric import Walks, draw_walks, near, photometric_loss
from training.train import pixels as train_pixels
from training.train.pixels import with_pixels
from worldsim import checkpoint
from worldsim.checkpoint import LoadedModel
from worldsim.frames import to_tensor
from worldsim.models.geometry import cell_rays, rotation
from worldsim.models.memory.rays.pixel_memory import PixelMemory
from worldsim.models.world_model import WorldModel

FEW = ["batch=2", "walks=4", "dreams.first=1", "dreams.longest=20", "seconds=1e9", "threads=1"]


def _model(data: Path, folder: Path) -> LoadedModel:
    source = open_episodes(data)[0]
    torch.manual_seed(0)
    config = small_config()
    config.action_dim, config.fov = source.action_vectors().shape[1], float(source.meta["fov"])
    checkpoint.save(folder, WorldModel(config), {"action_spec": source.meta["action_spec"]})
    return checkpoint.load(str(folder))


def _wall(memory: PixelMemory, ahead: float) -> Walks:
    """Views of a painted wall so far ahead: from the front, and from a step aside."""
    size = memory.size
    poses = torch.zeros(4, 5)
    poses[1:, :3] = torch.tensor([[0.5], [-0.5], [0.8]]) * rotation(poses[0])[:, 0]
    pictures = []
    for pose in poses:
        rays = cell_rays(size, size, memory.fov)
        reach = ahead / rays[:, 2:]
        at = rays[:, :2] * reach + torch.stack([(pose[:3] * rotation(poses[0])[:, 0]).sum(), torch.zeros(())])
        colours = torch.stack([torch.sin(3 * at[:, 0]), torch.cos(4 * at[:, 1]), torch.sin(2 * at.sum(1))])
        pictures.append(colours.view(3, size, size) * 0.8)
    shown = torch.stack(pictures)
    return Walks(torch.zeros(1, 8, 4, 4), shown[:1], poses[:1], shown[None, 1:], poses[None, 1:])


def test_the_right_distance_makes_views_agree_best() -> None:
    memory = PixelMemory(8, (4, 4), 32, 70.0, 2.0)
    walks = _wall(memory, ahead=3.0)
    along = cell_rays(16, 16, 70.0)[:, 2].view(16, 16).reciprocal()  # a wall is farther away at its ends

    class Told(torch.nn.Module):
        def forward(self, latents: torch.Tensor, pitch: torch.Tensor) -> torch.Tensor:
            return (ahead / memory.scale * along).log()[None]

    memory.depth = Told()  # type: ignore[assignment]
    errors = {}
    for ahead in (1.5, 2.4, 3.0, 3.75, 6.0):
        errors[ahead] = float(photometric_loss(memory, walks, torch.zeros(1, 8, 4, 4))[1])
    assert min(errors, key=lambda key: errors[key]) == 3.0
    assert errors[3.0] < 0.2 * errors[6.0]


def test_frames_are_compared_with_others_seen_from_nearby() -> None:
    poses = torch.zeros(6, 5)
    # itself, too near, near, turned, turned away, far
    poses[:, 0] = torch.tensor([0.0, 0.01, 0.5, 0.5, 0.5, 5.0])
    poses[3, 3], poses[4, 3] = 10.0, 170.0
    assert near(poses, 0, 1.0).tolist() == [2, 3]
    still = LatentEpisode(torch.zeros(6, 8, 4, 4), torch.zeros(5, 20), torch.zeros(6, 5))
    with pytest.raises(DataError, match="seen from 3 others"):
        draw_walks([(None, still)], 1, 2, 1.0, np.random.default_rng(0))  # type: ignore[list-item]


def test_a_recollection_is_what_the_dream_had(tmp_path: Path) -> None:
    data = record(tmp_path / "data", steps=80)
    loaded = _model(data, tmp_path / "model")
    loaded.model = with_pixels(loaded.model)
    episodes = open_episodes(data)
    dreams = RecallBuffer(loaded, episodes, DreamsConfig(first=1, longest=30, blind=[8], blind_odds=[1.0]))
    dreams.refresh(0, 1, 0)
    frames = dreams.pool[0]
    assert len(frames) == 30
    for k, found in enumerate(frames):
        assert len(found.pictures) == len(found.views) == loaded.model.config.memory.reads
        assert (found.ages[found.valid] >= 1).all()
        # Since the past is made true every 8th frame, nothing older than that is the dream's own.
        assert not found.n_generated[found.valid & (found.ages > (GIVEN + k) % 8)].any()
    last = frames[-1]
    true = [
        p
        for p, own, there in zip(last.pictures, last.n_generated, last.valid, strict=True)
        if there and not own
    ]
    known = {frame.tobytes() for episode in episodes for frame in episode.frames()}
    assert true and all(picture.tobytes() in known for picture in true)
    batch = dreams.pick(5, np.random.default_rng(0))
    assert batch.true.shape == (5, 3, 32, 32) and batch.views.pictures.shape[:2] == batch.views.ages.shape


def test_training_changes_the_memory_of_pixels_alone_and_makes_views_agree(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = record(tmp_path / "data", steps=80)
    loaded = _model(data, tmp_path / "model")
    words = [f"data={data}", f"held_out={data}", f"checkpoint={tmp_path / 'model'}", "optimizer.warmup=2"]
    assert train_pixels.main([*words, f"out={tmp_path / 'run'}", "steps=30", "head_start=26", *FEW]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["steps"] == 30 and told["held_out"]["n"] > 0
    trained = checkpoint.load(str(tmp_path / "run" / "checkpoint"))
    assert trained.model.config.pixels and trained.description.training["pixels"]["steps"] == 30
    before = loaded.model.state_dict()
    for name, weight in trained.model.state_dict().items():
        if name.startswith("pixels."):
            assert name not in before
        else:
            torch.testing.assert_close(weight, before[name], atol=1e-3, rtol=1e-3)
    episodes = open_episodes(data)
    known = latent_episodes(
        episodes, trained.model.autoencoder, tmp_path / "latents", torch.device("cpu"), True
    )
    walks = draw_walks(
        list(zip(episodes, known, strict=True)), 32, 3, trained.model.scale, np.random.default_rng(0)
    )
    fresh, noise = with_pixels(loaded.model).pixels, torch.zeros(32, 8, 4, 4)
    with torch.no_grad():
        learned, not_yet = (
            float(photometric_loss(m, walks, noise)[1]) for m in (trained.model.pixels, fresh)
        )
    assert learned < 0.97 * not_yet


def test_a_model_keeps_the_memory_of_pixels_that_it_has_unless_a_fresh_one_is_wanted(tmp_path: Path) -> None:
    torch.manual_seed(0)
    bare = WorldModel(small_config())
    first = with_pixels(bare)
    assert first.config.pixels and not bare.config.pixels
    again, fresh = with_pixels(first, horizon=7), with_pixels(first, fresh=True)
    assert again.config.recall_horizon == 7 and fresh.config.recall_horizon == first.config.recall_horizon
    assert torch.equal(again.pixels.features.weight, first.pixels.features.weight)
    assert not torch.equal(fresh.pixels.features.weight, first.pixels.features.weight)
    assert torch.equal(fresh.reader.value.weight, bare.reader.value.weight)
    shown = to_tensor(np.zeros((1, 32, 32, 3), np.uint8))
    assert fresh.autoencoder.encode(shown).shape[1] == 8


def test_a_checkpoint_that_is_not_there_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = record(tmp_path / "data", steps=20)
    words = [f"data={data}", f"checkpoint={tmp_path / 'nowhere'}", f"out={tmp_path / 'run'}"]
    assert train_pixels.main(words) == 2
    assert "no checkpoint" in capsys.readouterr().err
