"""AR-Diffusion trains by every row of its ablation, and its checkpoint comes back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from tests.helpers.small_ar_diffusion import SMALL_VAE, small_ar_diffusion
from tests.helpers.small_run import record
from training.data.clips import RowNoise
from training.objectives.ar_diffusion import ArDiffusionObjective, ContinuationConfig
from training.objectives.timesteps import SCHEMES, Timesteps
from training.train import ar_diffusion as train_ar_diffusion
from training.train.ar_diffusion import Config
from worldsim import checkpoint
from worldsim.checkpoint import CheckpointError, save_autoencoder
from worldsim.config import load
from worldsim.diffusion.process import from_x0
from worldsim.models.autoencoders.ar_vae import ArVae

SMALL = [
    "model.denoiser.width=16",
    "model.denoiser.depth=1",
    "model.denoiser.heads=2",
    "length=4",
    "batch=2",
    "sample_every=0",
]
CPU = torch.device("cpu")


def _numbers(rows: int, frames: int) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(frames)
    return torch.rand(rows, 2, generator=g), torch.rand(rows, frames, generator=g)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_timesteps_lie_in_range_and_keep_the_constraint(scheme: str) -> None:
    t = Timesteps(scheme, scheme != "independent", 5, 20).draw(*_numbers(2000, 5))
    assert t.shape == (2000, 5) and (t.min(), t.max()) == (1, 20)
    rises = t.diff(dim=1)
    assert (rises >= 0).all() == (scheme != "independent")
    assert (rises == 0).all() == (scheme == "equal")
    if scheme in ("uniform_first", "independent", "equal"):
        assert chisquare(np.bincount(t[:, 0] - 1, minlength=20)).pvalue > 0.01


def test_uniform_first_frames_crowd_the_last_timestep_as_the_paper_warns() -> None:
    """All at T comes up with probability 1 / T; FoPP makes that composition rare again."""
    draws = {s: Timesteps(s, True, 6, 10).draw(*_numbers(20_000, 6)) for s in ("uniform_first", "fopp")}
    share = {s: float((t == 10).all(1).float().mean()) for s, t in draws.items()}
    assert share["uniform_first"] == pytest.approx(0.1, abs=0.01)
    assert share["fopp"] < 0.3 * share["uniform_first"]


def test_without_the_constraint_frames_are_drawn_on_their_own() -> None:
    numbers = _numbers(50, 4)
    alone = Timesteps("independent", False, 4, 30).draw(*numbers)
    for scheme in ("fopp", "uniform_first"):
        assert torch.equal(Timesteps(scheme, False, 4, 30).draw(*numbers), alone)


@pytest.mark.parametrize("prediction", ["x0", "eps", "v"])
def test_who_predicts_the_truth_has_no_loss(prediction: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_ar_diffusion(prediction=prediction)
    x, told = torch.randn(2, 4, 4, 3), []

    def oracle(
        z: torch.Tensor, level: torch.Tensor, actions: torch.Tensor, known: torch.Tensor
    ) -> torch.Tensor:
        told.append(known)
        return from_x0(model.process, 0.5 * x, z, level, prediction)

    monkeypatch.setattr(model, "forward", oracle)
    for drop in (0.0, 1.0):
        objective = ArDiffusionObjective(model, Timesteps("fopp", True, 4, 1000), drop, 6.0)
        losses = objective(x, torch.zeros(2, 4, 20), RowNoise([1, 2], CPU))
        assert float(losses["loss"]) < 1e-4 and float(losses["x0"]) < 1e-4
    assert told[0].all() and not told[1].any()


def test_given_frames_are_clean_and_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The composition is of the others; a model that draws nothing is shown that as its own, and the truth at first."""
    model, shown = small_ar_diffusion(prediction="x0", scale=1.0), list[tuple[torch.Tensor, torch.Tensor]]()

    def nothing(z: torch.Tensor, level: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        shown.append((z, level))
        return torch.zeros_like(z)

    monkeypatch.setattr(model, "forward", nothing)
    x, numbers = torch.randn(400, 6, 4, 3), list(range(400))
    timesteps = Timesteps("fopp", True, 6, 1000)
    for redrawn in (0.0, 1.0):
        config = ContinuationConfig(given=0.75, redrawn=redrawn)
        objective = ArDiffusionObjective(model, timesteps, 0.0, 6.0, config)
        losses = objective(x, torch.zeros(400, 6, 20), RowNoise(numbers, CPU))
        z, level = shown[-1]
        given = level == 0
        counts = given.sum(1)
        assert torch.equal(given, torch.arange(6) < counts[:, None]), "the first ones"
        assert set(counts.tolist()) == set(range(6)), "never all"
        assert float((counts > 0).float().mean()) == pytest.approx(0.75, abs=0.08)
        assert bool((level.diff(dim=1) >= 0).all())
        assert float(level[counts == 5][:, 5].std()) > 0.2, "of the one that is left any level"
        assert float(losses["loss"]) == pytest.approx(float(x[~given].square().mean()), rel=1e-3)
        own = given & ~(z == x).flatten(2).all(2)
        assert bool(own.any()) == bool(redrawn) and not z[own].any()
        assert bool((own <= given).all()) and bool((own.int().diff(dim=1) >= 0)[given[:, 1:]].all())
        assert bool((given & ~own).any())
    objective.eval()
    objective(x, torch.zeros(400, 6, 20), RowNoise(numbers, CPU))
    assert not (shown[-1][1] == 0).any(), "held-out losses are of whole clips"
    with pytest.raises(ValueError, match="share from 0 to 1"):
        ContinuationConfig(given=1.5)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Recorded episodes and an AR-VAE that has learnt nothing."""
    folder = tmp_path_factory.mktemp("trained")
    torch.manual_seed(0)
    save_autoencoder(folder / "ar_vae.safetensors", ArVae(SMALL_VAE), SMALL_VAE)
    return record(folder / "data", steps=12), folder / "ar_vae.safetensors"


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["timesteps=uniform_first"],
        ["timesteps=equal", "model.denoiser.causal=false", "model.prediction=eps"],
        ["timesteps=independent", "non_decreasing=false", "model.prediction=v"],
        ["continuation.given=1", "continuation.redrawn=0.5"],
    ],
    ids=["whole", "uniform_first", "equal-both_ways-eps", "independent-v", "continued"],
)
def test_a_row_of_the_ablation_trains_and_its_checkpoint_comes_back(
    trained: tuple[Path, Path], tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    data, autoencoder = trained
    given = [f"data={data}", f"autoencoder={autoencoder}", f"out={tmp_path}", *SMALL, *words]
    assert train_ar_diffusion.main([*given, "steps=2"]) == 0
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert printed["steps"] == 2 and np.isfinite(printed["held_out"]["loss"])
    loaded = checkpoint.load_ar_diffusion(str(tmp_path / "checkpoint"))
    assert loaded.description.env_id == "worldsim/LabMaze-v0"
    config = load(Config, given)
    assert loaded.model.config.prediction == config.model.prediction
    assert loaded.model.config.denoiser.causal == config.model.denoiser.causal
    assert checkpoint.load_any(str(tmp_path / "checkpoint")).description.kind == "ar_diffusion"
    for other in (checkpoint.load, checkpoint.load_video):
        with pytest.raises(CheckpointError, match="plays with method=ar_diffusion and with no other"):
            other(str(tmp_path / "checkpoint"))


def test_the_papers_configuration_loads() -> None:
    file = Path(__file__).parents[3] / "assets" / "configs" / "ar_diffusion.yaml"
    config = load(Config, ["data=d", "autoencoder=a", "out=o"], file)
    net = config.model.denoiser
    assert (net.width, net.depth, net.heads, config.model.timesteps) == (1152, 28, 16, 1000)
    assert (config.model.beta_end, config.model.scale, config.timesteps) == (0.002, 0.5, "fopp")


def test_mistakes_are_one_sentence(trained: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"data={trained[0]}", f"autoencoder={trained[1]}", "out=unused"]
    assert train_ar_diffusion.main([*words, "timesteps=foop"]) == 2
    assert "expected one of fopp, uniform_first" in capsys.readouterr().err
    assert train_ar_diffusion.main([*words, "timesteps=independent"]) == 2
    assert "non_decreasing=false" in capsys.readouterr().err
    with pytest.raises(ValueError, match="drop_actions: expected a probability"):
        ArDiffusionObjective(small_ar_diffusion(), Timesteps("equal", True, 4, 10), 2.0, 6.0)
