"""The next frame of one dream or of several: memory, dead reckoning, reading, denoising and decoding, in one pass.

Dreams that share a model and a clock (the one that remembers and its forgetful twin) differ only in what they remember,
so they are the rows of one batch: on a processor most of a small step is overhead, which they share. The order of a
step and all bookkeeping are here; a :class:`worldsim.engine.backend.Backend` computes.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldsim.engine.backend import Backend, Selection
from worldsim.engine.collision import without_collisions
from worldsim.engine.edits import change
from worldsim.engine.evidence import Evidence
from worldsim.engine.generation import generate, novelty, steps_by_novelty
from worldsim.engine.localisation.relocalise import relocalise
from worldsim.engine.localisation.visual_odometry import refine_poses
from worldsim.engine.past import DreamPast, Mask
from worldsim.engine.provenance import remembered
from worldsim.engine.timer import PhaseTimer
from worldsim.frames import mixed


@dataclass
class DreamState:
    """A dream's past, its compressed memory and its settings. ``age``: frames since the last compression.

    ``calls``: of its network for the newest frame; ``novelty``: the share of that view that memory did not show, None
    where nobody asks.
    """

    past: DreamPast
    history: int = 0
    budget: int = 1
    steps: int = 1
    spacing: str = "even"
    memory: Any = None
    age: int = 0
    stale: bool = True
    random: torch.Generator = field(default_factory=torch.Generator)
    calls: int = 0
    novelty: float | None = None

    def fits(self, other: DreamState) -> bool:
        """Whether the two can be rows of one batch."""

        def clock(state: DreamState) -> tuple[Any, ...]:
            past, settings = state.past, (state.steps, state.spacing)
            replayed = min(len(past), past.config.replayed)
            return *settings, past.free_running, past.count, replayed, past.pending

        return clock(self) == clock(other)


class LookedUp(NamedTuple):
    """Of which frames a new one is made; and, None where nobody asks, the pixels (H, W) that it is the first to show,
    and how much of each may be put in from memory (H, W)."""

    sources: list[int]
    first_seen: Mask | None = None
    kept: NDArray[np.float32] | None = None


class Engine:
    """Steps the dreams of one model, one of which computes at a time."""

    def __init__(self, backend: Backend) -> None:
        self.backend, self.model = backend, backend.model
        config = self.model.config
        dream = config.dream
        self.evidence = Evidence(config.size, config.fov, self.model.scale, dream.enlarged, dream.smears)
        self._lock = threading.Lock()

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        if self.backend.flushes_denormals:
            # Sharp attention fills its weights with denormal numbers, which cost a processor ten times as much.
            torch.set_flush_denormal(True)
        with self._lock:
            yield

    def imagine(
        self, states: Sequence[DreamState], action: Tensor, true_poses: Sequence[Tensor | None]
    ) -> tuple[list[np.ndarray], dict[str, float]]:
        """One frame for each dream (all of which :meth:`DreamState.fits`), which enters its past.

        Args:
            action: (A,), normalised; true_poses: (5,) of the next frame, where a dream is to use it.

        Returns:
            frames uint8 (H, W, 3), and the milliseconds of each phase.
        """
        with self._exclusive():
            return self._imagine(states, action, true_poses)

    def _imagine(
        self, states: Sequence[DreamState], action: Tensor, true_poses: Sequence[Tensor | None]
    ) -> tuple[list[np.ndarray], dict[str, float]]:
        mark, backend, model = PhaseTimer(), self.backend, self.model
        pasts = [state.past for state in states]
        for state in states:
            if state.past.needs_replay:
                self._replay(state.past)
            self._refresh(state)
        mark("compress")
        looked = backend.look(torch.stack([past.latents[-1] for past in pasts]))
        poses, moved = self._next_pose(looked, pasts, action, true_poses)
        mark("odometry")
        # Frames that left the short window since the last compression are not in the memory yet.
        recent = [min(state.history, model.window + state.age) for state in states]
        selection = backend.select(pasts, [state.memory for state in states], recent, poses)
        before = torch.stack([self._newest_control(past) for past in pasts])
        now = model.control(action.expand(len(pasts), -1), moved, poses[:, 4]).to(before.dtype)
        draw = self._generate if model.config.generates else self._denoise
        latents, looked_up = draw(states, selection, action, poses, (before, now), mark)
        latents = limit_rms(latents.contiguous(memory_format=backend.memory_format))
        drawn = backend.decode(latents, pasts[0].side)
        mark("decode")
        latents = latents.contiguous()
        depths: Tensor | list[None] = [None] * len(pasts)
        if model.config.pixels:
            horizon, rows = model.config.recall_horizon, zip(pasts, looked_up, strict=True)
            recallable = [[i for i in row.sources if past.recallable(i, horizon)] for past, row in rows]
            completed, depths = backend.recall(pasts, recallable, latents, poses, drawn)
            shares = [row.kept for row in looked_up]
            frames = _mixed(backend, drawn, completed, shares)
            mark("pixels")
        else:
            frames = backend.shown(drawn)
        kept = backend.keep(latents, poses, [past.count for past in pasts])
        for i, (state, past) in enumerate(zip(states, pasts, strict=True)):
            pose = poses[i].to(past.poses[-1].dtype)
            past.append(latents[i], action, pose, frames[i], depths[i], kept[i], looked_up[i].first_seen)
            past.drop_redundant(model.scale)
            past.newest_control = now[i]
            state.age += 1
        mark("keep")
        return frames, mark.ms

    def _next_pose(
        self, looked: Tensor, pasts: Sequence[DreamPast], action: Tensor, given: Sequence[Tensor | None]
    ) -> tuple[Tensor, Tensor]:
        """:meth:`.Backend.next_pose`, where nobody walks through what a dream shows."""
        reckoned, moved = self.backend.next_pose(looked, pasts, action, given)
        poses = without_collisions(self.model, pasts, reckoned, given, self.backend.measure)
        if poses is reckoned:
            return reckoned, moved
        before = torch.stack([past.poses[-1] for past in pasts]).to(poses)
        return poses, self.model.motion(before, poses)

    def _generate(
        self,
        states: Sequence[DreamState],
        selection: Selection,
        action: Tensor,
        poses: Tensor,
        controls: tuple[Tensor, Tensor],
        mark: PhaseTimer,
    ) -> tuple[Tensor, list[LookedUp]]:
        """Latents (B, C, h, w) of the next frames, by the model's generator, and what they were looked up in."""
        pasts, most = [state.past for state in states], self.model.config.memory.reads
        found, measure = [], self.backend.measure
        for state, row, pose in zip(states, selection.known, poses.tolist(), strict=True):
            past = state.past
            edited = change(past, self.model, action, pose, self.evidence, measure)
            found.append(remembered(self.evidence, past, row, pose, measure, edited, state.history))
        evidence = [one.evidence for one in found]
        mark("read")
        steps = [
            steps_by_novelty(drawn_evidence, state.steps)
            for drawn_evidence, state in zip(evidence, states, strict=True)
        ]
        randoms, spacing = [state.random for state in states], states[0].spacing
        strides, level = self.model.config.generator.strides, self.model.context_level
        latents = generate(self.backend, pasts, randoms, controls, evidence, steps, spacing, strides, level)
        mark("denoise")
        for state, one, calls in zip(states, found, steps, strict=True):
            state.past.evidence, state.past.pending = one.evidence, False
            state.calls, state.novelty = calls, novelty(one.evidence)
        return latents, [LookedUp(one.sources[:most], one.first_seen, one.kept) for one in found]

    def _denoise(
        self,
        states: Sequence[DreamState],
        selection: Selection,
        action: Tensor,
        poses: Tensor,
        controls: tuple[Tensor, Tensor],
        mark: PhaseTimer,
    ) -> tuple[Tensor, list[LookedUp]]:
        """Latents (B, C, h, w) of the next frames, by the model's denoisers, and what they were looked up in."""
        pasts, (steps, spacing) = [state.past for state in states], (states[0].steps, states[0].spacing)
        read = self.backend.read(selection, poses, pasts[0].count)
        mark("read")
        like = pasts[0].latents[-1]
        noise = torch.stack([torch.randn(like.shape, generator=state.random) for state in states])
        latents = self.backend.denoise(pasts, read, noise.to(like.device), controls, steps, spacing, mark)
        for state in states:
            state.past.pending, state.calls = False, steps
        return latents, [LookedUp(row) for row in selection.indices]

    def _newest_control(self, past: DreamPast) -> Tensor:
        """What steered the newest frame (A + 6,)."""
        if past.newest_control is None:
            past.newest_control = past.control(self.model, len(past) - 1)[0]
        return past.newest_control

    def integrate_pose(self, past: DreamPast) -> None:
        """Poses of the newest frames, those that have none yet, by dead reckoning from the last one that has."""
        with self._exclusive():
            first = len(past.poses)
            looked = self.backend.look(torch.stack(past.latents[first - 1 :]))
            for row, action in zip(looked[:-1, None], past.actions[first:], strict=True):
                poses, _ = self.backend.next_pose(row, [past], action, [None])
                past.poses.append(poses[0].to(past.poses[-1].dtype))

    def relocalise(self, past: DreamPast, newest: int, history: int) -> Tensor:
        """The pose (5,) that the newest frame was seen from; see :mod:`worldsim.engine.localisation.relocalise`.

        What is remembered are the frames of the last ``history`` but for the ``newest``.
        """
        part = past.behind(newest, history)
        if part.start == part.stop:
            return past.poses[-1]
        with self._exclusive():
            draw = self.backend.drawer(past, part, past.count - 1)
            return relocalise(self.model, draw, past.latents[-1], past.poses[-1])

    def refine_poses(self, past: DreamPast, first: int, history: int) -> None:
        """Correct the poses of the frames from place ``first`` on, true ones; see :mod:`.visual_odometry`."""
        with self._exclusive():
            refine_poses(self.model, past, first, history, self.backend.measure)

    def replay(self, past: DreamPast) -> None:
        """Compute what the newest frames left behind again, as if they had come one by one."""
        with self._exclusive():
            self._replay(past)

    def _replay(self, past: DreamPast) -> None:
        first = max(0, len(past) - past.config.replayed)
        self._keep(past, first)
        latents, controls = torch.stack(past.latents[first:])[:-1], past.control(self.model, first)[:-1]
        oldest = past.count - len(past) + first
        past.kept.context = self.backend.commit(latents, controls, oldest, past.free_running)
        past.cache_is_free_running, past.pending = past.free_running, True
        past.newest_control = past.evidence = None

    def encode_features(self, past: DreamPast) -> None:
        """Compute what every frame shows to the reader again."""
        with self._exclusive():
            self._keep(past, 0)

    def _keep(self, past: DreamPast, first: int) -> None:
        latents, poses = torch.stack(past.latents[first:]), torch.stack(past.poses[first:])
        past.kept.frames[first:] = self.backend.keep(latents, poses, past.indices[first:])

    def prepare(self, state: DreamState) -> None:
        """Compress what lies behind the short window, where it is time, before the next frame is asked for."""
        with self._exclusive():
            self._refresh(state)

    def _refresh(self, state: DreamState) -> None:
        past = state.past
        if state.stale or state.age >= past.config.refresh:
            part = past.behind(self.model.window, state.history)
            state.memory = self.backend.compress(past, part, state.budget)
            state.age, state.stale = 0, False


def _mixed(
    backend: Backend, drawn: Any, completed: Any, shares: Sequence[NDArray[np.float32] | None]
) -> list[np.ndarray]:
    """Pictures uint8 (H, W, 3) of what was drawn and of the same with pixels from memory, of which as much is kept as
    ``shares`` (h, w) say; all where they are None."""
    if all(share is None for share in shares):
        return backend.shown(completed)
    plain = [frame.copy() for frame in backend.shown(drawn)]  # the next call may write over them
    pairs = zip(plain, backend.shown(completed), shares, strict=True)
    return [full if share is None else mixed(first, full, share) for first, full, share in pairs]


def limit_rms(latents: Tensor) -> Tensor:
    """Frames of latents (..., C, h, w) scaled down to the root mean square of true ones, 1, where theirs is larger.

    Frame by frame a dream of its own past gains contrast, until nothing is left but colours; this stops it.
    """
    size = latents.square().mean((-3, -2, -1), keepdim=True).sqrt()
    return latents / size.clamp_min(1)
