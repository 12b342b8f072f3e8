"""A generator sees the past alone; drawn frame by frame it computes what it was trained for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from worldsim.config import GeneratorConfig
from worldsim.engine.generation import steps_by_novelty
from worldsim.models.denoisers.generator import EVIDENCE_CHANNELS, Generator
from worldsim.models.denoisers.layers import Cache

GRID, CHANNELS, CONTROL, WINDOW = (4, 4), 6, 5, 3
KINDS = {"transformer": 0, "convolutions around it": 8}


pytestmark = pytest.mark.usefixtures("inference")


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
        torch.randn(batch, frames, EVIDENCE_CHANNELS, 8 * GRID[0], 8 * GRID[1]),
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


def test_what_is_new_takes_more_steps() -> None:
    seen = np.ones((EVIDENCE_CHANNELS, 10, 10), np.float32)
    assert steps_by_novelty(seen, 2) == 2
    seen[3, 0, :] = 0
    assert steps_by_novelty(seen, 2) == 4
    seen[3, :5] = 0
    assert steps_by_novelty(seen, 2) == 4


@pytest.mark.filterwarnings("error")
def test_torch_has_nothing_to_warn_of_in_bf16(generator: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)  # what is said once in a process may have been said
    try:
        with torch.autocast("cpu", torch.bfloat16):
            generator(*_clip(2))
    finally:
        torch.set_warn_always(before)
