"""Pictures larger than the model's: what is remembered stays sharp, and the model's own part stays as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.small_model import SIZE, SPEC, small_loaded, small_model
from worldsim.actions import space_from_spec
from worldsim.checkpoint import LoadedModel
from worldsim.dream.world import DreamEnv, DreamError
from worldsim.engine.select import engine_for
from worldsim.frames import larger, smaller
from worldsim.models.memory.rays.pixel_memory import Seen
from worldsim.runtime import DeviceError

pytestmark = pytest.mark.usefixtures("inference")


def _context(n: int, size: int) -> dict[str, object]:
    space = space_from_spec(SPEC)
    space.seed(0)
    frames = np.random.default_rng(0).integers(0, 256, (n, SIZE, SIZE, 3), np.uint8)
    each = size // SIZE
    return {
        "frames": frames.repeat(each, 1).repeat(each, 2),
        "actions": [space.sample() for _ in range(n - 1)],
    }


def test_smaller_is_the_mean_of_squares_and_larger_lies_between() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
    by_hand = np.array([frames[n, 2:4, 4:6].mean((0, 1)) for n in (0, 1)])
    assert np.abs(smaller(frames, 4)[:, 1, 2] - by_hand).max() <= 0.5
    assert smaller(frames, 8) is frames
    x = torch.rand(2, 3, 4, 4)
    y = larger(x, 8)
    assert y.shape == (2, 3, 8, 8) and x.min() <= y.min() and y.max() <= x.max()
    torch.testing.assert_close(torch.nn.functional.avg_pool2d(y, 2).mean(), x.mean(), atol=0.02, rtol=0)


def test_a_view_from_the_same_place_comes_back_pixel_by_pixel() -> None:
    """Where the judge believes it, at any size."""
    memory = small_model(pixels=True).pixels
    memory.logits.weight.zero_()
    memory.logits.bias.fill_(20.0)
    pose, far = torch.tensor([[1.0, 2.0, 3.0, 40.0, -10.0]]), torch.zeros(1, 16, 16)
    for side in (SIZE, 3 * SIZE):
        picture = torch.rand(1, 1, 3, side, side) * 2 - 1
        yes = torch.ones(1, 1, dtype=torch.bool)
        seen = Seen(picture, far[:, None], pose[:, None], torch.ones(1, 1), ~yes, yes)
        shown = memory(torch.zeros(1, 3, side, side), far, pose, seen)
        torch.testing.assert_close(shown, picture[:, 0], atol=2e-3, rtol=0)


def test_enlarged_pictures_are_judged_as_they_were() -> None:
    """Every pixel twice each way: the same cues, so the same mixture."""
    memory = small_model(pixels=True).pixels
    pose, far = torch.tensor([[1.0, 2.0, 3.0, 40.0, -10.0]]), torch.zeros(1, 16, 16)
    picture, drawn = torch.rand(1, 1, 3, SIZE, SIZE), torch.rand(1, 3, SIZE, SIZE)
    yes = torch.ones(1, 1, dtype=torch.bool)
    heard: list[torch.Tensor] = []
    memory.features.register_forward_pre_hook(lambda _, given: heard.append(given[0]))
    for each in (1, 2):
        enlarge = [x.repeat_interleave(each, -1).repeat_interleave(each, -2) for x in (picture, drawn)]
        seen = Seen(enlarge[0], far[:, None], pose[:, None], torch.ones(1, 1), ~yes, yes)
        memory(enlarge[1], far, pose, seen)
    torch.testing.assert_close(heard[0], heard[1], atol=2e-3, rtol=0)


def test_latents_and_poses_are_those_of_the_small_pictures(with_pixels: LoadedModel) -> None:
    """A dream of pictures with every pixel twice each way differs in nothing but what it shows."""
    dreams = [DreamEnv(with_pixels, size=size) for size in (SIZE, 2 * SIZE)]
    for dream in dreams:
        dream.reset(seed=1, options=_context(12, dream.size))
    space = space_from_spec(SPEC)
    space.seed(1)
    for action in [space.sample() for _ in range(5)]:
        small, large = (dream.step(action)[0] for dream in dreams)
        assert small.shape == (SIZE, SIZE, 3) and large.shape == (2 * SIZE, 2 * SIZE, 3)
    assert dreams[1].observation_space.contains(large)
    torch.testing.assert_close(torch.stack(dreams[0].latents), torch.stack(dreams[1].latents))
    torch.testing.assert_close(torch.stack(dreams[0].poses), torch.stack(dreams[1].poses))


@pytest.mark.parametrize("size", [SIZE - 1, SIZE + SIZE // 2, 0])
def test_a_size_that_is_no_multiple_is_refused(with_pixels: LoadedModel, size: int) -> None:
    with pytest.raises(DreamError, match=f"expected {SIZE} or a multiple of it"):
        DreamEnv(with_pixels, size=size)


def test_without_a_memory_of_pixels_there_is_nothing_sharper_to_show(tmp_path: Path) -> None:
    with pytest.raises(DreamError, match=f"expected {SIZE}, which"):
        DreamEnv(small_loaded(tmp_path), size=2 * SIZE)


def test_bf16_changes_what_is_shown_by_a_few_levels_and_latents_not_at_all(with_pixels: LoadedModel) -> None:
    space = space_from_spec(SPEC)
    space.seed(1)
    actions = [space.sample() for _ in range(9)]
    shown, kept = [], []
    for precision in ("fp32", "bf16"):
        dream = DreamEnv(with_pixels, precision=precision)
        dream.reset(seed=1, options=_context(12, SIZE))
        shown.append(np.stack([dream.step(action)[0] for action in actions]).astype(int))
        kept.append(torch.stack(dream.latents))
    apart = np.abs(shown[0] - shown[1])
    assert 0 < apart.mean() < 2.0
    assert torch.equal(kept[0], kept[1])


def test_a_precision_that_does_not_exist_is_refused(with_pixels: LoadedModel) -> None:
    with pytest.raises(DeviceError, match="expected one of auto, fp32, bf16, fp16, found 'fp64'"):
        engine_for(with_pixels, precision="fp64")
