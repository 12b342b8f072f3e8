"""The needle protocol: several dreams of one recorded walk, stepped together under its actions.

History from truth: after every ``blind`` dreamt frames the past becomes true again, and the ``blind`` frames after it
are dreamt blind (paper, section 6.1). A live session does the same (:mod:`worldsim.session.session`); a test holds the
two equal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from envs.episodes.episode import Episode
from envs.policies import registry as policies
from worldsim.actions import vector
from worldsim.dream.env import Dream
from worldsim.metrics.retrieval import Revisit, RevisitFinder
from worldsim.session.interfaces import BLIND

PLANNED = 64  # actions to come that a method with a long window may know

Frames = NDArray[np.uint8]


@dataclass(frozen=True)
class Walk:
    """T true frames uint8 (T, H, W, 3), the actions float32 (T - 1, D) between them, and poses (T, 5) if known."""

    frames: Frames
    actions: NDArray[np.float32]
    poses: NDArray[np.float64] | None = None

    @classmethod
    def of(cls, episode: Episode, start: int = 0, stop: int | None = None, posed: bool = True) -> Walk:
        """Frames ``start`` to ``stop`` of an episode; its poses are left out unless ``posed``."""
        stop = len(episode) if stop is None else stop
        poses = episode.poses[start:stop] if posed and episode.poses is not None else None
        return cls(episode.frames(start, stop), episode.action_vectors()[start : stop - 1], poses)

    @classmethod
    def played(
        cls, env: gymnasium.Env[Any, Any], policy: str, seed: int, steps: int, policy_seed: int | None = None
    ) -> Walk:
        """What a policy does in a world; its numbers are of the world's seed unless they have one of their own."""
        observation, info = env.reset(seed=seed)
        player = policies.make(policy, env, seed if policy_seed is None else policy_seed)
        player.reset(info)
        frames, actions = [observation["pov"]], []
        poses: list[Any] = [info.get("pose")]
        for _ in range(steps):
            actions.append(player(observation, info))
            observation, _, _, _, info = env.step(actions[-1])
            frames.append(observation["pov"])
            poses.append(info.get("pose"))
        vectors = np.stack([vector(env.action_space, action) for action in actions])
        return cls(np.stack(frames), vectors, None if poses[0] is None else np.stack(poses))


@dataclass(frozen=True)
class Step:
    """One frame of a replay.

    Attributes:
        index: of the frame in the walk.
        true: uint8 (H, W, 3).
        frames: of every dream by name, uint8 (H, W, 3).
        revisit: where the true view comes back, what was seen before.
    """

    index: int
    true: Frames
    frames: dict[str, Frames]
    revisit: Revisit | None


def replay(
    dreams: Mapping[str, Dream[Any]],
    walk: Episode | Walk,
    blind: int | None = BLIND,
    *,
    seed: int | Mapping[str, int] = 0,
    context: int = 1,
    revisits: bool = True,
) -> Iterator[Step]:
    """Dream a walk with every dream at once, frame by frame after the context; those that fit, in one pass.

    A method with a long window may know the actions to come. Between two steps whoever iterates may look into the
    dreams.

    Args:
        dreams: by name; they are reset.
        blind: frames dreamt between two replacements of the past; None for a past that is never true again.
        seed: of the resets, one for all or one a name.
        context: true frames that they begin from.
        revisits: whether to look for views that come back.
    """
    walk = walk if isinstance(walk, Walk) else Walk.of(walk)
    true, poses = walk.frames, walk.poses
    given: dict[str, Any] = {"frames": true[:context], "actions": walk.actions[: context - 1]}
    given |= {} if poses is None else {"poses": poses[:context]}
    for name, dream in dreams.items():
        dream.reset(seed=seed if isinstance(seed, int) else seed[name], options=given)
    finder, age = RevisitFinder(), 0
    for i, frame in enumerate(true):
        pose = None if poses is None else poses[i]
        revisit = finder.add(frame, pose, i) if revisits else None
        if i < context:
            continue
        if age == blind:
            newest, age = slice(i - age, i), 0
            for dream in dreams.values():
                dream.correct(true[newest], None if poses is None else poses[newest])
        yield Step(i, frame, _dreamt(dreams, walk.actions, i - 1, pose), revisit)
        age += 1


def _dreamt(
    dreams: Mapping[str, Dream[Any]], actions: NDArray[np.float32], i: int, pose: NDArray[np.float64] | None
) -> dict[str, Frames]:
    """Frame i + 1 of every dream, to which actions[i] leads."""
    coming = list(actions[i + 1 : i + 1 + PLANNED])
    for dream in dreams.values():
        dream.plan(coming)
        if pose is not None:
            dream.set_true_pose(pose)
    steps = Dream.together(list(dreams.values()), actions[i]) if dreams else []
    return {name: step[0] for name, step in zip(dreams, steps, strict=True)}
