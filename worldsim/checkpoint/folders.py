"""Where checkpoints lie: the files of a folder, the shipped folders, those on the hub."""

from __future__ import annotations

from pathlib import Path

from worldsim.checkpoint import hub, stored
from worldsim.config import addresses, shipped

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.yaml", "card.md"
PICKLED = (".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth")
SHIPPED = shipped.CHECKPOINTS


class CheckpointError(ValueError):
    """A checkpoint that is missing, truncated, foreign or newer than this program."""


def resolve(name_or_path: str) -> Path:
    """A folder by path, a shipped checkpoint's by name, a published one's by its id on the hub, OWNER/NAME, or the copy
    of one in a store by its address, s3://BUCKET/FOLDER.

    Raises:
        CheckpointError: there is none, or one with pickled weights only, which are never opened.
    """
    if addresses.is_address(name_or_path):
        try:
            return _with_weights(stored.fetch(name_or_path), name_or_path)
        except addresses.StoreError as error:
            raise CheckpointError(str(error)) from None
    name_or_path = str(addresses.local_path(name_or_path))
    for folder in (Path(name_or_path), SHIPPED / name_or_path):
        if (folder / CONFIG).is_file() or (folder / WEIGHTS).is_file():
            return folder
    if hub.is_id(name_or_path):
        try:
            return _with_weights(hub.fetch(name_or_path), name_or_path)
        except hub.HubError as error:
            raise CheckpointError(str(error)) from None
    if Path(name_or_path).is_dir():
        _with_weights(Path(name_or_path), name_or_path)
    names = shipped.checkpoints()
    raise CheckpointError(
        f"no checkpoint {name_or_path!r}: expected a folder with {WEIGHTS} and {CONFIG}, or one of {names}; "
        "give --checkpoint one of these or train your own"
    )


def _with_weights(folder: Path, name: str) -> Path:
    """The folder, if it holds weights that may be opened."""
    if (folder / WEIGHTS).is_file():
        return folder
    pickled = sorted(p.name for p in folder.iterdir() if p.suffix in PICKLED)
    if pickled:
        raise CheckpointError(
            f"{name} has no {WEIGHTS} but {pickled[0]}, which may be pickled and is never opened; "
            "ask for the weights as safetensors"
        )
    raise CheckpointError(f"{name} has no {WEIGHTS} and no {CONFIG}; expected a checkpoint of worldsim")
