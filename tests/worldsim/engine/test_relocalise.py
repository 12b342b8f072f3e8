"""A frame tells where it was seen from, where memory knows the place; turns are exact where the world's are."""

from __future__ import annotations

import gymnasium
import pytest
import torch
from torch import Tensor

import envs  # noqa: F401  (registers the worlds)
from tests.helpers.small_model import small_model
from training.evaluation.lockstep import Walk
from worldsim import checkpoint
from worldsim.checkpoint import LoadedModel
from worldsim.engine.eager import Eager
from worldsim.engine.localisation.relocalise import Draw, relocalise
from worldsim.engine.past import DreamPast
from worldsim.engine.select import engine_for
from worldsim.models.geometry import wrap

STEPS = 48


@pytest.fixture(scope="module")
def shipped() -> LoadedModel:
    return checkpoint.load("blocks")


@pytest.fixture(scope="module")
def walk(shipped: LoadedModel) -> tuple[Tensor, Tensor]:
    """Latents and true poses of a walk in a world that the model was not trained on."""
    env = gymnasium.make("worldsim/Blocks-v0", size=64)
    walk = Walk.played(env, "needle", 990001, STEPS, policy_seed=1)
    env.close()
    return shipped.encode(walk.frames), torch.tensor(walk.poses, dtype=torch.float32)


def _draw(shipped: LoadedModel, walk: tuple[Tensor, Tensor], index: list[int]) -> Draw:
    """How the model would draw frame STEPS from memory of these frames."""
    latents, poses = walk
    past = DreamPast(STEPS + 1, latents=list(latents[index]), poses=list(poses[index]), indices=index)
    backend = Eager(shipped.model)
    with torch.no_grad():
        past.kept.frames = backend.keep(latents[index], poses[index], index)
    return backend.drawer(past, slice(0, len(index)), STEPS)


@pytest.mark.parametrize("missed", [1.0, -1.0, 0.0])
def test_a_step_missed_is_taken_back_where_memory_knows_the_place(
    shipped: LoadedModel, walk: tuple[Tensor, Tensor], missed: float
) -> None:
    latents, poses = walk
    before, after = [], []
    for i in range(8, STEPS - 8, 4):
        draw = _draw(shipped, walk, [j for j in range(STEPS + 1) if abs(j - i) > 2])
        drifted = poses[i] + torch.tensor([0.2, missed, -0.2, 0.0, 0.0])
        with torch.no_grad():
            found = relocalise(shipped.model, draw, latents[i], drifted)
        before.append((drifted - poses[i])[:3].norm())
        after.append((found - poses[i])[:3].norm())
        assert wrap(found[3] - poses[i, 3]).abs() < 0.5
        assert found[4] == poses[i, 4]
    median = float(torch.stack(after).median())
    assert median < (0.25 if missed else 0.22), (median, float(torch.stack(before).median()))


def test_a_place_unknown_to_memory_leaves_the_pose_as_reckoned(
    shipped: LoadedModel, walk: tuple[Tensor, Tensor]
) -> None:
    latents, poses = walk
    pose = poses[20] + 0.1
    empty, engine = DreamPast(8, latents=list(latents[20:21]), poses=[pose]), engine_for(shipped, "eager")
    assert torch.equal(engine.relocalise(empty, 1, 8), pose)
    elsewhere = _draw(shipped, walk, list(range(10)))
    noise = torch.randn(latents[20].shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(relocalise(shipped.model, elsewhere, noise, pose), pose)


def test_turns_that_follow_from_the_action_are_exact_and_others_are_left_to_the_network() -> None:
    odometry, g = small_model().odometry, torch.Generator().manual_seed(0)
    actions = torch.randn(200, odometry.turns.shape[1] - 1, generator=g)
    actions[:, 3] = 1.0  # an action that never changes
    motions = torch.randn(200, 5, generator=g)
    motions[:, 3], motions[:, 4] = 0.7 * actions[:, 0] + 0.1, -0.3 * actions[:, 1]
    motions[:6, 4] = 0  # stopped by the limit of the pitch
    assert odometry.fit_turns(actions, motions)
    for layer in odometry.correct:
        if isinstance(layer, torch.nn.Linear):
            torch.nn.init.normal_(layer.weight)  # a network that would meddle
    seen = torch.randn(200, odometry.pitch.in_features, generator=g)
    lately, zeros = torch.stack([actions] * 3, 1), torch.zeros(200)
    with torch.no_grad():
        made = odometry.estimate_motion(seen, lately, torch.zeros(200, 3, 5), zeros, zeros)
    torch.testing.assert_close(made[6:, 3:], motions[6:, 3:], atol=1e-4, rtol=1e-4)
    assert made[:, :3].abs().max() > 1
    motions[:, 3] += 0.1 * torch.randn(200, generator=g)
    assert not odometry.fit_turns(actions, motions)
    with torch.no_grad():
        assert (
            odometry.estimate_motion(seen, lately, torch.zeros(200, 3, 5), zeros, zeros) - made
        ).abs().max() > 1
