"""True worlds and dreams of them, walked by the same policy: one that steers by what is seen, not by a recording."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import gymnasium
import numpy as np
from numpy.typing import NDArray

import envs  # noqa: F401  (registers the worlds)
from envs.policies.clearance import in_world
from envs.policies.hold_keys import HoldKeys
from envs.policies.registry import Policy
from envs.policies.roam import LookAround, Roam, sight_of
from envs.worlds import IDS, identify
from training.imagination.config import Played
from training.imagination.eyes import in_dream
from worldsim.checkpoint import Loaded
from worldsim.config import ConfigError
from worldsim.dream.world import DreamEnv

Frames = NDArray[np.uint8]
SIGHTLESS = {"look_around": LookAround, "hold_keys": HoldKeys}
"""Policies that need no distances."""


@dataclass
class Walk:
    """T frames uint8 (T, H, W, 3), their poses (T, 5), and the raw action that led to each; of a dream also the network
    calls of each and the share of it that was new."""

    frames: Frames
    poses: NDArray[np.float64]
    actions: list[Any]
    calls: list[int] = field(default_factory=list)
    novelty: list[float] = field(default_factory=list)


class Player(Protocol):
    """A policy, or one that ends by giving None."""

    def reset(self, info: dict[str, Any]) -> None: ...

    def __call__(self, observation: Any, info: dict[str, Any]) -> Any | None: ...


class Stage:
    """A true world or a dream in play: its newest frame (H, W, 3) and what it tells of it."""

    def __init__(self, env: gymnasium.Env[Any, Any], shown: tuple[Any, dict[str, Any]]) -> None:
        self.env = env
        self._take(*shown)

    def _take(self, observation: Any, info: dict[str, Any]) -> None:
        self.frame: Frames = observation["pov"] if isinstance(observation, dict) else observation
        self.info = info

    def walk(self, player: Player, most: int) -> Walk:
        """Let a player begin here, and give what followed: ``most`` frames, or fewer where the player ends."""
        player.reset(self.info)
        frames, poses, actions, infos = [], [], [], []
        for _ in range(most):
            action = player(self.frame, self.info)
            if action is None:
                break
            observation, _, _, _, info = self.env.step(action)
            self._take(observation, info)
            frames.append(self.frame)
            poses.append(np.asarray(info["pose"], np.float64))
            actions.append(action)
            infos.append(info)
        calls = [info["calls"] for info in infos if "calls" in info]
        novelty = [info["novelty"] for info in infos if info.get("novelty") is not None]
        return Walk(np.stack(frames), np.stack(poses), actions, calls, novelty)


def world_of(loaded: Loaded[Any]) -> gymnasium.Env[Any, Any]:
    """The true world that a checkpoint dreams of, at the side of its pictures.

    Raises:
        ConfigError: a world that is not ours to make, or that has no walk map.
    """
    said = loaded.description
    if (said.family, said.backend) not in IDS:
        raise ConfigError(
            f"expected a dream of a world that can be walked here, of {', '.join(f for f, _ in IDS)}, found one of "
            f"{said.family or 'nothing'} by {said.backend or 'nobody'}"
        )
    name, kwargs = identify(said.family, said.backend)
    return gymnasium.make(name, disable_env_checker=True, size=loaded.model.config.size, **kwargs)


def dream_of(loaded: Loaded[Any], config: Played, memory: bool = True) -> DreamEnv:
    """A dream as it is played; without ``memory`` its forgetful twin."""
    dream = DreamEnv(
        loaded,
        budget=config.budget,
        denoising_steps=config.denoising_steps,
        precision=config.precision,
        second=config.second,
    )
    if not memory:
        dream.history = dream.window
    return dream


def player_in_world(env: gymnasium.Env[Any, Any], config: Played, seed: int) -> Policy:
    """Who walks a true world, by its map."""
    family: str = env.unwrapped.family  # type: ignore[attr-defined]
    if config.policy in SIGHTLESS:
        return SIGHTLESS[config.policy](family, seed)
    return Roam(family, in_world(env, sight_of(family).most), seed)


def player_in_dream(dream: DreamEnv, config: Played, seed: int) -> Policy:
    """Who walks a dream, by its own distances.

    Raises:
        DreamError: it has none.
    """
    family = dream.loaded.description.family
    if config.policy in SIGHTLESS:
        return SIGHTLESS[config.policy](family, seed)
    return Roam(family, in_dream(dream, family), seed)


def begin_in_world(env: gymnasium.Env[Any, Any], config: Played, seed: int) -> tuple[Stage, Walk]:
    """A true world after ``context`` frames of it, which are given: the first has no action that led to it."""
    stage = Stage(env, env.reset(seed=seed))
    frame, pose = stage.frame, np.asarray(stage.info["pose"], np.float64)
    if config.context == 1:
        return stage, Walk(frame[None], pose[None], [])
    rest = stage.walk(player_in_world(env, config, seed), config.context - 1)
    return stage, Walk(
        np.concatenate([frame[None], rest.frames]), np.concatenate([pose[None], rest.poses]), rest.actions
    )


def begin_in_dream(dream: DreamEnv, context: Walk, seed: int) -> Stage:
    """A dream that has seen the context."""
    shown = dream.reset(seed=seed, options={"frames": context.frames, "actions": context.actions})
    return Stage(dream, shown)
