"""Who builds changes the world often, and sees again what was changed."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

import envs  # noqa: F401
from envs.policies import registry as policies
from tests.envs.flatland import Flatland
from tests.envs.policies.playing import play

STEPS = 300


def test_the_world_is_changed_again_and_again() -> None:
    env: Any = gymnasium.make("worldsim/Blocks-v0", size=8)
    dug, placed, turned = 0, 0, 0.0
    for seed in range(900_000, 900_004):
        policy = policies.make("build", env, seed)
        observation, info = env.reset(seed=seed)
        policy.reset(info)
        grid = env.unwrapped.player.grid
        for _ in range(STEPS):
            before, yaw = grid.copy(), info["pose"][3]
            observation, _, _, _, info = env.step(policy(observation, info))
            turned += abs((info["pose"][3] - yaw + 180) % 360 - 180)
            changed = np.argwhere(grid != before)
            dug += int(len(changed) == 1 and grid[tuple(changed[0])] == 0)
            placed += int(len(changed) == 1 and grid[tuple(changed[0])] != 0)
    env.close()
    assert dug > 4 * 5
    assert placed > 4 * 5
    assert turned > 4 * 360, "and does not stare at them alone"


@pytest.mark.parametrize("family", ["minecraft", "dmlab"])
def test_it_is_a_function_of_poses_and_its_seed(family: str) -> None:
    first, second = (play(Flatland(family), "build", seed=4)[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, play(Flatland(family), "build", seed=5)[0])
