"""The policies: explore covers ground, needle comes back at every age, both repeat themselves exactly."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

import envs  # noqa: F401
from envs.policies import registry as policies
from envs.policies.moves import Move, to_action
from envs.policies.navigation import WalkMap, wrap, yaw_towards
from envs.policies.walker import Walker
from tests.envs.flatland import Flatland
from tests.envs.policies.playing import play
from tests.envs.revisits import ages, shares

FAMILIES = ["minecraft", "dmlab"]
WORLDS = ["worldsim/Blocks-v0", "worldsim/LabMaze-v0"]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ["explore", "needle"])
def test_a_policy_is_a_function_of_the_world_and_its_seed(name: str, family: str) -> None:
    first, second = (play(Flatland(family), name, seed=4)[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, play(Flatland(family), name, seed=5)[0])


@pytest.mark.parametrize("family", FAMILIES)
def test_explore_begins_with_a_full_turn_and_then_covers_ground(family: str) -> None:
    for seed in range(3):
        poses, _ = play(Flatland(family), "explore", seed)
        begin = poses[:60]
        still = np.linalg.norm(begin[:, [0, 2]] - begin[0, [0, 2]], axis=1) < 0.01
        assert len({int(yaw // 30) for yaw in begin[still][:, 3]}) == 12
        assert len({(int(x), int(z)) for x, z in poses[:, [0, 2]]}) >= 8


@pytest.mark.parametrize("family", FAMILIES)
def test_explore_finds_the_gap_in_the_wall(family: str) -> None:
    x = np.concatenate([play(Flatland(family), "explore", seed, steps=600)[0][:, 0] for seed in range(3)])
    assert x.min() < 6 < 7 < x.max()


@pytest.mark.parametrize("world", WORLDS)
def test_needle_returns_at_every_age(world: str) -> None:
    env = gymnasium.make(world, size=8)
    found = shares([play(env, "needle", seed)[0] for seed in range(4)])
    assert min(found.values()) > 0.04, found  # over 40 episodes each range has at least a tenth


@pytest.mark.parametrize("world", WORLDS)
def test_explore_moves_and_is_hardly_ever_blocked(world: str) -> None:
    env = gymnasium.make(world, size=8)
    walked, blocked = 0, 0
    for seed in range(3):
        poses, actions = play(env, "explore", seed)
        ahead = np.array([a["forward"] if isinstance(a, dict) else a[3] > 0 for a in actions], bool)
        steps = np.linalg.norm(np.diff(poses[:, [0, 2]], axis=0), axis=1)
        walked, blocked = walked + ahead.sum(), blocked + (steps[ahead] < 0.02).sum()
    assert walked > 200 and blocked < 0.05 * walked


def test_a_view_is_as_old_as_its_last_showing_before_it_was_left() -> None:
    yaws = [0.0] * 3 + [60.0] * 4 + [0.0] * 2
    poses = np.array([[0, 0, 0, yaw, 0] for yaw in yaws], float)
    assert ages(poses).tolist() == [0, 0, 0, 0, 0, 0, 0, 5, 6]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_turn_and_a_tilt_come_out_as_asked(family: str) -> None:
    env = Flatland(family)
    _, info = env.reset(seed=0)
    after = env.step(to_action(family, Move(turn=12.0, tilt=3.0, forward=1)))[-1]["pose"]
    assert wrap(after[3] - info["pose"][3]) == pytest.approx(12.0, abs=0.05)
    assert after[4] == pytest.approx(3.0, abs=0.05)


@pytest.mark.parametrize("family", FAMILIES)
def test_walk_to_arrives_and_says_so(family: str) -> None:
    env = Flatland(family)

    class Goer(Walker):
        def run(self) -> Any:
            self.arrived = yield from self.walk_to((9.5, 2.5), ticks=300)
            yield from self.stay(1000)

    goer = Goer(env)
    observation, info = env.reset(seed=1)
    goer.reset(info)
    for _ in range(300):
        observation, _, _, _, info = env.step(goer(observation, info))
    assert goer.arrived
    np.testing.assert_allclose(info["pose"][[0, 2]], [9.5, 2.5], atol=0.3)


def test_paths_climb_one_block_and_go_down_as_deep_as_allowed() -> None:
    heights = np.array([[0.0, 1.0, 3.0, 2.0]], np.float32)
    walkmap = WalkMap(heights, 1.0, (0.0, 0.0))
    assert list(walkmap.reachable((0, 0), 9)) == [(0, 0), (0, 1)]
    assert list(walkmap.reachable((0, 2), 9, down=2.0)) == [(0, 2), (0, 3), (0, 1), (0, 0)]
    assert walkmap.path(walkmap.reachable((0, 2), 9, down=2.0), (0, 0)) == [(0, 1), (0, 0)]


def test_a_straight_way_needs_level_ground_and_room_for_the_body() -> None:
    walkmap = WalkMap(*Flatland().walkmap())
    assert walkmap.is_straight((2.5, 2.5), (4.5, 8.5), radius=0.3)
    assert not walkmap.is_straight((2.5, 2.5), (9.5, 2.5), radius=0.3)
    assert walkmap.view_depth((2.5, 2.5), yaw=-90.0, most=9) == pytest.approx(3.5, abs=0.3)


def test_yaw_towards_follows_minecrafts_convention() -> None:
    assert yaw_towards((0, 0), (0, 1)) == 0 and yaw_towards((0, 0), (-1, 0)) == pytest.approx(90)


def test_an_unknown_policy_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"explore, needle, random, replay.*'wander'"):
        policies.make("wander", Flatland())
