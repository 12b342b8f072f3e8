"""The true walks of a suite: played again from world, seed and actions, and compared with what is written down."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

import envs
from envs import actions as languages
from envs.policies import registry as policies
from envs.policies.loop import Loop
from envs.policies.moves import GAITS, Move, to_action
from envs.policies.retrace import PATIENCE, Retrace
from envs.worlds import identify
from training.bench.suite import Script, Suite
from training.evaluation.lockstep import Walk
from worldsim.actions import ActionSpec, vector

PLACES = {
    "blocks": ("minecraft", "embedded"),
    "labmaze": ("dmlab", "embedded"),
    "luanti": ("minecraft", "luanti"),
}
"""Family and backend of each world of a suite."""
OTHER = 1_000_000  # between the seed of a world and that of another, under the same actions
HOLD = 6
"""Frames that each move of the task ``actions`` is held."""
MOVES: tuple[dict[str, float], ...] = (
    *({"turn": -1.0}, {}, {"turn": 1.0}, {"forward": 1.0}, {"turn": 1.0}, {"forward": 1.0}, {}),
    *({"forward": -1.0}, {"turn": -1.0}, {"forward": 1.0, "turn": 0.5}, {"strafe": 1.0}, {"strafe": -1.0}),
)
"""What the task ``actions`` asks, one after the other; turns in the most that a body turns a frame."""


@dataclass(frozen=True)
class Truth:
    """One episode as it is in truth.

    Attributes:
        script: what was played.
        walk: frames, actions and poses.
        marks: as in the script, or where the policy set them.
        action_spec: the world's action language.
        origin: what made the world where its seed alone does not (Luanti's map).
    """

    script: Script
    walk: Walk
    marks: tuple[int, ...]
    action_spec: ActionSpec
    origin: str = ""

    @property
    def start(self) -> int:
        """The first frame that a model has to give without being shown it."""
        if self.script.task == "mirror":
            return self.marks[0]
        return self.marks[-1] if self.script.task == "loop" and self.marks else self.script.context

    @property
    def digest(self) -> str:
        """Of the frames, 16 digits of SHA-256."""
        return hashlib.sha256(np.ascontiguousarray(self.walk.frames).tobytes()).hexdigest()[:16]


class Worlds:
    """The true worlds that were made so far, at one size of pictures; use it in a ``with``."""

    def __init__(self, size: int) -> None:
        assert envs.__name__  # registers the worlds
        self._size = size
        self._made: dict[str, gymnasium.Env[Any, Any]] = {}

    def of(self, name: str) -> gymnasium.Env[Any, Any]:
        """The world of a suite's name.

        Raises:
            EngineMissing: it is not installed.
        """
        if name not in self._made:
            id_, kwargs = identify(*PLACES[name])
            self._made[name] = gymnasium.make(id_, disable_env_checker=True, size=self._size, **kwargs)
        return self._made[name]

    def spec(self, name: str) -> ActionSpec:
        """The action language of a world, which need not be installed for this."""
        family = PLACES[name][0]
        return languages.spec(languages.space(family), family)

    def play(self, suite: Suite, script: Script) -> Truth:
        """An episode of a suite; where it has no actions its policy plays."""
        written = suite.actions(script)
        if written is None:
            return self.record(script)
        return self._again(script, written, script.seed)

    def elsewhere(self, truth: Truth) -> Walk:
        """The same actions in another true world: who walks without looking walks into walls there too."""
        return self._again(truth.script, truth.walk.actions, truth.script.seed + OTHER).walk

    def record(self, script: Script) -> Truth:
        """An episode as its policy plays it now."""
        return _record(script, self.of(script.world))

    def _again(self, script: Script, vectors: NDArray[np.float32], seed: int) -> Truth:
        env = self.of(script.world)
        shown = [env.reset(seed=seed)]
        for row in vectors:
            observation, _, _, _, info = env.step(spaces.unflatten(env.action_space, row))
            shown.append((observation, info))
        return _truth(script, shown, vectors, script.marks, env)

    def __enter__(self) -> Worlds:
        return self

    def __exit__(self, *exc: object) -> None:
        for env in self._made.values():
            env.close()


def _truth(
    script: Script,
    shown: list[tuple[Any, dict[str, Any]]],
    vectors: NDArray[np.float32],
    marks: tuple[int, ...],
    env: gymnasium.Env[Any, Any],
) -> Truth:
    walk = Walk(
        np.stack([observation["pov"] for observation, _ in shown]),
        np.asarray(vectors, np.float32).reshape(len(shown) - 1, -1),
        np.stack([np.asarray(info["pose"], np.float64) for _, info in shown]),
    )
    family: str = env.unwrapped.family  # type: ignore[attr-defined]
    spec = languages.spec(env.action_space, family)
    return Truth(script, walk, marks, spec, str(shown[0][1].get("map", "")))


Player = Callable[[Any, dict[str, Any]], Any]


def _record(script: Script, env: gymnasium.Env[Any, Any]) -> Truth:
    """Play the policy of a task from a reset."""
    shown = [env.reset(seed=script.seed)]
    vectors: list[NDArray[np.float32]] = []

    def let(player: Player, most: int) -> None:
        for _ in range(most):
            action = player(*shown[-1])
            if action is None:
                break
            vectors.append(vector(env.action_space, action))
            observation, _, _, _, info = env.step(action)
            shown.append((observation, info))

    marks = _PARTS[script.task](script, env, shown, let)
    return _truth(script, shown, np.stack(vectors), marks, env)


Let = Callable[[Player, int], None]
Shown = list[tuple[Any, dict[str, Any]]]


def _by_policy(name: str) -> Callable[[Script, gymnasium.Env[Any, Any], Shown, Let], tuple[int, ...]]:
    def play(script: Script, env: gymnasium.Env[Any, Any], shown: Shown, let: Let) -> tuple[int, ...]:
        player = policies.make(name, env, script.seed)
        player.reset(shown[-1][1])
        let(player, script.frames - 1)
        return ()

    return play


def _context(script: Script, env: gymnasium.Env[Any, Any], shown: Shown, let: Let) -> None:
    player = policies.make("roam", env, script.seed)
    player.reset(shown[-1][1])
    let(player, script.context - 1)


def _mirror(script: Script, env: gymnasium.Env[Any, Any], shown: Shown, let: Let) -> tuple[int, ...]:
    """Roam on for ``steps``, then back along the same poses."""
    _context(script, env, shown, let)
    steps, out = int(script.options["steps"]), len(shown)
    player = policies.make("roam", env, script.seed + 1)
    player.reset(shown[-1][1])
    let(player, steps)
    trail = [np.asarray(info["pose"], np.float64) for _, info in shown[out - 1 :]]
    family: str = env.unwrapped.family  # type: ignore[attr-defined]
    back, retrace = len(shown), Retrace(family, trail)
    retrace.reset(shown[-1][1])
    let(retrace, 2 * PATIENCE * steps)
    return out, back


def _loop(script: Script, env: gymnasium.Env[Any, Any], shown: Shown, let: Let) -> tuple[int, ...]:
    options = script.options
    player = Loop(env, script.seed, legs=int(options["legs"]), range=float(options["range"]))
    player.reset(shown[-1][1])
    let(player, 4000)
    return tuple(player.marks) if player.arrived else ()


def _still(script: Script, env: gymnasium.Env[Any, Any], shown: Shown, let: Let) -> tuple[int, ...]:
    _context(script, env, shown, let)
    rest = languages.noop(env.unwrapped.family)  # type: ignore[attr-defined]
    let(_always(rest), script.frames - len(shown))
    return ()


def _actions(script: Script, env: gymnasium.Env[Any, Any], shown: Shown, let: Let) -> tuple[int, ...]:
    _context(script, env, shown, let)
    family: str = env.unwrapped.family  # type: ignore[attr-defined]
    most = GAITS[family].turn
    for move in MOVES:
        asked = Move(
            most * move.get("turn", 0.0), 0.0, int(move.get("forward", 0)), int(move.get("strafe", 0))
        )
        let(_always(to_action(family, asked)), HOLD)
    return ()


def _always(action: Any) -> Player:
    """Who gives one action for ever."""
    return lambda observation, info: action


_PARTS = {
    "needle": _by_policy("needle"),
    "ahead": _by_policy("explore"),
    "free": _by_policy("roam"),
    "mirror": _mirror,
    "loop": _loop,
    "still": _still,
    "actions": _actions,
}
"""Who plays each task; all give the frames at which a part begins."""
