"""Any Gymnasium environment that can be looked at, as a world: its picture made small, its actions as they are."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from envs.adapters.engine_seed import engine_seed
from envs.adapters.gym_actions import ActionLanguage, ForeignActions
from envs.adapters.gym_make import PREFIX, make, make_rendering
from envs.adapters.gym_picture import (
    NoPicture,
    Pictures,
    first_bytes_in,
    letterboxed,
    look_up,
    picture_in,
    squeezed,
)
from envs.true_world import Observation, TrueWorld

FPS = 30  # of an environment that tells none
VERSIONS = (1, 2)
# Key codes that environments give as numbers: of pygame 1, which old ones still use, and of SDL 2.
_CODES = {273: "up", 274: "down", 275: "right", 276: "left"}
_CODES |= {1073741906: "up", 1073741905: "down", 1073741903: "right", 1073741904: "left"}


class GymWorldError(ValueError):
    """An environment that cannot be a world: nothing to be seen, an old interface, actions that no model can take."""


class WorldFailed(RuntimeError):
    """A world's own code raised something, which is the cause and keeps its traceback."""


class GymWorld(TrueWorld):
    """One Gymnasium environment; the picture is what it renders, or its observation where it renders none.

    The whole picture is shown in its proportions, in the middle of a black square. There is no pose: where a view comes
    back is judged by the pictures. Rewards and ends are the environment's own.

    Args:
        world: Gymnasium's id, also ``module:id``, whose module is imported first, perhaps in the present folder; then,
            perhaps, arguments: ``FrozenLake-v1,map_name=8x8,is_slippery=false``.
        size: height and width of the picture in pixels.
        max_steps: truncate an episode after this many steps; None leaves that to the environment.
        render_mode: None or ``rgb_array``.
        version: 2, or 1 for what was recorded before: the observation where it is an image, squeezed into the square.

    Raises:
        ValueError: a size, max_steps, render_mode or version that cannot be.
        EngineMissing: Gymnasium does not know the id, a library that it needs is not installed, or it does not start.
        GymWorldError: it shows no picture, or its actions are of a kind that no model here can take.
    """

    fov = None  # no camera is known
    backend = "gymnasium"

    def __init__(
        self,
        world: str,
        size: int = 64,
        max_steps: int | None = None,
        render_mode: str | None = None,
        version: int = 2,
    ) -> None:
        self.label = self.family = PREFIX + world
        super().__init__(size, max_steps, render_mode)
        if version not in VERSIONS:
            raise ValueError(f"{PREFIX}{world}: expected version 1 or 2, found {version!r}")
        self.version = version
        self._env, self._seen_in = _made(world, version)
        self._language = _language(self._env.action_space, self.family)
        self.action_space = self._language.plain
        metadata = getattr(self._env, "metadata", None) or {}
        fps = int(metadata.get("render_fps") or FPS)
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": max(1, fps)}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode; without a seed one is drawn, so that every episode can be played again."""
        world_seed = self._begin(seed)
        with self._of_the_world("reset"):
            found = self._env.reset(
                seed=world_seed if self.version == 1 else engine_seed(world_seed), options=options
            )
        if not (isinstance(found, tuple) and len(found) == 2 and isinstance(found[1], dict)):
            raise self._old("reset", "(observation, info)", found)
        self._pictures = Pictures()
        return self._observation(found[0])

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """One step of the environment.

        Raises:
            WorldFailed: its own code raised something.
            GymWorldError: it returned what is no step, or a picture that is none.
        """
        self._ready()
        native = self._language.to_world(action)
        with self._of_the_world("step"):
            found = self._env.step(native)
        if not (isinstance(found, tuple) and len(found) == 5):
            raise self._old("step", "(observation, reward, terminated, truncated, info)", found)
        observation, reward, terminated, truncated, _ = found
        try:
            score, ended, stopped = float(reward), bool(terminated), bool(truncated)  # type: ignore[arg-type]
        except (TypeError, ValueError, RuntimeError):
            raise GymWorldError(
                f"{self.family}: step() returned the reward {_brief(reward)} and the ends {_brief(terminated)}, "
                f"{_brief(truncated)}; expected one number and two bools, of one world and not of a batch"
            ) from None
        cut = self._cut()
        picture, info = self._observation(observation)
        return picture, score, ended, stopped or cut, info

    def close(self) -> None:
        """Close the environment."""
        self._env.close()

    def keys_to_action(self) -> dict[tuple[str, ...], Any]:
        """Which keys, by name, do what, as the environment's ``get_keys_to_action`` has it; empty where it has none."""
        if not self._env.has_wrapper_attr("get_keys_to_action"):
            return {}
        try:
            pressed = self._env.get_wrapper_attr("get_keys_to_action")()
        except AttributeError:  # ale-py's way of saying that it has none in this mode
            return {}
        found = {}
        for keys, action in pressed.items():
            names = [_key_name(key) for key in (keys if isinstance(keys, tuple) else (keys,))]
            if None not in names:
                with suppress(ValueError):
                    found[tuple(str(n) for n in names)] = self._language.from_world(action)
        return found

    def _observation(self, observation: Any) -> tuple[Observation, dict[str, Any]]:
        if self._seen_in is None:
            try:
                with self._of_the_world("render"):
                    found: Any = self._env.render()
            except WorldFailed:
                if not self._falls_back():
                    raise
                return self._observation(observation)
        else:
            found = look_up(observation, self._seen_in)
        try:
            if self.version == 1:
                self._pov = squeezed(np.asarray(found, np.uint8), self.size)
            else:
                self._pov = letterboxed(self._pictures.colour(found), self.size)
        except (NoPicture, TypeError, ValueError) as error:
            what = "render() returned" if self._seen_in is None else "it observes"
            if self._falls_back():
                return self._observation(observation)
            raise GymWorldError(
                f"{self.family}: {what} {error}; expected one picture (height, width, 3) of 0 to 255 or 0.0 to 1.0"
            ) from None
        return {"pov": self._pov.copy()}, {"seed": self.world_seed}

    def _falls_back(self) -> bool:
        """Whether what is rendered is given up, at a first picture, for an observation that is one."""
        if self._seen_in is not None or self.version == 1 or self._steps:
            return False
        self._seen_in = picture_in(self._env.observation_space)
        return self._seen_in is not None

    @contextmanager
    def _of_the_world(self, what: str) -> Iterator[None]:
        """What the environment raises in here names it and keeps its traceback."""
        try:
            yield
        except Exception as error:
            if _of_the_interface(error):
                raise self._old(what, "what Gymnasium's own wrappers expect", error) from None
            raise WorldFailed(
                f"{self.family}: its own {what}() raised {type(error).__name__}: {error}"
            ) from error

    def _old(self, what: str, expected: str, found: Any) -> GymWorldError:
        count = f"{len(found)} things" if isinstance(found, tuple) else _brief(found)
        count = str(found) if isinstance(found, Exception) else count
        return GymWorldError(
            f"{self.family}: {what}() of this world has another interface: expected {expected}, found {count}; one of "
            "gym before 0.26 has to be wrapped (shimmy's GymV21CompatibilityV0) or mended"
        )


@lru_cache(maxsize=16)
def action_space(family: str) -> spaces.Space[Any]:
    """The actions of the family ``gym:ID``; for this the environment is made and closed again."""
    env, _ = make_rendering(family.removeprefix(PREFIX))
    try:
        return _language(env.action_space, family).plain
    finally:
        env.close()


def _made(world: str, version: int) -> tuple[gymnasium.Env[Any, Any], tuple[str | int, ...] | None]:
    """An environment, and where its picture is in an observation, None where it is what it renders."""
    if version == 1:
        env = make(world)
        if (seen_in := first_bytes_in(env.observation_space)) is not None:
            return env, seen_in
        env.close()
    env, renders = make_rendering(world)
    seen_in = None if renders else picture_in(env.observation_space)
    if renders or seen_in is not None:
        return env, seen_in
    modes = list((getattr(env.unwrapped, "metadata", None) or {}).get("render_modes") or ())
    space = env.observation_space
    env.close()
    raise GymWorldError(
        f"{PREFIX}{world} shows no picture: expected render_mode rgb_array, or as observation an image "
        f"(height, width, 1 or 3) of bytes or of 0.0 to 1.0, found {space} and render modes {modes}"
    )


def _language(space: spaces.Space[Any], family: str) -> ActionLanguage:
    try:
        return ActionLanguage(space)
    except ForeignActions as error:
        raise GymWorldError(
            f"{family}: expected actions that are Discrete, Box, MultiDiscrete, MultiBinary, or a Tuple or Dict of "
            f"those, found {error}; wrap the environment"
        ) from None


def _of_the_interface(error: Exception) -> bool:
    """Whether Gymnasium's wrappers, and not the world's own code, could do nothing with what the world has."""
    if isinstance(error, TypeError) and any(
        f"unexpected keyword argument '{word}'" in str(error) for word in ("seed", "options")
    ):
        return True
    last = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
    return (
        isinstance(error, ValueError | TypeError)
        and last.parent.name in ("wrappers", "gymnasium")
        and "gymnasium" in last.parts
        and "unpack" in str(error)
    )


def _brief(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return f"a {type(value).__name__} of shape {tuple(shape)}" if shape else repr(value)[:60]


def _key_name(key: str | int) -> str | None:
    if isinstance(key, int):
        key = _CODES.get(key, chr(key) if 32 <= key < 127 else "")
    return {" ": "space", "": None}.get(key, key)
