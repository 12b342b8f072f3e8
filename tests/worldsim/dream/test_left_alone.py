"""A second denoiser takes over where a dream has been left to its own past, and not before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.small_model import SIZE, SPEC, small_config, small_model
from worldsim import checkpoint
from worldsim.checkpoint import LoadedModel
from worldsim.dream.world import DreamEnv, DreamError

CONTEXT = 5
ON_ITS_OWN = small_config().handover_after


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    folder = tmp_path_factory.mktemp("alone")
    checkpoint.save(folder, small_model(free_running=True), {"family": "minecraft", "action_spec": SPEC})
    return checkpoint.load(str(folder))


@pytest.fixture(scope="module")
def without(loaded: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """The same weights and no second denoiser."""
    folder, model = tmp_path_factory.mktemp("one"), small_model()
    kept = {k: w for k, w in loaded.model.state_dict().items() if not k.startswith("free_running.")}
    model.load_state_dict(kept)
    checkpoint.save(folder, model, {"family": "minecraft", "action_spec": SPEC})
    return checkpoint.load(str(folder))


def begun(
    loaded: LoadedModel, engine: str, history: int = 20, second: bool = True, after: int | None = None
) -> DreamEnv:
    frames = np.random.default_rng(0).integers(0, 256, (CONTEXT, SIZE, SIZE, 3)).astype(np.uint8)
    dials = {"history": history, "seed": 3, "second": second, "handover_after": after}
    dream = DreamEnv(loaded, engine=engine, **dials)
    dream.reset(seed=3, options={"frames": frames, "actions": np.zeros((CONTEXT - 1, 20), np.float32)})
    dream.action_space.seed(1)
    return dream


def latents(dream: DreamEnv, steps: int) -> list[torch.Tensor]:
    found = []
    for _ in range(steps):
        dream.step(dream.action_space.sample())
        found.append(dream.latents[-1].clone())
    return found


@pytest.mark.parametrize("engine", ["plain", "fast"])
def test_it_takes_over_after_sixteen_frames_and_gives_back_to_a_true_past(
    loaded: LoadedModel, without: LoadedModel, engine: str
) -> None:
    both, one = begun(loaded, engine), begun(without, engine)
    for a, b in zip(latents(both, ON_ITS_OWN), latents(one, ON_ITS_OWN), strict=True):
        assert torch.equal(a, b)
    true = np.random.default_rng(5).integers(0, 256, (ON_ITS_OWN, SIZE, SIZE, 3)).astype(np.uint8)
    both.correct(true)
    one.correct(true)
    for a, b in zip(latents(both, ON_ITS_OWN), latents(one, ON_ITS_OWN), strict=True):
        assert torch.equal(a, b)
    assert (latents(both, 1)[0] - latents(one, 1)[0]).abs().max() > 1e-3


@pytest.mark.parametrize("engine", ["plain", "fast"])
def test_it_may_be_left_out(loaded: LoadedModel, without: LoadedModel, engine: str) -> None:
    both, one = begun(loaded, engine, second=False), begun(without, engine)
    for a, b in zip(latents(both, ON_ITS_OWN + 3), latents(one, ON_ITS_OWN + 3), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("engine", ["plain", "fast"])
def test_it_may_take_over_later_than_the_checkpoint_says(loaded: LoadedModel, engine: str) -> None:
    early, late = begun(loaded, engine), begun(loaded, engine, after=ON_ITS_OWN + 2)
    apart = [
        float((a - b).abs().max())
        for a, b in zip(latents(early, ON_ITS_OWN + 1), latents(late, ON_ITS_OWN + 1), strict=True)
    ]
    assert apart[:-1] == [0.0] * ON_ITS_OWN and apart[-1] > 1e-3
    assert not early.state.fits(late.state)
    with pytest.raises(DreamError, match="at least 1 frame"):
        begun(loaded, engine, after=0)


def test_what_it_makes_is_what_it_would_make_of_that_past(loaded: LoadedModel, without: LoadedModel) -> None:
    """The frame after the change is the one of a model that has only this denoiser, shown the same past."""
    both = begun(loaded, "plain")
    latents(both, ON_ITS_OWN)
    only = begun(without, "plain")
    kept = {k: w.clone() for k, w in without.model.denoiser.state_dict().items()}
    latents(only, ON_ITS_OWN)
    try:
        without.model.denoiser.load_state_dict(loaded.model.free_running.state_dict())
        only.predictor.engine.replay(only.past)
        torch.testing.assert_close(latents(both, 3), latents(only, 3))
    finally:
        without.model.denoiser.load_state_dict(kept)


def test_the_fast_dream_is_the_plain_dream_across_the_change(loaded: LoadedModel) -> None:
    pairs = [[begun(loaded, engine, history) for history in (20, 4)] for engine in ("plain", "fast")]
    for dream in (dream for pair in pairs for dream in pair):
        dream.action_space.seed(1)
    for _ in range(ON_ITS_OWN + 4):
        action = pairs[0][0].action_space.sample()
        for pair in pairs:
            DreamEnv.together(pair, action)
        for plain, fast in zip(*pairs, strict=True):
            torch.testing.assert_close(plain.latents[-1], fast.latents[-1], atol=1e-3, rtol=1e-3)


def test_two_dreams_of_which_one_is_left_alone_are_no_batch(loaded: LoadedModel) -> None:
    first, second = begun(loaded, "fast"), begun(loaded, "fast")
    latents(first, ON_ITS_OWN), latents(second, ON_ITS_OWN)
    assert first.state.fits(second.state)
    second.correct(np.zeros((2, SIZE, SIZE, 3), np.uint8))
    assert not first.state.fits(second.state)


def test_a_checkpoint_without_one_says_so_and_one_with_it_comes_back_whole(
    loaded: LoadedModel, without: LoadedModel, tmp_path: Path
) -> None:
    assert loaded.description.model.free_running and not without.description.model.free_running
    assert any(k.startswith("free_running.") for k in loaded.model.state_dict())
    assert not any(k.startswith("free_running.") for k in without.model.state_dict())
