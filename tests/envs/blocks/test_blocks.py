"""The block world: what its physics, its pictures and its interface promise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import envs  # noqa: F401  (registers the worlds)
from envs import actions
from envs.blocks import physics
from envs.blocks.env import BlocksEnv
from envs.blocks.landmarks import GRID
from envs.blocks.materials import AIR, BEDROCK, BLOCK, SIGNS, SOLID, WATER, WOOLS
from envs.blocks.renderer import draw
from envs.blocks.room import BLOCKED, CUBES, FLAT, OUTSIDE, WET, room_field, set_block, tops_of
from envs.blocks.terrain import SEA, SIZE, generate
from envs.blocks.textures import TEXELS, atlas

STONE = BLOCK["stone"]


@pytest.fixture
def env() -> Iterator[BlocksEnv]:
    world = BlocksEnv()
    world.reset(seed=3)
    yield world
    world.close()


def act(**keys: Any) -> dict[str, Any]:
    """The noop with some keys pressed; ``camera`` as (pitch, yaw)."""
    action = actions.noop("minecraft")
    action.update({k: np.array(v, np.float32) if k == "camera" else v for k, v in keys.items()})
    return action


def floor(height: int = 1) -> np.ndarray:
    grid = np.zeros((40, 16, 40), np.uint8)
    grid[:, :height] = STONE
    return grid


def walk(
    grid: np.ndarray, ticks: int, start: tuple[float, float, float] = (5.5, 1.0, 5.5), **keys: Any
) -> np.ndarray:
    """Bodies (ticks + 1, 7) of a player who holds keys, looking to +z."""
    body = np.array([*start, 0.0, 0.0, 0.0, 1.0])
    out = [body.copy()]
    held = {"yaw": 0.0, "forward": 0.0, "right": 0.0, "jump": False, "sneak": False, "sprint": False, **keys}
    for _ in range(ticks):
        physics.tick(grid, SOLID, WATER, body, *held.values())
        out.append(body.copy())
    return np.array(out)


# The interface


@pytest.mark.parametrize("mode", [None, "rgb_array"])
@pytest.mark.filterwarnings("ignore")
def test_gymnasium_accepts_it(mode: str | None) -> None:
    check_env(gymnasium.make("worldsim/Blocks-v0", size=16, render_mode=mode).unwrapped)


@pytest.mark.parametrize(
    "kwargs",
    [
        *({"size": wrong} for wrong in (0, -64, 2000, 64.0, True, "64")),
        *({"max_steps": wrong} for wrong in (0, 1.5)),
        {"render_mode": "human"},
    ],
)
def test_wrong_arguments_are_refused_by_name(kwargs: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(kwargs))):
        BlocksEnv(**kwargs)


def test_same_seed_and_actions_give_the_same_frames() -> None:
    frames = []
    for _ in range(2):
        env = BlocksEnv()
        env.action_space.seed(5)
        obs, info = env.reset(seed=11)
        run = [obs["pov"]]
        for _ in range(120):
            action = env.action_space.sample()
            action["camera"] = action["camera"] * np.float32(0.1)
            obs, _, _, _, info = env.step(action)
            run.append(obs["pov"])
        frames.append((np.array(run), info["pose"]))
    assert np.array_equal(frames[0][0], frames[1][0]) and np.array_equal(frames[0][1], frames[1][1])


def test_worlds_differ_by_seed_and_reset_without_seed_goes_on() -> None:
    env = BlocksEnv(size=32)
    _, first = env.reset(seed=1)
    grid = env.grid.copy()
    _, second = env.reset()
    assert second["seed"] != first["seed"] and not np.array_equal(grid, env.grid)
    env.reset(seed=second["seed"])
    again = env.grid.copy()
    env.reset(seed=1)
    _, replayed = env.reset()
    assert replayed["seed"] == second["seed"] and np.array_equal(env.grid, again)


def test_an_old_observation_keeps_its_picture(env: BlocksEnv) -> None:
    obs, *_ = env.step(act())
    kept = obs["pov"].copy()
    env.step(act(camera=(0, 90)))
    assert np.array_equal(obs["pov"], kept)


def test_render_shows_the_newest_observation() -> None:
    env = BlocksEnv(size=32, render_mode="rgb_array")
    env.reset(seed=2)
    obs, *_ = env.step(act(forward=1, camera=(5, 20)))
    picture = env.render()
    assert picture is not None and np.array_equal(picture, obs["pov"])


def test_without_smoothing_only_edges_differ() -> None:
    smooth, plain = BlocksEnv(), BlocksEnv(smooth=False)
    different = (smooth.reset(seed=5)[0]["pov"] != plain.reset(seed=5)[0]["pov"]).any(-1).mean()
    assert 0.01 < different < 0.6


def test_max_steps_truncates() -> None:
    env = BlocksEnv(size=16, max_steps=3)
    env.reset(seed=0)
    assert [env.step(act())[3] for _ in range(3)] == [False, False, True]


def test_stepping_before_reset_says_so() -> None:
    with pytest.raises(RuntimeError, match="reset"):
        BlocksEnv().step(act())


# The camera


def test_camera_turns_clockwise_and_positive_pitch_looks_down(env: BlocksEnv) -> None:
    _, info = env.reset(seed=3, options={"pose": (32, 30, 32, 170, 0)})
    *_, info = env.step(act(camera=(30, 30)))
    assert info["pose"][3] == pytest.approx(-160) and info["pose"][4] == pytest.approx(30)
    *_, info = env.step(act(camera=(100, 0)))
    assert info["pose"][4] == 90


def test_forward_follows_the_yaw() -> None:
    for yaw, way in ((0, (0, 1)), (90, (-1, 0)), (180, (0, -1)), (-90, (1, 0))):
        moved = walk(floor(), 20, (20.0, 1.0, 20.0), yaw=float(yaw), forward=1.0)[-1, [0, 2]] - 20
        assert np.allclose(moved / np.linalg.norm(moved), way, atol=1e-6)
    right = walk(floor(), 20, (20.0, 1.0, 20.0), right=1.0)[-1, [0, 2]] - 20
    assert right[0] < -1 and abs(right[1]) < 1e-9  # looking to +z, right is -x


def test_teleport_puts_the_eye_there_and_repeats_the_picture(env: BlocksEnv) -> None:
    pose = (20.25, 24.5, 30.75, -100.0, 15.0)
    one = env.teleport(pose)["pov"]
    env.step(act(forward=1))
    assert np.array_equal(env.teleport(pose)["pov"], one)
    assert np.allclose(env.player.pose, pose)
    obs, info = env.reset(seed=3, options={"pose": pose})
    assert np.array_equal(obs["pov"], one) and np.allclose(info["pose"], pose)


@pytest.mark.parametrize("pose", [(1, 2, 3), (1, 2, 3, 4, np.nan), (-1, 10, 10, 0, 0), (10, 10, 64, 0, 0)])
def test_teleport_refuses_what_is_no_place(env: BlocksEnv, pose: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="expected a"):
        env.teleport(pose)


def test_the_picture_is_the_pinhole_image_of_the_pose() -> None:
    """A lone red block stands where projecting its middle says."""
    grid = np.zeros(SIZE, np.uint8)
    grid[30, 16, 40] = BLOCK["red_wool"]
    eye, yaw, pitch = np.array([33.5, 18.0, 30.5]), 20.0, 10.0
    tint = np.ones((SIZE[0], SIZE[2], 3), np.float32)
    picture = draw(grid, room_field(grid), tops_of(grid), tint, np.array([*eye, yaw, pitch]), 128).astype(int)
    rows, cols = np.nonzero(picture[..., 0] - picture[..., 2] > 40)
    y, p = np.radians([yaw, pitch])
    forward = np.array([-np.sin(y) * np.cos(p), -np.sin(p), np.cos(y) * np.cos(p)])
    right = np.array([-np.cos(y), 0, -np.sin(y)])
    up = np.cross(right, forward)
    ray = np.array([30.5, 16.5, 40.5]) - eye
    scale = 64 / np.tan(np.radians(BlocksEnv.fov / 2)) / (ray @ forward)
    assert abs(cols.mean() - (63.5 + scale * (ray @ right))) < 2
    assert abs(rows.mean() - (63.5 - scale * (ray @ up))) < 2


# The player's body


@pytest.mark.parametrize(
    ("keys", "speed"), [({}, 4.317), ({"sprint": True}, 5.612), ({"sneak": True}, 1.295)]
)
def test_speeds_are_those_of_minecraft(keys: dict[str, Any], speed: float) -> None:
    bodies = walk(floor(), 80, forward=1.0, **keys)
    assert (bodies[80, 2] - bodies[60, 2]) == pytest.approx(speed, abs=0.005)


def test_a_jump_clears_one_block_and_not_two() -> None:
    assert walk(floor(), 12, jump=True)[:, 1].max() - 1 == pytest.approx(1.2522, abs=1e-3)
    grid = floor()
    grid[:, 1, 9] = STONE
    assert walk(grid, 60, forward=1.0)[-1, 2] == pytest.approx(8.7)  # a step of one block stops a walk
    assert walk(grid, 60, forward=1.0, jump=True)[-1, 2] > 12
    grid[:, 2, 9] = STONE
    assert walk(grid, 60, forward=1.0, jump=True)[-1, 2] == pytest.approx(8.7)


def test_a_low_ceiling_stops_the_head() -> None:
    grid = floor()
    grid[:, 3] = STONE
    assert walk(grid, 10, jump=True)[:, 1].max() == pytest.approx(1.2)


def test_walls_are_slid_along() -> None:
    grid = floor()
    grid[:, 1:4, 9] = STONE
    last = walk(grid, 60, forward=1.0, right=1.0, start=(20.5, 1.0, 8.0))[-1]
    assert last[2] == pytest.approx(8.7) and last[0] < 18


def test_sneaking_holds_at_an_edge_and_walking_falls() -> None:
    grid = floor()
    grid[:, 1, :10] = STONE
    assert walk(grid, 200, (5.5, 2.0, 5.5), forward=1.0, sneak=True)[-1, 1] == 2.0
    assert walk(grid, 100, (5.5, 2.0, 5.5), forward=1.0)[-1, 1] == 1.0


def test_the_border_cannot_be_left() -> None:
    x, y, z = walk(floor(), 400, forward=1.0, right=1.0, sprint=True, jump=True)[-1, :3]
    assert x == pytest.approx(0.3) and z == pytest.approx(39.7) and 1 <= y < 3


def test_water_slows_carries_and_lets_out_at_the_bank() -> None:
    grid = floor()
    grid[:, 1:6] = WATER
    grid[:, 1:6, 20:] = STONE
    slow = walk(grid, 60, (5.5, 1.0, 5.5), forward=1.0)
    assert slow[60, 2] - slow[40, 2] < 2.5
    sinking = walk(grid, 60, (5.5, 4.0, 5.5))
    assert 1.0 <= sinking[20, 1] < 4.0
    swimming = walk(grid, 100, (5.5, 1.0, 5.5), jump=True)
    assert swimming[60:, 1].min() > 5.0 and swimming[60:, 1].max() < 6.5
    assert walk(grid, 200, (5.5, 3.0, 15.5), forward=1.0, jump=True)[-1, 2] > 25


def test_a_body_never_ends_inside_a_block() -> None:
    for seed in range(3):
        env = BlocksEnv(size=8)
        env.reset(seed=seed)
        env.action_space.seed(seed)
        for _ in range(300):
            action = env.action_space.sample()
            action["forward"], action["camera"] = 1, action["camera"] * np.float32(0.2)
            env.step(action)
            assert physics.free(env.grid, SOLID, *env.player.body[:3])


# Blocks


def test_attack_breaks_and_use_puts_back(env: BlocksEnv) -> None:
    env.step(act(camera=(90, 0)))
    x, y, z = (int(v) for v in env.player._aim()[:3])
    broken = int(env.grid[x, y, z])
    env.step(act(attack=1))
    assert env.grid[x, y, z] == AIR
    env.grid[x, y, z] = broken
    env.teleport((x + 0.5, y + 3 + physics.EYE, z + 0.5, 0, 90))
    env.step(act(use=1))
    assert env.grid[x, y + 1, z] == broken


def test_use_never_builds_into_the_player(env: BlocksEnv) -> None:
    before = env.grid.copy()
    env.step(act(camera=(90, 0), use=1))
    assert np.array_equal(env.grid, before)


def test_bedrock_does_not_break(env: BlocksEnv) -> None:
    env.grid[20, 1:, 20] = AIR
    env.teleport((20.5, 1 + physics.EYE, 20.5, 0, 90))
    env.step(act(attack=1))
    assert env.grid[20, 0, 20] == BEDROCK


def test_holding_attack_breaks_at_a_fixed_pace(env: BlocksEnv) -> None:
    env.teleport((*env.player.pose[:3], 0, 90))
    full = int((env.grid != AIR).sum())
    for _ in range(5):
        env.step(act(attack=1))
    assert full - int((env.grid != AIR).sum()) == 2


def test_pictures_follow_edits_as_if_the_world_had_been_made_so() -> None:
    world = generate(4)
    grid, room, tops = world.grid, room_field(world.grid), tops_of(world.grid)
    rng = np.random.default_rng(0)
    for _ in range(60):
        x, z = (int(v) for v in rng.integers(2, 62, 2))
        y = min(int(tops[x, z]), 30)
        if rng.random() < 0.5:
            set_block(grid, room, tops, x, y, z, AIR)
        else:
            set_block(grid, room, tops, x, y + 1, z, int(rng.choice(WOOLS)))
    fresh = room_field(grid)
    assert np.array_equal(tops, tops_of(grid)) and ((room == BLOCKED) == (fresh == BLOCKED)).all()
    assert (room[CUBES] <= fresh[CUBES]).all()
    for _ in range(12):
        pose = np.array(
            [*rng.uniform((2, 14, 2), (62, 30, 62)), rng.uniform(-180, 180), rng.uniform(-40, 60)]
        )
        new = draw(grid, fresh, tops_of(grid), world.tint, pose, 48)
        assert np.array_equal(draw(grid, room, tops, world.tint, pose, 48), new)


def test_the_space_ahead_of_a_cell_is_empty_also_after_edits() -> None:
    grid = np.zeros((9, 8, 10), np.uint8)
    rng = np.random.default_rng(3)
    grid[rng.random(grid.shape) < 0.02] = BLOCK["stone"]
    room, tops = room_field(grid), tops_of(grid)
    for _ in range(40):
        set_block(
            grid, room, tops, *(int(v) for v in rng.integers(0, grid.shape)), int(rng.choice([AIR, WATER, 5]))
        )
    for octant in range(8):
        mirrored = grid[tuple(slice(None, None, 1 if octant & bit else -1) for bit in (4, 2, 1))]
        for kind in (FLAT, CUBES):
            for x, y, z in np.ndindex(*grid.shape):
                byte = int(room[kind, octant, x + 1, y + 1, z + 1])
                if mirrored[x, y, z] != AIR:
                    assert byte == (WET[kind] if mirrored[x, y, z] == WATER else BLOCKED)
                    continue
                wide, high = (byte >> 4, byte & 7) if kind == FLAT else (byte >> 3, byte >> 3)
                assert wide > 0 and high > 0 and byte not in (OUTSIDE[kind], WET[kind])
                assert max(x, z - 1) + wide <= 9 and y + high <= 8
                assert not mirrored[x : x + wide, y : y + high, z : z + wide].any()


# The world


@pytest.mark.parametrize("seed", range(4))
def test_a_world_has_ground_to_walk_and_things_to_remember(seed: int) -> None:
    world = generate(seed)
    kinds = set(np.unique(world.grid).tolist())
    assert {BLOCK[k] for k in ("grass", "dirt", "stone", "sand", "log", "planks", "glass", "gravel")} <= kinds
    assert len(kinds & set(WOOLS)) >= 8 and len(kinds & set(SIGNS)) >= 5
    x, y, z, _ = world.spawn
    below = world.grid[int(x), int(y) - 1, int(z)]
    assert SOLID[below] and y >= SEA and physics.free(world.grid, SOLID, x, y, z)
    squares = SIZE[0] // GRID
    landmark = np.any(np.isin(world.grid, (*WOOLS, *SIGNS, BLOCK["planks"], BLOCK["quartz"])), axis=1)
    seen = [
        landmark[i : i + 2 * squares, j : j + 2 * squares].any()
        for i in range(0, 44, 4)
        for j in range(0, 44, 4)
    ]
    assert np.mean(seen) > 0.98


def test_most_worlds_have_lakes_and_snow() -> None:
    worlds = [generate(seed).grid for seed in range(8)]
    assert sum((grid == WATER).any() for grid in worlds) >= 5
    assert sum((grid == BLOCK["snow"]).any() for grid in worlds) >= 5


def test_the_walkmap_says_where_one_can_stand(env: BlocksEnv) -> None:
    heights, cell, origin = env.walkmap()
    assert heights.shape == (64, 64) and heights.dtype == np.float32 and cell == 1.0 and origin == (0.0, 0.0)
    standable = np.argwhere(np.isfinite(heights))
    assert len(standable) > 1500
    for x, z in standable[::7]:
        y = float(heights[x, z])
        assert physics.free(env.grid, SOLID, x + 0.5, y, z + 0.5)
        assert SOLID[env.grid[x, int(y) - 1, z]] and env.grid[x, int(y), z] != WATER


def test_textures_are_soft_and_their_mips_are_means() -> None:
    texels, faces = atlas()
    assert texels.shape[1:] == (TEXELS, 3) and texels.dtype == np.uint8 and faces.shape == (256, 6)
    for name in ("stone", "grass", "sand", "snow", "white_wool", "planks"):
        top = texels[faces[BLOCK[name], 3]].astype(float)
        assert top[:256].mean(1).std() < 0.18 * top[:256].mean()
        assert np.abs(top[340] - top[:256].mean(0)).max() < 2
