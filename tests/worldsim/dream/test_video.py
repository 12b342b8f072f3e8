"""Any method plays: every preset, frame by frame, from true context, with its dials."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.helpers.small_model import SIZE, SPEC
from tests.helpers.small_video import small_video
from worldsim.actions import space_from_spec
from worldsim.checkpoint import Loaded
from worldsim.config import shipped
from worldsim.diffusion.methods import method
from worldsim.dream.context import DreamError
from worldsim.dream.video import MethodDream
from worldsim.models.video_model import VideoModel

N = 20


@pytest.fixture(scope="module")
def loaded() -> Loaded[VideoModel]:
    return small_video()


def _context(seed: int = 0, n: int = N) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    space = space_from_spec(SPEC)
    space.seed(seed)
    frames = rng.integers(0, 256, (n, SIZE, SIZE, 3), np.uint8)
    return {"frames": frames, "actions": [space.sample() for _ in range(n - 1)]}


def _actions(count: int, seed: int = 5) -> list[Any]:
    space = space_from_spec(SPEC)
    space.seed(seed)
    return [space.sample() for _ in range(count)]


def _quick(name: str) -> Any:
    return replace(method(name, ["initialise.steps=1"] if name != "gamengen" else []), steps=1)


@pytest.mark.parametrize("name", shipped.methods())
def test_every_preset_plays_and_repeats_itself(loaded: Loaded[VideoModel], name: str) -> None:
    """Each frame of 18 steps (more than a window) is a picture; the same seed gives the same ones, another does not."""
    dream = MethodDream(loaded, _quick(name))
    runs = []
    for seed in (1, 1, 2):
        dream.reset(seed=seed, options=_context())
        runs.append(np.stack([dream.step(action)[0] for action in _actions(18)]))
    assert runs[0].shape == (18, SIZE, SIZE, 3) and runs[0].dtype == np.uint8
    assert np.array_equal(runs[0], runs[1]) and not np.array_equal(runs[0], runs[2])


@pytest.mark.parametrize("name", ["gamengen", "fifo", "rolling"])
def test_a_method_of_stride_1_answers_the_present_action(loaded: Loaded[VideoModel], name: str) -> None:
    dream, frames = MethodDream(loaded, _quick(name)), []
    for seed in (5, 6):
        dream.reset(seed=1, options=_context())
        frames.append(dream.step(_actions(1, seed)[0])[0])
    assert not np.array_equal(*frames)


def test_a_block_follows_the_plan_and_holds_the_action_without_one(loaded: Loaded[VideoModel]) -> None:
    """The frames of a block are made at its first action: later keys do not change them, told ones do."""
    dream = MethodDream(loaded, _quick("outpainting"))
    first, *rest = _actions(16)
    held, other = [first] * 16, [first, *_actions(15, 9)]

    def play(actions: list[Any], plan: list[Any]) -> np.ndarray:
        dream.reset(seed=1, options=_context())
        dream.plan(plan)
        return np.stack([dream.step(action)[0] for action in actions])

    assert np.array_equal(play(held, []), play(other, []))
    assert np.array_equal(play(held, []), play(held, held[1:]))
    assert not np.array_equal(play([first, *rest], []), play([first, *rest], rest))


def test_frames_behind_the_history_do_not_reach_the_dream(loaded: Loaded[VideoModel]) -> None:
    context, other = _context(), _context()
    other["frames"] = other["frames"].copy()
    other["frames"][: N - 8] = _context(1)["frames"][: N - 8]

    def play(history: int, given: dict[str, Any]) -> np.ndarray:
        dream = MethodDream(loaded, _quick("soft_compression"))
        dream.history = history
        dream.reset(seed=1, options=given)
        return dream.step(_actions(1)[0])[0]

    assert np.array_equal(play(8, context), play(8, other))
    assert not np.array_equal(play(48, context), play(48, other))


@pytest.mark.parametrize("name", ["fifo", "gamengen", "soft_compression"])
def test_correcting_the_past_equals_having_had_it(loaded: Loaded[VideoModel], name: str) -> None:
    """What was begun of the future is dropped, so that the next frames come from the true past alone."""
    context, actions = _context(), _actions(16)
    true = _context(3, 16)["frames"]
    dream, fresh = MethodDream(loaded, _quick(name)), MethodDream(loaded, _quick(name))
    dream.reset(seed=1, options=context)
    for action in actions:
        dream.step(action)
    dream.correct(true)
    fresh.reset(
        seed=1,
        options={
            "frames": np.concatenate([context["frames"], true]),
            "actions": context["actions"] + actions,
        },
    )
    dream.state.random.set_state(fresh.state.random.get_state())
    last = _actions(1, 8)[0]
    assert np.abs(dream.step(last)[0].astype(int) - fresh.step(last)[0]).max() <= 1


def test_dials_say_what_fits(loaded: Loaded[VideoModel]) -> None:
    dream = MethodDream(loaded, method("soft_compression"))
    assert (dream.history, dream.budget, dream.histories) == (48, 16, (1, 8, 16, 48))
    dream.budget = 8
    dream.reset(options=_context())
    info = dream.step(_actions(1)[0])[4]
    assert (info["memory_frames"], info["memory_latents"]) == (N + 1, 8)
    with pytest.raises(DreamError, match="0 to 48"):
        dream.history = 500
    with pytest.raises(DreamError, match="compresses nothing"):
        MethodDream(loaded, method("last_16")).budget = 8
    with pytest.raises(DreamError, match="no pose"):
        dream.pose_from = "true"
    with pytest.raises(DreamError, match="trained with channel"):
        MethodDream(small_video("channel", "modulated"), method("soft_compression"))
    with pytest.raises(DreamError, match="reset"):
        MethodDream(loaded, method("fifo")).step(_actions(1)[0])
