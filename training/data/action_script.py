"""Actions in words: `forward*20 forward,camera=0:5*8 noop` for Minecraft, `move*20 look=40*8 noop` for DMLab.

Words stand one after the other; each is one action, `*n` repeats it. An action joins its parts by commas; a part is the
name of a field, at 1 or at the value that follows `=`, with colons between several values. What is not named rests.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from envs.actions import noop, space

DMLAB = ("look", "look_up", "strafe", "move", "fire", "jump", "crouch")
"""DeepMind Lab's seven integers, in their order."""


class ScriptError(ValueError):
    """An action script that says something the world does not know."""


def actions_of(script: str, family: str) -> np.ndarray:
    """The actions of a script as the model sees them: float32 (n, D).

    Raises:
        ScriptError: no action, a field that does not exist, a value that is none or out of range, a count below 1.
    """
    actions = space(family)
    rows: list[np.ndarray] = []
    for word in script.split():
        what, _, times = word.partition("*")
        count = int(times) if times.isdecimal() else 0 if times or word.endswith("*") else 1
        if count < 1:
            raise ScriptError(f"{word!r}: expected a number of times after *, found {times!r}")
        action = _action(what, family, word)
        if not actions.contains(action):
            raise ScriptError(f"{word!r}: a value out of range; the actions are {actions}")
        rows += [np.asarray(spaces.flatten(actions, action), np.float32)] * count
    if not rows:
        raise ScriptError("the action script is empty; write for example actions='noop*16'")
    return np.stack(rows)


def _action(what: str, family: str, word: str) -> Any:
    action = noop(family)
    for part in what.split(",") if what != "noop" else []:
        name, equals, given = part.partition("=")
        names = DMLAB if family == "dmlab" else tuple(action)
        if name not in names:
            raise ScriptError(
                f"{word!r}: no field {name!r} of {family} actions; they are noop, {', '.join(names)}"
            )
        try:
            values = [float(v) for v in given.split(":")] if equals else [1.0]
        except ValueError:
            raise ScriptError(f"{word!r}: expected numbers after =, found {given!r}") from None
        whole = family == "dmlab" or name != "camera"
        if len(values) != (1 if whole else 2) or (whole and not values[0].is_integer()):
            wanted = "one whole number" if whole else "two numbers, pitch:yaw in degrees"
            raise ScriptError(f"{word!r}: expected {wanted} for {name}")
        if family == "dmlab":
            action[DMLAB.index(name)] = int(values[0])
        else:
            action[name] = int(values[0]) if whole else np.array(values, np.float32)
    return action
