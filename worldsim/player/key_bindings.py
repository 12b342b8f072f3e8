"""Keys of a Gymnasium world: which keys do what, from a YAML file or from what the world says of itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from gymnasium import spaces

from worldsim.player.keymap import Intent

TICK_RATE = 30


class KeysError(ValueError):
    """A file of keys that cannot be read or says what the world's actions are not."""


@dataclass(frozen=True)
class Binding:
    """Keys that do something when all of them are held, by their names."""

    keys: frozenset[str]
    action: Any


class KeyFile:
    """The keymap of a Gymnasium world.

    Of the bindings that are held those count that no other one contains. In a Discrete the longest decides; in a Box
    they add up from where it rests, within its bounds; in a Dict each does so for the fields that it names.

    Args:
        space: the world's actions: Discrete, Box or a Dict of those.
        bindings: (keys, action); no keys are what is done while nothing is held. The actions are checked.
        tick_rate: ticks a second of live play.
        source: where the bindings come from, for errors.
        waits: whether the world stands still while nothing is held.
    """

    def __init__(
        self,
        space: spaces.Space[Any],
        bindings: Iterable[tuple[Iterable[str], Any]],
        tick_rate: int = TICK_RATE,
        source: str = "",
        waits: bool = False,
    ) -> None:
        self.tick_rate, self._space, self._source, self.waits = tick_rate, space, source, waits
        found = [Binding(frozenset(keys), self._checked(space, action)) for keys, action in bindings]
        rests = [b.action for b in found if not b.keys]
        self._rest = _whole(space, rests[0] if rests else None)
        self._bindings = [b for b in found if b.keys]
        order = [key for keys, _ in bindings for key in keys]
        self.keys = tuple(dict.fromkeys(order))

    def action(self, intent: Intent) -> Any:
        """The action of the keys held; None where there are none and the world waits for one."""
        held = [b for b in self._bindings if b.keys <= intent.held]
        if self.waits and not held:
            return None
        counting = [b for b in held if not any(b.keys < other.keys for other in held)]
        return _joined(self._space, self._rest, [b.action for b in counting])

    def intent(self, action: Any) -> Intent:
        """The keys that would do an action, for the HUD; none where no binding does it."""
        doing = [b for b in self._bindings if _does(self._space, self._rest, b.action, action)]
        most = max((len(b.keys) for b in doing), default=0)
        exact = isinstance(self._space, spaces.Discrete)
        held = [b.keys for b in doing if not exact or len(b.keys) == most][: 1 if exact else None]
        return Intent(frozenset().union(*held), 0.0, 0.0)

    def _checked(self, space: spaces.Space[Any], action: Any, where: str = "") -> Any:
        """What a binding says as the space has it; in a Dict only the fields named."""
        if isinstance(space, spaces.Dict):
            if not isinstance(action, Mapping):
                raise self._wrong(f"fields of {sorted(space.spaces)}", action)
            action = {str(name): part for name, part in action.items()}  # YAML's 0 is the field "0"
            if set(action) - set(space.spaces):
                raise self._wrong(f"fields of {sorted(space.spaces)}", action)
            return {name: self._checked(space.spaces[name], part, name) for name, part in action.items()}
        if isinstance(space, spaces.Discrete):
            if (
                isinstance(action, bool)
                or not isinstance(action, int | np.integer)
                or not space.contains(action)
            ):
                raise self._wrong(f"a whole number from 0 to {int(space.n) - 1}", action, where)
            return int(action)
        try:
            values = np.broadcast_to(np.asarray(action, space.dtype), space.shape or ())
        except (TypeError, ValueError):
            raise self._wrong(f"numbers of shape {space.shape}", action, where) from None
        return values

    def _wrong(self, expected: str, found: Any, where: str = "") -> KeysError:
        of = f" for {where}" if where else ""
        return KeysError(f"{self._source}: expected {expected}{of}, found {found!r}")


def read(path: Path, space: spaces.Space[Any], tick_rate: int = TICK_RATE) -> KeyFile:
    """The keymap in a YAML file: ``keys``, a mapping of keys ("left", "left+up") to actions; ``rest``; ``tick_rate``.

    ``rest`` is what is done while no key is held, by default the first action, or zeros; ``rest: null`` lets it wait.

    Raises:
        KeysError: no such file, no YAML, another key in it, or actions that the world does not have.
    """
    try:
        config = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError:
        raise KeysError(f"no file of keys at {path}; assets/configs/keys has examples") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise KeysError(f"{path} is no readable YAML file: {' '.join(str(error).split())}") from None
    known = {"keys", "rest", "tick_rate"}
    if not isinstance(config, dict) or not isinstance(config.get("keys"), dict) or set(config) - known:
        raise KeysError(
            f"{path}: expected a mapping `keys` and perhaps `rest` and `tick_rate`, found {config!r}"
        )
    rate = config.get("tick_rate", tick_rate)
    if not isinstance(rate, int) or rate < 1:
        raise KeysError(f"{path}: expected a tick_rate of at least 1, found {rate!r}")
    bindings: list[tuple[list[str], Any]] = [(str(keys).split("+"), a) for keys, a in config["keys"].items()]
    if config.get("rest") is not None:
        bindings.append(([], config["rest"]))
    return KeyFile(space, bindings, rate, str(path), waits="rest" in config and config["rest"] is None)


def _whole(space: spaces.Space[Any], named: Any) -> Any:
    """An action of which perhaps nothing, or some fields, are named; the others rest."""
    if isinstance(space, spaces.Dict):
        return {name: _whole(part, (named or {}).get(name)) for name, part in space.spaces.items()}
    if named is not None:
        return named
    if isinstance(space, spaces.Box):
        return np.clip(np.zeros(space.shape, space.dtype), space.low, space.high).astype(space.dtype)
    return 0


def _joined(space: spaces.Space[Any], rest: Any, actions: list[Any]) -> Any:
    if isinstance(space, spaces.Dict):
        return {
            name: _joined(part, rest[name], [a[name] for a in actions if name in a])
            for name, part in space.spaces.items()
        }
    if isinstance(space, spaces.Box):
        total = np.sum([rest, *actions], axis=0, dtype=np.float64)
        return np.clip(total, space.low, space.high).astype(space.dtype)
    return actions[0] if actions else rest


def _does(space: spaces.Space[Any], rest: Any, binding: Any, action: Any) -> bool:
    """Whether an action goes where a binding goes, at least half as far."""
    if isinstance(space, spaces.Dict):
        return all(
            _does(space.spaces[name], rest[name], part, action[name]) for name, part in binding.items()
        )
    if isinstance(space, spaces.Box):
        way = np.asarray(binding, np.float64)
        gone = (np.asarray(action, np.float64) - rest) * np.sign(way)
        return bool((gone >= np.abs(way) / 2)[way != 0].all()) and bool(way.any())
    return int(action) == int(binding)
