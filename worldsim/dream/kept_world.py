"""A state of a world model's dream that came out of a file, checked before an engine steps it."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldsim.engine.backend import Backend
from worldsim.engine.past import DreamPast
from worldsim.engine.step import DreamState
from worldsim.models.denoisers.generator import EVIDENCE_CHANNELS
from worldsim.models.denoisers.layers import Cache
from worldsim.models.memory.rays.pixel_memory import HALF
from worldsim.models.world_model import MemoryViews
from worldsim.session.snapshot import SnapshotError

VIEWS, TOKENS = 1, 2
"""Sides that grow: of MemoryViews (B, N, ...), and of a Cache (B, heads, tokens, head)."""


def check_state(state: object, backend: Backend, size: int, most: int) -> None:
    """Whether a state is one that this backend could have made at pictures of ``size`` pixels, as far as shapes say.

    What it keeps is compared with what it would keep of the newest frame, since kernels do not look at shapes again.

    ``most``: frames that a dream looks back at most.

    Raises:
        SnapshotError: it is not.
    """
    if not isinstance(state, DreamState) or not isinstance(past := state.past, DreamPast):
        raise SnapshotError("this state is not one of a world model")
    model, config = backend.model, backend.model.config
    n = len(past.latents)
    lists = (
        past.kept.frames,
        past.pictures,
        past.depths,
        past.actions,
        past.poses,
        past.indices,
        past.first_seen,
        past.forgotten,
        past.small,
    )
    dtype = next(model.parameters()).dtype
    latent = (config.autoencoder.channels, *model.grid)
    whole = (
        1 <= n <= past.keep <= most + config.dream.replayed
        and all(len(values) == n for values in lists)
        and all(_is(z, latent, dtype) for z in past.latents)
        and all(_is(a, (config.action_dim,), dtype) for a in past.actions)
        and all(_is(p, (5,), dtype) and bool(torch.isfinite(p).all()) for p in past.poses)
        and all(isinstance(i, int) for i in (*past.indices, past.count, past.true_until, state.age))
        and past.indices == sorted(set(past.indices))
        and past.indices[-1] == past.count - 1
        and _shows(past, config.size, size)
        and isinstance(state.random, torch.Generator)
    )
    if not whole:
        raise SnapshotError("this state does not fit the model: its past has another shape")
    newest, pose = torch.stack(past.latents[-1:]), torch.stack(past.poses[-1:])
    frame = backend.keep(newest, pose, past.indices[-1:])[0]
    depth = backend.measure(newest, pose[:, 4])[0] if config.pixels else None
    context = backend.detach(backend.commit(newest, past.control(model, n - 1), past.count - 1, False))
    evidence = np.zeros((EVIDENCE_CHANNELS, config.size, config.size), np.float32)
    memory = state.memory if isinstance(state.memory, list) else []
    fits = (
        all(_alike(kept, frame) for kept in (*past.kept.frames, *memory))
        and (
            isinstance(state.memory, list | None)
            or _alike(state.memory, backend.compress(past, slice(n - 1, n), 1), VIEWS)
        )
        and all(d is None or _alike(d, depth) for d in past.depths)
        and (past.evidence is None or _alike(past.evidence, evidence))
        and (past.newest_control is None or _is(past.newest_control, (config.action_dim + 6,), dtype))
        and (_is_empty(past.kept.context) or _alike(past.kept.context, context, TOKENS))
    )
    if not fits:
        raise SnapshotError("this state does not fit the engine: what it keeps has another shape")


def _alike(value: Any, other: Any, growing: int | None = None) -> bool:
    """Whether the two are of one type, shape and dtype throughout; in a dataclass of tensors that share a side
    ``growing`` that one may be another."""
    if type(value) is not type(other):
        return False
    if isinstance(value, Tensor | np.ndarray):
        return value.shape == other.shape and value.dtype == other.dtype
    if is_dataclass(value):
        pairs = [(getattr(value, f.name), getattr(other, f.name)) for f in fields(value)]
        if growing is None or not isinstance(value, MemoryViews | Cache):
            return all(_alike(a, b) for a, b in pairs)
        return _alike_but_one_side(pairs, growing)
    if isinstance(value, list | tuple):
        return len(value) == len(other) and all(map(_alike, value, other))
    return True


def _alike_but_one_side(pairs: list[tuple[Any, Any]], growing: int) -> bool:
    """The same of tensors, or lists of them; how long that side is they have to agree on among themselves."""
    values, others = [], []
    for a, b in pairs:
        values += a if isinstance(a, list) else [a]
        others += b if isinstance(b, list) else [b]
    tensors = len(values) == len(others) and all(isinstance(v, Tensor) and v.ndim > growing for v in values)
    if not tensors or len({v.shape[growing] for v in values}) != 1:
        return False
    return all(
        v.dtype == o.dtype
        and (*v.shape[:growing], *v.shape[growing + 1 :]) == (*o.shape[:growing], *o.shape[growing + 1 :])
        for v, o in zip(values, others, strict=True)
    )


def _is(value: object, shape: tuple[int, ...], dtype: torch.dtype) -> bool:
    return isinstance(value, Tensor) and tuple(value.shape) == shape and value.dtype == dtype


def _shows(past: DreamPast, model_size: int, size: int) -> bool:
    """Whether pictures are as large as they should be, and masks as large as what they are of."""
    frames = past.edited.values() if isinstance(past.edited, dict) else [None]
    return (
        all(m is None or _is_mask(m, model_size) for m in past.first_seen)
        and all(m is None or _is_mask(m, model_size // HALF) for m in past.forgotten)
        and all(isinstance(some, list) and all(isinstance(i, int) for i in some) for some in frames)
        and all(p is None or _is_picture(p, model_size) for p in past.small)
        and all(_is_picture(p, size) for p in past.pictures)
    )


def _is_picture(value: object, size: int) -> bool:
    return isinstance(value, np.ndarray) and value.shape == (size, size, 3) and value.dtype == np.uint8


def _is_mask(value: object, size: int) -> bool:
    return isinstance(value, np.ndarray) and value.shape == (size, size) and value.dtype == np.bool_


def _is_empty(context: object) -> bool:
    return isinstance(context, Cache) and context.keys == [] and context.values == []
