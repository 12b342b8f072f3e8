"""Policies as the tests play them."""

from __future__ import annotations

from typing import Any

import numpy as np

from envs.policies import registry as policies


def play(env: Any, name: str, seed: int, steps: int = 300) -> tuple[np.ndarray, list[Any]]:
    """Poses (steps + 1, 5) and the actions between them; every action is one of the world's."""
    policy = policies.make(name, env, seed)
    observation, info = env.reset(seed=seed)
    policy.reset(info)
    poses, actions = [info["pose"]], []
    for _ in range(steps):
        actions.append(policy(observation, info))
        assert env.action_space.contains(actions[-1])
        observation, _, _, _, info = env.step(actions[-1])
        poses.append(info["pose"])
    return np.stack(poses), actions
