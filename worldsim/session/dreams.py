"""The dreams of a session: one action for all, a past that is true where it is to be, and their settings."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from worldsim.session.interfaces import BLIND, MAX_STEPS, Dream, DreamLost
from worldsim.session.snapshot import Snapshot, SnapshotError, joined
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

    Dreams on another machine may be lost at any moment: the world then plays on without them, ``notices`` has a
    sentence, and :meth:`restart` tries to reach them again.

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
        self.notices: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.ages: dict[str, int] = {}  # frames dreamt since the past was last true
        self.correct_next = False  # whether the past becomes true before the next frame, whatever its age
        self._past, self._twin = past, twin
        self._idle_twin: Dream | None = None
        self._lost: dict[str, Dream] = {}
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
        try:
            return {name: self._begin(name) for name in self.by_name}
        except DreamLost as lost:
            return self._lose(lost)

    def make_true(self) -> None:
        """Replace the past of each dream by the true frames, where that is due."""
        try:
            self._make_true()
        except DreamLost as lost:
            self._lose(lost)
        self.correct_next = False

    def _make_true(self) -> None:
        for name, dream in self.by_name.items():
            began, age = time.perf_counter(), self.ages[name]
            if age and (self.correct_next or (self.history_from == "true" and age >= self.blind)):
                dream.correct(*self._past.newest(age, with_poses=dream.pose_from == "true"))
                self.ages[name] = 0
            self._spend(name, began)

    def prepare(self) -> None:
        """Do what the next frame would begin with, before its action is known."""
        self.make_true()
        try:
            for name, dream in self.by_name.items():
                began = time.perf_counter()
                dream.prepare()
                self._spend(name, began)
        except DreamLost as lost:
            self._lose(lost)

    def step(self, action: Any) -> dict[str, Dreamt]:
        """Every dream's next frame; the true one, which is there already, will be the end of their next correction."""
        try:
            return self._step(action)
        except DreamLost as lost:
            return self._lose(lost)

    def _step(self, action: Any) -> dict[str, Dreamt]:
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
        """Start all of them again from the true past; those that were lost are looked for."""
        if self._lost:
            self.by_name, self._lost = self._lost, {}
        if not self.by_name:
            return NO_DREAM
        if not len(self._past):
            return None
        try:
            for name in self.by_name:
                self._begin(name)
        except DreamLost as lost:
            self._lose(lost)
            return None
        return f"dreams started again from the last {len(self._past)} true frames"

    def remember(self, source: Source) -> str:
        """Whose frames they remember from now on."""
        if not self.by_name and not self._lost:
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
        twin = self._twin_to_compare()
        if twin is None:
            return "this session has no forgetful twin to compare with"
        first = next(iter(self.by_name.values()))
        if len(set(twin.histories)) == 1:
            return f"no twin: this dream has one history, {twin.histories[0]} frames, and none forgets more"
        for dial in ("budget", "denoising_steps", "pose_from"):
            setattr(twin, dial, getattr(first, dial))
        self.by_name[FORGETFUL] = twin
        self._shorten_twin()
        self.restart()
        return "comparing: the dream and its forgetful twin start from the same true frames"

    # -- states to come back to -----------------------------------------------------------------------

    def save(self) -> Snapshot:
        """A copy of all of them, and of what they are at.

        Raises:
            SnapshotError: one of them cannot be kept.
            DreamLost: one of them is not there any more.
        """
        for name, dream in self.by_name.items():
            if not hasattr(dream, "save"):
                raise SnapshotError(f"the dream {name} cannot be kept")
        parts = {name: dream.save() for name, dream in self.by_name.items()}
        facts = {
            "history_from": self.history_from,
            "ages": dict(self.ages),
            "correct_next": self.correct_next,
        }
        return joined(parts, names=list(parts), **facts)

    def load(self, snapshot: Snapshot) -> dict[str, Dreamt]:
        """Go back: the same dreams as then, each with its newest frame. The twin comes and goes as it was.

        Raises:
            SnapshotError: it is not whole, or other dreams play here.
            DreamLost: one of them is not there any more.
        """
        facts, dreams = snapshot.tree, dict(self.by_name or self._lost)
        names = facts.get("names")
        if not isinstance(names, list) or not all(
            isinstance(facts.get("ages", {}).get(n), int) for n in names
        ):
            raise SnapshotError("this state does not say which dreams it has")
        if FORGETFUL in names and FORGETFUL not in dreams and dreams and (twin := self._twin_to_compare()):
            dreams[FORGETFUL] = twin
        elif FORGETFUL in dreams and FORGETFUL not in names:
            self._idle_twin = dreams.pop(FORGETFUL)
        if list(dreams) != names or facts.get("history_from") not in ("dream", "true"):
            raise SnapshotError(
                f"this state has the dreams {', '.join(names) or 'none'}, here play {', '.join(dreams) or 'none'}"
            )
        shown = {}
        for name, dream in dreams.items():
            began = time.perf_counter()
            frame, info = dream.load(snapshot.part(name))
            shown[name] = Dreamt(frame, info, (time.perf_counter() - began) * 1e3)
        self.by_name, self._lost, self._spent_ms = dreams, {}, {}
        self.ages = {name: facts["ages"][name] for name in names}
        self.history_from, self.correct_next = facts["history_from"], bool(facts.get("correct_next"))
        return shown

    # -- inside -----------------------------------------------------------------------------------

    def _begin(self, name: str) -> Dreamt:
        began, dream = time.perf_counter(), self.by_name[name]
        context = self._past.context(with_poses=dream.pose_from == "true")
        frame, info = dream.reset(seed=self._seed, options=context)
        self.ages[name] = 0
        return Dreamt(frame, info, (time.perf_counter() - began) * 1e3)

    def _lose(self, lost: DreamLost) -> dict[str, Dreamt]:
        """Go on without any of them."""
        self._lost, self.by_name = {**self._lost, **self.by_name}, {}
        self.ages, self._spent_ms, self._idle_twin = {}, {}, None
        self.notices.put(str(lost))
        return {}

    def _twin_to_compare(self) -> Dream | None:
        return self._idle_twin or (self._twin() if self._twin else None)

    def _spend(self, name: str, began: float) -> None:
        self._spent_ms[name] = self._spent_ms.get(name, 0.0) + (time.perf_counter() - began) * 1e3

    def _shorten_twin(self) -> None:
        if twin := self.by_name.get(FORGETFUL):
            twin.history = min(twin.histories)
