"""A state of a world model's dream that came out of a file, checked before an engine steps it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from worldsim.engine.past import DreamPast
from worldsim.engine.step import DreamState
from worldsim.models.world_model import WorldModel
from worldsim.session.snapshot import SnapshotError


def check_state(state: object, model: WorldModel, size: int, most: int) -> None:
    """Whether a state is one that this model could have dreamt at pictures of ``size`` pixels, as far as shapes say.

    ``most``: frames that a dream looks back at most.

    Raises:
        SnapshotError: it is not.
    """
    if not isinstance(state, DreamState) or not isinstance(past := state.past, DreamPast):
        raise SnapshotError("this state is not one of a world model")
    config = model.config
    n = len(past.latents)
    lists = (past.pictures, past.depths, past.actions, past.poses, past.indices, past.kept.frames)
    latent = (config.autoencoder.channels, *model.grid)
    whole = (
        1 <= n <= past.keep <= most + config.dream.replayed
        and all(len(values) == n for values in lists)
        and all(_is(z, latent) for z in past.latents)
        and all(_is(a, (config.action_dim,)) for a in past.actions)
        and all(_is(p, (5,)) and bool(torch.isfinite(p).all()) for p in past.poses)
        and all(isinstance(i, int) for i in (*past.indices, past.count, past.true_until, state.age))
        and past.indices == sorted(set(past.indices))
        and past.indices[-1] == past.count - 1
        and all(p.shape == (size, size, 3) and p.dtype == np.uint8 for p in past.pictures)
        and isinstance(state.random, torch.Generator)
    )
    if not whole:
        raise SnapshotError("this state does not fit the model: its past has another shape")


def _is(value: object, shape: tuple[int, ...]) -> bool:
    return isinstance(value, Tensor) and tuple(value.shape) == shape
