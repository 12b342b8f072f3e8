"""Who watches a run: TensorBoard in its folder, or Weights & Biases or MLflow through Accelerate's trackers."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from accelerate import Accelerator
from torch.utils.tensorboard import SummaryWriter

if TYPE_CHECKING:
    from training.loop.train import LoopConfig

TENSORBOARD, NONE = "tensorboard", "none"
NEEDED = {TENSORBOARD: "tensorboard", "wandb": "wandb", "mlflow": "mlflow", NONE: ""}
"""The words, and the package that each needs."""
PROJECT = "worldsim"


class TrackerError(ValueError):
    """A tracker that there is not, or not here."""


class Writer(Protocol):
    """What a trainer writes to, as :class:`torch.utils.tensorboard.SummaryWriter` has it."""

    def add_scalar(self, tag: str, scalar_value: Any, global_step: int | None = None) -> None: ...

    def add_image(
        self, tag: str, img_tensor: Any, global_step: int | None = None, *, dataformats: str = "CHW"
    ) -> None: ...

    def add_images(self, tag: str, img_tensor: Any, global_step: int | None = None) -> None: ...

    def close(self) -> None: ...


def check(tracker: str) -> None:
    """Whether a word names a tracker.

    Raises:
        TrackerError: it does not.
    """
    if tracker not in NEEDED:
        raise TrackerError(f"expected tracker={', '.join(NEEDED)}, found tracker={tracker}")


def check_installed(tracker: str) -> None:
    """Whether what a tracker needs is here.

    Raises:
        TrackerError: it is not.
    """
    if (needed := NEEDED[tracker]) and find_spec(needed) is None:
        raise TrackerError(f"tracker={tracker} needs {needed}, which is not here: pip install {needed}")


def open_writer(config: LoopConfig, accelerator: Accelerator, step: int) -> Writer | None:
    """The writer of a run that goes on at a step; None in all processes but the first, and for ``none``."""
    if config.tracker == NONE or not accelerator.is_main_process:
        return None
    out = Path(config.out)
    if config.tracker == TENSORBOARD:
        # What an earlier start wrote from this step on is trained again: from 0 where it was killed before a save.
        return SummaryWriter(str(out / "tensorboard"), purge_step=step)  # type: ignore[no-any-return]
    out.mkdir(parents=True, exist_ok=True)
    run = hashlib.sha256(str(out.absolute()).encode()).hexdigest()[:16]
    starts: dict[str, Any] = {
        "wandb": {"name": out.name, "id": run, "resume": "allow", "dir": str(out)},
        "mlflow": {"run_name": out.name, "tags": {"folder": str(out)}},
    }
    accelerator.init_trackers(PROJECT, _flat(asdict(config)), starts)
    return Tracked(accelerator)


class Tracked:
    """Accelerate's trackers as a writer; pictures go to those that take them."""

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator

    def add_scalar(self, tag: str, scalar_value: Any, global_step: int | None = None) -> None:
        self._accelerator.log({tag: float(scalar_value)}, step=global_step)

    def add_image(
        self, tag: str, img_tensor: Any, global_step: int | None = None, *, dataformats: str = "CHW"
    ) -> None:
        picture = np.asarray(img_tensor)
        self._put(tag, picture if dataformats == "HWC" else np.moveaxis(picture, 0, -1), global_step)

    def add_images(self, tag: str, img_tensor: Any, global_step: int | None = None) -> None:
        pictures = np.moveaxis(np.asarray(img_tensor), 1, -1)  # (N, C, H, W), shown in a row
        self._put(tag, np.concatenate(list(pictures), 1), global_step)

    def close(self) -> None:
        self._accelerator.end_training()

    def _put(self, tag: str, picture: np.ndarray, step: int | None) -> None:
        for tracker in self._accelerator.trackers:
            try:
                if hasattr(tracker, "log_images"):
                    tracker.log_images({tag: [picture]}, step=step)
                elif tracker.name == "mlflow":
                    import mlflow

                    mlflow.log_image(picture, key=tag.replace("/", "_"), step=step)
            except OSError as error:  # a server that is away costs a picture, and not the run
                print(f"{tag} was not sent to {tracker.name}: {error}", file=sys.stderr)


def _flat(words: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Nested words by dotted names, each a number, a word or a truth."""
    found: dict[str, Any] = {}
    for key, value in words.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{before}{key}.")
        else:
            found[before + key] = value if isinstance(value, int | float | str | bool) else str(value)
    return found
