"""Worlds of other people: what they render is seen, what they lack is one sentence, what they raise is theirs."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs import actions
from envs.adapters.engine_missing import EngineMissing
from envs.adapters.engine_seed import engine_seed
from envs.adapters.gym_make import parsed
from envs.adapters.gym_picture import NoPicture, Pictures, letterboxed
from envs.adapters.gym_world import GymWorld, GymWorldError, WorldFailed
from envs.episodes.episode import Episode
from envs.episodes.format import file_name
from envs.episodes.recorder import Recorder
from tests.helpers.odd_worlds import bright
from worldsim.actions import space_from_spec

HERE = "tests.helpers.odd_worlds"


def _world(name: str, **kwargs: Any) -> GymWorld:
    return GymWorld(f"{HERE}:{name}-v0", **kwargs)


def _first(env: GymWorld) -> np.ndarray:
    return env.reset(seed=0)[0]["pov"]


@pytest.mark.parametrize(
    "name",
    [
        *("GridCode", "Board", "DepthBeforeColour", "NoneRenderButSeen"),
        *("FloatRender", "LargeFloatRender", "RgbaRender", "ChannelFirstRender"),
        *("NoRenderMode", "NeedsRenderMode", "Picky", "FloatSeen", "ChannelFirstSeen"),
    ],
)
def test_what_is_seen_is_the_picture_however_a_world_has_it(name: str) -> None:
    env = _world(name, size=96)
    seen = _first(env)
    np.testing.assert_array_equal(seen, bright(env._env.unwrapped.t))  # type: ignore[attr-defined]
    assert not np.array_equal(env.step(0)[0]["pov"], seen)


def test_a_grey_picture_of_whole_numbers_is_grey() -> None:
    seen = _first(env := _world("GreyRender", size=96))
    t = env._env.unwrapped.t  # type: ignore[attr-defined]
    np.testing.assert_array_equal(seen, np.repeat(bright(t)[..., :1], 3, 2))


def test_a_wide_picture_keeps_its_proportions() -> None:
    seen = _first(_world("Wide", size=64))
    disc = seen[..., 0] > 150
    wide, high = int(disc.any(0).sum()), int(disc.any(1).sum())
    assert abs(wide - high) <= 1 and 12 <= wide <= 14  # 100 of 480 pixels
    assert not seen[:23].any() and not seen[41:].any(), "nothing but black above and below"
    assert (seen[24:40] > 0).all(), "and all of the picture between"


@pytest.mark.parametrize(
    ("shape", "where"), [((1, 900), (slice(16, 17), slice(None))), ((900, 1), (slice(None), slice(16, 17)))]
)
def test_the_thinnest_picture_has_a_row_or_a_column(shape: tuple[int, int], where: Any) -> None:
    small = letterboxed(np.full((*shape, 3), 9, np.uint8), 33)
    assert (small[where] == 9).all() and int((small == 9).all(-1).sum()) == 33


def test_a_world_that_begins_in_the_dark_is_bright_when_it_is() -> None:
    pictures = Pictures()
    assert not pictures.colour(np.zeros((8, 8, 3))).any()
    assert (pictures.colour(np.full((8, 8, 3), 0.5)) == 128).all()
    assert (pictures.colour(np.full((8, 8, 3), 128.0)) == 128).all()


NO_PICTURES = [
    *(None, "a picture", [], object()),
    *(np.zeros((2, 8, 8, 3)), np.full((8, 8), -1), np.full((8, 8, 3), 900), np.zeros((8, 8, 5))),
]


@pytest.mark.parametrize(
    "found", NO_PICTURES, ids=lambda found: str(getattr(found, "shape", type(found).__name__))
)
def test_what_is_no_picture_is_said(found: Any) -> None:
    with pytest.raises(NoPicture):
        Pictures().colour(found)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("NoneRender", r"render\(\) returned None; expected one picture"),
        ("BatchRender", r"shape \(1, 96, 96, 3\)"),
        ("HdrRender", "uint16 with values from"),
        (
            "OldReset",
            r"reset\(\) of this world has another interface: expected \(observation, info\), found a ndarray",
        ),
        ("OldestReset", "another interface.*unexpected keyword argument 'seed'"),
    ],
)
def test_a_world_that_begins_otherwise_is_refused_by_name_in_one_sentence(name: str, said: str) -> None:
    with pytest.raises(GymWorldError, match=said) as told:
        _world(name).reset(seed=0)
    assert f"{name}-v0" in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("OldStep", r"step\(\) of this world has another interface: expected .*terminated.*, found 4 things"),
        ("NoReward", "the reward None"),
        ("Batch", "of one world and not of a batch"),
    ],
)
def test_a_step_that_is_none_is_refused_by_name_in_one_sentence(name: str, said: str) -> None:
    env = _world(name)
    env.reset(seed=0)
    with pytest.raises(GymWorldError, match=said) as told:
        env.step(0)
    assert f"{name}-v0" in str(told.value) and "\n" not in str(told.value)


def test_wrappers_that_can_do_nothing_with_an_old_step_are_no_bug_of_the_world() -> None:
    env = GymWorld(f"{HERE}:OldStep-v0,max_episode_steps=5")  # gymnasium.make's own argument
    env.reset(seed=0)
    with pytest.raises(GymWorldError, match="another interface"):
        env.step(0)


@pytest.mark.parametrize("name", ["BuggyStep", "BuggyReset"])
def test_what_a_world_raises_names_it_and_keeps_its_traceback(name: str) -> None:
    env = _world(name)
    with pytest.raises(WorldFailed, match=f"{name}-v0") as told:
        env.reset(seed=0)
        env.step(0)
    text = "".join(traceback.format_exception(told.value))
    assert "odd_worlds.py" in text and ("reshape" in text or "no such thing" in text)


@pytest.mark.parametrize("name", ["Stacked", "BlindGridCode"])
def test_an_observation_that_may_be_no_picture_is_not_taken_for_one(name: str) -> None:
    with pytest.raises(GymWorldError, match="shows no picture"):
        _world(name)


def test_a_world_that_does_not_start_says_why_and_where_in_one_sentence() -> None:
    with pytest.raises(
        EngineMissing, match=r"RuntimeError: no EGL device can be opened \(odd_worlds.py:\d+\)"
    ) as told:
        _world("FailsToStart")
    assert "\n" not in str(told.value)


def test_arguments_of_a_world_stand_behind_its_name() -> None:
    assert parsed("A/B-v1,size=8x8,fast=false,on=True,at=[1,2],n=1e3,s=a=b") == (
        "A/B-v1",
        {"size": "8x8", "fast": False, "on": True, "at": [1, 2], "n": 1000.0, "s": "a=b"},
    )
    made = GymWorld(f"{HERE}:Choosy-v0,level=3,name=the hill,fast=true")._env.unwrapped
    assert (made.level, made.name, made.fast) == (3, "the hill", True)  # type: ignore[attr-defined]
    with pytest.raises(EngineMissing, match="Choosy-v0,speed=3 cannot be made: TypeError"):
        GymWorld(f"{HERE}:Choosy-v0,speed=3")


def test_seeds_of_any_size_are_taken_and_repeat() -> None:
    env, seed = _world("Choosy"), 3**70
    first = env.reset(seed=seed)[0]["pov"]
    assert env.world_seed == seed
    np.testing.assert_array_equal(env.reset(seed=seed)[0]["pov"], first)
    assert not np.array_equal(env.reset(seed=seed + 1)[0]["pov"], first)


def test_small_seeds_are_an_engines_own_and_large_ones_differ() -> None:
    assert [engine_seed(s) for s in (0, 7, 2**31 - 1)] == [0, 7, 2**31 - 1]
    large = [2**31, 2**64, 2**64 + 1, 10**38]
    assert len({engine_seed(s) for s in large}) == 4 and all(0 <= engine_seed(s) < 2**31 for s in large)


def test_a_seed_that_no_recording_can_tell_is_refused_before_it_is_recorded(tmp_path: Path) -> None:
    env = Recorder(_world("Choosy"), tmp_path)
    with pytest.raises(ValueError, match="expected a seed from 0 to"):
        env.reset(seed=2**128 + 1)
    env.reset(seed=2**128)
    env.step(0)
    path = env.stop()
    assert path is not None and Episode(path).meta["seed"] == 2**128


def test_worlds_with_long_names_are_recorded(tmp_path: Path) -> None:
    text = "ß" * 300
    env = Recorder(GymWorld(f"{HERE}:Choosy-v0,name={text}"), tmp_path)
    env.reset(seed=2**128)
    env.step(0)
    path = env.stop()
    assert path is not None and path.exists() and len(path.name.encode()) < 255
    assert file_name("a" * 200) != file_name("a" * 201)


def test_a_module_of_the_present_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [p for p in __import__("sys").path if p])
    (tmp_path / "worlds_of_mine.py").write_text(
        f"import gymnasium\nfrom {HERE} import Wide\ngymnasium.register('Mine-v0', Wide)\n"
    )
    assert _first(GymWorld("worlds_of_mine:Mine-v0")).any()


def test_an_unknown_id_is_told_how_modules_are_named() -> None:
    with pytest.raises(EngineMissing, match=r"gym:FlappyBird-v0 cannot be made.*gym:MODULE:ID"):
        GymWorld("FlappyBird-v0")


@pytest.mark.parametrize("name", ["Many", "Buttons", "Nested"])
def test_actions_of_several_parts_are_recorded_and_told_in_the_worlds_own_form(
    name: str, tmp_path: Path
) -> None:
    world = _world(name)
    env = Recorder(world, tmp_path)
    native: Any = world._env.action_space
    env.reset(seed=0)
    played = [env.action_space.sample() for _ in range(20)]
    for action in played:
        env.step(action)
    for told in world._env.unwrapped.told:  # type: ignore[attr-defined]
        assert native.contains(told)
    for action, told in zip(played, world._env.unwrapped.told, strict=True):  # type: ignore[attr-defined]
        again = world._language.from_world(told)
        assert {k: np.asarray(v).tolist() for k, v in again.items()} == {
            k: np.asarray(v).tolist() for k, v in action.items()
        }
    path = env.stop()
    assert path is not None
    episode = Episode(path)
    assert space_from_spec(episode.meta["action_spec"]) == env.action_space
    assert {k: np.asarray(v).tolist() for k, v in episode.action(7).items()} == {
        k: np.asarray(v).tolist() for k, v in played[7].items()
    }
    assert world.action_space.contains(actions.noop(world.family))


def test_parts_are_named_by_their_place() -> None:
    assert list(_world("Many").action_space) == ["0", "1", "2"]  # type: ignore[call-overload]
    assert list(_world("Buttons").action_space)[9:] == ["09", "10", "11"]  # type: ignore[call-overload]
    names = ["0", "1.gear.0", "1.gear.1", "1.gear.2", "1.gear.3", "1.wheel"]
    assert list(_world("Nested").action_space) == names  # type: ignore[call-overload]


def test_keys_that_a_world_of_many_buttons_tells_are_plain_actions() -> None:
    keys = _world("Buttons").keys_to_action()
    assert keys[("a",)]["11"] == 1 and sum(keys[("a",)].values()) == 1 and not any(keys[("b",)].values())


def test_actions_that_are_no_numbers_are_refused_by_name() -> None:
    with pytest.raises(GymWorldError, match=r"Typist-v0: expected actions that are .*, found Text"):
        _world("Typist")


def test_what_was_recorded_before_pictures_kept_their_proportions_is_made_as_it_was() -> None:
    seen = _first(_world("Wide", version=1))
    assert (seen[0] > 0).all() and (seen[-1] > 0).all()
    code = _first(_world("GridCode", version=1, size=7))
    assert code.max() <= 3, "an observation that looked like an image was one"
