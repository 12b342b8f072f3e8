"""Keys of a Gymnasium world do what a file, or the world itself, says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces

from worldsim.cli import keymaps
from worldsim.cli.options import parse
from worldsim.config import shipped
from worldsim.player.key_bindings import KeyFile, KeysError, read
from worldsim.player.keymap import Intent

SPACE = spaces.Box(np.array([-1, 0, 0], np.float32), np.ones(3, np.float32))
SHIPPED = {
    "CarRacing-v3": SPACE,
    "LunarLander-v3": spaces.Discrete(4),
    "CartPole-v1": spaces.Discrete(2),
}


def _held(*keys: str) -> Intent:
    return Intent(frozenset(keys), 0.0, 0.0)


@pytest.mark.parametrize("world", SHIPPED)
def test_the_shipped_files_fit_their_worlds(world: str) -> None:
    file = shipped.KEYS / f"{world}.yaml"
    keymap = read(file, SHIPPED[world])
    for key in keymap.keys:
        action = keymap.action(_held(key))
        assert SHIPPED[world].contains(action)
        assert key in keymap.intent(action).held
    assert {p.stem for p in shipped.KEYS.glob("*.yaml")} == set(SHIPPED)


def test_in_a_box_keys_add_up_within_its_bounds() -> None:
    keymap = KeyFile(SPACE, [(["left"], [-1, 0, 0]), (["up"], [0, 0.75, 0]), (["turbo"], [0, 0.75, 0])])
    assert keymap.action(_held("left", "up")).tolist() == [-1, 0.75, 0]
    assert keymap.action(_held("up", "turbo")).tolist() == [0, 1, 0]
    assert keymap.action(_held()).tolist() == [0, 0, 0]


def test_in_a_discrete_the_longest_combination_decides() -> None:
    keymap = KeyFile(spaces.Discrete(6), [(["w"], 1), (["d"], 2), (["w", "d"], 5), ([], 4)])
    assert [keymap.action(_held(*k)) for k in (("w",), ("d",), ("w", "d"), ())] == [1, 2, 5, 4]
    assert keymap.intent(5).held == {"w", "d"}
    assert keymap.intent(4).held == frozenset()
    assert keymap.keys == ("w", "d")


def test_in_a_dict_each_key_says_its_fields() -> None:
    space = spaces.Dict({"fire": spaces.Discrete(2), "wheel": spaces.Box(-1.0, 1.0, (1,))})
    keymap = KeyFile(space, [(["space"], {"fire": 1}), (["left"], {"wheel": [-1.0]})])
    both = keymap.action(_held("space", "left"))
    assert space.contains(both) and both["fire"] == 1 and both["wheel"] == [-1.0]
    assert keymap.action(_held())["fire"] == 0
    assert keymap.intent(both).held == {"space", "left"}


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("keys: {left: 7}", "from 0 to 3, found 7"),
        ("keys: {left: fast}", "found 'fast'"),
        ("left: 1", "expected a mapping `keys`"),
        ("keys: {left: 1}\nkyes: {}", "expected a mapping `keys`"),
        ("keys: {left: 1}\ntick_rate: 0", "tick_rate of at least 1"),
        ("keys: [", "no readable YAML"),
    ],
)
def test_a_file_that_says_what_cannot_be_is_refused_in_one_sentence(
    written: str, told: str, tmp_path: Path
) -> None:
    (file := tmp_path / "keys.yaml").write_text(written)
    with pytest.raises(KeysError, match=told) as error:
        read(file, spaces.Discrete(4))
    assert "\n" not in str(error.value)


def test_numbers_of_another_shape_are_refused() -> None:
    with pytest.raises(KeysError, match=r"shape \(3,\)"):
        KeyFile(SPACE, [(["left"], [1, 2])])


class _World:
    metadata = {"render_fps": 25}  # noqa: RUF012

    def __init__(self, space: spaces.Space[object], told: dict[tuple[str, ...], object]) -> None:
        self.action_space, self.told = space, told

    def keys_to_action(self) -> dict[tuple[str, ...], object]:
        return self.told


def test_the_users_file_comes_before_what_the_world_says_and_that_before_digits(tmp_path: Path) -> None:
    (file := tmp_path / "mine.yaml").write_text("keys: {x: 2}")
    space, told = spaces.Discrete(3), {("w",): 1}
    mine = keymaps.keymap(parse(["--env", "gym:Other-v0", f"keys={file}"]), _World(space, told))
    assert mine.keys == ("x",) and mine.tick_rate == 25
    options = parse(["--env", "gym:Other-v0"])
    assert keymaps.keymap(options, _World(space, told)).keys == ("w",)
    assert keymaps.keymap(options, _World(space, {})).keys == ("1", "2", "3")


def test_a_world_waits_for_a_key_where_nothing_says_how_it_rests(tmp_path: Path) -> None:
    options, space = parse(["--env", "gym:Other-v0"]), spaces.Discrete(3)
    assert keymaps.keymap(options, _World(space, {})).action(_held()) is None, (
        "digits, of which one is the first action's"
    )
    assert keymaps.keymap(options, _World(space, {("w",): 0})).action(_held()) is None
    assert keymaps.keymap(options, _World(space, {("w",): 0, (): 2})).action(_held()) == 2
    assert keymaps.keymap(options, _World(space, {("w",): 1})).action(_held()) == 0
    for said, rests in (("rest: null", None), ("rest: 2", 2), ("", 0)):
        (file := tmp_path / "mine.yaml").write_text(f"keys: {{x: 0}}\n{said}")
        keymap = keymaps.keymap(parse(["--env", "gym:Other-v0", f"keys={file}"]), _World(space, {}))
        assert keymap.action(_held()) == rests and keymap.waits == (rests is None)
        assert keymap.action(_held("x")) == 0


def test_two_way_switches_have_a_digit_each() -> None:
    space = spaces.Dict({str(i): spaces.Discrete(2) for i in range(4)})
    keymap = keymaps.keymap(parse(["--env", "gym:Other-v0"]), _World(space, {}))
    assert keymap.action(_held("1", "4")) == {"0": 1, "1": 0, "2": 0, "3": 1} and not keymap.waits


def test_arguments_of_a_world_leave_it_its_shipped_keys_where_these_still_fit() -> None:
    fits = keymaps.keymap(parse(["--env", "gym:LunarLander-v3,gravity=-5"]), _World(spaces.Discrete(4), {}))
    assert fits.keys == ("left", "up", "right")
    other = keymaps.keymap(parse(["--env", "gym:LunarLander-v3,x=1"]), _World(spaces.Discrete(2), {}))
    assert other.keys == ("1", "2")


def test_numbered_fields_may_be_written_as_numbers(tmp_path: Path) -> None:
    (file := tmp_path / "mine.yaml").write_text("keys: {x: {0: 1}}")
    keymap = read(file, spaces.Dict({"0": spaces.Discrete(2), "1": spaces.Discrete(2)}))
    assert keymap.action(_held("x")) == {"0": 1, "1": 0}


def test_a_world_without_known_keys_asks_for_a_file_only_where_hands_play() -> None:
    world = _World(SPACE, {})
    with pytest.raises(KeysError, match=r"give keys=FILE.yaml"):
        keymaps.keymap(parse(["--env", "gym:Other-v0"]), world)
    watched = parse(["--env", "gym:Other-v0", "--policy", "random"])
    assert keymaps.keymap(watched, world).keys == ()


def test_keys_for_a_world_that_has_its_own_are_refused(tmp_path: Path) -> None:
    (file := tmp_path / "x.yaml").write_text("keys: {x: 0}")
    with pytest.raises(ValueError, match="only Gymnasium worlds"):
        parse(["--env", "dmlab", f"keys={file}"])
