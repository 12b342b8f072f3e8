"""The dreams that the options ask for, and what a report says about them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from worldsim import checkpoint
from worldsim.checkpoint import LoadedModel
from worldsim.dream import DreamEnv
from worldsim.frontdoor.options import Options
from worldsim.runtime import pick_device

SHIPPED = {"minecraft": "blocks", "dmlab": "labmaze"}  # the checkpoint of each family's embedded world


def load(options: Options) -> tuple[LoadedModel, Callable[[], DreamEnv]]:
    """The trained model, and what makes a dream of it; dreams share the weights.

    Raises:
        CheckpointError, DeviceError, DreamError: it is not there, not whole, or was not trained for this.
    """
    config = options.config
    if config.threads:
        torch.set_num_threads(config.threads)
    loaded = checkpoint.load(options.checkpoint or SHIPPED[options.env], pick_device(options.device))

    def dream() -> DreamEnv:
        steps, pose_from = config.denoising_steps, config.pose_from
        made = DreamEnv(loaded, config.history, denoising_steps=steps, pose_from=pose_from)
        if config.budget is not None:
            made.budget = config.budget
        return made

    return loaded, dream


def about(options: Options, loaded: LoadedModel, seed: int) -> dict[str, Any]:
    """The head of the report; ``context`` is how many true frames a dream begins from."""
    weights = next(loaded.model.parameters())
    return {
        "env": options.env,
        "backend": options.backend,
        "seed": seed,
        "steps": 0,
        "device": str(weights.device),
        "threads": torch.get_num_threads(),
        "dtype": str(weights.dtype).removeprefix("torch."),
        "checkpoint": options.checkpoint or loaded.path.name,
        "context": 1,
    }
