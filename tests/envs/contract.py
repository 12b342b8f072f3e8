"""What every world must keep, as reusable checks: each takes ``make(**kwargs) -> env`` and asserts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from envs import actions

Make = Callable[..., gymnasium.Env[Any, Any]]


def gymnasiums_own_checker_is_content(make: Make) -> None:
    check_env(make(render_mode="rgb_array").unwrapped, skip_render_check=True)


def the_same_seed_and_actions_give_the_same_frames_bit_for_bit(make: Make) -> None:
    env, again = make(), make()
    first, second = _play(env, seed=3), _play(again, seed=3)
    for (frame, pose), (other_frame, other_pose) in zip(first, second, strict=True):
        _assert_same(env, frame, other_frame)
        np.testing.assert_array_equal(pose, other_pose)


def a_used_world_is_as_good_as_a_new_one(make: Make) -> None:
    env = make()
    _play(env, seed=8)
    _assert_same(env, _play(env, seed=3)[-1][0], _play(make(), seed=3)[-1][0])


def another_seed_is_another_world(make: Make) -> None:
    env = make()
    frames = [env.reset(seed=s)[0]["pov"] for s in range(3)]
    assert not np.array_equal(frames[0], frames[1]) and not np.array_equal(frames[1], frames[2])


def a_reset_without_seed_draws_a_new_world(make: Make) -> None:
    env, other = make(), make()
    env.reset(seed=5), other.reset(seed=5)
    drawn = [env.reset()[0]["pov"] for _ in range(2)]
    assert not np.array_equal(*drawn)
    _assert_same(env, drawn[0], other.reset()[0]["pov"])


def observations_are_square_pictures_of_the_size_asked_for(make: Make) -> None:
    for size in (32, 64):
        env = make(size=size)
        observation, _ = env.reset(seed=0)
        for _ in range(3):
            assert env.observation_space.contains(observation)
            assert observation["pov"].shape == (size, size, 3) and observation["pov"].dtype == np.uint8
            observation = env.step(env.action_space.sample())[0]


def a_frame_that_was_handed_out_never_changes(make: Make) -> None:
    env = make()
    observation, info = env.reset(seed=0)
    frame, pose = observation["pov"].copy(), np.copy(info.get("pose", ()))
    for action in _actions(env, 5):
        env.step(action)
    np.testing.assert_array_equal(observation["pov"], frame)
    np.testing.assert_array_equal(info.get("pose", ()), pose)


def the_action_space_is_that_of_the_family(make: Make) -> None:
    env = make()
    family = env.unwrapped.family  # type: ignore[attr-defined]
    assert env.action_space == actions.space(family)
    assert env.action_space.contains(actions.noop(family))


def max_steps_truncates_and_nothing_else_ends_an_episode(make: Make) -> None:
    env = make(max_steps=4)
    for _ in range(2):
        env.reset(seed=0)
        ends = [env.step(actions.noop(env.unwrapped.family))[1:4] for _ in range(4)]  # type: ignore[attr-defined]
        assert ends == [(0.0, False, False)] * 3 + [(0.0, False, True)]


def render_gives_the_present_picture(make: Make) -> None:
    env = make(render_mode="rgb_array")
    observation, _ = env.reset(seed=0)
    for action in _actions(env, 3):
        np.testing.assert_array_equal(env.render(), observation["pov"])
        observation = env.step(action)[0]


def the_pose_is_five_numbers_in_their_ranges(make: Make) -> None:
    for _, pose in _play(make(), seed=1, steps=60):
        assert pose.shape == (5,) and pose.dtype == np.float64 and np.isfinite(pose).all()
        assert -180 <= pose[3] < 180 and -90 <= pose[4] <= 90


def turning_right_raises_the_yaw_and_looking_down_the_pitch(make: Make) -> None:
    env = make()
    _, info = env.reset(seed=0)
    before = info["pose"]
    after = env.step(_camera(env, right=15.0, down=6.0))[-1]["pose"]
    assert (after[3] - before[3] + 180) % 360 - 180 == pytest.approx(15.0, abs=0.1)
    assert after[4] - before[4] == pytest.approx(6.0, abs=0.1)


def walking_forward_goes_where_the_camera_looks(make: Make) -> None:
    env = make()
    for seed in range(4):
        _, info = env.reset(seed=seed)
        before = info["pose"]
        for _ in range(3):
            info = env.step(_forward(env))[-1]
        way = info["pose"][[0, 2]] - before[[0, 2]]
        if np.linalg.norm(way) > 0.3:  # not against a wall
            yaw = math.radians(before[3])
            ahead = np.array([-math.sin(yaw), math.cos(yaw)])
            assert way @ ahead / np.linalg.norm(way) > 0.8
            return
    raise AssertionError("four worlds began in front of a wall")


def teleport_goes_to_the_pose_and_shows_what_was_seen_there(make: Make) -> None:
    env = make()
    observation, info = env.reset(seed=2)
    for _ in range(6):
        env.step(_forward(env))
        env.step(_camera(env, right=20.0, down=3.0))
    seen = env.unwrapped.teleport(info["pose"])  # type: ignore[attr-defined]
    np.testing.assert_array_equal(seen["pov"], observation["pov"])
    after = env.step(actions.noop(env.unwrapped.family))[-1]["pose"]  # type: ignore[attr-defined]
    np.testing.assert_allclose(after, info["pose"], atol=1e-6)


def reset_starts_at_the_pose_in_its_options(make: Make) -> None:
    env = make()
    _, info = env.reset(seed=2)
    pose = info["pose"] + [0, 0, 0, 30, 5]
    pose[3] = (pose[3] + 180) % 360 - 180
    np.testing.assert_allclose(env.reset(seed=2, options={"pose": pose})[1]["pose"], pose, atol=1e-6)


def one_starts_on_the_walk_map(make: Make) -> None:
    env = make()
    for seed in range(5):
        _, info = env.reset(seed=seed)
        heights, cell, (x0, z0) = env.unwrapped.walkmap()  # type: ignore[attr-defined]
        assert heights.ndim == 2 and heights.dtype == np.float32 and cell > 0
        i, j = int((info["pose"][0] - x0) / cell), int((info["pose"][2] - z0) / cell)
        assert np.isfinite(heights[i, j]) and heights[i, j] < info["pose"][1]
        assert np.isfinite(heights).sum() > 10


def a_world_says_what_it_is(make: Make) -> None:
    world: Any = make().unwrapped
    assert world.family in actions.FAMILIES or world.family.startswith("gym:")
    assert world.fov is None or 0 < world.fov < 180
    assert isinstance(world.version, int) and isinstance(world.backend, str)


def wrong_arguments_are_refused(make: Make) -> None:
    for wrong in ({"size": 0}, {"max_steps": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            make(**wrong)


def stepping_before_the_first_reset_is_refused(make: Make) -> None:
    world: Any = make().unwrapped
    with pytest.raises((RuntimeError, gymnasium.error.ResetNeeded)):
        world.step(actions.noop(world.family))


CHECKS: list[Callable[[Make], None]] = [
    gymnasiums_own_checker_is_content,
    the_same_seed_and_actions_give_the_same_frames_bit_for_bit,
    a_used_world_is_as_good_as_a_new_one,
    another_seed_is_another_world,
    a_reset_without_seed_draws_a_new_world,
    observations_are_square_pictures_of_the_size_asked_for,
    a_frame_that_was_handed_out_never_changes,
    the_action_space_is_that_of_the_family,
    max_steps_truncates_and_nothing_else_ends_an_episode,
    render_gives_the_present_picture,
    the_pose_is_five_numbers_in_their_ranges,
    turning_right_raises_the_yaw_and_looking_down_the_pitch,
    walking_forward_goes_where_the_camera_looks,
    teleport_goes_to_the_pose_and_shows_what_was_seen_there,
    reset_starts_at_the_pose_in_its_options,
    one_starts_on_the_walk_map,
    a_world_says_what_it_is,
    wrong_arguments_are_refused,
    stepping_before_the_first_reset_is_refused,
]


def _assert_same(env: gymnasium.Env[Any, Any], frame: np.ndarray, other: np.ndarray) -> None:
    """Bit for bit; what a game's engine draws may be a level off in one value of a thousand, once in many frames."""
    if getattr(env.unwrapped, "backend", "embedded") == "embedded":
        np.testing.assert_array_equal(frame, other)
        return
    off = np.abs(frame.astype(int) - other)
    assert off.max() <= 2 and (off > 0).mean() <= 1e-3


def _actions(env: gymnasium.Env[Any, Any], count: int) -> list[Any]:
    env.action_space.seed(7)
    return [env.action_space.sample() for _ in range(count)]


def _play(env: gymnasium.Env[Any, Any], seed: int, steps: int = 25) -> list[tuple[np.ndarray, np.ndarray]]:
    observation, info = env.reset(seed=seed)
    seen = [(observation["pov"], info.get("pose", np.zeros(0)))]
    for action in _actions(env, steps):
        observation, _, terminated, truncated, info = env.step(action)
        seen.append((observation["pov"], info.get("pose", np.zeros(0))))
        if terminated or truncated:
            break
    return seen


def _camera(env: gymnasium.Env[Any, Any], right: float, down: float) -> Any:
    family = env.unwrapped.family  # type: ignore[attr-defined]
    action = actions.noop(family)
    if family in ("minecraft", "doom"):
        action["camera"] = np.array([down, right], np.float32)
    else:
        action[:2] = round(right / 0.06), round(-down / 0.06)
    return action


def _forward(env: gymnasium.Env[Any, Any]) -> Any:
    family = env.unwrapped.family  # type: ignore[attr-defined]
    action = actions.noop(family)
    if family in ("minecraft", "doom"):
        action["forward"] = 1
    else:
        action[3] = 1
    return action
