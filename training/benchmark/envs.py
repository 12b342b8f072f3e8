"""Frames per second of each embedded world on one core, at the step that a player or collector calls."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import Any

import gymnasium
import numba
import torch

from envs.policies import registry as policies
from worldsim.config import load
from worldsim.runtime import hardware

EMBEDDED = {"blocks": "worldsim/Blocks-v0", "labmaze": "worldsim/LabMaze-v0"}


@dataclass
class EnvsConfig:
    """``repeats`` runs of ``steps`` steps each, at ``size`` x ``size`` pixels."""

    size: int = 64
    steps: int = 3000
    repeats: int = 3

    def __post_init__(self) -> None:
        if min(self.size, self.steps, self.repeats) < 1:
            raise ValueError("expected size, steps and repeats of at least 1")


def run(args: list[str]) -> dict[str, Any]:
    """Time ``env.step`` (physics, picture, info); compilation, reset and the policy are not counted.

    The actions are those of the explore policy, and for comparison random ones, which look steeply up and
    down most of the time.
    """
    config = load(EnvsConfig, args)
    numba.set_num_threads(1)
    torch.set_num_threads(1)
    report: dict[str, Any] = {"size": config.size, "steps": config.steps, "frames_per_second": {}}
    for name, env_id in EMBEDDED.items():
        env: Any = gymnasium.make(env_id, size=config.size)
        found = {}
        for kind, actions in (("explore", _explored(env)), ("random", _random(env))):
            rates = [_rate(env, actions, config.steps) for _ in range(config.repeats)]
            found[kind] = {"median": round(statistics.median(rates)), "best": round(max(rates))}
            print(
                f"{name}, {kind} actions: {found[kind]['median']:,} frames/s (best {found[kind]['best']:,})"
            )
        report["frames_per_second"][name] = found
        env.close()
    return {**report, "hardware": hardware()}


def _rate(env: Any, actions: list[Any], steps: int) -> float:
    world = env.unwrapped
    world.reset(seed=0)
    for action in actions[:50]:
        world.step(action)
    world.reset(seed=0)
    began = time.perf_counter()
    for i in range(steps):
        world.step(actions[i % len(actions)])
    return steps / (time.perf_counter() - began)


def _explored(env: Any) -> list[Any]:
    policy = policies.make("explore", env, seed=0)
    observation, info = env.reset(seed=0)
    policy.reset(info)
    actions = []
    for _ in range(300):
        actions.append(policy(observation, info))
        observation, _, _, _, info = env.step(actions[-1])
    return actions


def _random(env: Any) -> list[Any]:
    env.action_space.seed(0)
    return [env.action_space.sample() for _ in range(300)]
