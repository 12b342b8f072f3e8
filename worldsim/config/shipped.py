"""The files that travel with the program: checkpoints, methods, keys, configurations of the papers.

They are the folder ``assets`` beside `worldsim` in a checkout, and a folder of that name inside it where a wheel was
installed.
"""

from __future__ import annotations

from pathlib import Path


def _assets() -> Path:
    package = Path(__file__).resolve().parents[1]
    inside = package / "assets"
    return inside if inside.is_dir() else package.with_name("assets")


ASSETS = _assets()
CHECKPOINTS = ASSETS / "checkpoints"
CONFIGS = ASSETS / "configs"
METHODS, KEYS = CONFIGS / "methods", CONFIGS / "keys"


def find(path: Path) -> Path:
    """The file itself where there is one, else the shipped one that ``assets/...`` names; the path as it is, if none.

    So ``config=assets/configs/ar_vae.yaml`` means the same file in every working folder.
    """
    if path.parts[:1] != ("assets",) or path.exists():
        return path
    shipped = ASSETS.joinpath(*path.parts[1:])
    return shipped if shipped.exists() else path
