"""The thread that steps the session at the world's pace while the window goes on drawing."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from worldsim.session.session import Session
from worldsim.session.tick import Tick

Policy = Callable[[Any, dict[str, Any]], Any]
MakePolicy = Callable[[dict[str, Any]], Policy]


class Macro(Protocol):
    """A short closed-loop walk (``envs.policies.needle_macro.NeedleMacro``): a policy that comes to an end."""

    @property
    def frames_left(self) -> int | None:
        """Frames until it ends, once that is known."""
        ...

    def __call__(self, observation: Any, info: dict[str, Any]) -> Any | None:
        """The next action, None at the end."""
        ...


class Stepper(threading.Thread):
    """Steps a session until ``stop``; every tick goes to ``ticks``.

    It aims at ``rate`` ticks a second and is slower where the dreams are; what was missed is not made up
    for. In a pause it does what the session was asked for and steps only on ``step_once``.

    Args:
        session: already reset; only this thread steps it from now on.
        player: the action that the player's hands ask for, given the tick rate; None where the world is to wait.
        rate: ticks a second.
        make_policy: makes who plays instead of the player's hands from the reset's ``info``, anew for every
            episode; its end (StopIteration) ends the run.
        limit: stop after this many steps; a reset is none.
    """

    def __init__(
        self,
        session: Session,
        player: Callable[[float], Any],
        rate: float,
        make_policy: MakePolicy | None = None,
        limit: int | None = None,
    ) -> None:
        super().__init__(name="stepper", daemon=True)
        self.session, self.rate = session, rate
        self.ticks: queue.SimpleQueue[Tick] = queue.SimpleQueue()
        self.paused = threading.Event()
        self.error: BaseException | None = None
        self.macro_name: str | None = None  # the macro that plays now
        self._player, self._make_policy, self._left = player, make_policy, limit
        self._policy: Policy | None = None
        self._single = threading.Semaphore(0)
        self._stop_now = threading.Event()
        self._macros: queue.SimpleQueue[tuple[str, Callable[[], Macro]]] = queue.SimpleQueue()
        self._macro: Macro | None = None
        self._history_before: Any = None
        self._blind_asked = False

    # -- the window's thread ---------------------------------------------------------------------

    def step_once(self) -> None:
        """One tick, in a pause."""
        self._single.release()

    def play_macro(self, name: str, make: Callable[[], Macro]) -> None:
        """Let a macro play from the next tick on; its last ``blind`` frames are dreamt blind."""
        self._macros.put((name, make))

    def stop(self) -> None:
        """End the thread after the present tick and wait for it."""
        self._stop_now.set()
        self.join()

    # -- this thread -----------------------------------------------------------------------------

    def run(self) -> None:
        """Step until stopped; an error ends the thread and is kept in ``error``."""
        try:
            due = time.perf_counter()
            while not self._stop_now.is_set() and self._left != 0:
                if self.paused.is_set() and not self._single.acquire(blocking=False):
                    if (returned := self.session.apply()) is not None:
                        self._publish(returned)
                    self._stop_now.wait(1 / 60)
                    due = time.perf_counter()
                    continue
                if not self._step():
                    self._stop_now.wait(1 / 60)
                    due = time.perf_counter()
                    continue
                self.session.prepare()
                due = max(due + 1 / self.rate, time.perf_counter() - 1 / self.rate)
                self._stop_now.wait(max(0.0, due - time.perf_counter()))
        except BaseException as error:
            self.error = error

    def _step(self) -> bool:
        """One tick; False where the world waits for the player's hands."""
        try:
            action = self._choose()
            if action is None:
                if (returned := self.session.apply()) is not None:
                    self._publish(returned)
                return False
            tick = self.session.step(action)
        except StopIteration:
            self._left = 0
            return True
        self._publish(tick)
        if tick.action is not None and self._left is not None:
            self._left -= 1
        return True

    def _publish(self, tick: Tick) -> None:
        self.ticks.put(tick)
        if tick.action is None:  # another episode, or a bookmark: what was planned is for another place
            self._policy = None
            if self._macro is not None and tick.index:
                self._end_macro()

    def _choose(self) -> Any:
        if not self._macros.empty() and self._macro is None:
            self._begin_macro(*self._macros.get())
        if self._macro is not None:
            action = self._macro(self.session.observation, self.session.info)
            if action is not None:
                self._go_blind_for_the_return(self._macro.frames_left)
                return action
            self._end_macro()
        if self._make_policy is not None:
            self._policy = self._policy or self._make_policy(self.session.info)
            return self._policy(self.session.observation, self.session.info)
        return self._player(self.rate)

    def _begin_macro(self, name: str, make: Callable[[], Macro]) -> None:
        try:
            self._macro = make()
        except (ValueError, RuntimeError) as error:
            self.session.controls.notices.put(f"{name}: {error}")
            return
        self.macro_name, self._blind_asked = name, False
        self._history_before = self.session.history_from
        self.session.controls.set_history_from("true")

    def _go_blind_for_the_return(self, frames_left: int | None) -> None:
        # frames_left counts the action that was just chosen
        if not self._blind_asked and frames_left is not None and frames_left <= self.session.blind:
            self.session.controls.blind_from_now()
            self._blind_asked = True

    def _end_macro(self) -> None:
        self.session.controls.set_history_from(self._history_before)
        self.session.controls.notices.put(f"{self.macro_name} over")
        self._macro = self.macro_name = None
