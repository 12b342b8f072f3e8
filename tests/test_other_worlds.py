"""A Gymnasium world and Doom at the front door: played alone, recorded, replayed, trained on, dreamt."""

from __future__ import annotations

import json
from pathlib import Path

import gymnasium
import numpy as np
import pytest

import run_demo
from envs.episodes.episode import Episode
from envs.episodes.recorder import Recorder
from envs.episodes.writer import EpisodeWriter
from tests.helpers.small_run import SMALL_AUTOENCODER, SMALL_DENOISER
from training import collect
from training.train import autoencoder as train_autoencoder
from training.train import denoiser as train_denoiser
from training.train import odometry as train_odometry
from worldsim import checkpoint
from worldsim.dream.world import DreamEnv, DreamError

GYM = "gym:CartPole-v1"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _demo(*words: object) -> int:
    return run_demo.main([str(w) for w in words])


def test_a_world_that_no_dream_is_shipped_of_plays_alone_and_says_how_to_train_one(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--env", GYM, "--headless", "--steps", 8, "--compare", "size=32")
    files = ("--record", here / "rec", "--report", here / "r.json", "--video", here / "v.mp4")
    assert _demo(*words, *files, "--seed", 3) == 0
    told = capsys.readouterr().out
    assert "the true world plays alone" in told
    assert f"worldsim train {GYM}" in told
    report = json.loads((here / "r.json").read_text())
    assert (report["env"], report["backend"], report["checkpoint"], report["dreams"]) == (
        GYM,
        "gymnasium",
        None,
        {},
    )
    assert (here / "v.mp4").stat().st_size > 500
    first = Episode(sorted((here / "rec").glob("*.zip"))[0])
    assert first.meta["size"] == 32 and first.poses is None
    assert _demo("--env", GYM, "--headless", "--replay", first.path) == 0
    assert f"{len(first)} of {len(first)} frames, all as recorded, bit for bit" in capsys.readouterr().out


def test_steps_are_steps_where_an_episode_ends_at_once(here: Path) -> None:
    words = ("--env", "gym:tests.helpers.odd_worlds:OneStep-v0", "--headless", "--steps", 7)
    assert _demo(*words, "--record", here / "rec", "--report", here / "r.json") == 0
    assert json.loads((here / "r.json").read_text())["steps"] == 7
    assert [len(Episode(p)) for p in (here / "rec").glob("*.zip")] == [2] * 7


def test_what_a_world_raises_in_a_step_is_a_traceback_that_names_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ("--env", "gym:tests.helpers.odd_worlds:BuggyStep-v0", "--headless", "--steps", 3)
    with pytest.raises(RuntimeError, match="BuggyStep-v0: its own step") as told:
        _demo(*words)
    assert isinstance(told.value.__cause__, ValueError)
    assert _demo(*words[:1], "gym:tests.helpers.odd_worlds:OldStep-v0", *words[2:]) == 2
    assert "OldStep-v0: step() of this world" in capsys.readouterr().err.splitlines()[-1]


def test_a_recording_of_version_1_is_played_in_version_1(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    env = Recorder(gymnasium.make("worldsim/Gym-v0", world="CartPole-v1", size=24, version=1), here / "rec")
    env.reset(seed=3)
    for action in (0, 1, 1, 0):
        env.step(action)
    path = env.stop()
    assert path is not None
    meta = Episode(path).meta
    assert meta["env_version"] == 1 and meta["env_kwargs"].pop("version") == 1
    written = EpisodeWriter(here, "old", {k: v for k, v in meta.items() if k not in ("sha256", "frames")})
    frames = Episode(path).frames()
    written.first(frames[0])
    for i, action in enumerate((0, 1, 1, 0)):
        written.add(action, frames[i + 1], reward=1.0)
    assert _demo("--env", GYM, "--headless", "--replay", written.seal()) == 0
    assert "5 of 5 frames, all as recorded, bit for bit" in capsys.readouterr().out


def test_a_world_that_waits_for_keys_that_cannot_come_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert _demo("--env", "gym:FrozenLake-v1", "--steps", 2) == 2
    assert "gym:FrozenLake-v1 waits for a key" in capsys.readouterr().err.splitlines()[-1]


def test_a_device_that_is_not_there_is_refused_with_what_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert _demo("--env", GYM, "--headless", "--steps", 1, "--device", "mps") == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert "expected --device cpu or cuda, found 'mps'" in told


def test_a_world_that_gymnasium_does_not_have_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert _demo("--env", "gym:NoSuchWorld-v0", "--headless") == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_an_episode_of_another_gymnasium_world_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _demo("--env", GYM, "--headless", "--steps", 3, "--record", here / "rec") == 0
    recorded = next((here / "rec").glob("*.zip"))
    assert _demo("--env", "gym:MountainCar-v0", "--headless", "--replay", recorded) == 2
    told = capsys.readouterr().err
    assert GYM in told and "gym:MountainCar-v0" in told


def _train(env: str, data: Path, policy: str) -> Path:
    """A checkpoint by the README's commands, tiny."""
    words = [
        f"env={env}",
        f"policy={policy}",
        "episodes=3",
        "steps=24",
        "size=32",
        "workers=1",
        f"out={data}",
    ]
    assert collect.main(words) == 0
    out = data.parent / "runs"
    words = [f"data={data}", f"out={out / 'ae'}", "steps=3", "batch=8", *SMALL_AUTOENCODER]
    assert train_autoencoder.main(words) == 0
    words = [f"data={data}", f"out={out}", f"autoencoder={out / 'ae' / 'autoencoder.safetensors'}", "steps=3"]
    assert train_denoiser.main([*words, "sample_every=0", *SMALL_DENOISER]) == 0
    return out / "checkpoint"


def test_a_world_without_pose_is_trained_on_and_dreamt_with_a_camera_that_stands_still(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = _train("gym:MountainCar-v0", here / "data", "random")
    words = (
        "--env",
        "gym:MountainCar-v0",
        "--headless",
        "--steps",
        20,
        "--compare",
        "--report",
        here / "r.json",
    )
    assert _demo(*words, "--checkpoint", trained) == 0
    report = json.loads((here / "r.json").read_text())
    assert {d["pose_from"] for d in report["dreams"].values()} == {"none"}
    loaded = checkpoint.load(str(trained))
    assert not loaded.model.config.posed
    dream = DreamEnv(loaded)
    dream.reset(options={"frames": np.zeros((1, 32, 32, 3), np.uint8), "actions": []})
    for _ in range(20):
        info = dream.step(2)[4]
    assert not info["pose"].any() and info["memory_latents"] > 0
    with pytest.raises(DreamError, match="tells no pose"):
        dream.pose_from = "true"
    capsys.readouterr()
    assert train_odometry.main([f"data={here / 'data'}", f"checkpoint={trained}", f"out={here / 'o'}"]) == 2
    assert "pose" in capsys.readouterr().err


def test_doom_is_recorded_trained_on_and_dreamt(here: Path) -> None:
    pytest.importorskip("vizdoom")
    trained = _train("doom", here / "data", "mixed")
    assert all(Episode(p).poses is not None for p in (here / "data").glob("*.zip"))
    words = (
        "--env",
        "doom",
        "--headless",
        "--steps",
        12,
        "--report",
        here / "r.json",
        "--checkpoint",
        trained,
    )
    assert _demo(*words) == 0
    report = json.loads((here / "r.json").read_text())
    assert report["backend"] == "vizdoom" and report["dreams"]["memory"]["pose_from"] == "dream"
