"""What is particular to the LabMaze world; the contract of every world is tested in test_contract.py."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
import pytest

from envs.labmaze import colours, decals, ids, kernels, maze, renderer, scene, textures
from envs.labmaze.env import LabMazeEnv

LEFT, RIGHT, FORWARD = ([-283, 0, 0, 0, 0, 0, 0], [283, 0, 0, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0, 0])


def act(**parts: int) -> np.ndarray:
    order = ("look", "up", "strafe", "move", "fire", "jump", "crouch")
    return np.array([parts.get(name, 0) for name in order], np.int32)


@pytest.fixture(scope="module")
def env() -> LabMazeEnv:
    return LabMazeEnv(ids=True)


def somewhere(world: maze.Maze, rng: np.random.Generator, pitch: float = 0.0) -> np.ndarray:
    """A pose away from the corners' exact coordinates, where a ray's side is a matter of rounding."""
    z, x = rng.permutation(np.argwhere(~world.wall))[0]
    return np.array([x + rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.9), z + rng.uniform(0.2, 0.8),
                     rng.uniform(-180, 180), pitch])  # fmt: skip


def test_the_level_kernel_draws_what_the_plain_kernel_draws() -> None:
    rng = np.random.default_rng(0)
    for seed in range(4):
        world = maze.draw(seed)
        painted = scene.paint(world)
        for size in (17, 64):
            for _ in range(10):
                pose = somewhere(world, rng)
                fast = renderer.picture(painted, pose, 75.0, size)
                plain = renderer.tilted_picture(painted, pose, 75.0, size)
                assert (fast != plain).any(axis=2).mean() < 1e-3


def test_a_slight_tilt_changes_a_picture_slightly() -> None:
    rng = np.random.default_rng(1)
    world = maze.draw(1)
    painted = scene.paint(world)
    for _ in range(10):
        pose = somewhere(world, rng)
        level = renderer.picture(painted, pose, 75.0, 64).astype(float)
        pose[4] = 1e-4
        assert np.abs(level - renderer.picture(painted, pose, 75.0, 64)).mean() < 0.2


def test_frames_of_this_version_are_these() -> None:
    """Trained models and recordings rest on them: bump ``LabMazeEnv.version`` when this must change."""
    env = LabMazeEnv(ids=True)
    digest = hashlib.sha256()
    for seed in range(3):
        rng = np.random.default_rng(seed)
        observation, _ = env.reset(seed=seed)
        for choice in rng.integers(0, 3, size=30):
            observation, *_ = env.step(np.array((LEFT, RIGHT, FORWARD)[choice], np.int32))
            digest.update(observation["pov"].tobytes() + observation["ids"].tobytes())
    assert LabMazeEnv.version == 1
    assert digest.hexdigest() == "375b39379455d11a6b506df65cd4647272102905aba0afa7f5d0dcc912f9f63b"


def test_ids_name_what_the_maze_has_hung_there(env: LabMazeEnv) -> None:
    env.reset(seed=3)
    world = env.maze
    assert world is not None
    z, x, side = np.argwhere(world.decal != maze.NO_DECAL)[0]
    yaw = (-90.0, 90.0, 0.0, -180.0)[side]
    seen = env.teleport((x + 0.5, 0.5, z + 0.5, yaw, 0.0))["ids"]
    middle = seen[32, 32]
    assert ids.KINDS[ids.kind(middle)] == "decal" and ids.which(middle) == world.decal[z, x, side]
    edge = seen[32, 3]
    assert ids.KINDS[ids.kind(edge)] == "wall" and ids.which(edge) == world.wall_texture[world.quadrant[z, x]]
    down = env.teleport((x + 0.5, 0.5, z + 0.5, yaw, 90.0))["ids"]
    assert ids.KINDS[ids.kind(down[32, 32])] == "floor"
    assert ids.which(down[32, 32]) == world.floor_texture[world.quadrant[z, x]]
    up = env.teleport((x + 0.5, 0.5, z + 0.5, yaw, -90.0))["ids"]
    assert ids.KINDS[ids.kind(up[32, 32])] == "sky"


def test_the_picture_is_a_pinhole_one_of_the_stated_field_of_view(env: LabMazeEnv) -> None:
    """A floor seen straight from above: the picture spans 2 h tan(fov / 2) of it."""
    env.reset(seed=0)
    world = env.maze
    assert world is not None
    z, x = np.argwhere(~world.wall)[0]
    pose = np.array([x + 0.5, 0.4, z + 0.5, 0.0, 90.0])  # up in the picture is +z, right is -x
    seen = env.teleport(pose)["pov"].astype(float)
    reach = 0.4 * math.tan(math.radians(env.fov / 2))
    places = 0.5 - reach + (np.arange(64) + 0.5) / 64 * 2 * reach
    texels = np.clip((places * textures.SIDE).astype(int), 0, textures.SIDE - 1)
    expected = textures.floor(world.floor_texture[world.quadrant[z, x]])[texels[::-1]][:, texels[::-1]]
    assert np.abs(seen - expected).mean() < 6


def test_nobody_comes_nearer_to_a_wall_than_the_radius(env: LabMazeEnv) -> None:
    rng = np.random.default_rng(5)
    for seed in range(5):
        env.reset(seed=seed)
        world = env.maze
        assert world is not None
        walls = np.argwhere(world.wall)[:, ::-1]  # x, z
        for _ in range(150):
            look, strafe, move = rng.integers(-300, 301), rng.integers(-1, 2), rng.integers(-1, 2)
            *_, info = env.step(act(look=int(look), strafe=int(strafe), move=int(move)))
            place = info["pose"][[0, 2]]
            nearest = np.clip(place, walls, walls + 1)
            assert np.linalg.norm(place - nearest, axis=1).min() > 0.25 - 1e-6


def test_walking_into_a_wall_slides_along_it(env: LabMazeEnv) -> None:
    env.reset(seed=0)
    world = env.maze
    assert world is not None
    open_cells = ~world.wall
    z, x = np.argwhere(open_cells[1:-1, 1:-1] & open_cells[2:, 1:-1] & world.wall[1:-1, 2:])[0] + 1
    env.teleport((x + 0.7, 0.5, z + 0.3, -45.0, 0.0))  # towards +x, +z; the wall is at +x
    *_, info = env.step(act(move=1))
    assert info["pose"][0] == pytest.approx(x + 0.75)
    assert info["pose"][2] == pytest.approx(z + 0.3 + 0.25 * math.sqrt(0.5))


def test_a_step_is_a_quarter_cell_and_a_diagonal_is_no_faster(env: LabMazeEnv) -> None:
    env.reset(seed=0)
    world = env.maze
    assert world is not None
    rooms = np.argwhere(~world.wall)
    z, x = next((z, x) for z, x in rooms if not world.wall[z - 1 : z + 2, x - 1 : x + 2].any())
    for parts, way in (
        ({"move": 1}, (0.0, 0.25)),
        ({"move": -1}, (0.0, -0.25)),
        ({"strafe": 1}, (-0.2, 0.0)),
        ({"strafe": -1}, (0.2, 0.0)),
    ):
        env.teleport((x + 0.5, 0.5, z + 0.5, 0.0, 0.0))
        *_, info = env.step(act(**parts))
        np.testing.assert_allclose(info["pose"][[0, 2]] - (x + 0.5, z + 0.5), way, atol=1e-12)
    env.teleport((x + 0.5, 0.5, z + 0.5, 0.0, 0.0))
    *_, info = env.step(act(move=1, strafe=1))
    assert np.linalg.norm(info["pose"][[0, 2]] - (x + 0.5, z + 0.5)) == pytest.approx(0.25)


def test_looking_up_and_back_is_level_again_to_the_bit(env: LabMazeEnv) -> None:
    observation, info = env.reset(seed=1)
    for up in (7, 13, 400, 512, -512, -400, -13, -7):
        *_, after = env.step(act(up=up))
        assert abs(after["pose"][4]) <= 60.0
    np.testing.assert_array_equal(after["pose"], info["pose"])
    for look in (283, -5, -283, 5):
        seen, *_ = env.step(act(look=look))
    np.testing.assert_array_equal(seen["pov"], observation["pov"])


def test_a_jump_comes_down_and_a_crouch_stands_up(env: LabMazeEnv) -> None:
    env.reset(seed=0)
    heights = [env.step(act(jump=int(k == 0)))[-1]["pose"][1] for k in range(7)]
    assert max(heights) == pytest.approx(0.71) and heights[-1] == 0.5 and heights[0] > 0.5
    heights = [env.step(act(crouch=1))[-1]["pose"][1] for _ in range(5)]
    assert heights[-1] == 0.3 and heights == sorted(heights, reverse=True)
    assert env.step(act())[-1]["pose"][1] == 0.5


def test_a_drawn_world_is_made_again_from_its_seed() -> None:
    env = LabMazeEnv()
    env.reset(seed=9)
    observation, info = env.reset()
    again, _ = LabMazeEnv().reset(seed=info["world_seed"])
    np.testing.assert_array_equal(observation["pov"], again["pov"])


@pytest.mark.parametrize("seed", range(6))
def test_every_maze_is_connected_and_its_quadrants_differ(seed: int) -> None:
    world = maze.draw(seed)
    assert world.wall.shape == (9, 9) and world.wall[0].all() and world.wall[:, -1].all()
    assert len(set(world.wall_texture)) == len(set(world.floor_texture)) == 4
    reached = {tuple(np.argwhere(~world.wall)[0])}
    frontier = list(reached)
    while frontier:
        z, x = frontier.pop()
        for dx, dz in maze.SIDES:
            if not world.wall[z + dz, x + dx] and (z + dz, x + dx) not in reached:
                reached.add((z + dz, x + dx))
                frontier.append((z + dz, x + dx))
    assert len(reached) == (~world.wall).sum()


def test_about_a_tenth_of_the_wall_faces_has_a_decal_and_no_design_hangs_twice_in_a_maze() -> None:
    hung = faces = 0
    for seed in range(40):
        world = maze.draw(seed)
        designs = world.decal[world.decal != maze.NO_DECAL]
        assert len(designs) == len(set(designs.tolist()))
        hung += len(designs)
        for z, x in np.argwhere(~world.wall):
            faces += sum(bool(world.wall[z + dz, x + dx]) for dx, dz in maze.SIDES)
    assert 0.08 < hung / faces < 0.12


def test_eighty_decals_all_differ() -> None:
    gray = np.full((textures.SIDE, textures.SIDE, 3), 128, np.uint8)
    small = [decals.paint(gray, k).reshape(16, 8, 16, 8, 3).mean((1, 3)) for k in range(decals.COUNT)]
    assert decals.COUNT == 80
    for k in range(decals.COUNT):
        assert min(np.abs(small[k] - small[m]).mean() for m in range(decals.COUNT) if m != k) > 1.0
    with pytest.raises(IndexError, match=r"0\.\.79"):
        decals.design(80)


def test_every_texture_of_labmaze_belongs_to_one_colour() -> None:
    assert (len(textures.WALLS), len(textures.FLOORS), len(textures.SKIES)) == (32, 28, 3)
    for families, count in ((textures.WALL_FAMILIES, 32), (textures.FLOOR_FAMILIES, 28)):
        assert sorted(k for members in families.values() for k in members) == list(range(count))


def test_a_ripmap_ends_in_the_mean_colour() -> None:
    picture = textures.wall(0)
    last = int(textures.ripmap(picture)[-2, -2])
    found = [last >> shift & 255 for shift in (0, 21, 42)]
    np.testing.assert_allclose(found, picture.mean(axis=(0, 1)), atol=1)


@pytest.mark.parametrize(
    ("pose", "words"),
    [
        ((0.5, 0.5, 0.5, 0, 0), "wall"),
        ((-3, 0.5, 1.5, 0, 0), "wall"),
        ((1, 2, 3), "5 finite numbers"),
        ((1.5, float("nan"), 1.5, 0, 0), "5 finite numbers"),
        ((None, 2.0, None, 0, 0), "height"),
        ((None, 0.5, None, 0, 91), "pitch"),
    ],
)
def test_a_pose_that_cannot_be_is_refused_in_words(
    env: LabMazeEnv, pose: tuple[Any, ...], words: str
) -> None:
    _, info = env.reset(seed=0)
    if pose[0] is None:
        pose = (info["pose"][0], pose[1], info["pose"][2], pose[3], pose[4])
    with pytest.raises(ValueError, match=words):
        env.teleport(pose)


def test_an_action_of_another_shape_is_refused(env: LabMazeEnv) -> None:
    env.reset(seed=0)
    with pytest.raises(ValueError, match="7 integers"):
        env.step(np.zeros(3, np.int32))


def test_packed_sums_do_not_overflow() -> None:
    assert (255 << kernels._SHIFT) + kernels._HALF < 1 << 21


def test_the_table_of_surface_colours_is_what_the_pictures_say() -> None:
    table, pictures = colours.surface_colours(), colours.measure()
    assert table.keys() == pictures.keys()
    for kind, rows in pictures.items():
        np.testing.assert_allclose(table[kind], rows, atol=1e-3)
