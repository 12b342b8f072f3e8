"""A generator sees the past alone; drawn frame by frame it computes what it was trained for, plainly and fast."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from worldsim.config import GeneratorConfig
from worldsim.engine.cpu.generator import FastGenerator
from worldsim.engine.generation import Context, PlainSampler, Target, steps_by_novelty
from worldsim.engine.past import DreamPast
from worldsim.models.denoisers.generator import SEEN, Generator
from worldsim.models.denoisers.layers import Cache

GRID, CHANNELS, CONTROL, WINDOW = (4, 4), 6, 5, 3
KINDS = {"transformer": 0, "convolutions around it": 8}


@pytest.fixture(autouse=True)
def inference() -> Iterator[None]:
    torch.manual_seed(0)
    with torch.inference_mode():
        yield


@pytest.fixture(params=KINDS.values(), ids=list(KINDS))
def generator(request: pytest.FixtureRequest) -> Generator:
    config = GeneratorConfig(width=32, depth=3, heads=2, window=WINDOW, stem=request.param, stem_blocks=1)
    with torch.inference_mode(False):
        made = Generator(config, CHANNELS, GRID, CONTROL)
        with torch.no_grad():
            for parameter in made.parameters():  # no layer is left at its zeros
                parameter.add_(0.2 * torch.randn_like(parameter))
    return made.eval()


def _clip(frames: int, batch: int = 1) -> tuple[torch.Tensor, ...]:
    return (
        torch.randn(batch, frames, CHANNELS, *GRID),
        torch.rand(batch, frames),
        torch.randn(batch, frames, CONTROL),
        torch.randn(batch, frames, SEEN, 8 * GRID[0], 8 * GRID[1]),
    )


def test_a_frame_sees_itself_and_the_window_before_it(generator: Generator) -> None:
    clip = _clip(7)
    before = generator(*clip)
    for changed in range(7):
        z = clip[0].clone()
        z[:, changed] += 1
        moved = (generator(z, *clip[1:]) - before).abs().amax((0, 2, 3, 4))
        seen_by = {i for i in range(7) if moved[i] > 1e-6}
        # Through the layers what a frame sees reaches further back than one window.
        assert min(seen_by) == changed
        assert set(range(changed, min(7, changed + WINDOW + 1))) <= seen_by


def test_every_input_matters_to_its_frame(generator: Generator) -> None:
    clip = _clip(2)
    before = generator(*clip)
    for k, value in enumerate(clip):
        other = [x.clone() for x in clip]
        other[k] = value * 0.5
        assert (generator(*other) - before).abs().max() > 1e-4
    assert (generator(*clip, stride=torch.full((1, 2), 0.5)) - before).abs().max() > 1e-4


def test_frames_one_by_one_over_a_cache_are_those_of_a_clip(generator: Generator) -> None:
    z, level, control, seen = _clip(WINDOW)
    whole = generator(z, level, control, seen)
    cache = Cache()
    for i in range(WINDOW):
        one = slice(i, i + 1)
        out = generator.extend(z[:, one], level[:, one], control[:, one], seen[:, one], cache, i, commit=1)
        torch.testing.assert_close(out[:, 0], whole[:, i], atol=1e-4, rtol=1e-4)
    assert cache.keys[0].shape[2] == WINDOW * generator.tokens


def test_a_clip_may_begin_at_any_frame(generator: Generator) -> None:
    z, level, control, seen = _clip(3)
    first = generator.extend(z, level, control, seen, Cache(), 0)
    later = generator.extend(z, level, control, seen, Cache(), 9_000)
    torch.testing.assert_close(first, later, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("dreams", [1, 2])
def test_the_fast_twin_draws_what_the_plain_one_draws(generator: Generator, dreams: int) -> None:
    plain, fast = PlainSampler(generator), FastGenerator(generator)
    pasts: list[tuple[DreamPast, DreamPast]] = []
    for _ in range(dreams):
        latents, controls = torch.randn(5, CHANNELS, *GRID), torch.randn(5, CONTROL)
        a, b = (DreamPast(100, latents=list(latents)) for _ in range(2))
        generator.commit(latents[None], controls[None], a.cache, 0)
        b.ring = fast.commit(latents, controls, 0), 0
        pasts.append((a, b))
    for frame in range(6, 14):
        latents, _, control, seen = _clip(2, dreams)
        levels = torch.linspace(1, 0, 1 + frame % 3 + 1)
        newest = Context(latents[:, 0], torch.full((dreams,), 0.1), control[:, 0], seen[:, 0])
        target = Target(frame, control[:, 1], seen[:, 1], 0.5 * (frame % 2))
        noise = torch.randn(dreams, CHANNELS, *GRID)
        for a, b in pasts:
            a.pending = b.pending = True
        drawn = [
            sampler.sample([pair[i] for pair in pasts], newest, noise, target, levels)
            for i, sampler in enumerate((plain, fast))
        ]
        torch.testing.assert_close(drawn[1], drawn[0], atol=2e-4, rtol=2e-3)
        assert not any(past.pending for pair in pasts for past in pair)


def test_what_is_new_takes_more_steps() -> None:
    seen = np.ones((SEEN, 10, 10), np.float32)
    assert steps_by_novelty(seen, 2) == 2
    seen[3, 0, :] = 0
    assert steps_by_novelty(seen, 2) == 4
    seen[3, :5] = 0
    assert steps_by_novelty(seen, 2) == 8
