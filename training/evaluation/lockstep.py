"""Several dreams of one recorded episode, stepped together under its actions."""

from __future__ import annotations

import numpy as np

from worldsim.dream.ar_diffusion import ArDream
from worldsim.dream.video import MethodDream
from worldsim.dream.world import DreamEnv

PLANNED = 64  # actions to come that a method with a long window may know

Dream = DreamEnv | MethodDream | ArDream


def step_all(
    dreams: dict[str, Dream], actions: np.ndarray, i: int, pose: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Frame i + 1 of every dream, to which actions[i] leads; those of one world model in one pass.

    Args:
        actions: (T, D), all of the episode: a method may know the ones to come.
        pose: (5,), the true one of frame i + 1, for dreams whose pose is the true one.
    """
    shown: dict[str, np.ndarray] = {}
    plain = {name: dream for name, dream in dreams.items() if isinstance(dream, DreamEnv)}
    for world in plain.values():
        if pose is not None:
            world.set_true_pose(pose)
    if plain:
        steps = DreamEnv.together(list(plain.values()), actions[i])
        shown |= {name: step[0] for name, step in zip(plain, steps, strict=True)}
    for name, dream in dreams.items():
        if isinstance(dream, MethodDream):
            dream.plan(list(actions[i + 1 : i + 1 + PLANNED]))
        if name not in plain:
            shown[name] = dream.step(actions[i])[0]
    return {name: shown[name] for name in dreams}
