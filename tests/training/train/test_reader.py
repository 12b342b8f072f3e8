"""Reading is trained on views that come back, from frames older than the window, and training makes it draw them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.small_model import small_config, small_model
from tests.helpers.small_run import record
from training.data.episodes import DataError, LatentEpisode, open_both, open_episodes
from training.data.returning_views import OLDER_THAN, ReadsConfig, choose, gather, readable
from training.train import reader as train_reader
from worldsim import checkpoint
from worldsim.models.world_model import WorldModel


def test_a_view_is_drawn_from_older_frames_at_their_own_poses() -> None:
    counted = torch.arange(60, dtype=torch.float32)
    episode = LatentEpisode(
        counted[:, None, None, None].expand(60, 8, 4, 4),
        torch.zeros(59, 20),
        counted[:, None].expand(60, 5) * torch.tensor([0.1, 0.0, 0.0, 0.0, 0.0]),
    )
    config = ReadsConfig(history=30, candidates=8)
    model, rng = small_model(), np.random.default_rng(0)
    some = gather(model, [(episode, 50), (episode, 21)], config, [rng, rng])
    assert some.true[:, 0, 0, 0].tolist() == [50, 21]
    assert torch.allclose(some.target[:, 0], torch.tensor([5.0, 2.1]))
    numbers = some.latents[:, :, 0, 0, 0]
    assert torch.allclose(some.poses[..., 0][some.valid], numbers[some.valid] * 0.1)
    assert torch.equal((torch.tensor([[50.0], [21.0]]) - numbers)[some.valid], some.ages[some.valid])
    assert (some.ages[some.valid] > OLDER_THAN).all() and (some.ages[some.valid] <= 30).all()
    assert some.valid.sum(1).tolist() == [min(4, model.config.memory.reads)] * 2
    few = gather(model, [(episode, 18)], config, [rng])  # frames 0 and 1 alone are old enough
    assert int(few.valid.sum()) == 2


def test_training_makes_it_draw_what_comes_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = record(tmp_path / "data")
    source = open_episodes(data)[0]
    torch.manual_seed(0)
    config = small_config()
    config.action_dim, config.fov = source.action_vectors().shape[1], float(source.meta["fov"])
    model = WorldModel(config)
    checkpoint.save(tmp_path / "model", model, {"action_spec": source.meta["action_spec"]})
    words = [f"data={data}", f"held_out={data}", "optimizer.warmup=2", "seconds=1e9", "threads=1", "batch=8"]
    errors = []
    for at, steps in ((tmp_path / "a", 1), (tmp_path / "b", 40)):
        assert (
            train_reader.main([*words, f"checkpoint={tmp_path / 'model'}", f"out={at}", f"steps={steps}"])
            == 0
        )
        errors.append(json.loads(capsys.readouterr().out.splitlines()[-1])["held_out"])
    assert errors[0]["n"] == errors[1]["n"] > 0
    assert errors[1]["error"] < 0.9 * errors[0]["error"]
    trained, before = checkpoint.load(str(tmp_path / "b" / "checkpoint")), model.state_dict()
    changed = {
        name.split(".")[0]
        for name, w in trained.model.state_dict().items()
        if (w - before[name]).abs().max() > 1e-3
    }
    assert changed == {"frame_encoder", "reader"}
    assert trained.description.training["reader"]["steps"] == 40


def test_one_short_episode_does_not_keep_the_others_from_being_read() -> None:
    long = LatentEpisode(torch.zeros(60, 8, 4, 4), torch.zeros(59, 20), torch.zeros(60, 5), np.array([40]))
    short = LatentEpisode(torch.zeros(9, 8, 4, 4), torch.zeros(8, 20), torch.zeros(9, 5))
    assert readable([short, long]) and not readable([short])
    rng, config = np.random.default_rng(0), ReadsConfig()
    assert all(choose([short, long], config, rng)[0] is long for _ in range(50))


def test_pictures_of_another_size_than_the_models_are_refused(tmp_path: Path) -> None:
    data = str(record(tmp_path / "data", episodes=1, steps=4))
    size = int(open_episodes(Path(data))[0].meta["size"])
    assert open_both(data, "", size)[0]
    with pytest.raises(
        DataError, match=f"expected pictures of {2 * size} pixels .* found {size}; record with"
    ):
        open_both(data, "", 2 * size)
