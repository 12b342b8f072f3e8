"""Making a Gymnasium environment by its name and arguments; what cannot be made is one sentence with the name."""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium

from envs.adapters import old_gym
from envs.adapters.engine_missing import EngineMissing

PREFIX = "gym:"  # of the family's name; what follows is Gymnasium's own id and perhaps arguments
PLUGINS = {"ALE": "ale_py"}  # who registers a namespace when imported
_WORDS = {"True": True, "False": False, "None": None}  # beside JSON's own


def parsed(name: str) -> tuple[str, dict[str, Any]]:
    """A world's name as Gymnasium's id and the arguments that it is made with.

    ``FrozenLake-v1,map_name=8x8,is_slippery=false``: values are JSON where they can be, else text.
    """
    id, *words = re.split(r",(?=[A-Za-z_]\w*=)", name)
    return id, {key: _value(text) for key, _, text in (word.partition("=") for word in words)}


def make(name: str, **kwargs: Any) -> gymnasium.Env[Any, Any]:
    """The environment of a name (:func:`parsed`), as Gymnasium makes it.

    Raises:
        EngineMissing: Gymnasium does not know it, or it does not start; one line that says why, and where.
    """
    id, arguments = parsed(name)
    for plugin in _plugins(id):
        try:
            importlib.import_module(plugin)
        except ImportError as error:
            raise EngineMissing(
                f"{PREFIX}{id} needs {plugin}, which is not here ({error}): pip install {plugin.replace('_', '-')}"
            ) from None
    if ":" in id:
        _find_here()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*render_mode.*")  # which is asked for to find out
            return gymnasium.make(id, disable_env_checker=True, **arguments, **kwargs)
    except (gymnasium.error.Error, ImportError) as error:
        if not arguments and (older := old_gym.make(id, **kwargs)) is not None:
            return older
        unknown = isinstance(error, gymnasium.error.UnregisteredEnv) and ":" not in id
        hint = "; one that a module of yours or of a package registers is gym:MODULE:ID" if unknown else ""
        raise EngineMissing(f"{PREFIX}{name} cannot be made: {_line(error)}{hint}") from error
    except Exception as error:
        raise EngineMissing(
            f"{PREFIX}{name} cannot be made: {type(error).__name__}: {_line(error)} ({_place(error)})"
        ) from error


def make_rendering(name: str) -> tuple[gymnasium.Env[Any, Any], bool]:
    """The environment of a name, and whether it renders pictures; asked to where it can be.

    Raises:
        EngineMissing: it can be made neither with ``render_mode="rgb_array"`` nor without.
    """
    try:
        env = make(name, render_mode="rgb_array")
    except EngineMissing as refused:
        if isinstance(refused.__cause__, gymnasium.error.UnregisteredEnv | ImportError):
            raise
        try:
            env = make(name)
        except EngineMissing:
            raise refused from refused.__cause__
        return env, _renders(env)
    if _renders(env):
        return env, True
    env.close()
    try:
        return make(name), False
    except EngineMissing:  # it wants a render mode, although it says that it has none
        return make(name, render_mode="rgb_array"), False


def _renders(env: gymnasium.Env[Any, Any]) -> bool:
    modes = (getattr(env.unwrapped, "metadata", None) or {}).get("render_modes") or ()
    return "rgb_array" in modes and getattr(env.unwrapped, "render_mode", None) == "rgb_array"


def _plugins(id: str) -> Iterator[str]:
    """The modules to import before an environment of this id is made."""
    if ":" not in id and "/" in id and (plugin := PLUGINS.get(id.split("/")[0])):
        yield plugin


def _find_here() -> None:
    """Let modules of the present folder be found, by whatever command; last, so that none hides an installed one."""
    here = os.getcwd()  # noqa: PTH109
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)


def _value(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    try:
        return json.loads(text)
    except ValueError:
        return text


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _place(error: BaseException) -> str:
    """Where an exception began, as FILE:LINE."""
    while error.__cause__ is not None:  # Gymnasium raises it again
        error = error.__cause__
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(last.filename).name}:{last.lineno}"
