"""One true world and its dreams in lockstep: a stream of Ticks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from worldsim.metrics.retrieval import SPAN, RevisitFinder, retrieved
from worldsim.metrics.srr import View
from worldsim.metrics.ssim import psnr, ssim
from worldsim.session.controls import Dials
from worldsim.session.interfaces import BLIND, Dream, Recording
from worldsim.session.live_srr import SurfaceJudge
from worldsim.session.true_past import TruePast
from worldsim.tick import DreamView, Revisit, Source, Tick, band


class Session(Dials):
    """Steps one true world and its dreams with the same actions.

    Order of a step: where the past is to be true and is ``blind`` dreamt frames old, it is replaced by the
    true frames; the world's step; a dream whose pose is the true one is told it; the dream's step; the
    scores, once. So with true history ``blind`` frames at a time are dreamt on the dream's own frames.

    ``step``, ``prepare``, ``reset``, ``apply`` and ``close`` belong to one thread, the ``Dials`` to any.

    Args:
        env: the true world; ``info["pose"]`` is used where it is there.
        dreams: the dreams by name, perhaps none. The one named ``forgetful`` always keeps its shortest history.
        twin: makes the forgetful twin for the first ``set_compare(True)``.
        recorder: the wrapper that records ``env``, if any.
        history_from: whose frames the dreams remember: "dream" (their own, for ever) or "true".
        blind: frames dreamt between two replacements of the past.
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
    ) -> None:
        super().__init__(dreams, TruePast(env.action_space, SPAN), twin, recorder, history_from, blind)
        self.env = env
        self.observation: Any = None  # the world's last observation and info, for policies
        self.info: dict[str, Any] = {}
        self._finder, self._judge = RevisitFinder(), SurfaceJudge.of(env)
        self._blind: dict[str, int] = {}  # frames dreamt since the past was last true
        self._prepared_ms: dict[str, float] = {}  # by dream, what the next step has been spared
        self._index, self._over, self._seed = 0, False, 0

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Tick:
        """A new world; the dreams begin from its first frame. Returns tick 0, whose action is None."""
        started = time.perf_counter()
        self.observation, self.info = self.env.reset(seed=seed, options=options)
        true_ms = _ms_since(started)
        self._index, self._over, self._correct_next, self._prepared_ms = 0, False, False, {}
        self._seed = self._seed if seed is None else seed
        self._past.begin(self.observation, self.info)
        self._finder.reset()
        self.apply()
        dreamt = {name: self._begin(name) for name in self._dreams}
        return self._tick(None, dreamt, true_ms, started)

    def step(self, action: Any) -> Tick:
        """One action, one tick. After the end of an episode the next step begins a new one instead."""
        if self._over:
            return self.reset()
        # What was done before for this step is part of it.
        started = time.perf_counter() - sum(self._prepared_ms.values()) / 1000
        self.apply()
        correct_ms = self._correct_those_due()
        began = time.perf_counter()
        self.observation, _, terminated, truncated, self.info = self.env.step(action)
        true_ms = _ms_since(began)
        self._index, self._over = self._index + 1, bool(terminated or truncated)
        self._past.add(action, self.observation, self.info)
        self._expect()
        dreamt = {}
        for name, (frame, info, ms) in self._dream(action).items():
            self._blind[name] += 1
            dreamt[name] = frame, info, ms + correct_ms[name]
        return self._tick(action, dreamt, true_ms, started)

    def prepare(self) -> None:
        """Do what the next step would begin with, for whoever has time between two: corrections that are due, and
        what dreams can do before they know the action. The next tick counts its milliseconds."""
        if self._over:
            return
        self._prepared_ms = self._correct_those_due()
        for name, dream in self._dreams.items():
            if prepare := getattr(dream, "prepare", None):
                began = time.perf_counter()
                prepare()
                self._prepared_ms[name] += _ms_since(began)

    def close(self) -> None:
        """Close the world; a recorder around it seals what it was recording."""
        self.env.close()

    # -- inside ----------------------------------------------------------------------------------

    def _dream(self, action: Any) -> dict[str, tuple[np.ndarray, dict[str, Any], float]]:
        """Every dream's next frame, its info and its milliseconds: of a shared pass, its share."""
        began, dreams = time.perf_counter(), list(self._dreams.values())
        if not dreams:
            return {}
        for dream in dreams:
            if dream.pose_from == "true" and self._past.pose is not None:
                dream.guide(self._past.pose)
        together = getattr(dreams[0], "together", None) if len({type(d) for d in dreams}) == 1 else None
        if together is not None:
            steps = together(dreams, action)
            spent = [_ms_since(began) / len(dreams)] * len(dreams)
        else:
            steps, spent = [], []
            for dream in dreams:
                began = time.perf_counter()
                steps.append(dream.step(action))
                spent.append(_ms_since(began))
        return {
            name: (step[0], step[4], ms) for name, step, ms in zip(self._dreams, steps, spent, strict=True)
        }

    def _correct_those_due(self) -> dict[str, float]:
        """What it took, of each dream, with what was done before for this step."""
        ms = {name: self._prepared_ms.get(name, 0.0) + self._correct_if_due(name) for name in self._dreams}
        self._correct_next, self._prepared_ms = False, {}
        return ms

    def _expect(self) -> None:
        """Tell a dream which true frame its next correction will bring, if it wants to know."""
        if self._history_from == "true":
            for dream in self._dreams.values():
                if expect := getattr(dream, "expect", None):
                    expect(self._past.frame)

    def _begin(self, name: str) -> tuple[np.ndarray, dict[str, Any], float]:
        began = time.perf_counter()
        context = self._past.context(with_poses=self._dreams[name].pose_from == "true")
        frame, info = self._dreams[name].reset(seed=self._seed, options=context)
        self._blind[name] = 0
        return frame, info, _ms_since(began)

    def _correct_if_due(self, name: str) -> float:
        began, age = time.perf_counter(), self._blind[name]
        due = self._correct_next or (self._history_from == "true" and age >= self.blind)
        if age and due:
            dream = self._dreams[name]
            dream.correct(*self._past.newest(age, with_poses=dream.pose_from == "true"))
            self._blind[name] = 0
        return _ms_since(began)

    def _tick(
        self,
        action: Any,
        dreamt: dict[str, tuple[np.ndarray, dict[str, Any], float]],
        true_ms: float,
        started: float,
    ) -> Tick:
        frame, pose = self._past.frame, self._past.pose
        revisit = self._finder.add(frame, pose, self._index)
        seen = None if revisit is None or self._judge is None else self._judge.look(frame)
        views = {name: self._view(name, *result, revisit, seen) for name, result in dreamt.items()}
        total_ms = _ms_since(started)
        return Tick(
            self._index, action, frame, pose, revisit, views, true_ms, total_ms, self.recording, started
        )

    def _view(
        self,
        name: str,
        frame: np.ndarray,
        info: dict[str, Any],
        ms: float,
        revisit: Revisit | None,
        seen: View | None,
    ) -> DreamView:
        dream, likeness = self._dreams[name], ssim(frame, self._past.frame)
        return DreamView(
            name=name,
            frame=frame,
            ssim=likeness,
            psnr=psnr(frame, self._past.frame),
            band=band(likeness),
            retrieved=None if revisit is None else retrieved(likeness),
            srr=None if seen is None or self._judge is None else self._judge.retrieved(seen, frame),
            history=dream.history,
            budget=dream.budget,
            steps=dream.denoising_steps,
            history_from=self._history_from,
            pose_from=dream.pose_from,
            blind=self._blind[name],
            memory_frames=int(info.get("memory_frames", 0)),
            memory_latents=int(info.get("memory_latents", 0)),
            step_ms=ms,
            phase_ms=dict(info.get("ms", {})),
        )


def _ms_since(moment: float) -> float:
    return (time.perf_counter() - moment) * 1e3
