"""Any Gymnasium environment that can be looked at, as a world: its picture made small, its actions as they are."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from PIL import Image

from envs.adapters.engine_missing import EngineMissing
from envs.asked import check

PREFIX = "gym:"  # of the family's name; what follows is Gymnasium's own id
FPS = 30  # of an environment that tells none
PLUGINS = {"ALE": "ale_py"}  # who registers a namespace when imported
# Key codes that environments give as numbers: of pygame 1, which old ones still use, and of SDL 2.
_CODES = {273: "up", 274: "down", 275: "right", 276: "left"}
_CODES |= {1073741906: "up", 1073741905: "down", 1073741903: "right", 1073741904: "left"}
Observation = dict[str, NDArray[np.uint8]]


class GymWorldError(ValueError):
    """An environment that cannot be a world: nothing to be seen, or actions that no model here can take."""


class GymWorld(gymnasium.Env[Observation, Any]):
    """One Gymnasium environment; the picture is its observation where that is one, else what it renders.

    The whole picture is squeezed into a square: nothing is cut off. There is no pose: where a view comes back is judged
    by the pictures. Rewards and ends are the environment's own.

    Args:
        world: Gymnasium's id, also ``module:id``, whose module is imported first.
        size: height and width of the picture in pixels.
        max_steps: truncate an episode after this many steps; None leaves that to the environment.
        render_mode: None or ``rgb_array``.

    Raises:
        ValueError: a size, max_steps or render_mode that cannot be.
        EngineMissing: Gymnasium does not know the id, or a library that it needs is not installed.
        GymWorldError: it shows no picture, or its actions are not Discrete, Box or a Dict of those.
    """

    fov = None  # no camera is known
    backend = "gymnasium"
    version = 1

    def __init__(
        self, world: str, size: int = 64, max_steps: int | None = None, render_mode: str | None = None
    ) -> None:
        check(PREFIX + world, size, max_steps, render_mode)
        self.family = PREFIX + world
        self.size, self.max_steps, self.render_mode = size, max_steps, render_mode
        self._env = _made(world)
        self._seen_in = _picture_in(self._env.observation_space)
        if self._seen_in is None:
            modes = self._env.metadata.get("render_modes", [])
            self._env.close()
            if "rgb_array" not in modes:
                raise GymWorldError(
                    f"{self.family} shows no picture: expected an image as observation or render_mode rgb_array, "
                    f"found {self._env.observation_space} and render modes {list(modes)}"
                )
            self._env = _made(world, render_mode="rgb_array")
        self.action_space = plain(self._env.action_space, self.family)
        pov = spaces.Box(0, 255, (size, size, 3), np.uint8)
        self.observation_space = spaces.Dict({"pov": pov})  # type: ignore[assignment]
        fps = int(self._env.metadata.get("render_fps") or FPS)
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": fps}
        self._pov: NDArray[np.uint8] | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode; without a seed one is drawn, so that every episode can be played again."""
        super().reset(seed=seed)
        self.world_seed = int(self.np_random.integers(2**31)) if seed is None else int(seed)
        observation, _ = self._env.reset(seed=self.world_seed, options=options)
        self._steps = 0
        return self._observation(observation)

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """One step of the environment."""
        if self._pov is None:
            raise RuntimeError(f"{self.family}: there is no world yet; call reset() first")
        native = _native(self._env.action_space, action)
        observation, reward, terminated, truncated, _ = self._env.step(native)
        self._steps += 1
        cut = self.max_steps is not None and self._steps >= self.max_steps
        picture, info = self._observation(observation)
        return picture, float(reward), bool(terminated), bool(truncated) or cut, info

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]
        """The newest picture, uint8 (size, size, 3), when made with ``render_mode="rgb_array"``."""
        return None if self.render_mode is None or self._pov is None else self._pov.copy()

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
                start = getattr(self._env.action_space, "start", 0)
                found[tuple(str(n) for n in names)] = action - start if start else action
        return found

    def _observation(self, observation: Any) -> tuple[Observation, dict[str, Any]]:
        if self._seen_in is None:
            observation = self._env.render()
        elif self._seen_in:
            observation = observation[self._seen_in]
        self._pov = squeezed(np.asarray(observation, np.uint8), self.size)
        return {"pov": self._pov.copy()}, {"seed": self.world_seed}


@lru_cache(maxsize=16)
def action_space(family: str) -> spaces.Space[Any]:
    """The actions of the family ``gym:ID``; for this the environment is made and closed again."""
    env = _made(family.removeprefix(PREFIX))
    try:
        return plain(env.action_space, family)
    finally:
        env.close()


def plain(space: spaces.Space[Any], family: str) -> spaces.Space[Any]:
    """The space of actions as models and episodes have it: a Discrete begins with 0.

    Raises:
        GymWorldError: it is not Discrete, Box or a Dict of those.
    """
    if isinstance(space, spaces.Discrete):
        return spaces.Discrete(int(space.n))
    if isinstance(space, spaces.Box):
        return spaces.Box(space.low, space.high, space.shape, space.dtype.type)
    if isinstance(space, spaces.Dict) and not any(isinstance(s, spaces.Dict) for s in space.spaces.values()):
        return spaces.Dict({name: plain(s, family) for name, s in space.spaces.items()})
    raise GymWorldError(
        f"{family}: expected actions that are Discrete, Box or a Dict of those, found {space}; wrap the environment"
    )


def squeezed(picture: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """A picture (H, W), (H, W, 1) or (H, W, 3) as (size, size, 3), nothing cut off."""
    grey = picture.ndim == 2 or picture.shape[2] == 1
    picture = np.repeat(picture.reshape(*picture.shape[:2], 1), 3, 2) if grey else picture
    if picture.shape[:2] == (size, size):
        return np.array(picture)
    return np.array(Image.fromarray(picture).resize((size, size), Image.Resampling.BOX), np.uint8)


def _picture_in(space: spaces.Space[Any]) -> str | None:
    """Where in an observation the picture is: "" for all of it, a name in a Dict, None where there is none."""
    if isinstance(space, spaces.Dict):
        return next((name for name, part in space.spaces.items() if _picture_in(part) == ""), None)
    picture = isinstance(space, spaces.Box) and space.dtype == np.uint8
    deep = space.shape or ()
    return "" if picture and (len(deep) == 2 or (len(deep) == 3 and deep[2] in (1, 3))) else None


def _native(space: spaces.Space[Any], action: Any) -> Any:
    """A plain action as the environment takes it."""
    if isinstance(space, spaces.Dict):
        return {name: _native(part, action[name]) for name, part in space.spaces.items()}
    if isinstance(space, spaces.Discrete):
        return int(action) + int(space.start)
    return np.asarray(action, space.dtype)


def _key_name(key: str | int) -> str | None:
    if isinstance(key, int):
        key = _CODES.get(key, chr(key) if 32 <= key < 127 else "")
    return {" ": "space", "": None}.get(key, key)


def _made(id: str, **kwargs: Any) -> gymnasium.Env[Any, Any]:
    for plugin in _plugins(id):
        try:
            importlib.import_module(plugin)
        except ImportError as error:
            raise EngineMissing(
                f"{PREFIX}{id} needs {plugin}, which is not here ({error}): pip install {plugin.replace('_', '-')}"
            ) from None
    try:
        return gymnasium.make(id, disable_env_checker=True, **kwargs)
    except (gymnasium.error.Error, ImportError) as error:
        reason = " ".join(str(error).split())
        raise EngineMissing(f"{PREFIX}{id} cannot be made: {reason}") from None


def _plugins(id: str) -> Iterator[str]:
    """The modules to import before an environment of this id is made."""
    if ":" not in id and "/" in id and (plugin := PLUGINS.get(id.split("/")[0])):
        yield plugin
