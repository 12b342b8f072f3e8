"""Who holds keys without a map walks into walls and stays there for a while, which no other policy does; and digs."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

import envs  # noqa: F401
from envs.policies.hold_keys import PATIENCE
from tests.envs.flatland import Flatland
from tests.envs.policies.playing import play


def _pressed(action: Any, name: str, index: int) -> bool:
    return bool(action[name] if isinstance(action, dict) else action[index])


@pytest.mark.parametrize("world", ["worldsim/Blocks-v0", "worldsim/LabMaze-v0"])
def test_walls_are_walked_into_and_left_again(world: str) -> None:
    env = gymnasium.make(world, size=8)
    stopped, dug = 0, 0
    for seed in range(900_000, 900_004):
        poses, actions = play(env, "hold_keys", seed)
        steps = np.linalg.norm(np.diff(poses[:, [0, 2]], axis=0), axis=1)
        ahead = np.array([_pressed(a, "forward", 3) for a in actions])
        stuck = ahead & (steps < 0.02)
        stopped += int(stuck.sum())
        runs = np.diff(np.flatnonzero(np.diff(np.concatenate([[0], stuck.astype(int), [0]]))))[::2]
        assert not len(runs) or runs.max() < 3 * PATIENCE[1], "patience ends"
        assert steps.sum() > 5
        dug += sum(_pressed(a, "attack", 4) for a in actions)
    env.close()
    assert stopped > 40 and dug > 0


@pytest.mark.parametrize("family", ["minecraft", "dmlab"])
def test_it_is_a_function_of_poses_and_its_seed(family: str) -> None:
    first, second = (play(Flatland(family), "hold_keys", seed=4)[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, play(Flatland(family), "hold_keys", seed=5)[0])
