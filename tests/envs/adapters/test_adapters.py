"""The adapters of engines that cannot run here, over doubles made from those engines' documentation."""

from __future__ import annotations

import sys
from typing import Any

import gymnasium
import numpy as np
import pytest

import envs  # noqa: F401
from envs import actions
from envs.adapters.engine_missing import EngineMissing
from envs.policies import registry as policies
from tests.envs import contract
from tests.envs.doubles import deepmind_lab, minerl

OWN_WORLD = {  # what takes a walk map, a teleport, or bit-for-bit determinism: the embedded worlds' own
    contract.teleport_goes_to_the_pose_and_shows_what_was_seen_there,
    contract.reset_starts_at_the_pose_in_its_options,
    contract.one_starts_on_the_walk_map,
    contract.walking_forward_goes_where_the_camera_looks,
    contract.turning_right_raises_the_yaw_and_looking_down_the_pitch,
    contract.the_pose_is_five_numbers_in_their_ranges,
    contract.the_same_seed_and_actions_give_the_same_frames_bit_for_bit,
    contract.a_used_world_is_as_good_as_a_new_one,
}
SHARED = [check for check in contract.CHECKS if check not in OWN_WORLD]
WITH_POSE = [
    contract.turning_right_raises_the_yaw_and_looking_down_the_pitch,
    contract.the_pose_is_five_numbers_in_their_ranges,
]


def _minerl(monkeypatch: pytest.MonkeyPatch, version: str = "1.0.2", **options: Any) -> list[minerl.Task]:
    modules, made = minerl.modules(version, **{"limit": 1000, **options})
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return made


def _lab(monkeypatch: pytest.MonkeyPatch) -> list[deepmind_lab.Lab]:
    module, made = deepmind_lab.module()
    monkeypatch.setitem(sys.modules, "deepmind_lab", module)
    return made


def _make(name: str, **kwargs: Any) -> gymnasium.Env[Any, Any]:
    return gymnasium.make(f"worldsim/{name}-v0", disable_env_checker=True, **kwargs)


@pytest.mark.parametrize("version", ["0.4.4", "1.0.2"])
@pytest.mark.parametrize("check", [*SHARED, *WITH_POSE], ids=lambda check: check.__name__)
def test_minerl_keeps_the_contract(check: Any, version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _minerl(monkeypatch, version)
    check(lambda **kwargs: _make("MineRL", **kwargs))


LAB_CHECKS = [*SHARED, *WITH_POSE, contract.walking_forward_goes_where_the_camera_looks]


@pytest.mark.parametrize("check", LAB_CHECKS, ids=lambda check: check.__name__)
def test_deepmind_lab_keeps_the_contract(check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deepmind_lab.Lab, "limit", 10**6)
    _lab(monkeypatch)
    check(lambda **kwargs: _make("DeepMindLab", **kwargs))


def test_minerl_is_told_its_seed_before_every_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    made = _minerl(monkeypatch)
    env = _make("MineRL")
    env.reset(seed=7), env.reset(), env.reset(seed=9)
    assert made[0].seeds[::2] == [7, 9]
    assert len(set(made[0].seeds)) == 3


def test_minerls_own_keys_rest_and_the_camera_stays_in_degrees(monkeypatch: pytest.MonkeyPatch) -> None:
    made = _minerl(monkeypatch)
    env = _make("MineRL")
    env.reset(seed=0)
    action = {**actions.noop("minecraft"), "use": 1, "camera": np.array([3.0, -12.5], np.float32)}
    env.step(action)
    told = made[0].told[0]
    assert told["camera"].tolist() == [3.0, -12.5]
    assert {k for k, v in told.items() if k != "camera" and v} == {"use"}


def test_using_places_dirt_in_the_old_minerl(monkeypatch: pytest.MonkeyPatch) -> None:
    made = _minerl(monkeypatch, "0.4.4")
    env = _make("MineRL")
    env.reset(seed=0)
    for use in (1, 0):
        env.step({**actions.noop("minecraft"), "use": use})
    assert [told["place"] for told in made[0].told] == ["dirt", "none"]
    assert made[0].name == "MineRLNavigate-v0"


def test_minerls_wide_picture_is_cut_to_its_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    _minerl(monkeypatch)
    seen, _ = _make("MineRL", size=48).reset(seed=5)
    assert (seen["pov"] == (5, 350 % 251, 0)).all()  # none of the white sides


def test_minerls_time_limit_truncates_and_does_not_terminate(monkeypatch: pytest.MonkeyPatch) -> None:
    _minerl(monkeypatch, limit=2)
    env = _make("MineRL")
    env.reset(seed=0)
    ends = [env.step(actions.noop("minecraft"))[2:4] for _ in range(2)]
    assert ends == [(False, False), (False, True)]


def test_a_task_that_tells_no_place_has_no_pose(monkeypatch: pytest.MonkeyPatch) -> None:
    _minerl(monkeypatch, stats=False)
    assert "pose" not in _make("MineRL").reset(seed=0)[1]


def test_deepmind_lab_holds_an_action_for_num_steps_and_ends_with_its_level(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = _lab(monkeypatch)
    env = _make("DeepMindLab", num_steps=16, level="tests/empty_room_test")
    env.reset(seed=3)
    last = None
    for expected in (False, False, True):
        seen, _, terminated, truncated, _ = env.step(np.array([9999, 0, 0, 1, 0, 0, 0], np.int32))
        assert (terminated, truncated) == (expected, False)
        last, before = seen["pov"], last
    np.testing.assert_array_equal(last, before)  # nothing can be seen after the end
    assert made[0].level == "tests/empty_room_test"
    assert made[0].told == [([512, 0, 0, 1, 0, 0, 0], 16)] * 3


def test_deepmind_labs_axes_are_turned_into_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    _lab(monkeypatch)
    _, info = _make("DeepMindLab").reset(seed=0)
    np.testing.assert_allclose(info["pose"], [2.5, 0.51, 1.5, -30.0, 0.0])


@pytest.mark.parametrize("name", ["MineRL", "DeepMindLab"])
def test_an_engine_that_is_not_installed_is_one_helpful_sentence(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("gym", "minerl", "deepmind_lab"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(EngineMissing, match=r"which is not here.*install") as told:
        _make(name)
    assert "\n" not in str(told.value)


def test_a_policy_that_needs_a_walk_map_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    _minerl(monkeypatch)
    with pytest.raises(ValueError, match="walk map"):
        policies.make("needle", _make("MineRL"))
