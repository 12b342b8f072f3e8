"""The files that travel with the program: checkpoints, methods, keys, configurations of the papers.

They are the folder ``assets`` beside `worldsim` in a checkout, and a folder of that name inside it where a wheel was
installed.
"""

from __future__ import annotations

import difflib
from pathlib import Path


def _assets() -> Path:
    package = Path(__file__).resolve().parents[1]
    inside = package / "assets"
    return inside if inside.is_dir() else package.with_name("assets")


ASSETS = _assets()
CHECKPOINTS = ASSETS / "checkpoints"
CONFIGS = ASSETS / "configs"
METHODS, KEYS = CONFIGS / "methods", CONFIGS / "keys"


class MethodError(ValueError):
    """A method that does not exist, or numbers that do not make one."""


def find(path: Path) -> Path:
    """The file itself where there is one, else the shipped one that ``assets/...`` names; the path as it is, if none.

    So ``config=assets/configs/ar_vae.yaml`` means the same file in every working folder.
    """
    if path.parts[:1] != ("assets",) or path.exists():
        return path
    shipped = ASSETS.joinpath(*path.parts[1:])
    return shipped if shipped.exists() else path


def checkpoints() -> list[str]:
    """The names of the shipped checkpoints."""
    return sorted(file.parent.name for file in CHECKPOINTS.glob("*/config.yaml"))


def methods() -> list[str]:
    """The names of the shipped methods."""
    return sorted(file.stem for file in METHODS.glob("*.yaml"))


def method_file(name_or_path: str | Path) -> Path:
    """The file of a shipped method by its name; a path to a YAML file as it is.

    Raises:
        MethodError: neither.
    """
    name = str(name_or_path)
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    if name not in methods():
        near = difflib.get_close_matches(name, methods(), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"the methods are {', '.join(methods())}."
        raise MethodError(f"no method {name!r}; {hint} A path to a .yaml file works too.")
    return METHODS / f"{name}.yaml"
