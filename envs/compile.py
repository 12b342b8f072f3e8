"""Compile an embedded world's kernels, which numba keeps on disk: python -m envs.compile ENV_ID."""

from __future__ import annotations

import sys

import gymnasium

import envs  # noqa: F401  (registers the worlds)


def compile_world(env_id: str) -> None:
    """Reset and step a world once, which compiles what that needs."""
    env = gymnasium.make(env_id, disable_env_checker=True)
    env.reset(seed=0)
    env.action_space.seed(0)
    env.step(env.action_space.sample())
    env.close()


if __name__ == "__main__":
    compile_world(sys.argv[1])
