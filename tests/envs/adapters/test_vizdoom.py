"""Doom keeps the contract, and can be walked by its walls."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import envs  # noqa: F401
from envs.adapters.engine_missing import EngineMissing
from envs.policies import registry as policies
from envs.policies.navigation import WalkMap
from envs.policies.needle_macro import NeedleMacro
from envs.policies.walker import Script, Walker
from tests.envs import contract

pytest.importorskip("vizdoom")

VEST = -11.0, 32.5  # where the way home ends
TELEPORTED = {  # Doom's player is where he walked
    contract.teleport_goes_to_the_pose_and_shows_what_was_seen_there,
    contract.reset_starts_at_the_pose_in_its_options,
}


def _make(**kwargs: Any) -> gymnasium.Env[Any, Any]:
    return gymnasium.make("worldsim/ViZDoom-v0", disable_env_checker=True, **kwargs)


@pytest.fixture(scope="module")
def doom() -> Iterator[gymnasium.Env[Any, Any]]:
    env = _make()
    yield env
    env.close()


@pytest.fixture(scope="module")
def lend() -> Iterator[Callable[..., gymnasium.Env[Any, Any]]]:
    """Gives each of two engines for the same arguments in turn: to start one takes a second."""
    kept: dict[str, list[gymnasium.Env[Any, Any]]] = {}
    turn = itertools.count()

    def one(**kwargs: Any) -> gymnasium.Env[Any, Any]:
        index, engines = next(turn) % 2, kept.setdefault(repr(kwargs), [])
        while len(engines) <= index:
            engines.append(_make(**kwargs))
        return engines[index]

    yield one
    for env in itertools.chain(*kept.values()):
        env.close()


CHECKS = [check for check in contract.CHECKS if check not in TELEPORTED]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_doom_keeps_the_contract(check: Any, lend: Callable[..., gymnasium.Env[Any, Any]]) -> None:
    check(_make if check is contract.stepping_before_the_first_reset_is_refused else lend)


def test_nothing_is_left_in_the_present_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    env = _make()
    env.reset(seed=0)
    env.step(env.action_space.sample())
    env.close()
    assert not list(tmp_path.iterdir()) and Path.cwd() == tmp_path


def test_without_vizdoom_there_is_one_helpful_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vizdoom", None)
    with pytest.raises(EngineMissing, match=r"which is not here.*pip install") as told:
        _make()
    assert "\n" not in str(told.value)


def test_a_scenario_that_is_none_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"my_way_home.*found 'your_way_home'"):
        _make(scenario="your_way_home")


def test_every_place_of_the_walk_map_can_be_reached_from_any_other(doom: gymnasium.Env[Any, Any]) -> None:
    _, info = doom.reset(seed=0)
    world: Any = doom.unwrapped
    paths = WalkMap(*world.walkmap())
    start = paths.column((float(info["pose"][0]), float(info["pose"][2])))
    assert len(paths.reachable(start, radius=500)) == np.isfinite(world.walkmap()[0]).sum()


@pytest.mark.parametrize("name", ["explore", "needle"])
def test_policies_walk_about_and_come_back(name: str, doom: gymnasium.Env[Any, Any]) -> None:
    from worldsim.metrics.retrieval import RevisitFinder

    player = policies.make(name, doom, 1)
    observation, info = doom.reset(seed=1)
    player.reset(info)
    finder, returns, places = RevisitFinder(), 0, []
    for i in range(250):
        returns += finder.add(observation["pov"], info["pose"], i) is not None
        places.append(info["pose"][[0, 2]])
        observation, _, _, _, info = doom.step(player(observation, info))
    assert returns > 5
    assert np.ptp(places, axis=0).max() > 4


def test_the_needle_macro_comes_back_to_the_view_in_spite_of_dooms_sliding(
    doom: gymnasium.Env[Any, Any],
) -> None:
    observation, info = doom.reset(seed=0)
    home, farthest = info["pose"], 0.0
    macro = NeedleMacro(doom, info, 0)
    while (action := macro(observation, info)) is not None:
        observation, _, _, _, info = doom.step(action)
        farthest = max(farthest, float(np.hypot(*(info["pose"] - home)[[0, 2]])))
    assert farthest > 3
    np.testing.assert_allclose(info["pose"][[0, 2]], home[[0, 2]], atol=0.5)
    assert abs(info["pose"][3] - home[3]) < 1


def test_what_the_scenario_ends_is_terminated_and_its_last_picture_stays(
    doom: gymnasium.Env[Any, Any],
) -> None:
    class ToTheVest(Walker):
        def run(self) -> Script:  # type: ignore[override]
            yield from self.walk_to(VEST, ticks=600)
            return (yield from self.stay(20))  # slide on

    walker = ToTheVest(doom)
    observation, info = doom.reset(seed=2)
    walker.reset(info)
    total = 0.0
    for _ in range(600):
        before = observation["pov"]
        observation, reward, terminated, _, info = doom.step(walker(observation, info))
        total += float(reward)
        if terminated:
            break
    assert terminated and total == 1.0
    np.testing.assert_array_equal(observation["pov"], before)
