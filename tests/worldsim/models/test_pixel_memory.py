"""Remembered pictures are looked up where geometry says, and only mixed in where they were seen."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch

import envs  # noqa: F401
from tests.helpers.small_model import SIZE, SPEC, small_loaded, small_model
from worldsim.actions import space_from_spec
from worldsim.checkpoint import LoadedModel
from worldsim.dream.world import DreamEnv
from worldsim.engine.kernels.warping import blend, taps
from worldsim.engine.past import DreamPast
from worldsim.frames import to_tensor, to_uint8
from worldsim.models.geometry import cell_rays, rotation
from worldsim.models.memory.rays.pixel_memory import PixelMemory, Seen
from worldsim.models.memory.rays.warp import project, sample

R = 3


pytestmark = pytest.mark.usefixtures("inference")


def _seen(n: int = 2) -> Seen:
    poses = torch.randn(n, R, 5) * torch.tensor([0.3, 0.1, 0.3, 15.0, 5.0])
    return Seen(
        torch.rand(n, R, 3, SIZE, SIZE) * 2 - 1,
        torch.randn(n, R, 16, 16),
        poses,
        torch.arange(1.0, R + 1).expand(n, R),
        torch.tensor([True, False, False]).expand(n, R),
        torch.ones(n, R, dtype=torch.bool),
    )


def _memory() -> PixelMemory:
    return small_model(pixels=True).pixels


def test_from_the_same_place_every_pixel_lies_where_it_is() -> None:
    pose, picture = torch.tensor([[1.0, 2.0, 3.0, 40.0, -10.0]]), torch.rand(1, 1, 3, SIZE, SIZE)
    far = torch.rand(1, SIZE, SIZE) * 9 + 0.5
    places, away, inside = project(far, cell_rays(SIZE, SIZE, 70.0), pose, pose[:, None], 70.0)
    assert inside.all()
    torch.testing.assert_close(away[:, 0], far, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(sample(picture, places), picture, rtol=1e-3, atol=1e-3)


def test_a_point_is_found_where_another_camera_sees_it() -> None:
    """One that stands a step to the right sees what lies straight ahead of the first that much further left."""
    size, fov, ahead, step = 64, 90.0, 4.0, 1.0
    pose = torch.zeros(1, 5)
    right = rotation(pose[0])[:, 0]
    other = pose.clone()
    other[0, :3] += step * right
    places, away, _ = project(
        torch.full((1, size, size), ahead), cell_rays(size, size, fov), pose, other[:, None], fov
    )
    middle = places[0, 0, size // 2 - 1 : size // 2 + 1, size // 2 - 1 : size // 2 + 1].mean((0, 1))
    assert middle[0] == pytest.approx(-step / ahead, abs=0.01)  # half a picture is as wide as it is far
    assert middle[1] == pytest.approx(0, abs=0.01)
    assert away[0, 0, size // 2, size // 2] == pytest.approx((ahead**2 + step**2) ** 0.5, abs=0.03)
    behind = pose.clone()
    behind[0, 3] = 180.0
    assert not project(
        torch.full((1, size, size), ahead), cell_rays(size, size, fov), pose, behind[:, None], fov
    )[2].any()


@pytest.mark.parametrize("name", ["worldsim/Blocks-v0", "worldsim/LabMaze-v0"])
def test_pictures_of_the_worlds_agree_where_the_camera_only_turned(name: str) -> None:
    env = gymnasium.make(name, size=64)
    _, info = env.reset(seed=3)
    world, pose = env.unwrapped, np.array(info["pose"])
    turned = pose + np.array([0, 0, 0, 17.0, 6.0])
    first, second = (to_tensor(world.teleport(p)["pov"][None])[0] for p in (pose, turned))  # type: ignore[attr-defined]
    fov = float(world.fov)  # type: ignore[attr-defined]

    def apart(target: np.ndarray) -> float:
        at = torch.tensor(target, dtype=torch.float32)[None]
        from_there = torch.tensor(pose, dtype=torch.float32)[None, None]
        far = torch.full((1, 64, 64), 5.0)  # how far does not matter to a camera that only turns
        places, _, inside = project(far, cell_rays(64, 64, fov), at, from_there, fov)
        error = (sample(first[None, None], places)[0, 0] - second).abs().mean(0)
        return float(error[inside[0, 0]].mean())

    assert apart(turned) < 0.4 * apart(pose)
    env.close()


def test_what_was_not_seen_is_what_was_drawn() -> None:
    memory, seen, drawn = _memory(), _seen(), torch.rand(2, 3, SIZE, SIZE) * 2 - 1
    poses, far = torch.zeros(2, 5), torch.zeros(2, 16, 16)
    seen.valid[:] = False
    torch.testing.assert_close(memory(drawn, far, poses, seen), drawn)
    seen.valid[:] = True
    seen.poses[..., 3] = 180.0  # they look the other way
    torch.testing.assert_close(memory(drawn, far, poses, seen), drawn)


def test_it_shows_no_colour_that_was_neither_drawn_nor_seen() -> None:
    memory, seen, drawn = _memory(), _seen(), torch.full((2, 3, SIZE, SIZE), 0.25)
    memory.logits.bias.fill_(2.0)
    seen.pictures = seen.pictures.abs() * 0.1 + 0.5  # 0.5 to 0.6
    shown = memory(drawn, torch.zeros(2, 16, 16), torch.zeros(2, 5), seen)
    assert shown.min() >= 0.25 - 1e-5 and shown.max() <= 0.6 + 1e-5
    assert (shown > 0.3).float().mean() > 0.3  # and what was seen is there


def test_distances_take_the_pitch_into_account_and_stay_within_reach() -> None:
    net = _memory().depth
    latents = torch.randn(1, 8, 4, 4).expand(2, -1, -1, -1) * 50
    down, up = net(latents, torch.tensor([60.0, -60.0]))
    assert not torch.allclose(down, up)
    assert down.shape == (16, 16) and down.abs().max() <= 4
    planes = net.planes(torch.tensor([60.0, -60.0]))
    assert (planes[0, 0] < 0).all() and (planes[1, 0] > 0).all()  # one looks at the ground, one at the sky


def _context(n: int, size: int = SIZE) -> dict[str, object]:
    rng, space = np.random.default_rng(0), space_from_spec(SPEC)
    space.seed(0)
    smooth = rng.integers(0, 256, (n, 4, 4, 3), np.uint8).repeat(size // 4, 1).repeat(size // 4, 2)
    return {"frames": smooth, "actions": [space.sample() for _ in range(n - 1)]}


@pytest.mark.parametrize("size", [SIZE, 2 * SIZE])
def test_the_fast_engine_shows_what_the_plain_one_shows(with_pixels: LoadedModel, size: int) -> None:
    context = _context(24, size)
    space = space_from_spec(SPEC)
    space.seed(1)
    actions = [space.sample() for _ in range(12)]
    shown = {}
    for engine in ("fast", "plain"):
        dreams = [DreamEnv(with_pixels, engine=engine, size=size, history=h) for h in (None, 4)]
        for dream in dreams:
            dream.reset(seed=1, options=context)
        frames = []
        for i, action in enumerate(actions):
            if i == 6:
                for dream in dreams:
                    dream.correct(context["frames"][:5])  # type: ignore[index]
            frames += [step[0] for step in DreamEnv.together(dreams, action)]
        shown[engine] = np.stack(frames).astype(int)
    apart = np.abs(shown["fast"] - shown["plain"])
    assert (apart > 2).mean() < 0.02  # a pixel on the border of a picture may fall to either side
    assert not np.array_equal(shown["fast"][::2], shown["fast"][1::2])  # what is remembered matters


def test_a_dream_keeps_what_it_showed_and_what_it_was_corrected_to(with_pixels: LoadedModel) -> None:
    context = _context(10)
    dream = DreamEnv(with_pixels)
    dream.reset(options=context)
    frames: np.ndarray = context["frames"]  # type: ignore[assignment]
    assert np.array_equal(dream.pictures, frames) and dream.n_generated == 0
    first = dream.step(dream.action_space.sample())[0]
    second = dream.step(dream.action_space.sample())[0]
    assert np.array_equal(dream.pictures[-2:], [first, second])
    dream.correct(frames[:3])
    assert np.array_equal(dream.pictures[-3:], frames[:3]) and dream.n_generated == 0
    assert len(dream.pictures) == len(dream.latents) == len(dream.poses) == 12
    dream.step(dream.action_space.sample())
    assert dream.n_generated == 1


def test_pixels_come_from_true_frames_and_the_first_ones_dreamt_after_them(with_pixels: LoadedModel) -> None:
    past = DreamPast(keep=20, count=100, true_until=94)  # frames 94 to 99 are dreamt
    assert [i for i in range(90, 100) if past.recallable(i, 2)] == [90, 91, 92, 93, 94, 95]
    assert past.recallable(99, 6) and not past.recallable(94, 0)


@pytest.mark.parametrize("engine", ["fast", "plain"])
def test_what_is_made_up_is_not_recalled(with_pixels: LoadedModel, engine: str) -> None:
    """When nothing true is left of its past, a dream shows what it draws."""
    config, steps = with_pixels.model.config, 12
    keep, longest = config.recall_horizon, max(config.memory.histories)
    try:
        for own, mixed in ((1, False), (10_000, True)):
            config.recall_horizon = own
            dream = DreamEnv(with_pixels, engine=engine)
            dream.reset(seed=2, options=_context(6))
            dream.action_space.seed(2)
            for _ in range(longest + steps):
                dream.step(dream.action_space.sample())
            drawn = to_uint8(with_pixels.model.autoencoder.decode(torch.stack(dream.latents[-steps:])))
            apart = np.abs(np.stack(dream.pictures[-steps:]).astype(int) - drawn).max()
            assert (apart > 1) == mixed
    finally:
        config.recall_horizon = keep


def test_a_dream_without_it_is_what_it_was(with_pixels: LoadedModel, tmp_path: Path) -> None:
    """The weights of everything else do not depend on it, and neither do latents and poses."""
    bare = small_loaded(tmp_path / "bare")
    state = with_pixels.model.state_dict()
    bare.model.load_state_dict({k: v for k, v in state.items() if not k.startswith("pixels.")})
    both = [DreamEnv(bare), DreamEnv(with_pixels)]
    for dream in both:
        dream.reset(seed=3, options=_context(20))
        dream.action_space.seed(3)
        for _ in range(5):
            dream.step(dream.action_space.sample())
    for a, b in zip(both[0].latents, both[1].latents, strict=True):
        assert torch.equal(a, b)
    assert not np.array_equal(both[0].pictures[-5:], both[1].pictures[-5:])


def test_the_kernel_interpolates_as_torch_does() -> None:
    """Cubically, also beyond the border, where the last pixel goes on."""
    high, wide = 6, 9
    picture, at = torch.randint(256, (high, wide, 3), dtype=torch.uint8), 2.8 * torch.rand(101, 2) - 1.4
    expected = torch.nn.functional.grid_sample(
        picture.permute(2, 0, 1)[None].float(),
        at[None, None],
        "bicubic",
        padding_mode="border",
        align_corners=False,
    )
    cubics = []
    for u, side in zip(at.unbind(1), (wide, high), strict=True):
        first, weights = np.empty(101, np.int32), np.empty((4, 101), np.float32)
        taps(((u + 1) / 2 * side - 0.5).numpy(), first, weights)
        cubics.append((first, weights))
    (left, across), (top, down) = cubics
    lines = picture.numpy().reshape(high, 3 * wide)
    found = [blend(lines, top[j], left[j], down, across, j) for j in range(101)]
    torch.testing.assert_close(torch.tensor(found), expected[0, :, 0].t(), atol=1e-2, rtol=1e-4)
