"""Dead reckoning is trained as it is played, and training it makes it drift less."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from envs.episodes.episode import Episode
from tests.helpers.small_model import SPEC, small_config, small_model
from tests.helpers.small_run import record
from training.data.clips import RowNoise
from training.data.episodes import LatentEpisode, latent_episodes, open_episodes
from training.objectives.odometry import dead_reckon, last_motions, odometry_loss, walk_from
from training.train import odometry as train_odometry
from training.train.odometry import drift
from worldsim import checkpoint
from worldsim.dream.world import DreamEnv
from worldsim.models.odometry import N_RECENT
from worldsim.models.world_model import WorldModel


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("data"))


def _model(episode: Episode) -> WorldModel:
    torch.manual_seed(0)
    config = small_config()
    config.action_dim, config.fov = episode.action_vectors().shape[1], float(episode.meta["fov"])
    model = WorldModel(config).eval()
    torch.nn.init.normal_(model.odometry.direct.weight, std=0.1)
    return model


def _encoded(model: WorldModel, data: Path, out: Path) -> list[LatentEpisode]:
    return latent_episodes(open_episodes(data), model.autoencoder, out, torch.device("cpu"), quiet=True)


def test_a_walk_is_reckoned_in_training_as_a_dream_reckons_it(data: Path, tmp_path: Path) -> None:
    source = open_episodes(data)[0]
    model = _model(source)
    checkpoint.save(tmp_path / "model", model, {"action_spec": source.meta["action_spec"]})
    loaded = checkpoint.load(str(tmp_path / "model"))
    dream = DreamEnv(loaded)
    frames, actions = source.frames(0, 20), list(source.action_vectors()[:19])
    dream.reset(options={"frames": frames, "actions": actions})
    played = torch.stack(dream.past.poses)

    z = loaded.model.autoencoder.encode(torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1)
    episode = LatentEpisode(z, torch.from_numpy(source.action_vectors()[:19]), torch.zeros(20, 5))
    walk = walk_from(loaded.model, episode, 0, 19)
    with torch.no_grad():
        found = dead_reckon(loaded.model.odometry, walk, played[:1], torch.zeros(1, N_RECENT, 5))
    torch.testing.assert_close(found[0], played[1:], atol=1e-3, rtol=1e-3)
    assert (played[1:] - played[:-1]).abs().max() > 0.1  # it went somewhere


def test_a_walks_actions_lead_to_the_poses_that_are_asked_for() -> None:
    n = 30
    counted = torch.arange(n, dtype=torch.float32)
    episode = LatentEpisode(
        counted[:, None, None, None].expand(n, 8, 4, 4),
        counted[1:, None].expand(n - 1, 20),  # each carries the number of the frame it leads to
        counted[:, None].expand(n, 5),
    )
    walk = walk_from(small_model(), episode, 10, 6)
    assert walk.latents[0, :, 0, 0, 0].tolist() == [10, 11, 12, 13, 14, 15]
    assert walk.poses[0, :, 0].tolist() == list(range(10 - N_RECENT, 17))
    assert walk.actions[0, :, 0].tolist() == list(range(10 - N_RECENT + 2, 17))
    first = walk_from(small_model(), episode, 0, 6)
    assert not last_motions(small_model().odometry, first).any()  # before an episode nothing moved


def test_true_poses_have_no_error_and_a_turn_missed_does() -> None:
    """An odometry that says what happened has no loss but that of the pitch it looks up; standing still has."""
    model = small_model()
    for parameter in model.odometry.parameters():
        torch.nn.init.zeros_(parameter)  # predicts that nothing moves, and that the camera is level
    episode = LatentEpisode(torch.randn(20, 8, 4, 4), torch.zeros(19, 20), torch.zeros(20, 5))
    turned = LatentEpisode(episode.latents, episode.actions, torch.zeros(20, 5))
    assert turned.poses is not None
    turned.poses[:, 3] = 5.0 * torch.arange(20)
    cpu = torch.device("cpu")

    def loss(e: LatentEpisode) -> float:
        noise = RowNoise([0], cpu)
        noise.normal = lambda *shape: torch.zeros(1, *shape)  # type: ignore[method-assign]
        with torch.no_grad():
            return float(odometry_loss(model.odometry, walk_from(model, e, 0, 16), noise))

    assert loss(episode) == 0
    assert loss(turned) > 1


def test_training_makes_it_drift_less(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = open_episodes(data)[0]
    model = _model(source)
    checkpoint.save(tmp_path / "model", model, {"action_spec": source.meta["action_spec"]})
    before = drift(model, _encoded(model, data, tmp_path / "before"))
    words = [f"data={data}", f"checkpoint={tmp_path / 'model'}", f"out={tmp_path / 'run'}", "steps=60"]
    words += ["seconds=1e9", "batch=8", "length=8", "fresh=true", f"held_out={data}", "optimizer.warmup=5"]
    assert train_odometry.main(words) == 0
    told = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert told["drift"]["16"]["yaw"] < 0.5 * before["16"]["yaw"]
    after = checkpoint.load(str(tmp_path / "run" / "checkpoint"))
    assert after.description.training["odometry"]["steps"] == 60
    was = checkpoint.load(str(tmp_path / "model")).model.state_dict()
    for name, value in after.model.state_dict().items():
        if not name.startswith("odometry."):
            assert torch.equal(value, was[name]), name


def test_another_action_language_is_refused(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint.save(tmp_path / "model", small_model(), {"action_spec": SPEC})
    words = [f"data={data}", f"checkpoint={tmp_path / 'model'}", f"out={tmp_path / 'run'}"]
    assert train_odometry.main(words) == 2
    assert "minecraft" in capsys.readouterr().err
