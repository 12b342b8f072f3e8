"""Which keys play a world: its family's own, a file of the user's or a shipped one, or what the world itself says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gymnasium import spaces

from worldsim.cli.options import GYM, OptionError, Options
from worldsim.config import shipped
from worldsim.player import key_bindings as key_file
from worldsim.player.keymap import KEYMAPS, Keymap

DIGITS = "1234567890"


def keymap(options: Options, world: Any) -> Keymap:
    """The keymap of ``options``' world.

    Args:
        world: the true world, whose ``action_space``, frames a second and ``keys_to_action`` count for Gymnasium's.

    Raises:
        OptionError: ``keys=`` for a world that has its own.
        KeysError: a file of keys that cannot be used, or none for a world that needs one.
    """
    if options.world != GYM:
        if options.config.keys:
            raise OptionError(f"keys={options.config.keys}: only Gymnasium worlds take keys from a file")
        return KEYMAPS[options.world]()
    space, rate = world.action_space, int(world.metadata.get("render_fps") or key_file.TICK_RATE)
    ours = shipped.KEYS / f"{options.slug.removeprefix('gym-')}.yaml"
    if options.config.keys or ours.is_file():
        return key_file.read(Path(options.config.keys or ours), space, rate)
    known: Mapping[tuple[str, ...], Any] = world.keys_to_action()
    if not known and isinstance(space, spaces.Discrete) and space.n <= len(DIGITS):
        known = {(DIGITS[i],): i for i in range(int(space.n))}  # better than no keys at all
    if not known and options.from_keyboard:
        raise key_file.KeysError(
            f"no keys are known for {options.env}, whose actions are {space}: write them into a YAML file as in "
            "assets/configs/keys and give keys=FILE.yaml, or let --policy random play"
        )
    return key_file.KeyFile(space, known.items(), rate, options.env)
