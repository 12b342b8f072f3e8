"""Which keys play a world: its family's own, a file of the user's or a shipped one, or what the world itself says."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from gymnasium import spaces

from worldsim.cli.options import GYM, Options, slug
from worldsim.config import shipped
from worldsim.player import key_bindings as key_file
from worldsim.player.keymap import KEYMAPS, Keymap

DIGITS = "1234567890"


def keymap(options: Options, world: Any) -> Keymap:
    """The keymap of ``options``' world.

    Where nothing says what a Gymnasium world does while no key is held, and its first action is a key's, it waits.

    Args:
        world: the true world, whose ``action_space``, frames a second and ``keys_to_action`` count for Gymnasium's.

    Raises:
        KeysError: a file of keys that cannot be used, or none for a world that needs one.
    """
    if options.world != GYM:
        return KEYMAPS[options.world]()
    space, rate = world.action_space, int(world.metadata.get("render_fps") or key_file.TICK_RATE)
    if options.config.keys:
        return key_file.read(Path(options.config.keys), space, rate)
    ours = shipped.KEYS / f"{_id(options)}.yaml"
    if ours.is_file():
        with suppress(key_file.KeysError):  # the arguments of the world have changed what it can do
            return key_file.read(ours, space, rate)
    known: Mapping[tuple[str, ...], Any] = world.keys_to_action() or _digits(space)
    if not known and options.from_keyboard:
        raise key_file.KeysError(
            f"no keys are known for {options.env}, whose actions are {space}: write them into a YAML file as in "
            "assets/configs/keys and give keys=FILE.yaml, or let --policy random play"
        )
    waits = isinstance(space, spaces.Discrete) and () not in known and 0 in known.values()
    return key_file.KeyFile(space, known.items(), rate, options.env, waits)


def _id(options: Options) -> str:
    """The Gymnasium id without arguments, as a part of a file's name."""
    return slug(options.env.partition(",")[0]).removeprefix("gym-")


def _digits(space: spaces.Space[Any]) -> dict[tuple[str, ...], Any]:
    """A digit for each action of a Discrete or for each of two-way switches: better than no keys at all."""
    if isinstance(space, spaces.Discrete) and space.n <= len(DIGITS):
        return {(DIGITS[i],): i for i in range(int(space.n))}
    parts = space.spaces if isinstance(space, spaces.Dict) else {}
    if len(parts) <= len(DIGITS) and all(isinstance(p, spaces.Discrete) and p.n == 2 for p in parts.values()):
        return {(DIGITS[i],): {name: 1} for i, name in enumerate(parts)}
    return {}
