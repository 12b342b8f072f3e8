"""True frames find back to where they were seen from by what earlier ones show of them, pixel by pixel."""

from __future__ import annotations

import math

import gymnasium
import numpy as np
import pytest
import torch
from scipy.optimize import approx_fprime  # type: ignore[import-untyped]

import envs  # noqa: F401  (registers the worlds)
from training.evaluation.lockstep import Walk
from worldsim import checkpoint
from worldsim.checkpoint import LoadedModel
from worldsim.engine.kernels.layers import viewpoint_distance
from worldsim.engine.kernels.photometric import MOVES, disagreement
from worldsim.engine.kernels.poses import rotation, viewpoint
from worldsim.engine.localisation.visual_odometry import NEAR, OLDER, _steady, refine_poses
from worldsim.engine.past import DreamPast
from worldsim.models.geometry import cell_rays
from worldsim.models.memory.rays.warp import BEHIND

FOV, SIDE = 70.0, 24


@pytest.fixture(scope="module", params=["blocks", "labmaze"])
def shipped(request: pytest.FixtureRequest) -> LoadedModel:
    return checkpoint.load(request.param)


def _walk(world: str, steps: int) -> tuple[np.ndarray, np.ndarray]:
    env = gymnasium.make(f"worldsim/{world}-v0", size=64)
    walk = Walk.played(env, "needle", 990001, steps, policy_seed=1)
    env.close()
    return walk.frames, np.array(walk.poses)


def _look(pose: np.ndarray, equations: bool = False) -> tuple[float, np.ndarray, np.ndarray]:
    """A smooth picture compared with two more of a wall that is a plane, from a pose."""
    rows, columns = np.mgrid[:SIDE, :SIDE] / SIDE
    rng = np.random.default_rng(0)

    def picture() -> np.ndarray:
        a, b, c = rng.normal(size=3)
        waves = [np.sin(4 * columns + a) + np.cos(3 * rows + b) + c * rows * columns for _ in range(3)]
        return np.ascontiguousarray(np.stack(waves, -1) * 20 + 128, np.float32)

    mine, others = picture(), np.stack([picture(), picture()])
    theirs = np.array([[0.1, 0.0, -0.1, 3.0, 2.0], [-0.1, 0.05, 0.0, -4.0, -1.0]])
    curve, slope = np.empty((MOVES, MOVES)), np.empty(MOVES)
    error, share = disagreement(
        mine,
        np.full((SIDE, SIDE), 3.0, np.float32),
        cell_rays(SIDE, SIDE, FOV).numpy(),
        np.array(rotation(pose.tolist()), np.float32),
        pose[:3].astype(np.float32),
        others,
        np.array([rotation(p) for p in theirs.tolist()], np.float32),
        theirs[:, :3].astype(np.float32),
        math.tan(math.radians(FOV) / 2),
        BEHIND,
        1e9,  # every difference counts whole
        curve,
        slope,
    )
    count = share * len(others) * SIDE * SIDE
    return error * 3 * count, curve, slope


def test_the_slope_is_the_slope_of_the_squared_differences() -> None:
    pose = np.array([0.02, -0.03, 0.04, 1.0, 0.5])

    def half_the_sum(moves: np.ndarray) -> float:
        at = pose.copy()
        at[:MOVES] += moves
        return _look(at)[0] / 2

    expected = approx_fprime(np.zeros(MOVES), half_the_sum, 2e-3)
    _, curve, slope = _look(pose)
    np.testing.assert_allclose(slope, expected, rtol=0.08, atol=0.02 * np.abs(expected).max())
    np.testing.assert_allclose(curve, curve.T)
    assert (np.linalg.eigvalsh(curve) > 0).all()


def test_corrections_grow_evenly_and_only_as_far_as_they_are_known() -> None:
    off, drift = np.zeros((16, MOVES)), np.ones(MOVES)
    off[:, 0] = 0.1 + 0.2 * (np.arange(16) + 1) / 16
    firm = np.repeat(1e6 * np.eye(MOVES)[None], 16, 0)
    np.testing.assert_allclose(_steady(off, firm, drift), off, atol=1e-4)
    assert not _steady(off, 0 * firm, drift).any()
    once = firm.copy()
    once[:-1] = 0  # the last one alone was seen
    found = _steady(off, once, drift)
    assert found[-1, 0] == pytest.approx(0.3, abs=1e-3)
    assert np.allclose(np.diff(found[:, 0], 2), 0)
    assert not found[:, 1:].any()


def test_drift_is_taken_back_where_a_place_comes_back(shipped: LoadedModel) -> None:
    """The first frames at true poses, the later ones drifted: afterwards those that return lie nearer to the truth."""
    model, n = shipped.model, 150
    assert model.config.pixels
    frames, poses = _walk("Blocks" if model.config.action_dim == 20 else "LabMaze", n - 1)
    stands = [viewpoint(pose, model.scale) for pose in poses.tolist()]
    rng, before, after = np.random.default_rng(0), [], []
    for first in range(OLDER + 16, n - 8, 8):
        last = first + 7
        if min(viewpoint_distance(old, stands[last]) for old in stands[: last - OLDER]) > 0.75 * NEAR:
            continue  # nobody was here before
        drifted = torch.tensor(poses[: first + 8], dtype=torch.float32)
        off = torch.tensor(rng.normal(size=3) * [0.03, 0.003, 0.03], dtype=torch.float32) * model.scale
        drifted[first:, :3] += off * torch.linspace(0.125, 1, 8)[:, None]
        with torch.inference_mode():
            past = DreamPast(
                keep=n,
                latents=list(shipped.encode(frames[: first + 8])),
                poses=list(drifted),
                count=first + 8,
            )
            past.pictures, past.depths = list(frames[: first + 8]), [None] * (first + 8)
            refine_poses(model, past, first, n, model.pixels.depth)
        found = torch.stack(past.poses).numpy()
        assert np.array_equal(found[:first], drifted[:first].numpy())
        assert np.allclose(found[:, 4], poses[: first + 8, 4], atol=1e-4)
        before.append(np.linalg.norm(drifted[-1, :3].numpy() - poses[last, :3]))
        after.append(np.linalg.norm(found[-1, :3] - poses[last, :3]))
    assert len(after) > 3
    assert np.median(after) < 0.6 * np.median(before), (before, after)


def test_a_forgetful_dream_cannot_find_back(shipped: LoadedModel) -> None:
    model, first, n = shipped.model, 100, 108
    frames, poses = _walk("Blocks" if model.config.action_dim == 20 else "LabMaze", n - 1)
    drifted = torch.tensor(poses, dtype=torch.float32) + torch.tensor([0.02, 0.0, 0.02, 0.0, 0.0])
    with torch.inference_mode():
        past = DreamPast(keep=n, latents=list(shipped.encode(frames)), poses=list(drifted), count=n)
        past.pictures, past.depths = list(frames), [None] * n
        refine_poses(model, past, first, model.config.denoiser.window, model.pixels.depth)
    assert torch.allclose(torch.stack(past.poses), drifted, atol=1e-5)


def test_what_is_known_of_nothing_corrects_nothing() -> None:
    loaded = checkpoint.load("labmaze")
    model = loaded.model
    frames, poses = _walk("LabMaze", 40)
    past = DreamPast(keep=41, latents=list(loaded.encode(frames)), count=41)
    # far apart
    past.poses = list(torch.tensor(poses, dtype=torch.float32) * torch.tensor([50.0, 1, 50, 1, 1]))
    past.pictures, past.depths = list(frames), [None] * 41
    with torch.inference_mode():
        refine_poses(model, past, 25, 112, model.pixels.depth)
    for found, pose in zip(past.poses, poses, strict=True):
        assert torch.allclose(
            found, torch.tensor(pose, dtype=torch.float32) * torch.tensor([50.0, 1, 50, 1, 1]), atol=1e-3
        )
