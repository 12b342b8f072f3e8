"""The dreams of a session: one action for all, a past that is true where it is to be, and their settings."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from worldsim.session.interfaces import BLIND, MAX_STEPS, Dream
from worldsim.session.tick import Source
from worldsim.session.true_past import TrueHistory

NO_DREAM = "no dream plays here; give --checkpoint one of this world"
MEMORY, FORGETFUL = "memory", "forgetful"  # the names of the dream and of its twin


@dataclass(frozen=True)
class Dreamt:
    """One dream's newest frame uint8 (H, W, 3), the info beside it and its milliseconds, corrections included."""

    frame: np.ndarray
    info: dict[str, Any]
    ms: float


class Dreams:
    """Dreams of one true world, by name. All of it belongs to the thread that steps.

    Args:
        dreams: perhaps none. The one named ``forgetful`` always keeps its shortest history.
        past: the true past that they start from and are corrected by.
        twin: makes the forgetful twin for the first :meth:`compare`.
        history_from: whose frames they remember: "dream" (their own, for ever) or "true".
        blind: frames dreamt between two replacements of the past.
    """

    def __init__(
        self,
        dreams: Mapping[str, Dream],
        past: TrueHistory,
        twin: Callable[[], Dream] | None = None,
        history_from: Source = "dream",
        blind: int = BLIND,
    ) -> None:
        self.by_name = dict(dreams)
        self.history_from: Source = history_from
        self.blind = blind
        self.ages: dict[str, int] = {}  # frames dreamt since the past was last true
        self.correct_next = False  # whether the past becomes true before the next frame, whatever its age
        self._past, self._twin = past, twin
        self._idle_twin: Dream | None = None
        self._seed = 0
        self._spent_ms: dict[str, float] = {}  # by dream, what the next frame has been spared
        self._shorten_twin()

    @property
    def spent_ms(self) -> float:
        """What was done before for the next frame."""
        return sum(self._spent_ms.values())

    def begin(self, seed: int) -> dict[str, Dreamt]:
        """Start all of them from the true past."""
        self._seed, self.correct_next, self._spent_ms = seed, False, {}
        return {name: self._begin(name) for name in self.by_name}

    def make_true(self) -> None:
        """Replace the past of each dream by the true frames, where that is due."""
        for name, dream in self.by_name.items():
            began, age = time.perf_counter(), self.ages[name]
            if age and (self.correct_next or (self.history_from == "true" and age >= self.blind)):
                dream.correct(*self._past.newest(age, with_poses=dream.pose_from == "true"))
                self.ages[name] = 0
            self._spend(name, began)
        self.correct_next = False

    def prepare(self) -> None:
        """Do what the next frame would begin with, before its action is known."""
        self.make_true()
        for name, dream in self.by_name.items():
            began = time.perf_counter()
            dream.prepare()
            self._spend(name, began)

    def step(self, action: Any) -> dict[str, Dreamt]:
        """Every dream's next frame; the true one, which is there already, will be the end of their next correction."""
        for dream in self.by_name.values():
            if self.history_from == "true":
                dream.prefetch(self._past.frame)
            if dream.pose_from == "true" and self._past.pose is not None:
                dream.set_true_pose(self._past.pose)
        dreams = list(self.by_name.values())
        steps = dreams[0].together(dreams, action) if dreams else []
        dreamt = {}
        for name, (frame, *_, info) in zip(self.by_name, steps, strict=True):
            self.ages[name] += 1
            dreamt[name] = Dreamt(frame, info, info["step_ms"] + self._spent_ms.get(name, 0.0))
        self._spent_ms = {}
        return dreamt

    # -- settings: each says in words what came of it ---------------------------------------------

    def restart(self) -> str | None:
        """Start all of them again from the true past."""
        if not self.by_name:
            return NO_DREAM
        if not len(self._past):
            return None
        for name in self.by_name:
            self._begin(name)
        return f"dreams started again from the last {len(self._past)} true frames"

    def remember(self, source: Source) -> str:
        """Whose frames they remember from now on."""
        if not self.by_name:
            return NO_DREAM
        self.history_from = source
        return "past: the dream's own" if source == "dream" else f"past: true at every {self.blind}th frame"

    def set(self, dial: str, value: Any) -> str:
        """A dial of all of them."""
        if not self.by_name:
            return NO_DREAM
        for dream in self.by_name.values():
            setattr(dream, dial, value)
        self._shorten_twin()
        return f"{dial.replace('_', ' ')}: {value}"

    def set_pose_from(self, source: Source) -> str:
        """Where their poses come from; they start again, because the two count from different origins."""
        said = self.set("pose_from", source)
        self.restart()
        return said

    def turn(self, dial: str, by: int) -> str:
        """A dial by so many choices of its ladder."""
        if not self.by_name:
            return NO_DREAM
        now, ladder = self.settings()[dial]
        nearest = min(range(len(ladder)), key=lambda i: abs(ladder[i] - now))
        return self.set(dial, ladder[min(len(ladder) - 1, max(0, nearest + by))])

    def settings(self) -> dict[str, tuple[int, list[int]]]:
        """Where each dial of the first dream stands, and its choices, upwards; empty without a dream."""
        if not self.by_name:
            return {}
        dream = next(iter(self.by_name.values()))
        ladders = {
            "history": dream.histories,
            "budget": dream.budgets,
            "denoising_steps": range(1, MAX_STEPS + 1),
        }
        return {name: (getattr(dream, name), sorted(ladder)) for name, ladder in ladders.items()}

    def compare(self, on: bool) -> str | None:
        """With the forgetful twin or without it; both begin from the present true frames when it appears."""
        if on == (FORGETFUL in self.by_name):
            return None
        if not self.by_name:
            return NO_DREAM
        if not on:
            self._idle_twin = self.by_name.pop(FORGETFUL)
            return "comparison closed"
        twin = self._idle_twin or (self._twin() if self._twin else None)
        if twin is None:
            return "this session has no forgetful twin to compare with"
        first = next(iter(self.by_name.values()))
        for dial in ("budget", "denoising_steps", "pose_from"):
            setattr(twin, dial, getattr(first, dial))
        self.by_name[FORGETFUL] = twin
        self._shorten_twin()
        self.restart()
        return "comparing: the dream and its forgetful twin start from the same true frames"

    # -- inside -----------------------------------------------------------------------------------

    def _begin(self, name: str) -> Dreamt:
        began, dream = time.perf_counter(), self.by_name[name]
        context = self._past.context(with_poses=dream.pose_from == "true")
        frame, info = dream.reset(seed=self._seed, options=context)
        self.ages[name] = 0
        return Dreamt(frame, info, (time.perf_counter() - began) * 1e3)

    def _spend(self, name: str, began: float) -> None:
        self._spent_ms[name] = self._spent_ms.get(name, 0.0) + (time.perf_counter() - began) * 1e3

    def _shorten_twin(self) -> None:
        if twin := self.by_name.get(FORGETFUL):
            twin.history = min(twin.histories)
