"""A video model trains on mixed noise levels: every pattern of every method, any variant, by one command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.small_run import SMALL_AUTOENCODER, SMALL_VIDEO, record
from tests.helpers.small_walks import small_maze
from training import collect_walks
from training.objectives.forcing import KINDS
from training.objectives.noise_levels import PATTERNS, LevelsConfig, draw_levels
from training.objectives.video_model import VideoObjectiveConfig, draw_setting
from training.train import autoencoder as train_autoencoder
from training.train import video as train_video
from training.train import video_on_walks
from worldsim import checkpoint
from worldsim.checkpoint import CheckpointError, Loaded
from worldsim.config import GeneratorConfig, shipped
from worldsim.diffusion.methods import method
from worldsim.diffusion.schedules import fifo, path
from worldsim.dream.context import DreamError
from worldsim.dream.video import MethodDream
from worldsim.models.denoisers.forcing_dit import ForcingDiT, ForcingDiTConfig
from worldsim.models.geometry import TURN_UNIT
from worldsim.models.memory.variants.protocol import References
from worldsim.models.video_model import VideoModel
from worldsim.models.world_model import WorldModel


def _uniform(rows: int, w: int) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(w)
    return torch.rand(rows, 3, generator=g), torch.rand(rows, w, generator=g)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("w", [1, 2, 16])
def test_levels_lie_between_clean_and_noise_and_rise_along_the_window(pattern: str, w: int) -> None:
    level = draw_levels(pattern, *_uniform(500, w))
    assert level.shape == (500, w) and level.min() > 0 and level.max() <= 1
    if pattern != "independent":
        assert bool((level.diff(dim=1) >= -1e-6).all())
    if pattern == "shared":
        assert bool((level == level[:, :1]).all()) and bool((level == 1).any())
    assert float(level.min()) < 0.15 and float(level.max()) > 0.9  # the whole range is trained


def test_a_ramp_meets_the_levels_of_fifo() -> None:
    """At progress p the ramp is the place where FIFO's denoising stands, 1 - p of the way from L_in to L_out."""
    first = torch.tensor([[0.25, 0, 0], [0.75, 0, 0]])
    levels = draw_levels("ramp", first, torch.zeros(2, 8))
    torch.testing.assert_close(levels, path(fifo(8), 4)[[3, 1]])


def test_the_setting_of_a_step_is_shared_and_its_references_lie_in_the_past() -> None:
    config = VideoObjectiveConfig()
    settings = [draw_setting(config, 48, seed=0, step=i) for i in range(300)]
    assert settings == [draw_setting(config, 48, seed=0, step=i) for i in range(300)]
    assert {s.window for s in settings} == {1, 4, 16} and {s.pattern for s in settings} == set(PATTERNS)
    assert all(0 <= r < 48 for s in settings for r in s.references)
    assert not any(draw_setting(config, 0, 0, i).references for i in range(20))
    with pytest.raises(ValueError, match="odds"):
        LevelsConfig(0, 0, 0, 0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def autoencoder(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("autoencoder")
    words = [f"data={data}", f"out={out}", "steps=10", "batch=8", *SMALL_AUTOENCODER]
    assert train_autoencoder.main(words) == 0
    return out / "autoencoder.safetensors"


@pytest.mark.parametrize(
    "variant",
    [
        ["model.memory.way=prepend", "model.memory.compressor=joint"],
        ["model.memory.way=channel", "model.memory.compressor=modulated", "model.denoiser=unet3d"],
        ["model.memory.way=cross_attention", "model.prediction=x0", "model.process=rectified_flow"],
    ],
    ids=["prepend", "channel", "cross_attention"],
)
def test_a_variant_trains_and_its_checkpoint_comes_back(
    data: Path, autoencoder: Path, tmp_path: Path, variant: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"data={data}", f"autoencoder={autoencoder}", f"out={tmp_path}", *SMALL_VIDEO, *variant]
    assert train_video.main([*words, "steps=4"]) == 0
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert printed["steps"] == 4 and np.isfinite(printed["held_out"]["loss"])
    loaded = checkpoint.load_video(str(tmp_path / "checkpoint"))
    assert loaded.description.env_id == "worldsim/LabMaze-v0"
    with pytest.raises(CheckpointError, match="method=NAME"):
        checkpoint.load(str(tmp_path / "checkpoint"))


def test_a_run_begins_from_whatever_fits_of_another_checkpoint(
    data: Path, autoencoder: Path, tmp_path: Path
) -> None:
    words = [f"data={data}", f"autoencoder={autoencoder}", *SMALL_VIDEO, "steps=1"]
    assert train_video.main([*words, f"out={tmp_path / 'a'}"]) == 0
    first = checkpoint.load_video(str(tmp_path / "a" / "checkpoint")).model
    other = checkpoint.load_video(str(tmp_path / "a" / "checkpoint")).model
    for parameter in other.parameters():
        torch.nn.init.zeros_(parameter)
    assert train_video.begin_from(other, str(tmp_path / "a" / "checkpoint")) > 10
    for name, tensor in other.denoiser.state_dict().items():
        torch.testing.assert_close(tensor, first.denoiser.state_dict()[name])


def test_the_papers_latents_train_and_no_checkpoint_repeats_their_weights(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("diffusers")
    from tests.worldsim.models.test_sd3 import small_vae

    small_vae().save_pretrained(tmp_path / "vae", safe_serialization=True)
    words = [f"data={data}", f"autoencoder=sd3:{tmp_path / 'vae'}", f"out={tmp_path}", *SMALL_VIDEO]
    assert train_video.main([*words, "steps=1", "model.memory.compressor=joint"]) == 0
    names = checkpoint.weights(tmp_path / "checkpoint").keys()
    assert names and not any(name.startswith("autoencoder.") for name in names)
    loaded = checkpoint.load_video(str(tmp_path / "checkpoint"))
    dream = MethodDream(loaded, method("gamengen", ["steps=1"]))
    dream.reset(options={"frames": np.zeros((1, 32, 32, 3), np.uint8), "actions": []})
    assert dream.step(dream.action_space.sample())[0].shape == (32, 32, 3)


WALKS = [
    "model.forcing_dit.width=32", "model.forcing_dit.depth=1", "model.forcing_dit.heads=2",
    "model.memory.width=16", "model.memory.depth=1", "model.memory.heads=2",
    "forcing.lengths=[8]", "forcing.length_odds=[1.0]", "forcing.spans=[12]", "forcing.kept=8",
    "forcing.window=4", "forcing.frames=16",
    "forcing.histories=[4,12]", "forcing.history_odds=[0.5,0.5]", "forcing.odds=[0.4,0.2,0.2,0.2]",
    "compile=false", "threads=1", "precision=fp32", "held_out_walks=1", "seconds=1e9", "log_every=1",
]  # fmt: skip


@pytest.fixture(scope="module")
def maze(tmp_path_factory: pytest.TempPathFactory) -> str:
    return small_maze(tmp_path_factory.mktemp("maze"))


@pytest.fixture(scope="module")
def walks(maze: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("walks")
    assert collect_walks.main([f"checkpoint={maze}", f"out={out}", "episodes=3", "shard=3", "steps=24"]) == 0
    return out


def _on_walks(maze: str, walks: Path, out: Path, *words: str) -> Loaded[VideoModel]:
    given = [f"walks={walks}", f"checkpoint={maze}", f"out={out}", *WALKS, *words]
    assert train_video.main(given) == 0
    return checkpoint.load_video(str(out / "checkpoint"))


def test_one_run_on_walks_plays_every_method_and_every_memory(maze: str, walks: Path, tmp_path: Path) -> None:
    loaded = _on_walks(maze, walks, tmp_path, "steps=12")
    told = loaded.description.training
    assert told["steps"] == 12 and told["walks"] == 2
    assert {"sequence", "loss"} <= told["held_out"].keys()
    frames, nothing = np.zeros((9, 32, 32, 3), np.uint8), np.zeros((8, 7), np.float32)
    plays = [(name, []) for name in shipped.methods()]
    plays += [("last_16", [f"memory.way={way}"]) for way in ("channel", "cross_attention")]
    plays += [("soft_compression", ["memory.way=channel", "memory.compressor=modulated"])]
    for name, words in plays:
        dream = MethodDream(loaded, method(name, [*words, "window=2", "steps=1", "initialise.steps=1"]))
        dream.reset(seed=0, options={"frames": frames, "actions": nothing})
        assert dream.step(dream.action_space.sample())[0].shape == (32, 32, 3)
    with pytest.raises(DreamError, match="cross_attention and none"):
        MethodDream(loaded, method("soft_compression", ["memory.way=cross_attention"]))


@pytest.mark.parametrize(
    ("denoiser", "sizes"),
    [
        ("unet3d", ["model.unet3d.widths=[16,32]", "model.unet3d.halve=[true]", "model.unet3d.heads=2"]),
        ("causal_dit", ["model.causal_dit.width=32", "model.causal_dit.depth=1", "model.causal_dit.heads=2"]),
    ],
)
def test_any_denoiser_learns_from_walks_and_plays(
    maze: str, walks: Path, tmp_path: Path, denoiser: str, sizes: list[str]
) -> None:
    """Only what sees no later frame can be asked for a whole stretch at once."""
    loaded = _on_walks(maze, walks, tmp_path, "steps=8", f"model.denoiser={denoiser}", *sizes)
    held_out = loaded.description.training["held_out"]
    assert {"prepend", "channel", "cross_attention"} <= held_out.keys() and "sequence" not in held_out
    assert np.isfinite(list(held_out.values())).all()
    dream = MethodDream(loaded, method("last_16", ["window=2", "steps=1", "initialise.steps=1"]))
    options = {"frames": np.zeros((9, 32, 32, 3), np.uint8), "actions": np.zeros((8, 7), np.float32)}
    dream.reset(seed=0, options=options)
    assert dream.step(dream.action_space.sample())[0].shape == (32, 32, 3)


def test_a_run_goes_on_from_another_ones_weights(maze: str, walks: Path, tmp_path: Path) -> None:
    alone = ["forcing.odds=[1,0,0,0]", "model.more_memories=[]", "rates.ema=0"]
    first = _on_walks(maze, walks, tmp_path / "first", "steps=2", *alone)
    begun = ["steps=1", f"init={tmp_path / 'first' / 'checkpoint'}", "rates.muon=0", "rates.adamw=0"]
    for name, words in (("same", alone), ("more", ["forcing.odds=[1,0,0,0]"])):
        second = _on_walks(maze, walks, tmp_path / name, *begun, *words).model.state_dict()
        for key, value in first.model.state_dict().items():
            mine = second[key]
            assert torch.equal(mine[tuple(slice(n) for n in value.shape)], value), key


def test_how_heads_turn_is_not_learned_twice(maze: str, walks: Path, tmp_path: Path) -> None:
    """What was begun by headings and learned is gone on from; only without timeless pairs it begins anew."""
    alone = ["forcing.odds=[1,0,0,0]", "model.more_memories=[]", "rates.ema=0"]
    still = ["steps=1", "rates.muon=0", "rates.adamw=0"]
    for timeless in ("0.5", "0"):
        out = tmp_path / timeless
        first = _on_walks(maze, walks, out, "steps=3", *alone, f"model.forcing_dit.timeless={timeless}")
        begun = [*still, *alone, f"init={out / 'checkpoint'}"]
        second = _on_walks(maze, walks, tmp_path / f"more{timeless}", *begun).model.denoiser
        assert isinstance(second, ForcingDiT) and isinstance(first.model.denoiser, ForcingDiT)
        assert torch.equal(second.turning, first.model.denoiser.turning) == (timeless == "0.5")


def test_sequences_that_it_draws_anew_are_trained_on(maze: str, walks: Path, tmp_path: Path) -> None:
    words = ["forcing.redrawn=1", "forcing.thinned=0.5", "forcing.odds=[1,0,0,0]"]
    loaded = _on_walks(maze, walks, tmp_path, "steps=4", *words)
    assert np.isfinite(loaded.description.training["held_out"]["sequence"])


def test_thinned_stretches_that_come_back_are_trained_on(maze: str, walks: Path, tmp_path: Path) -> None:
    words = ["forcing.thinned=1", "forcing.spans=[20]", "forcing.kept=10", "returning=1"]
    loaded = _on_walks(maze, walks, tmp_path, "steps=2", "forcing.odds=[1,0,0,0]", *words)
    assert np.isfinite(loaded.description.training["held_out"]["sequence"])


@pytest.mark.parametrize("kind", ["prepend", "channel", "cross_attention"])
def test_every_memory_learns_from_its_first_steps(maze: str, walks: Path, tmp_path: Path, kind: str) -> None:
    odds = [float(name == kind) for name in KINDS]
    loaded = _on_walks(maze, walks, tmp_path, "steps=4", f"forcing.odds={odds}")
    learned = {
        "prepend": ["compressor.outside.conv.weight"],
        "channel": ["more_ways.channel.read.out.weight", "more_compressors.channel.outside.conv.weight"],
        "cross_attention": ["denoiser.across.0.out.weight"],
    }
    weights = loaded.model.state_dict()
    for name in learned[kind]:  # they begin at zero
        assert weights[name].abs().max() > 0, name


def test_a_run_on_walks_goes_on_as_if_it_had_not_stopped(maze: str, walks: Path, tmp_path: Path) -> None:
    whole = _on_walks(maze, walks, tmp_path / "whole", "steps=4", "rates.cooldown=1e-9")
    _on_walks(maze, walks, tmp_path / "parts", "steps=2", "rates.cooldown=1e-9")
    parts = _on_walks(maze, walks, tmp_path / "parts", "steps=4", "rates.cooldown=1e-9")
    for (name, a), b in zip(whole.model.state_dict().items(), parts.model.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, msg=name)


def test_the_weights_of_a_generator_are_gone_on_from(maze: str) -> None:
    """Where nothing is remembered, and nothing told of motions, both say the same."""
    world = checkpoint.load(maze)
    config = world.model.config
    config.generates, config.generator = True, GeneratorConfig(width=32, depth=2, heads=2, patch=2, window=9)
    torch.manual_seed(0)
    generating = WorldModel(config)
    with torch.no_grad():
        for parameter in generating.generator.parameters():
            if not parameter.any():
                parameter.normal_(std=0.1)
    shape = video_on_walks.Config(walks="", checkpoint="", out="").model
    shape.forcing_dit = ForcingDiTConfig(width=32, depth=2, heads=2, patch=2)
    loaded = Loaded(generating, world.description, world.path)
    model = video_on_walks.continued(loaded, shape)
    name, known = "blocks.0.qkv.weight", generating.generator.state_dict()
    assert torch.equal(model.denoiser.state_dict()[name], known[name])
    fresh = video_on_walks.continued(loaded, shape, fresh=True)
    assert not torch.equal(fresh.denoiser.state_dict()[name], known[name])
    z, level, actions = torch.randn(2, 3, 8, 4, 4), torch.rand(2, 3), torch.randn(2, 3, 7)
    control = torch.cat([actions, torch.zeros(2, 3, generating.generator.control[0].in_features - 7)], -1)
    with torch.no_grad():
        theirs = generating.generator(z, level, control, torch.zeros(2, 3, 4, 32, 32))
        mine = model(z, level, actions, References.none(z, 7))
    torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)


def test_heads_begin_by_heading_and_a_whole_turn_is_none(maze: str) -> None:
    world = checkpoint.load(maze)
    shape = video_on_walks.Config(walks="", checkpoint="", out="").model
    shape.forcing_dit = ForcingDiTConfig(width=64, depth=1, heads=4, patch=2, timeless=0.5)
    denoiser = video_on_walks.continued(world, shape).denoiser
    assert isinstance(denoiser, ForcingDiT)
    odometry = world.model.odometry
    odometry.turns.zero_()
    odometry.turns[0, 0] = 10 / TURN_UNIT  # degrees a unit
    video_on_walks.look_by_heading(denoiser, odometry)
    turned = (
        denoiser.turning.detach() @ torch.tensor([[0.0] * 7, [9.0] + [0.0] * 6, [36.0, 5.0] + [0.0] * 5]).T
    )
    assert not turned[:2].any() and not turned[:, :4].any(), "the rest is as it was"
    about, round_ = turned[2:, 4:, 1], turned[2:, 4:, 2]
    torch.testing.assert_close(about[:, 0], torch.full((2,), np.pi / 2))
    torch.testing.assert_close(round_.cos(), torch.ones_like(round_), atol=1e-4, rtol=0)


def test_averages_and_rates_are_those_of_the_loop(maze: str, walks: Path, tmp_path: Path) -> None:
    told = _on_walks(maze, walks, tmp_path, "steps=3").description.training
    assert told["frames"] > 0 and (tmp_path / "state.safetensors").is_file()
    more = _on_walks(maze, walks, tmp_path, "steps=5").description.training
    assert more["steps"] == 5 and more["frames"] > told["frames"]
