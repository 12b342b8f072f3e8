"""Any Gymnasium environment that can be seen is a world; one that cannot is refused in one sentence."""

from __future__ import annotations

import sys
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from envs import actions
from envs.adapters.engine_missing import EngineMissing
from envs.adapters.gym_picture import squeezed
from envs.adapters.gym_world import GymWorld, GymWorldError
from envs.policies import registry as policies
from tests.envs import contract

CHECKS = [
    contract.gymnasiums_own_checker_is_content,
    contract.the_same_seed_and_actions_give_the_same_frames_bit_for_bit,
    contract.a_used_world_is_as_good_as_a_new_one,
    contract.a_frame_that_was_handed_out_never_changes,
    contract.observations_are_square_pictures_of_the_size_asked_for,
    contract.the_action_space_is_that_of_the_family,
    contract.render_gives_the_present_picture,
    contract.a_world_says_what_it_is,
    contract.wrong_arguments_are_refused,
    contract.stepping_before_the_first_reset_is_refused,
]
SEEDED = [contract.another_seed_is_another_world, contract.a_reset_without_seed_draws_a_new_world]


class Shapes(gymnasium.Env[Any, Any]):
    """A picture of a number; what is seen and done is given by the class's spaces."""

    metadata: dict[str, Any] = {"render_modes": [], "render_fps": 12}  # noqa: RUF012
    observation_space: spaces.Space[Any] = spaces.Dict(
        {"speed": spaces.Box(0, 1, (2,)), "eye": spaces.Box(0, 255, (20, 10, 1), np.uint8)}
    )
    action_space: spaces.Space[Any] = spaces.Dict(
        {"gear": spaces.Discrete(3, start=-1), "wheel": spaces.Box(-1.0, 1.0, (2,), np.float32)}
    )

    def __init__(self, render_mode: str | None = None) -> None:
        self.told: list[Any] = []

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.light = int(self.np_random.integers(200))
        return self._seen(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.told.append(action)
        self.light += 1
        return self._seen(), 1.0, False, False, {}

    def _seen(self) -> Any:
        return {"speed": np.zeros(2, np.float32), "eye": np.full((20, 10, 1), self.light, np.uint8)}

    def get_keys_to_action(self) -> Any:
        return {("w", " "): {"gear": 1}, (276,): {"gear": -1}}


class Blind(Shapes):
    observation_space = spaces.Box(0, 1, (2,))


class Typist(Shapes):
    action_space = spaces.Text(4)


for _name, _class in {"Shapes": Shapes, "Blind": Blind, "Typist": Typist}.items():
    if f"tests/{_name}-v0" not in gymnasium.registry:
        gymnasium.register(f"tests/{_name}-v0", _class)


@pytest.mark.parametrize("check", [*CHECKS, *SEEDED], ids=lambda check: check.__name__)
@pytest.mark.parametrize("world", ["CartPole-v1", "tests/Shapes-v0"])
def test_a_gymnasium_world_keeps_the_contract(world: str, check: Any) -> None:
    check(lambda **kwargs: GymWorld(world, **kwargs))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_an_atari_game_keeps_the_contract(
    check: Any,
) -> None:  # whose first picture is the same for every seed
    pytest.importorskip("ale_py")
    check(lambda **kwargs: GymWorld("ALE/Breakout-v5", **kwargs))


def test_max_steps_truncates() -> None:
    env = GymWorld("tests/Shapes-v0", max_steps=2)
    env.reset(seed=0)
    moved = actions.noop(env.family)
    assert [env.step(moved)[3] for _ in range(2)] == [False, True]


def test_nothing_of_the_picture_is_cut_off() -> None:
    wide = np.zeros((40, 80, 3), np.uint8)
    wide[:, :20], wide[:, 60:] = 255, 100
    small = squeezed(wide, 8)
    assert (small[:, :2] == 255).all() and (small[:, 6:] == 100).all() and (small[:, 2:6] == 0).all()


def test_a_discrete_that_does_not_begin_with_zero_is_told_its_own_numbers() -> None:
    env = GymWorld("tests/Shapes-v0")
    env.reset(seed=0)
    assert env.action_space["gear"] == spaces.Discrete(3)
    env.step({"gear": 0, "wheel": np.array([0.5, -0.5], np.float32)})
    told = env._env.unwrapped.told[0]  # type: ignore[attr-defined]
    assert told["gear"] == -1 and told["wheel"].tolist() == [0.5, -0.5]


def test_the_keys_that_an_environment_tells_have_names() -> None:
    assert set(GymWorld("tests/Shapes-v0").keys_to_action()) == {("w", "space"), ("left",)}
    assert GymWorld("MountainCar-v0").keys_to_action() == {
        (): 1,
        ("left",): 0,
        ("right",): 2,
        ("right", "left"): 1,
    }
    assert GymWorld("CartPole-v1").keys_to_action() == {}


def test_a_world_without_a_picture_is_refused() -> None:
    with pytest.raises(GymWorldError, match="shows no picture"):
        GymWorld("tests/Blind-v0")


def test_actions_that_no_model_takes_are_refused() -> None:
    with pytest.raises(GymWorldError, match=r"Discrete, Box, MultiDiscrete.*, found Text"):
        GymWorld("tests/Typist-v0")


def test_an_id_that_gymnasium_does_not_know_is_one_sentence() -> None:
    with pytest.raises(EngineMissing, match="gym:NoSuchWorld-v0 cannot be made") as told:
        GymWorld("NoSuchWorld-v0")
    assert "\n" not in str(told.value)


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ale_py", None)
    with pytest.raises(EngineMissing, match=r"pip install ale-py"):
        GymWorld("ALE/Breakout-v5")


def test_the_random_policy_repeats_itself_by_its_seed_and_holds_what_it_draws() -> None:
    env = GymWorld("tests/Shapes-v0")

    def drawn(seed: int) -> list[Any]:
        policy = policies.make("random", env, seed)
        policy.reset({})
        return [policy(None, {})["wheel"].tolist() for _ in range(200)]

    assert drawn(3) == drawn(3) != drawn(4)
    changes = sum(a != b for a, b in zip(drawn(3), drawn(3)[1:], strict=False))
    assert 10 < changes < 100
