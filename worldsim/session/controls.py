"""The dials of a session: what may be asked of it from any thread, done between two ticks."""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import Any

from worldsim.session.interfaces import MAX_STEPS, Dream, Recording
from worldsim.session.true_past import TruePast
from worldsim.tick import Source

NO_DREAM = "no dream plays here; give --checkpoint one of this world"
MEMORY, FORGETFUL = "memory", "forgetful"  # the names of the dream and of its twin


class Dials:
    """The dreams of a session, and the commands that start, turn, compare and record them.

    Every public method here but ``apply`` may be called from any thread: what it asks for waits in a queue
    until ``apply``. What came of it, or why it could not be done, can be read from ``notices``.

    Args:
        dreams: the dreams by name. The one named ``forgetful`` always keeps its shortest history.
        past: the true past that dreams start from.
        twin: makes the forgetful twin for the first ``set_compare(True)``.
        recorder: the wrapper that records the world, if any.
        history_from: whose frames the dreams remember: "dream" (their own, for ever) or "true".
        blind: frames dreamt between two replacements of the past.
    """

    def __init__(
        self,
        dreams: dict[str, Dream],
        past: TruePast,
        twin: Callable[[], Dream] | None,
        recorder: Recording | None,
        history_from: Source,
        blind: int,
    ) -> None:
        self.notices: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.blind = blind
        self._dreams, self._past = dict(dreams), past
        self._twin, self._recorder = twin, recorder
        self._idle_twin: Dream | None = None
        self._history_from: Source = history_from
        self._commands: queue.SimpleQueue[Callable[[], str | None]] = queue.SimpleQueue()
        self._correct_next = False
        self._shorten_twin()

    def apply(self) -> None:
        """Do what was asked for; belongs to the thread that steps."""
        while not self._commands.empty():
            try:
                notice = self._commands.get_nowait()()
            except (OSError, ValueError, RuntimeError) as error:  # e.g. no permission to record there
                notice = str(error)
            if notice:
                self.notices.put(notice)

    def restart_dreams(self) -> None:
        """Start all dreams again from the present true frames: the last up to 112, and their actions."""
        self._commands.put(self._restart)

    def blind_from_now(self) -> None:
        """Replace the past by the true frames now, so that the next ``blind`` frames are dreamt blind."""
        self._commands.put(lambda: setattr(self, "_correct_next", True))

    def set_history_from(self, source: Source) -> None:
        """Whose frames the dreams remember from the next tick on: "dream" or "true"."""
        self._commands.put(lambda: self._remember(source))

    def toggle_history_from(self) -> None:
        """From dream to true or back."""
        self._commands.put(lambda: self._remember("true" if self._history_from == "dream" else "dream"))

    def set_pose_from(self, source: Source) -> None:
        """Where the dreams' poses come from: their own dead reckoning or, an aid, the true world.

        They start again from the present true frames, because the two count from different origins.
        """
        self._commands.put(lambda: self._set_pose_from(source))

    def set_history(self, frames: int) -> None:
        """How many past frames may reach the denoiser (the forgetful twin keeps its own)."""
        self._commands.put(lambda: self._set("history", frames))

    def set_budget(self, latents: int) -> None:
        """How many latents the past is compressed into."""
        self._commands.put(lambda: self._set("budget", latents))

    def set_denoising_steps(self, steps: int) -> None:
        """How many denoising steps a frame takes, 1 to 8."""
        self._commands.put(lambda: self._set("denoising_steps", min(MAX_STEPS, max(1, steps))))

    def turn(self, dial: str, by: int) -> None:
        """Turn "history", "budget" or "denoising_steps" up (+1) or down (-1) by one choice."""
        self._commands.put(lambda: self._turn(dial, by))

    def set_compare(self, on: bool) -> None:
        """Add or remove the forgetful twin: the same weights with the shortest history.

        So that the two can be compared, both begin from the present true frames when the twin appears.
        """
        self._commands.put(lambda: self._compare(on))

    def toggle_compare(self) -> None:
        """With the forgetful twin or without it."""
        self._commands.put(lambda: self._compare(FORGETFUL not in self._dreams))

    def start_recording(self) -> None:
        """Record from the present frame on."""
        self._commands.put(lambda: self._record(True))

    def stop_recording(self) -> None:
        """Seal the recording."""
        self._commands.put(lambda: self._record(False))

    def toggle_recording(self) -> None:
        """Start or stop recording."""
        self._commands.put(lambda: self._record(not self.recording))

    @property
    def recording(self) -> bool:
        """Whether frames are being recorded."""
        return self._recorder is not None and bool(self._recorder.recording)

    @property
    def history_from(self) -> Source:
        """Whose frames the dreams remember."""
        return self._history_from

    # -- done by apply ---------------------------------------------------------------------------

    def _begin(self, name: str) -> Any:
        """Start one dream from the true past."""
        raise NotImplementedError

    def _restart(self) -> str | None:
        if not self._dreams:
            return NO_DREAM
        if not len(self._past):
            return None
        for name in self._dreams:
            self._begin(name)
        return f"dreams started again from the last {len(self._past)} true frames"

    def _remember(self, source: Source) -> str:
        if not self._dreams:
            return NO_DREAM
        self._history_from = source
        return "past: the dream's own" if source == "dream" else f"past: true at every {self.blind}th frame"

    def _set(self, dial: str, value: Any) -> str:
        for dream in self._dreams.values():
            setattr(dream, dial, value)
        self._shorten_twin()
        return f"{dial.replace('_', ' ')}: {value}"

    def _set_pose_from(self, source: Source) -> str:
        notice = self._set("pose_from", source)
        self._restart()
        return notice

    def _turn(self, dial: str, by: int) -> str:
        if not self._dreams:
            return NO_DREAM
        dream = next(iter(self._dreams.values()))
        ladders = {"history": dream.histories, "budget": dream.budgets}
        ladder = sorted(ladders.get(dial, range(1, MAX_STEPS + 1)))
        now = getattr(dream, dial)
        nearest = min(range(len(ladder)), key=lambda i: abs(ladder[i] - now))
        return self._set(dial, ladder[min(len(ladder) - 1, max(0, nearest + by))])

    def _shorten_twin(self) -> None:
        if twin := self._dreams.get(FORGETFUL):
            twin.history = min(twin.histories)

    def _compare(self, on: bool) -> str | None:
        if on == (FORGETFUL in self._dreams):
            return None
        if not self._dreams:
            return NO_DREAM
        if not on:
            self._idle_twin = self._dreams.pop(FORGETFUL)
            return "comparison closed"
        twin = self._idle_twin or (self._twin() if self._twin else None)
        if twin is None:
            return "this session has no forgetful twin to compare with"
        first = next(iter(self._dreams.values()))
        for dial in ("budget", "denoising_steps", "pose_from"):
            setattr(twin, dial, getattr(first, dial))
        self._dreams[FORGETFUL] = twin
        self._shorten_twin()
        self._restart()
        return "comparing: the dream and its forgetful twin start from the same true frames"

    def _record(self, on: bool) -> str | None:
        if self._recorder is None:
            return "this session has no recorder"
        if on == self.recording:
            return None
        if on:
            self._recorder.start()
            return "recording"
        path = self._recorder.stop()
        return f"recorded {path}" if path else "recording stopped"
