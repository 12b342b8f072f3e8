"""Luanti: whether two cold starts of the game show the same frames, and how many it shows a second."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from envs.policies import registry as policies
from worldsim.config import load
from worldsim.runtime import hardware


@dataclass
class LuantiConfig:
    """``frames`` frames of ``size`` x ``size`` pixels, played by ``policy`` in a place that ``seed`` chooses."""

    size: int = 128
    frames: int = 300
    policy: str = "needle"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.size < 16 or self.frames < 2:
            raise ValueError("expected a size of at least 16 pixels and at least 2 frames")


def run(args: list[str]) -> dict[str, Any]:
    """Play, end the game, start it anew, give it the same actions, and compare every frame.

    A step is timed as its caller sees it (physics, the engine's picture, info); starts and the policy are not counted.
    """
    config = load(LuantiConfig, args)
    first, moves, seconds = _play(config, None)
    second, _, again = _play(config, moves)
    pairs = enumerate(zip(first, second, strict=True))
    other = {i: round(float((a != b).any(-1).mean()), 4) for i, (a, b) in pairs if not np.array_equal(a, b)}
    same = len(first) - len(other)
    spent = [1e3 * s for s in seconds + again]
    print(f"{same} of {len(first)} frames the same after a cold start")
    return {
        "size": config.size,
        "policy": config.policy,
        "frames": len(first),
        "same": same,
        "differ": other,  # frame: share of its pixels
        "digs_and_places": sum(int(m["attack"]) + int(m["use"]) for m in moves),
        "step_ms": {
            "median": round(statistics.median(spent), 1),
            "p95": round(float(np.percentile(spent, 95)), 1),
            "n": len(spent),
        },
        "frames_per_second": round(1e3 / statistics.mean(spent), 1),
        "hardware": hardware(),
    }


def _play(config: LuantiConfig, moves: list[Any] | None) -> tuple[list[np.ndarray], list[Any], list[float]]:
    """Frames, actions and the seconds of each step of one run of a game of its own."""
    env = gymnasium.make("worldsim/Luanti-v0", disable_env_checker=True, size=config.size)
    try:
        observation, info = env.reset(seed=config.seed)
        policy = policies.make(config.policy, env, config.seed)
        policy.reset(info)
        frames, done, seconds = [observation["pov"]], [], []
        for i in range(config.frames - 1):
            action = policy(observation, info) if moves is None else moves[i]
            began = time.perf_counter()
            observation, _, _, _, info = env.step(action)
            seconds.append(time.perf_counter() - began)
            frames.append(observation["pov"])
            done.append(action)
        return frames, done, seconds
    finally:
        env.close()
