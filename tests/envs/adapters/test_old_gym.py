"""Worlds that register with OpenAI's gym play as any world of Gymnasium."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from gymnasium import spaces

from envs.adapters import old_gym
from envs.adapters.engine_missing import EngineMissing
from envs.adapters.gym_world import GymWorld
from tests.envs.doubles.old_gym import module

MAZE = "memory_maze:MemoryMaze-9x9-v0"


@pytest.fixture(params=[False, True], ids=["gym 0.21", "gym 0.26"])
def gym(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gym", module(request.param))


@pytest.mark.usefixtures("gym")
def test_a_maze_of_the_old_interface_is_a_world() -> None:
    world = GymWorld(MAZE, size=32)
    assert world.action_space == spaces.Discrete(6)
    assert world.metadata["render_fps"] == 4
    seen, _ = world.reset(seed=7)
    assert seen["pov"].shape == (32, 32, 3) and (seen["pov"] == 7).all()
    ends = [world.step(1)[1:4] for _ in range(5)]
    assert ends == [(1.0, False, False)] * 4 + [(1.0, False, True)]
    again, _ = world.reset(seed=7)
    assert np.array_equal(seen["pov"], again["pov"])


@pytest.mark.usefixtures("gym")
def test_a_world_that_neither_library_knows_is_refused_in_a_sentence() -> None:
    with pytest.raises(EngineMissing, match=r"gym:NoSuchWorld-v0 cannot be made"):
        GymWorld("NoSuchWorld-v0")


def test_without_gym_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gym", None)
    assert old_gym.make(MAZE) is None
    with pytest.raises(EngineMissing):
        GymWorld(MAZE)


def test_a_space_that_no_model_takes_is_named() -> None:
    class Tuple:
        def __repr__(self) -> str:
            return "Tuple(Discrete(2))"

    with pytest.raises(old_gym.OldGymError, match=r"found gym's Tuple\(Discrete\(2\)\)"):
        old_gym.space_of(Tuple())
