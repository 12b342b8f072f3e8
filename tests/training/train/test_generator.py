"""A generator is trained on walks that were encoded once, goes on where it stopped, and plays."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers.small_walks import small_maze
from training import collect_walks
from training.data.episodes import DataError, latents_of
from training.data.evidence_clips import ClipConfig, Clips, Source
from training.data.prefetch import prefetched
from training.data.redrawn_evidence import RedrawnEvidence
from training.data.walks import read
from training.loop import resume as state
from training.loop.claim import claim
from training.objectives.generation import LEAST_BLEND, STRIDES, Generation, GenerationConfig, draw
from training.train import generator as train_generator
from worldsim import checkpoint
from worldsim.config import GeneratorConfig
from worldsim.dream.world import DreamEnv
from worldsim.engine.evidence import GENERATED, TRUE

STEPS = 24
SMALL = [
    "generator.width=32", "generator.depth=1", "generator.heads=2", "generator.window=4",
    "clip.length=5", "clip.batch=4", "clip.window=4", "compile=false", "threads=1", "precision=fp32",
    "held_out_walks=1", "seconds=1e9", "log_every=1",
]  # fmt: skip


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A checkpoint of LabMaze with a memory of pixels, 32 pixels each way."""
    return small_maze(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def walks(small: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("walks")
    words = [f"checkpoint={small}", f"out={out}", "episodes=5", "shard=2", f"steps={STEPS}"]
    assert collect_walks.main(words) == 0
    return out


def _train(small: str, walks: Path, out: Path, *words: str) -> dict[str, float]:
    given = [f"checkpoint={small}", f"walks={walks}", f"out={out}", *SMALL, *words]
    assert train_generator.main(given) == 0
    trained: dict[str, float] = checkpoint.load(str(out / "checkpoint")).description.training["generator"]
    return trained


def test_walks_are_whole_episodes_encoded_by_the_checkpoint(small: str, walks: Path) -> None:
    model = checkpoint.load(small).model
    shards = read(walks, latents_of(model.autoencoder))
    assert [len(shard) for shard in shards] == [2, 2, 1]
    shard = shards[0]
    assert shard.frames.shape == (2, STEPS, 32, 32, 3)
    assert not shard.actions[:, 0].any(), "nothing led to the first frame"
    assert np.abs(np.diff(shard.poses[0], axis=0)).sum() > 1, "somebody walked"
    seen = torch.from_numpy(np.array(shard.frames[0, :1])).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.inference_mode():
        latents = model.autoencoder.encode(seen)
    np.testing.assert_allclose(latents[0], shard.latents[0, 0].astype(np.float32), atol=0.1)


def test_what_is_there_is_not_played_again(
    small: str, walks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"checkpoint={small}", f"out={walks}", "episodes=5", "shard=2", f"steps={STEPS}"]
    collect_walks.main(words)
    assert "0 shards played, 3 were there already" in capsys.readouterr().out


def test_walks_of_another_autoencoder_are_refused(walks: Path) -> None:
    with pytest.raises(DataError, match="another autoencoder"):
        read(walks, "0123456789ab")


def test_a_clip_remembers_what_its_odds_say(small: str, walks: Path) -> None:
    model = checkpoint.load(small).model
    shards = read(walks)
    for kind, odds in enumerate(([1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1])):
        config = ClipConfig(
            length=5, batch=8, window=4, odds=[float(x) for x in odds], generated=0, shaken=0, dropped=0
        )
        clips = Clips(shards, model, config).batch(0, 1)
        assert clips.evidence.shape == (8, 5, 4, 32, 32)
        shown = clips.evidence[:, :, 3] > 0
        torch.testing.assert_close(clips.covered, torch.nn.functional.avg_pool2d(shown.float(), 8))
        assert bool(shown.any()) == (kind > 0)
        assert not clips.evidence[:, :, :3][~shown[:, :, None].expand(-1, -1, 3, -1, -1)].any()


def test_a_batch_depends_on_its_step_and_row_alone(small: str, walks: Path) -> None:
    model, shards = checkpoint.load(small).model, read(walks)
    one = Clips(shards, model, ClipConfig(length=5, batch=4)).batch(3, 7)
    again = Clips(shards, model, ClipConfig(length=5, batch=2))
    for process in range(2):
        half = again.batch(3, 7, process)
        for name, value in vars(half).items():
            part = getattr(one, name)[2 * process : 2 * process + 2]
            assert value == part if name == "sources" else torch.equal(value, part), name


def test_an_error_while_drawing_ahead_is_raised_where_batches_are_used() -> None:
    def make(step: int) -> int:
        if step == 2:
            raise DataError("a shard is gone")
        return step

    batches = prefetched(make, 0, 2)
    assert [next(batches), next(batches)] == [0, 1]
    with pytest.raises(DataError, match="gone"):
        next(batches)


def test_strided_rows_start_at_multiples_of_their_step() -> None:
    d = draw(
        torch.Size((64, 16, 2, 4, 4)), GenerationConfig(strided=0.5), True, torch.Generator().manual_seed(0)
    )
    assert d.strided == 32
    assert not d.stride[32:].any()
    asked = d.stride > 0
    assert set(d.stride[asked].tolist()) == set(STRIDES)
    steps = (d.level / d.stride)[asked]
    torch.testing.assert_close(steps, steps.round())
    assert float(d.level.max()) <= 1
    assert float(d.level[:32][~asked[:32]].max()) <= GenerationConfig().clean, (
        "what asks for no step is context"
    )


def _both(found: tuple[torch.Tensor, torch.Tensor] | None) -> tuple[torch.Tensor, torch.Tensor]:
    assert found is not None
    return found


def test_one_step_is_asked_to_end_where_two_halves_end(small: str, walks: Path) -> None:
    """With a model that always predicts the true frames, so is its target."""
    model = checkpoint.load(small).model
    clips = Clips(read(walks), model, ClipConfig(length=5, batch=4)).batch(0, 0)

    class Knows(torch.nn.Module):
        def forward(self, *_: torch.Tensor) -> torch.Tensor:
            return clips.latents

    objective = Generation(Knows(), GenerationConfig())  # type: ignore[arg-type]
    d = draw(clips.latents.shape, GenerationConfig(strided=1.0), True, torch.Generator().manual_seed(0))
    noisy = clips.latents + d.level[..., None, None, None] * (d.noise - clips.latents)
    target = objective.halves(clips, noisy, d.level, d.stride, 4)
    torch.testing.assert_close(target, clips.latents, atol=1e-4, rtol=1e-4)


def test_contexts_that_a_generator_redraws_are_its_own(small: str, walks: Path) -> None:
    """One that draws nothing but grey is shown grey, in the last rows and where they are context."""
    model = checkpoint.load(small).model
    clips = Clips(read(walks), model, ClipConfig(length=5, batch=4)).batch(0, 0)
    shown = []

    class Grey(torch.nn.Module):
        def forward(self, z: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
            shown.append(z)
            return torch.zeros_like(z)

    config = GenerationConfig(strided=0.25, redrawn=0.5, clean=0.0, soft=1.0)
    d = draw(clips.latents.shape, config, True, torch.Generator().manual_seed(0))
    assert (d.strided, d.start.shape[1]) == (1, 2)
    assert not d.soft[2:].any(), "what is redrawn is not blurred as well"
    objective = Generation(Grey(), config)  # type: ignore[arg-type]
    drawn, evidence = _both(objective.redrawn(clips, d))
    torch.testing.assert_close(evidence, clips.evidence[2:])
    torch.testing.assert_close(drawn, torch.zeros_like(clips.latents[2:]))
    objective(clips, d, drawn)
    context = d.context[2:]
    assert context.any()
    assert not shown[-1][2:][context].any()
    true = clips.latents[2:] + d.level[2:, :, None, None, None] * (d.noise[2:] - clips.latents[2:])
    torch.testing.assert_close(shown[-1][2:][~context], true[~context])


def test_what_is_redrawn_by_a_model_that_knows_is_the_truth(small: str, walks: Path) -> None:
    model = checkpoint.load(small).model
    clips = Clips(read(walks), model, ClipConfig(length=5, batch=4)).batch(0, 0)

    class Knows(torch.nn.Module):
        def forward(self, z: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
            return clips.latents[-len(z) :]

    d = draw(clips.latents.shape, GenerationConfig(redrawn=0.75), True, torch.Generator().manual_seed(0))
    drawn, _ = _both(Generation(Knows(), GenerationConfig()).redrawn(clips, d))  # type: ignore[arg-type]
    torch.testing.assert_close(drawn, clips.latents[1:], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ["window", "both"])
def test_evidence_of_redrawn_frames_shows_what_was_drawn(small: str, walks: Path, kind: str) -> None:
    """Frames drawn blue are looked up as blue and made up; true ones before the clip stay true."""
    model = checkpoint.load(small).model
    clips = Clips(read(walks), model, ClipConfig(length=5, batch=4))
    model.autoencoder.decode = lambda z: (
        z.new_tensor([-1.0, -1, 1]).view(1, 3, 1, 1).expand(len(z), 3, 32, 32)
    )  # type: ignore[method-assign]
    sources = [Source(0, e, 6, kind, 16) for e in range(2)]
    evidence = RedrawnEvidence(clips)(sources, clips.batch(0, 0).latents[:2])
    assert evidence.shape[:2] == (2, 5)
    mark, colours = evidence[:, :, 3], evidence[:, :, :3]
    mine = mark == GENERATED
    assert mine[:, 1:].any() and not mine[:, 0].any(), "nothing was drawn before the first"
    blue = torch.tensor([-1.0, -1, 1])
    assert (colours.movedim(2, -1)[mine] - blue).abs().max() < 0.02
    assert (mark == TRUE).any() == (kind == "both")
    true = colours.movedim(2, -1)[mark == TRUE]
    assert kind == "window" or (true - blue).abs().max() > 0.1


def test_each_redraw_is_shown_by_what_the_one_before_has_made(small: str, walks: Path) -> None:
    model = checkpoint.load(small).model
    clips = Clips(read(walks), model, ClipConfig(length=5, batch=4)).batch(0, 0)
    seen, asked = [], []

    class Generates(torch.nn.Module):
        def forward(
            self, z: torch.Tensor, level: Any, control: Any, evidence: torch.Tensor, stride: Any
        ) -> Any:
            seen.append(evidence)
            return z / 2

    def show(sources: Sequence[Source], latents: torch.Tensor) -> torch.Tensor:
        asked.append(sources)
        return torch.full_like(clips.evidence[: len(latents)], float(len(asked)))

    config = GenerationConfig(redrawn=0.5, redraws=2, reshown=0.5)
    objective = Generation(Generates(), config)  # type: ignore[arg-type]
    d = next(
        d
        for seed in range(20)
        if len((d := draw(clips.latents.shape, config, True, torch.Generator().manual_seed(seed))).start) == 2
    )
    _, evidence = _both(objective.redrawn(clips, d, show))
    assert asked == [clips.sources[2:3]] * 2, "one of the two rows, after each redraw"
    assert bool((evidence[0] == 2).all())
    torch.testing.assert_close(evidence[1], clips.evidence[3])
    assert bool((seen[-1][0] == 1).all()), "the second redraw reads what the first has made"


def test_each_redraw_is_of_what_the_one_before_has_made(small: str, walks: Path) -> None:
    model = checkpoint.load(small).model
    clips = Clips(read(walks), model, ClipConfig(length=5, batch=4)).batch(0, 0)

    class Fading(torch.nn.Module):
        def forward(self, z: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
            return z / 2

    config, times = GenerationConfig(redrawn=0.5, redraws=4), set()
    objective = Generation(Fading(), config)  # type: ignore[arg-type]
    for seed in range(20):
        d = draw(clips.latents.shape, config, True, torch.Generator().manual_seed(seed))
        z = clips.latents[2:]
        for start, noise in zip(d.start, d.other, strict=True):
            z = objective.drawn_anew(z, clips.control[2:], clips.evidence[2:], start, noise)
        torch.testing.assert_close(_both(objective.redrawn(clips, d))[0], z)
        times.add(len(d.start))
    assert times == {1, 2, 3, 4}
    none = draw(clips.latents.shape, config, False, torch.Generator())
    assert objective.redrawn(clips, none) is None


def test_a_faded_row_and_its_evidence_are_a_lost_view_before_it_is_redrawn(small: str, walks: Path) -> None:
    model = checkpoint.load(small).model
    clips = Clips(read(walks), model, ClipConfig(length=5, batch=4)).batch(0, 0)

    class Copies(torch.nn.Module):
        def forward(self, z: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
            return z

    shown = []

    def show(sources: Sequence[Source], latents: torch.Tensor) -> torch.Tensor:
        shown.append((sources, latents))
        return torch.zeros_like(clips.evidence[: len(latents)])

    config = GenerationConfig(redrawn=0.75, redraws=1, reshown=0.67, lost_rows=0.34)
    d = draw(clips.latents.shape, config, True, torch.Generator().manual_seed(0))
    assert len(d.blend) == 1 and d.reshown == 2 and LEAST_BLEND <= float(d.blend) <= 1
    d.blend[:] = 1
    lost = torch.randn(3, *clips.latents.shape[2:])
    objective = Generation(Copies(), config, lost)  # type: ignore[arg-type]
    objective.redrawn(clips, d, show)
    (sources, latents), (_, redrawn) = shown
    assert sources == clips.sources[1:2] and len(redrawn) == 2
    torch.testing.assert_close(latents, lost[int(d.which * 3)].expand_as(latents))
    nothing = clips.evidence[2:3]  # which this model does not look at
    true = objective.drawn_anew(
        clips.latents[2:3], clips.control[2:3], nothing, d.start[0, 1:2], d.other[0, 1:2]
    )
    torch.testing.assert_close(redrawn[1:], true, msg="the other row is redrawn from the truth")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["generation.lost_rows=0.5"], "expected both lost_rows and lost"),
        (["generation.lost_rows=0.5", "generation.lost=FILE"], "expected at most reshown=0.0"),
        (
            ["generation.reshown=0.5", "generation.lost_rows=0.5", "generation.lost=nowhere.npy"],
            "generation.lost=nowhere.npy",
        ),
        (
            ["generation.reshown=0.5", "generation.lost_rows=0.5", "generation.lost=FILE"],
            "expected latents of",
        ),
    ],
)
def test_views_to_fade_to_that_are_none_are_refused(
    small: str, walks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    np.save(tmp_path / "lost.npy", np.zeros((3, 1, 2, 2), np.float32))
    words = [word.replace("FILE", str(tmp_path / "lost.npy")) for word in words]
    arguments = [f"checkpoint={small}", f"walks={walks}", f"out={tmp_path / 'run'}", "steps=1", *words]
    assert train_generator.main(arguments) != 0
    assert said in capsys.readouterr().err


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
