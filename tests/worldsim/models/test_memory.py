"""Memory: poses compose, the nearest views are chosen, compression keeps a budget, and rays find what they saw."""

import math

import pytest
import torch

from tests.helpers.small_model import small_config, small_model
from worldsim.models.geometry import cell_rays, motion, move, rotation, viewpoint, viewpoint_distance, wrap
from worldsim.models.memory.rays.reader import RayReader
from worldsim.models.memory.rays.selection import relevant_views
from worldsim.models.memory.variants.joint import JointCompressor
from worldsim.models.world_model import Past


def _poses(*shape: int, seed: int = 0) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    p = torch.randn(*shape, 5, generator=g)
    p[..., 3] = wrap(p[..., 3] * 90)
    p[..., 4] = (p[..., 4] * 20).clamp(-80, 80)
    return p


def test_axes_follow_the_convention() -> None:
    level = rotation(torch.tensor([0.0, 0, 0, 0, 0]))
    torch.testing.assert_close(level[:, 2], torch.tensor([0.0, 0, 1]))  # yaw 0 looks to +z
    torch.testing.assert_close(level[:, 0], torch.tensor([-1.0, 0, 0]))  # its right hand is -x
    right = rotation(torch.tensor([0.0, 0, 0, 90, 0]))
    torch.testing.assert_close(right[:, 2], torch.tensor([-1.0, 0, 0]), atol=1e-6, rtol=0)
    down = rotation(torch.tensor([0.0, 0, 0, 0, 90]))
    torch.testing.assert_close(down[:, 2], torch.tensor([0.0, -1, 0]), atol=1e-6, rtol=0)


def test_rotations_are_rotations() -> None:
    r = rotation(_poses(20))
    torch.testing.assert_close(r @ r.mT, torch.eye(3).expand(20, 3, 3), atol=1e-5, rtol=0)


def test_moving_undoes_motion() -> None:
    a, b = _poses(30, seed=1), _poses(30, seed=2)
    back = move(a, motion(a, b, 2.0), 2.0)
    torch.testing.assert_close(back[:, :3], b[:, :3], atol=1e-4, rtol=1e-4)
    assert wrap(back[:, 3] - b[:, 3]).abs().max() < 1e-3
    torch.testing.assert_close(back[:, 4], b[:, 4], atol=1e-3, rtol=1e-4)


def test_rays_span_the_field_of_view() -> None:
    rays = cell_rays(64, 64, 70.0).view(64, 64, 3)
    across = torch.acos((rays[32, 0] * rays[32, -1]).sum())
    assert 68 < math.degrees(float(across)) < 70
    assert rays[0, 0, 1] > 0 > rays[0, 0, 0]  # the first cell is up and to the left


def test_the_nearest_view_is_the_last_chosen_and_none_is_chosen_twice() -> None:
    poses, target = _poses(3, 20), _poses(3, seed=5)
    chosen, valid = relevant_views(poses, torch.ones(3, 20, dtype=torch.bool), target, 8, 1.0)
    nearest = viewpoint_distance(viewpoint(poses, 1.0), viewpoint(target[:, None], 1.0)).argmin(1)
    assert torch.equal(chosen[:, -1], nearest)
    assert all(len(set(row.tolist())) == 8 for row in chosen)
    assert valid.all()


def test_invalid_views_are_chosen_only_when_nothing_else_is_left() -> None:
    poses, target = _poses(1, 6), _poses(1, seed=5)
    mask = torch.tensor([[True, False, True, False, False, False]])
    chosen, valid = relevant_views(poses, mask, target, 4, 1.0)
    assert valid.sum() == 2
    assert set(chosen[valid].tolist()) == {0, 2}
    assert len(set(chosen[0].tolist())) == 4


def test_near_duplicates_give_way_to_other_views() -> None:
    target = torch.zeros(1, 5)
    poses = torch.zeros(1, 4, 5)
    poses[0, :, 3] = torch.tensor([1.0, 1.1, 0.9, 20.0])
    chosen, _ = relevant_views(poses, torch.ones(1, 4, dtype=torch.bool), target, 2, 1.0)
    assert 3 in chosen[0].tolist()


@torch.no_grad()
@pytest.mark.parametrize("budget", [1, 3, 5, 9])
def test_the_compressor_keeps_the_last_of_the_full_computation(budget: int) -> None:
    model = small_model()
    c: JointCompressor = model.compressor
    g = torch.Generator().manual_seed(3)
    frames, actions = torch.randn(2, 5, 16, 16, generator=g), torch.randn(2, 5, 20, generator=g)
    places, valid = torch.randn(2, 5, 8, generator=g), torch.ones(2, 5, dtype=torch.bool)
    everything = c(frames, actions, places, valid, 5)
    kept = c(frames, actions, places, valid, budget)
    assert kept.shape[1] == min(budget, 5)
    torch.testing.assert_close(kept, everything[:, -budget:], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_masked_frame_does_not_reach_the_memory() -> None:
    model = small_model()
    g = torch.Generator().manual_seed(3)
    frames, actions = torch.randn(1, 5, 16, 16, generator=g), torch.randn(1, 5, 20, generator=g)
    places, valid = torch.randn(1, 5, 8, generator=g), torch.tensor([[False, True, True, True, True]])
    before = model.compressor(frames, actions, places, valid, 3)
    frames[:, 0] += 5
    assert torch.equal(before, model.compressor(frames, actions, places, valid, 3))
    valid[:, 0] = True
    assert not torch.allclose(before, model.compressor(frames, actions, places, valid, 3))


@torch.no_grad()
def test_a_ray_finds_the_cell_that_saw_along_it() -> None:
    """A reader whose content says nothing still reads the right cell, because geometry alone points there."""
    torch.manual_seed(0)
    grid, fov = (8, 8), 70.0
    reader = RayReader(4, 16, 2, grid, fov, 1.0)
    reader.bias.weight.zero_()
    reader.log_sharpness.fill_(9.0)
    seen = torch.zeros(1, 1, 5)
    turned = torch.tensor([[0.0, 0, 0, fov / 2, 0]])
    features = torch.randn(1, 1, 64, 16)
    points = reader.points(features, seen)
    captured: list[torch.Tensor] = []
    reader.value.register_forward_hook(lambda m, i, o: captured.append(o))
    reader.found.register_forward_pre_hook(lambda m, i: captured.append(i[0]))
    reader(features, points, seen, torch.ones(1, 1), torch.ones(1, 1, dtype=torch.bool), turned)
    values = reader.quarters(captured[0]).view(256, 2, 32)
    found = captured[1][0, :, : 2 * 37].view(256, 2, 37)[..., :32]
    # Where a part of the new view's cells looks along a ray that the old view had, it reads what lies there.
    world = reader.rays @ rotation(turned[0]).T
    match = world @ (reader.rays @ rotation(seen[0, 0]).T).T  # (256 new, 256 old)
    best, cell = match.max(1)
    sure = best > 0.9998
    assert sure.sum() >= 2
    cosine = torch.cosine_similarity(found[sure].flatten(1), values[cell[sure]].flatten(1))
    assert cosine.min() > 0.7
    assert captured[1][0, :, 36].max() > 0.9  # found
    # nothing behind the old view
    assert captured[1][0, world @ rotation(seen[0, 0])[:, 2] < 0.5, 36].max() < 0.2


@torch.no_grad()
def test_reading_depends_on_relative_poses_only() -> None:
    model = small_model()
    g = torch.Generator().manual_seed(4)
    latents, poses = torch.randn(1, 6, 8, 4, 4, generator=g), _poses(1, 6, seed=7)
    target = _poses(1, 1, seed=8)
    valid, index = torch.ones(1, 6, dtype=torch.bool), torch.arange(6)

    def guess(shift: torch.Tensor, turn: float) -> torch.Tensor:
        origin = torch.zeros(5)
        origin[3] = turn
        spin = rotation(origin) @ rotation(torch.zeros(5)).mT

        def moved(p: torch.Tensor) -> torch.Tensor:
            q = p.clone()
            q[..., :3] = p[..., :3] @ spin.T + shift
            q[..., 3] = wrap(p[..., 3] + turn)
            return q

        past = Past(model.features(latents), torch.zeros(1, 6, 20), moved(poses), index, valid)
        views = model.remember(past, moved(target)[:, 0], 6, 4)
        return model.read(views, moved(target), torch.tensor([6]))[0]

    here = guess(torch.zeros(3), 0.0)
    torch.testing.assert_close(guess(torch.tensor([30.0, -4.0, 12.0]), 75.0), here, atol=1e-3, rtol=1e-3)


def test_a_model_of_any_dial_setting_reads_the_same_number_of_views() -> None:
    config = small_config()
    assert config.memory.reads < min(config.memory.budgets) + config.denoiser.window
