"""Roam goes on and on by sight alone, is turned by what stands in its way, and a path is walked back to its start."""

from __future__ import annotations

import math
from typing import Any

import gymnasium
import numpy as np
import pytest

import envs  # noqa: F401
from envs.policies import registry as policies
from envs.policies.clearance import HEADINGS, on_map
from envs.policies.moves import GAITS
from envs.policies.navigation import wrap
from envs.policies.retrace import Retrace
from envs.policies.roam import SIGHTS, LookAround, Roam
from tests.envs.flatland import Flatland
from tests.envs.policies.playing import play

WORLDS = ["worldsim/Blocks-v0", "worldsim/LabMaze-v0"]
FAMILIES = ["minecraft", "dmlab"]
AHEAD = len(HEADINGS) // 2


def _longest_rest(poses: np.ndarray) -> int:
    """Frames in a row in which the body neither went nor turned."""
    moved = np.linalg.norm(np.diff(poses[:, [0, 2]], axis=0), axis=1) > 0.02
    turned = np.abs([wrap(d) for d in np.diff(poses[:, 3])]) > 1
    longest = run = 0
    for still in ~(moved | turned):
        run = run + 1 if still else 0
        longest = max(longest, run)
    return longest


def _forward(action: Any) -> bool:
    return bool(action["forward"] if isinstance(action, dict) else action[3] > 0)


@pytest.mark.parametrize("world", [*WORLDS, "worldsim/ViZDoom-v0"])
def test_roam_covers_ground_and_is_never_stuck(world: str) -> None:
    if "Doom" in world:
        pytest.importorskip("vizdoom")
    env = gymnasium.make(world, size=8)
    for seed in range(900_000, 900_005):
        poses, actions = play(env, "roam", seed)
        steps = np.linalg.norm(np.diff(poses[:, [0, 2]], axis=0), axis=1)
        ahead = np.array([_forward(a) for a in actions])
        assert steps.sum() > 20 and len({(int(x), int(z)) for x, z in poses[:, [0, 2]]}) > 12, seed
        assert _longest_rest(poses) < 20, seed
        assert (steps[ahead] < 0.02).mean() < 0.2, seed
        assert np.abs(poses[:, 4]).max() < 25, seed
    env.close()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ["roam", "look_around"])
def test_roam_is_a_function_of_what_it_sees_and_its_seed(name: str, family: str) -> None:
    first, second = (play(Flatland(family), name, seed=4)[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, play(Flatland(family), name, seed=5)[0])


def _steered(family: str, clearance: np.ndarray, ticks: int = 12) -> list[Any]:
    env = Flatland(family)
    observation, info = env.reset(seed=0, options={"pose": [3.0, 1.62, 6.0, 0.0, 0.0]})
    policy = Roam(family, lambda _: clearance, seed=3)
    policy.reset(info)
    actions = []
    for _ in range(ticks):
        actions.append(policy(observation, info))
        observation, _, _, _, info = env.step(actions[-1])
    return actions


def _right(action: Any) -> float:
    return float(action["camera"][1]) if isinstance(action, dict) else 0.06 * float(action[0])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_wall_ahead_is_turned_from_to_the_open_side_and_not_walked_into(family: str) -> None:
    shut = np.zeros(len(HEADINGS))
    assert not any(_forward(a) for a in _steered(family, shut))
    assert abs(sum(_right(a) for a in _steered(family, shut))) > 60
    half = np.where(HEADINGS > 10, SIGHTS[family].most, 0.1)
    actions = _steered(family, half, ticks=4)
    assert sum(_right(a) for a in actions) > 15 and not any(_forward(a) for a in actions)
    assert sum(_right(a) for a in _steered(family, half[::-1], ticks=4)) < -15
    free = np.full(len(HEADINGS), SIGHTS[family].most)
    assert all(_forward(a) for a in _steered(family, free))


@pytest.mark.parametrize("family", FAMILIES)
def test_turns_are_no_faster_than_the_body(family: str) -> None:
    actions = play(Flatland(family), "roam", seed=7)[1]
    turns = np.array([_right(a) for a in actions])
    assert np.abs(turns).max() < GAITS[family].turn + 3
    if GAITS[family].smooth:
        assert np.abs(np.diff(turns)).max() < 16


def test_the_free_way_ends_before_walls_edges_cliffs_and_high_steps() -> None:
    heights = np.zeros((12, 12), np.float32)
    pose = np.array([6.0, 1.62, 2.0, 0.0, 0.0])  # looks to +z

    def ahead() -> float:
        return float(on_map(heights, 1.0, (0.0, 0.0), pose, width=0.3, most=20.0)[AHEAD])

    assert ahead() == pytest.approx(10.0, abs=0.3)
    heights[:, 8] = 1.0
    assert ahead() == pytest.approx(10.0, abs=0.3)  # a step up, and down again behind it
    heights[:, 8] = 2.0
    assert ahead() == pytest.approx(6.0, abs=0.3)
    heights[:, 8] = -5.0
    assert ahead() == pytest.approx(6.0, abs=0.3)
    heights[:, 8] = np.nan
    assert ahead() == pytest.approx(6.0, abs=0.3)
    heights[:, 8], heights[6, 5] = 0.0, np.nan  # only the right half of the body meets it
    assert ahead() == pytest.approx(3.0, abs=0.3)


def test_the_free_way_is_asked_to_the_right_of_where_one_looks() -> None:
    heights = np.zeros((12, 12), np.float32)
    heights[:5] = np.nan  # x below 5: to the right of who looks to +z
    found = on_map(heights, 1.0, (0.0, 0.0), np.array([6.0, 1.62, 2.0, 0.0, 0.0]), width=0.2, most=9.0)
    assert found[-1] < 3 and found[0] == pytest.approx(9.0)


@pytest.mark.parametrize("world", [*WORLDS, *FAMILIES])
def test_retrace_leads_back_to_where_a_walk_began_looking_as_then(world: str) -> None:
    env: Any = Flatland(world) if world in FAMILIES else gymnasium.make(world, size=8)
    for seed in range(900_000, 900_004):
        observation, info = env.reset(seed=seed)
        player = policies.make("roam", env, seed)
        player.reset(info)
        trail = [info["pose"]]
        for _ in range(40):
            observation, _, _, _, info = env.step(player(observation, info))
            trail.append(info["pose"])
        back = Retrace(env.unwrapped.family, trail)
        back.reset(info)
        ticks = 0
        while (action := back(observation, info)) is not None:
            assert env.action_space.contains(action)
            observation, _, _, _, info = env.step(action)
            ticks += 1
        gap = math.dist(info["pose"][[0, 2]], trail[0][[0, 2]])
        assert back.done and gap < 0.25 and abs(wrap(info["pose"][3] - trail[0][3])) < 0.2, (seed, gap)
        assert 40 <= ticks <= 80


def test_look_around_turns_all_round_and_looks_back() -> None:
    poses, actions = play(Flatland("minecraft"), "look_around", seed=1, steps=200)
    assert np.ptp(poses[:, [0, 2]], axis=0).max() == 0 and not any(_forward(a) for a in actions)
    assert len({int(yaw // 30) for yaw in poses[:60, 3]}) == 12


def test_a_body_that_nobody_knows_is_refused_by_name() -> None:
    for make in (lambda: Roam("gym:Pong", lambda _: np.zeros(11)), lambda: LookAround("gym:Pong")):
        with pytest.raises(ValueError, match=r"minecraft, dmlab, doom.*found gym:Pong; take policy random"):
            make()
