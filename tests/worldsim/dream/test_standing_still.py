"""Whoever stands still neither creeps away nor forgets what is true for copies of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.helpers.small_model import SIZE, SPEC, WINDOW
from worldsim.actions import space_from_spec
from worldsim.checkpoint import LoadedModel
from worldsim.config import DreamConfig
from worldsim.dream.world import DreamEnv
from worldsim.models.odometry import CREEPING, IDLING, RESTING, STARTING, TURNING, apply_deadband

SETTLED = DreamConfig().settled

pytestmark = pytest.mark.usefixtures("inference")


def _motion(step: float, turn: float = 0.0) -> torch.Tensor:
    return torch.tensor([[0.0, 0.0, step, turn, 0.0]])


def _kept(step: float, last: float, same: bool) -> float:
    return float(apply_deadband(_motion(step), _motion(last), torch.tensor([same]), exact=False)[0, 2])


def test_rest_ends_with_a_motion_that_bodies_begin_with() -> None:
    assert _kept(0.9 * IDLING, 0.0, same=True) == 0
    assert _kept(1.1 * IDLING, 0.0, same=True) > 0
    assert _kept(0.9 * STARTING, 0.0, same=False) == 0
    assert _kept(1.1 * STARTING, 0.0, same=False) > 0


def test_a_fall_begins_whatever_the_keys() -> None:
    """Blocks' gravity moves a body 0.078 blocks in its first tick; a unit of its scene is 4 blocks."""
    assert _kept(0.078 / 4, 0.0, same=True) > 0


def test_what_slows_down_goes_on_until_it_stands_and_what_creeps_stands() -> None:
    last = CREEPING
    while last > RESTING:
        step = 0.546 * last  # Blocks' friction
        assert (_kept(step, last, same=True) > 0) == (step >= RESTING)
        last = step
    assert _kept(0.9 * CREEPING, 0.95 * CREEPING, same=True) == 0
    assert _kept(0.9 * CREEPING, 0.95 * CREEPING, same=False) > 0
    assert _kept(10 * CREEPING, 10 * CREEPING, same=True) > 0


def test_a_camera_that_is_hardly_turned_is_not_turned_unless_turns_are_exact() -> None:
    last, same = _motion(1.0), torch.tensor([True])
    assert apply_deadband(_motion(1.0, 0.9 * TURNING), last, same, exact=False)[0, 3] == 0
    assert apply_deadband(_motion(1.0, -1.1 * TURNING), last, same, exact=False)[0, 3] < 0
    assert apply_deadband(_motion(1.0, 0.1 * TURNING), last, same, exact=True)[0, 3] > 0


def _begun(with_pixels: LoadedModel, n: int, engine: str, **dials: object) -> DreamEnv:
    dream = DreamEnv(with_pixels, engine=engine, **dials)  # type: ignore[arg-type]
    space = space_from_spec(SPEC)
    space.seed(0)
    frames = np.random.default_rng(0).integers(0, 256, (n, SIZE, SIZE, 3), np.uint8)
    dream.reset(seed=1, options={"frames": frames, "actions": [space.sample() for _ in range(n - 1)]})
    dream.action_space.seed(1)
    return dream


def _stand(dream: DreamEnv, steps: int) -> None:
    for _ in range(steps):
        dream.set_true_pose(np.array([1.0, 0.5, 2.0, 30.0, 5.0]))
        dream.step(dream.action_space.sample())


@pytest.mark.parametrize("engine", ["fast", "plain"])
def test_true_frames_stay_however_long_one_stands(with_pixels: LoadedModel, engine: str) -> None:
    dream = _begun(with_pixels, 6, engine, pose_from="true")
    true = [latent.clone() for latent in dream.latents]
    _stand(dream, 60)
    past = dream.past
    assert past.count == 66 and past.indices == [
        *range(7),
        *range(67 - SETTLED, 66),
    ]  # 6 is where it came to stand
    assert all(torch.equal(a, b) for a, b in zip(dream.latents[:6], true, strict=True))
    assert dream.n_generated == SETTLED
    if engine == "fast":
        assert [view.index for view in past.kept.frames] == past.indices
    for kept in (past.pictures, past.depths, past.kept.frames, past.actions, past.poses):
        assert len(kept) == len(past)


def test_both_engines_forget_the_same_and_dream_the_same(with_pixels: LoadedModel) -> None:
    dreams = [_begun(with_pixels, 6, engine, pose_from="true") for engine in ("fast", "plain")]
    for i in range(50):
        action = dreams[0].action_space.sample()
        for dream in dreams:
            # Nearly where it stood, but never twice in the very same place: which of equals is read is open.
            near = 0.2 * (i // 10) + 0.002 * (i % 10)
            dream.set_true_pose(np.array([near, 0.001 * i, 0.0, 30.0 * (i % 10 == 0) + 0.007 * i, 0.0]))
            dream.step(action)
        torch.testing.assert_close(dreams[0].latents[-1], dreams[1].latents[-1], atol=1e-2, rtol=1e-2)
    assert dreams[0].past.indices == dreams[1].past.indices
    assert len(dreams[0].past) < 50


def test_both_engines_read_true_views_before_nearer_ones_of_their_own(with_pixels: LoadedModel) -> None:
    """Of a dream that walks away from what it was shown, by how much farther its own views count."""
    read: dict[float, list[list[int]]] = {}
    for penalty in (0.0, 100.0):
        with_pixels.model.config.dream.generated_penalty = penalty
        read[penalty] = []
        for engine in ("fast", "plain"):
            dream = _begun(with_pixels, 6, engine, pose_from="true")
            for i in range(12):
                dream.set_true_pose(np.array([1.0 + i, 0, 0, 0, 0]))
                dream.step(dream.action_space.sample())
            at = torch.tensor([[13.0, 0, 0, 0, 0]])
            past, backend = dream.past, dream.predictor.engine.backend
            memory = backend.compress(past, slice(0, 2), 2)
            read[penalty].append(backend.select([past], [memory], [len(past)], at).indices[0])
    with_pixels.model.config.dream.generated_penalty = 0.0
    assert read[0.0][0] == read[0.0][1] and min(read[0.0][0]) >= 6
    assert read[100.0][0] == read[100.0][1] and max(read[100.0][0]) < 6


def test_whoever_moves_keeps_every_frame(with_pixels: LoadedModel) -> None:
    dream = _begun(with_pixels, 6, "fast", pose_from="true")
    for i in range(60):
        dream.set_true_pose(np.array([0.1 * i, 0, 0, 0, 0]))
        dream.step(dream.action_space.sample())
    past = dream.past
    assert past.indices == list(range(past.count - len(past), past.count))


def test_a_correction_of_more_than_was_kept_puts_every_true_frame_in_its_place(
    with_pixels: LoadedModel,
) -> None:
    dream = _begun(with_pixels, 6, "fast", pose_from="true")
    _stand(dream, 40)
    assert len(dream.latents) < 40
    kept = list(dream.past.indices)
    true = np.random.default_rng(1).integers(0, 256, (40, SIZE, SIZE, 3), np.uint8)
    dream.correct(true, np.zeros((40, 5), np.float32))
    past = dream.past
    assert past.indices == kept and dream.n_generated == 0
    for index, picture in zip(past.indices[6:], past.pictures[6:], strict=True):
        assert np.array_equal(picture, true[index - 6])
    assert dream.step(dream.action_space.sample())[0].shape == (SIZE, SIZE, 3)


def test_true_frames_are_kept_though_nobody_moves(with_pixels: LoadedModel) -> None:
    """What the paper's history counts is the last frames, whatever they show."""
    dream = _begun(with_pixels, 12, "fast", pose_from="true")
    for _ in range(5):
        _stand(dream, 8)
        dream.correct(np.zeros((8, SIZE, SIZE, 3), np.uint8), np.ones((8, 5), np.float32))
    past = dream.past
    assert past.indices == list(range(past.count - len(past), past.count)) and len(past) > WINDOW
