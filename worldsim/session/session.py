"""A session: one true world and its dreams in lockstep, scored against it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from worldsim.metrics.retrieval import SPAN, Revisit, RevisitFinder, band, retrieved
from worldsim.metrics.srr import View
from worldsim.metrics.ssim import psnr, ssim
from worldsim.session import world_state
from worldsim.session.bookmarks import Bookmarks
from worldsim.session.controls import Controls
from worldsim.session.dreams import Dreams, Dreamt
from worldsim.session.heap import Trim
from worldsim.session.interfaces import BLIND, Dream, Recording
from worldsim.session.live_srr import LiveSrr
from worldsim.session.snapshot import Snapshot, SnapshotError, joined
from worldsim.session.tick import DreamView, Source, Tick
from worldsim.session.true_past import TrueHistory


class Session:
    """Steps one true world and its dreams with the same actions.

    Order of a step: what the ``controls`` were asked for; where the past is to be true and is ``blind`` dreamt frames
    old, it is replaced by the true frames; the world's step; a dream whose pose is the true one is told it; the dreams'
    step; the scores, once. So with true history ``blind`` frames at a time are dreamt on the dream's own frames.

    All of it belongs to one thread, but for the commands of ``controls``.

    Args:
        env: the true world; ``info["pose"]`` is used where it is there.
        dreams: the dreams by name, perhaps none. The one named ``forgetful`` always keeps its shortest history.
        twin: makes the forgetful twin for the first ``controls.set_compare(True)``.
        recorder: the wrapper that records ``env``, if any.
        history_from: whose frames the dreams remember: "dream" (their own, for ever) or "true".
        blind: frames dreamt between two replacements of the past.
        bookmarks: the folder that bookmarks are written to; None keeps them in memory alone.
        rewindable: whether one may go back to a bookmark.
        opening: the file of a state that the first reset begins at.
    """

    def __init__(
        self,
        env: Any,
        dreams: dict[str, Dream],
        *,
        twin: Callable[[], Dream] | None = None,
        recorder: Recording | None = None,
        history_from: Source = "dream",
        blind: int = BLIND,
        bookmarks: Path | None = None,
        rewindable: bool = True,
        opening: Path | None = None,
    ) -> None:
        self.env = env
        self.observation: Any = None  # the world's last observation and info, for policies
        self.info: dict[str, Any] = {}
        self._past = TrueHistory(env.action_space, SPAN)
        self._dreams = Dreams(dreams, self._past, twin, history_from, blind)
        marks = Bookmarks(self, bookmarks, self._dreams.notices.put) if rewindable else None
        self.bookmarks, self.controls = marks, Controls(self._dreams, recorder, marks)
        self._finder, self._srr = RevisitFinder(), LiveSrr.of(env)
        self._index, self._over, self._seed = 0, False, 0
        self._opening = opening
        self._returned: Tick | None = None  # of the state that one went back to
        self._trim = Trim()

    @property
    def blind(self) -> int:
        """Frames dreamt between two replacements of the past."""
        return self._dreams.blind

    @property
    def history_from(self) -> Source:
        """Whose frames the dreams remember."""
        return self._dreams.history_from

    @property
    def index(self) -> int:
        """Steps since the reset."""
        return self._index

    def apply(self) -> Tick | None:
        """Do what the controls were asked for, without a step; the tick that one has gone back to, if one has."""
        self.controls.apply()
        tick, self._returned = self._returned, None
        return tick

    def save(self) -> Snapshot:
        """A copy of the true world and its dreams, to come back to.

        Raises:
            SnapshotError: this world or one of the dreams cannot be kept.
            DreamLost: a dream on another machine is not there any more.
        """
        if not len(self._past):
            raise SnapshotError("a session that has not begun has no state to keep")
        parts = {
            "world": world_state.save(self.env),
            "past": self._past.save(),
            "dreams": self._dreams.save(),
        }
        return joined(parts, index=self._index, seed=self._seed, over=self._over)

    def load(self, snapshot: Snapshot) -> None:
        """Go back to a copy; the next :meth:`apply` or :meth:`step` gives its tick, which has no action.

        Raises:
            SnapshotError: it is of another world or other dreams, or not whole; then nothing has changed, but for
                dreams that had gone back already.
            DreamLost: a dream on another machine is not there any more.
        """
        started, facts = time.perf_counter(), snapshot.tree
        index, seed = facts.get("index"), facts.get("seed")
        if not isinstance(index, int) or not isinstance(seed, int) or index < 0:
            raise SnapshotError("this state does not say where it was")
        past, world = snapshot.part("past"), snapshot.part("world")
        world_state.check(self.env, world)
        TrueHistory(self.env.action_space, SPAN).load(past)
        dreamt = self._dreams.load(snapshot.part("dreams"))
        self.observation, self.info = world_state.load(self.env, world)
        self._past.load(past)
        self._index, self._seed, self._over = index, seed, bool(facts.get("over"))
        self._finder.reset()
        items = self._past.items()
        for i, (frame, pose) in enumerate(items[:-1]):
            self._finder.add(frame, pose, index - len(items) + 1 + i)
        self._returned = self._tick(None, dreamt, 0.0, started)

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Tick:
        """A new world; the dreams begin from its first frame. Returns tick 0, whose action is None.

        Raises:
            SnapshotError: the state that the first reset begins at is not whole, or does not fit.
        """
        started = time.perf_counter()
        self.observation, self.info = self.env.reset(seed=seed, options=options)
        true_ms = _ms_since(started)
        self._index, self._over = 0, False
        self._seed = self._seed if seed is None else seed
        self._past.begin(self.observation, self.info)
        self._finder.reset()
        opening, self._opening = self._opening, None
        if opening is not None and self.bookmarks is not None:
            self._dreams.notices.put(self.bookmarks.open(opening))
        if (returned := self.apply()) is not None:
            return returned
        return self._tick(None, self._dreams.begin(self._seed), true_ms, started)

    def step(self, action: Any) -> Tick:
        """One action, one tick. After the end of an episode the next step begins a new one instead, and where one went
        back to a bookmark it shows the frame there."""
        if self._over:
            return self.reset()
        # What was done before for this step is part of it.
        started = time.perf_counter() - self._dreams.spent_ms / 1000
        if (returned := self.apply()) is not None:
            return returned
        self._trim()
        self._dreams.make_true()
        began = time.perf_counter()
        self.observation, _, terminated, truncated, self.info = self.env.step(action)
        true_ms = _ms_since(began)
        self._index, self._over = self._index + 1, bool(terminated or truncated)
        self._past.add(action, self.observation, self.info)
        return self._tick(action, self._dreams.step(action), true_ms, started)

    def prepare(self) -> None:
        """Do what the next step would begin with, for whoever has time between two: corrections that are due, and
        what dreams can do before they know the action. The next tick counts its milliseconds."""
        if not self._over:
            self._dreams.prepare()

    def close(self) -> None:
        """Close the world; a recorder around it seals what it was recording."""
        self.env.close()

    def _tick(self, action: Any, dreamt: dict[str, Dreamt], true_ms: float, started: float) -> Tick:
        frame, pose = self._past.frame, self._past.pose
        revisit = self._finder.add(frame, pose, self._index)
        labelled = None if revisit is None or self._srr is None else self._srr.look(frame)
        views = {name: self._view(name, result, revisit, labelled) for name, result in dreamt.items()}
        total_ms, recording = _ms_since(started), self.controls.recording
        return Tick(self._index, action, frame, pose, revisit, views, true_ms, total_ms, recording, started)

    def _view(self, name: str, dreamt: Dreamt, revisit: Revisit | None, labelled: View | None) -> DreamView:
        dream, true = self._dreams.by_name[name], self._past.frame
        likeness = ssim(dreamt.frame, true)
        return DreamView(
            name=name,
            frame=dreamt.frame,
            ssim=likeness,
            psnr=psnr(dreamt.frame, true),
            band=band(likeness),
            retrieved=None if revisit is None else retrieved(likeness),
            srr=None
            if labelled is None or self._srr is None
            else self._srr.retrieved(labelled, dreamt.frame),
            history=dream.history,
            budget=dream.budget,
            steps=dream.denoising_steps,
            history_from=self.history_from,
            pose_from=dream.pose_from,
            blind=self._dreams.ages[name],
            memory_frames=int(dreamt.info["memory_frames"]),
            memory_latents=int(dreamt.info["memory_latents"]),
            step_ms=dreamt.ms,
            phase_ms=dict(dreamt.info.get("ms", {})),
            calls=dreamt.info.get("calls"),
            novelty=dreamt.info.get("novelty"),
        )


def _ms_since(moment: float) -> float:
    return (time.perf_counter() - moment) * 1e3
