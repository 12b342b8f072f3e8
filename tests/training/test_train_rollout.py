"""Training on a dream's own past: what is drawn from it, whom the losses reach, what they change."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from envs.episode import Episode
from tests.training.small_run import record
from tests.worldsim.small_model import SPEC, small_config, small_model
from training import train_rollout
from training.clips import ClipConfig, batch, draw
from training.dataset import LatentEpisode, latent_episodes, open_episodes
from training.drift import variance
from training.rollouts import SHORTEST, RolloutConfig, Rollouts
from training.train_denoiser import begin_from
from training.train_rollout import Alone, Config, alone_of, with_alone
from worldsim import checkpoint
from worldsim.checkpoint import LoadedModel
from worldsim.world_model import WorldModel

CONTEXT = 8
CLIP = ClipConfig(6, 2, (12,), (1.0,), (4,), (1.0,), dreamt_odds=0.0)
ROLLOUT = RolloutConfig(dreams=2, kept=3, every=5, longest=SHORTEST, context=CONTEXT, skip=4)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("data"), steps=CONTEXT + SHORTEST + 4)


@pytest.fixture(scope="module")
def begun(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    source, config = open_episodes(data)[0], small_config()
    config.action_dim, config.fov = source.action_vectors().shape[1], float(source.meta["fov"])
    checkpoint.save(folder, WorldModel(config), {"action_spec": source.meta["action_spec"]})
    return folder


def encoded(loaded: LoadedModel, sources: list[Episode], data: Path) -> list[LatentEpisode]:
    return latent_episodes(sources, loaded.model.autoencoder, data / "latents", CPU, quiet=True)


def test_dreams_begin_in_true_frames_and_clips_in_frames_of_their_own(data: Path, begun: Path) -> None:
    loaded, sources = checkpoint.load(str(begun)), open_episodes(data)
    rollouts = Rollouts(loaded, sources, encoded(loaded, sources, data), ROLLOUT)
    rollouts.refresh(seed=0, step=3, process=0)  # the first time whatever the step
    assert len(rollouts.pool) == 2
    rollouts.refresh(seed=0, step=4, process=0)
    assert len(rollouts.pool) == 2
    rollouts.refresh(seed=0, step=5, process=0)
    assert len(rollouts.pool) == 3  # the oldest is gone
    true = torch.cat([loaded.encode(e.frames(0, len(e))) for e in sources])
    for dream in (rollout.frames for rollout in rollouts.pool):
        assert len(dream.latents) == len(dream.actions) + 1 == CONTEXT + SHORTEST
        assert dream.poses is not None and len(dream.poses) == len(dream.latents)
        apart = (dream.latents[:, None] - true[None]).abs().amax((2, 3, 4)).amin(1)
        assert (apart[:CONTEXT] < 1e-5).all() and (apart[CONTEXT:] > 1e-3).all()
    rng = np.random.default_rng(0)
    starts = {rollouts.pick(rng, 6)[1] for _ in range(300)}
    assert min(starts) == CONTEXT + ROLLOUT.skip and max(starts) == CONTEXT + SHORTEST - 6


def test_the_adversary_asks_as_loudly_as_it_is_told_to_and_of_the_denoiser_alone(
    data: Path, begun: Path
) -> None:
    loaded, sources = checkpoint.load(str(begun)), open_episodes(data)
    torch.manual_seed(0)
    model = loaded.model.requires_grad_(False)
    model.denoiser.requires_grad_(True)
    torch.nn.init.normal_(model.denoiser.outside.weight, std=0.02)
    episodes = encoded(loaded, sources, data)
    rollouts = Rollouts(loaded, sources, episodes, ROLLOUT)
    rollouts.refresh(0, 0, 0)
    alone = Alone(model, Config(data="", checkpoint="", out=""), variance(episodes[0].latents.float()))

    def pick(rng: np.random.Generator) -> tuple[LatentEpisode, int]:
        rollout, start = rollouts.pick(rng, CLIP.length)
        return rollout.frames, start

    own, off = batch(pick, CLIP, 0, 0, 0, CPU), torch.stack([rollouts.pool[0].off] * CLIP.batch)
    last, gradients = model.denoiser.outside.weight, []
    for weight in (1e-9, 0.25):
        alone.zero_grad()
        known, true = draw(episodes, CLIP, 0, 0, 0, CPU), draw(episodes, CLIP, 1, 0, 0, CPU)[0]
        own[1].generators = batch(pick, CLIP, 0, 0, 0, CPU)[1].generators
        alone(known, own, off, true, weight)["loss"].backward()
        assert last.grad is not None
        gradients.append(last.grad.clone())
        assert all(
            (p.grad is not None) == n.startswith(("judge", "doubt", "objective.model.denoiser"))
            for n, p in alone.named_parameters()
            if "denoiser.control" not in n
        )
    asked = (gradients[1] - gradients[0]).norm() / gradients[0].norm()
    assert float(asked) == pytest.approx(0.25, rel=0.02)


def test_training_makes_a_second_denoiser_and_goes_on_where_it_stopped(
    data: Path, begun: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        f"data={data}",
        f"held_out={data}",
        f"checkpoint={begun}",
        f"out={tmp_path}",
        "seconds=1e9",
        "threads=1",
    ]
    words += [
        "clip.length=6",
        "clip.batch=2",
        "clip.pasts=[0,12]",
        "clip.past_odds=[0.3,0.7]",
        "adversary.batch=2",
    ]
    words += ["clip.budgets=[4]", "clip.budget_odds=[1.0]", "adversary.head_start=1", "adversary.width=8"]
    words += ["rollout.dreams=1", "rollout.context=8", "rollout.longest=32", "optimizer.warmup=1"]
    written = tmp_path / "checkpoint"
    for steps in (1, 5, 5):  # first the adversary alone, at last nothing is left to do
        assert train_rollout.main([*words, f"steps={steps}"]) == 0
        result = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert result["steps"] == steps and np.isfinite(result["held_out"]["passed"])
        state = checkpoint.load(str(written)).model.state_dict()
        same = torch.equal(state["alone.outside.weight"], state["denoiser.outside.weight"])
        assert same == (steps == 1)
    after, before = checkpoint.load(str(written)), checkpoint.load(str(begun)).model.state_dict()
    state = after.model.state_dict()
    assert all(torch.equal(state[name], weight) for name, weight in before.items())
    assert state.keys() - before.keys() == {f"alone.{name}" for name in after.model.denoiser.state_dict()}
    assert after.description.training["rollout"]["steps"] == 5


def test_a_second_training_begins_from_the_second_denoiser() -> None:
    model = small_model(alone=True)
    copy = alone_of(model)
    assert torch.equal(copy.denoiser.outside.weight, model.alone.outside.weight)
    assert torch.equal(copy.reader.depth.weight, model.reader.depth.weight) and not copy.config.alone
    torch.nn.init.ones_(copy.denoiser.outside.weight)
    both = with_alone(model, copy)
    assert both.config.alone and (both.alone.outside.weight == 1).all()
    assert torch.equal(both.denoiser.outside.weight, model.denoiser.outside.weight)


def test_another_run_may_begin_from_a_checkpoint_that_has_two_denoisers(tmp_path: Path) -> None:
    two, one = small_model(seed=1, alone=True), small_model(seed=2)
    checkpoint.save(tmp_path, two, {"family": "minecraft", "action_spec": SPEC})
    begin_from(one, str(tmp_path))
    assert torch.allclose(one.denoiser.position, two.denoiser.position, atol=1e-3)


def test_episodes_too_short_to_dream_along_are_one_sentence(
    data: Path, begun: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"data={data}", f"held_out={data}", f"checkpoint={begun}", f"out={tmp_path}", "steps=1"]
    assert train_rollout.main(words) == 2
    assert "at most 36 frames" in capsys.readouterr().err
    assert train_rollout.main([*words, "rollout.context=30"]) == 2
    assert "no episode has 62 frames" in capsys.readouterr().err
