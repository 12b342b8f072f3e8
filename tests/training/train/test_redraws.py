"""What a generator is asked of few steps, and over frames that it has drawn itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from training.data.evidence_clips import ClipConfig, Clips, Source
from training.data.redrawn_evidence import RedrawnEvidence
from training.data.walks import read
from training.objectives.generation import LEAST_BLEND, STRIDES, Generation, GenerationConfig, draw
from training.train import generator as train_generator
from worldsim import checkpoint
from worldsim.engine.evidence import GENERATED, TRUE


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
