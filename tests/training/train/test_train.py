"""Training learns, resumes after a kill as if nothing had happened, and divides a batch over processes."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from envs.episodes.writer import EpisodeWriter
from tests.helpers.small_model import SPEC, small_config, small_model
from tests.helpers.small_run import SMALL_AUTOENCODER, SMALL_DENOISER, record
from training.convert import index
from training.data.clips import ClipConfig, draw
from training.data.episodes import LatentEpisode, returning_frames
from training.loop import resume as state
from training.loop.adamw import OptimizerConfig
from training.loop.train import LoopConfig, train
from training.train import autoencoder as train_autoencoder
from training.train import denoiser as train_denoiser
from training.train.denoiser import begin_from
from worldsim import checkpoint
from worldsim.checkpoint import CheckpointError
from worldsim.dream.world import DreamEnv
from worldsim.models.odometry import N_RECENT
from worldsim.models.world_model import WorldModel


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def autoencoder(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("autoencoder")
    assert (
        train_autoencoder.main([f"data={data}", f"out={out}", "steps=30", "batch=8", *SMALL_AUTOENCODER]) == 0
    )
    return out / "autoencoder.safetensors"


def test_the_recorded_folder_trains_a_model_that_dreams(
    data: Path, autoencoder: Path, tmp_path: Path
) -> None:
    words = [f"data={data}", f"autoencoder={autoencoder}", f"out={tmp_path}", "steps=3", *SMALL_DENOISER]
    assert train_denoiser.main([*words, "sample_every=0"]) == 0
    assert list((tmp_path / "tensorboard").glob("events*"))
    loaded = checkpoint.load(str(tmp_path / "checkpoint"))
    assert loaded.description.env_id == "worldsim/LabMaze-v0"
    assert loaded.description.training["steps"] == 3
    dream = DreamEnv(loaded, history=8, budget=4)
    dream.reset(options={"frames": np.zeros((1, 32, 32, 3), np.uint8), "actions": []})
    assert dream.step(dream.action_space.sample())[0].shape == (32, 32, 3)


def test_convolutions_learn_and_linear_cells_need_not(data: Path, autoencoder: Path, tmp_path: Path) -> None:
    def psnr(folder: Path) -> float:
        return float(json.loads((folder / "autoencoder.json").read_text())["psnr"])

    words = [f"data={data}", "batch=8", *SMALL_AUTOENCODER, "autoencoder.linear=false"]
    for steps in (30, 120):
        assert train_autoencoder.main([*words, f"out={tmp_path / str(steps)}", f"steps={steps}"]) == 0
    assert psnr(tmp_path / "30") + 0.5 < psnr(tmp_path / "120") < psnr(autoencoder.parent) - 4


def test_a_decoder_trained_alone_keeps_the_latents(
    data: Path, autoencoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"data={data}", f"out={tmp_path}", "batch=8", "decoder_only=true", "optimizer.warmup=1"]
    assert train_autoencoder.main([*words, "steps=1"]) == 2  # nothing to keep
    assert "init=" in capsys.readouterr().err
    for steps in (2, 4):  # the second goes on where the first stopped
        assert train_autoencoder.main([*words, f"init={autoencoder}", f"steps={steps}"]) == 0
    (before, _), (after, _) = (
        checkpoint.load_autoencoder(p) for p in (autoencoder, tmp_path / "autoencoder.safetensors")
    )
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    assert torch.equal(before.encode(x), after.encode(x))
    assert not torch.equal(before.decode(before.encode(x)), after.decode(after.encode(x)))


class _Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x).square().mean()


def _loss(wrapped: nn.Module, step: int) -> dict[str, Tensor]:
    return {
        "loss": wrapped(torch.from_numpy(np.random.default_rng(step).normal(size=(8, 4)).astype(np.float32)))
    }


def _fit(out: Path, stop: int | None = None, steps: int = 12) -> dict[str, Tensor]:
    def loss(wrapped: nn.Module, step: int) -> dict[str, Tensor]:
        if step == stop:
            raise KeyboardInterrupt
        return _loss(wrapped, step)

    model = _Line()
    options = OptimizerConfig(warmup=3)
    train(model, loss, Accelerator(cpu=True), options, LoopConfig(out=str(out), seconds=1e9, steps=steps))
    return load_file(out / state.FILE)


def test_a_run_may_begin_from_another_checkpoint_but_keeps_its_own_autoencoder(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "other", small_model(1), {"family": "minecraft", "action_spec": SPEC})
    model, fresh = small_model(2), small_model(2)
    begin_from(model, str(tmp_path / "other"))
    for name, tensor in model.state_dict().items():
        own = name.startswith(("autoencoder.", "action_"))
        expected = (fresh if own else small_model(1)).state_dict()[name]
        torch.testing.assert_close(tensor, expected, atol=1e-3, rtol=1e-2)
    other_shape = small_config()
    other_shape.denoiser.depth = 1
    with pytest.raises(CheckpointError, match="does not fit"):
        begin_from(WorldModel(other_shape), str(tmp_path / "other"))


def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(tmp_path: Path) -> None:
    whole = _fit(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        _fit(tmp_path / "parts", stop=7)
    parts = _fit(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert any(name.startswith("ema/") for name in whole)
    assert any(name.startswith("optimizer/") for name in whole)
    for name, value in whole.items():
        torch.testing.assert_close(value, parts[name], msg=name)


def test_a_truncated_or_foreign_state_is_refused_in_a_sentence(tmp_path: Path) -> None:
    _fit(tmp_path, steps=4)
    whole = (tmp_path / state.FILE).read_bytes()
    (tmp_path / state.FILE).write_bytes(whole[:100])
    with pytest.raises(state.StateError, match="delete it or choose another out="):
        _fit(tmp_path)
    (tmp_path / state.FILE).write_bytes(whole)
    with pytest.raises(state.StateError, match="delete it or choose another out="):
        other = nn.Linear(2, 2)
        state.restore(tmp_path, {"model": other}, torch.optim.AdamW(other.parameters()))


def _latents(n: int = 40) -> list[LatentEpisode]:
    g = torch.Generator().manual_seed(0)
    return [LatentEpisode(torch.randn(n, 2, 4, 4, generator=g), torch.randn(n - 1, 3, generator=g), None)] * 3


def test_a_batch_is_the_same_however_it_is_divided() -> None:
    cpu = torch.device("cpu")
    whole, noise = draw(_latents(), ClipConfig(batch=4, length=6), 0, 3, 0, cpu)
    normal = noise.normal(5)
    for process in range(2):
        part, part_noise = draw(_latents(), ClipConfig(batch=2, length=6), 0, 3, process, cpu)
        rows = slice(2 * process, 2 * process + 2)
        assert torch.equal(whole.latents[rows], part.latents)
        assert torch.equal(whole.past_valid[rows], part.past_valid)
        assert torch.equal(normal[rows], part_noise.normal(5))
        assert (whole.budget, whole.dreamt) == (part.budget, part.dreamt)
    config = ClipConfig(batch=1, length=6, dreamt_odds=0.5, dreamt_passes=3)
    passes = [draw(_latents(), config, 0, step, 0, cpu)[0].dreamt for step in range(200)]
    assert set(passes) == {0, 1, 2, 3} and passes.count(0) == pytest.approx(100, abs=25)


def test_a_clips_actions_lead_to_its_frames_and_its_past_ends_before_it() -> None:
    n = 60
    counted = torch.arange(n, dtype=torch.float32)
    poses = counted[:, None].expand(n, 5)
    # Action i leads from frame i to frame i + 1, and carries the number of the frame it leads to.
    episode = LatentEpisode(
        counted[:, None, None, None].expand(n, 2, 4, 4), counted[1:, None].expand(n - 1, 3), poses
    )
    config = ClipConfig(batch=8, length=6, pasts=(20,), past_odds=(1.0,))
    clip, _ = draw([episode], config, 0, 0, 0, torch.device("cpu"))
    assert torch.equal(clip.latents[:, :, 0, 0, 0], clip.actions[:, :, 0])
    assert torch.equal(clip.poses[..., 0], clip.latents[:, :, 0, 0, 0])
    first = clip.latents[:, 0, 0, 0, 0]
    assert torch.equal(clip.before[:, 0], first - 1)
    reach = torch.arange(-N_RECENT - 1, 0)
    assert torch.equal(clip.earlier_poses[..., 0], (first[:, None] + reach).clamp(min=0))
    assert torch.equal(clip.earlier_actions[..., 0], (first[:, None] + reach).clamp(min=0))
    assert torch.equal(clip.before_latents[:, 0, 0, 0], first - 1)
    assert torch.equal(clip.past_latents[:, -1, 0, 0, 0], first - 1)
    for row in range(8):
        kept = clip.past_latents[row, clip.past_valid[row], 0, 0, 0]
        assert torch.equal(kept, torch.arange(max(0.0, float(first[row]) - 20), float(first[row])))


def test_clips_hold_returning_views_as_often_as_asked() -> None:
    """A camera that looks away and back: nearly every clip drawn for its returns holds one."""
    yaw = np.zeros(120)
    yaw[20:50] = 90
    yaw[70:100] = 90
    poses = np.zeros((120, 5))
    poses[:, 3] = yaw
    poses[:, 0] = np.arange(120) * 0.002  # a camera that rests is scored once only
    returns = returning_frames(poses)
    assert set(returns.tolist()) >= {50, 70, 100}
    assert returns.min() == 50
    episode = _latents(120)[0]
    episode = LatentEpisode(
        episode.latents, episode.actions, torch.from_numpy(poses.astype(np.float32)), returns[:1]
    )
    held = []
    for step in range(20):
        clip, _ = draw(
            [episode], ClipConfig(batch=4, length=6, returning_odds=1.0), 0, step, 0, torch.device("cpu")
        )
        held += [bool(((p[:, 0] - 0.1).abs() < 1e-4).any()) for p in clip.poses]
    assert all(held)


def _run(words: list[str], processes: int) -> subprocess.CompletedProcess[str]:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(processes)]
    launcher += ["--master_addr", "127.0.0.1", "--master_port", str(port)]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    command = [*launcher, "-m", "training.train_denoiser", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)


def test_two_processes_on_gloo_over_shards_and_one_that_goes_on_end_where_one_does(
    data: Path, autoencoder: Path, tmp_path: Path
) -> None:
    """Half the batch on each of two processes, over shards, then all of it on one that resumes, ends at the weights and
    losses that the whole batch on one process over the episodes' own files gives."""
    shards, found = tmp_path / "shards", []
    assert index.main([f"data={data}", f"out={shards}", "shard_mb=1"]) == 0
    for name, source, runs in (("one", data, [(1, 4)]), ("two", shards, [(2, 2), (1, 4)])):
        for processes, steps in runs:
            words = [
                f"data={source}",
                f"autoencoder={autoencoder}",
                f"out={tmp_path / name}",
                f"steps={steps}",
            ]
            words += [
                "optimizer.warmup=1",
                "optimizer.final=1",
            ]  # a rate that does not depend on where a run ends
            words += ["precision=fp32"]  # sums of bf16 products depend on how a batch is cut
            words += [*SMALL_DENOISER, f"clip.batch={4 // processes}", f"reads.batch={4 // processes}"]
            done = _run(words, processes)
            assert done.returncode == 0, done.stderr[-3000:]
        with safe_open(tmp_path / name / state.FILE, "pt") as file:
            losses = json.loads(file.metadata()["counters"])["losses"]
        found.append((load_file(tmp_path / name / state.FILE), losses))
    (weights, losses), (others, other_losses) = found
    assert losses == pytest.approx(other_losses, rel=1e-4)
    for key, value in weights.items():
        if key.startswith("model/"):
            torch.testing.assert_close(value, others[key], atol=2e-4, rtol=1e-3, msg=key)


def test_episodes_shorter_than_a_clip_are_passed_over_with_a_count(
    autoencoder: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mixed = record(tmp_path / "mixed", 3, steps=5)  # clips of 6 take 7 frames
    words = [f"data={mixed}", f"autoencoder={autoencoder}", f"out={tmp_path / 'out'}", "steps=2"]
    words += [*SMALL_DENOISER, "sample_every=0"]
    assert train_denoiser.main(words) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert "expected episodes of at least 7 frames, the longest has 6" in told
    for path in data.glob("*.zip"):
        shutil.copy(path, mixed)
    assert train_denoiser.main(words) == 0
    assert "3 of 5 episodes" in (told := capsys.readouterr().err) and "fewer than 7 frames" in told


def test_frames_and_actions_of_ones_own_train_without_a_word_about_their_world(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (2, 30, 32, 32, 3), np.uint8)
    fields = [{"name": "", "kind": "discrete", "n": 4}]
    for k in range(2):
        meta = {"action_spec": {"family": "mygame", "fields": fields}}
        writer = EpisodeWriter(tmp_path / "mine", f"e{k}", meta)
        writer.first(frames[k][0])
        for i in range(1, 30):
            writer.add(i % 4, frames[k][i])
        writer.seal()
    words = [f"data={tmp_path / 'mine'}", "steps=2"]
    kept = tmp_path / "ae" / "autoencoder.safetensors"
    assert train_autoencoder.main([*words, f"out={kept.parent}", "batch=8", *SMALL_AUTOENCODER]) == 0
    words += [f"autoencoder={kept}", f"out={tmp_path / 'run'}", *SMALL_DENOISER, "sample_every=0"]
    assert train_denoiser.main(words) == 0
    known = checkpoint.load(str(tmp_path / "run" / "checkpoint")).description
    assert (known.env_id, known.env_version, known.family) == ("mygame", 0, "mygame")


def test_no_data_is_one_sentence_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train_autoencoder.main([f"data={tmp_path / 'none'}", f"out={tmp_path}"]) == 2
    assert "worldsim collect" in capsys.readouterr().err
    assert train_denoiser.main([f"data={tmp_path}", f"out={tmp_path}", "autoencoder=nothing", "sed=1"]) == 2
    assert "did you mean 'seed'" in capsys.readouterr().err
