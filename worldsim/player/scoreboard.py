"""What the HUD shows, gathered from ticks: traces, retrieval per range, the last revisit, the pace."""

from __future__ import annotations

from collections import deque

from worldsim.metrics.retrieval import Tally
from worldsim.session.tick import DreamView, Tick

TRACE = 240  # ticks of SSIM shown
BADGE = 60  # ticks that a revisit stays on its badge
PACE = 20  # ticks over which the pace is averaged


class Scoreboard:
    """A sink of ticks. Everything it says is about ticks up to ``tick``, the one on the screen.

    Retrieval is counted apart for every setting a dream was in (history, budget, denoising steps, past,
    pose): turning a dial does not mix two memories. What is shown belongs to the setting in which a view
    was last seen again, so that what a needle macro found stays on the board after it.
    """

    def __init__(self, first: Tick) -> None:
        self.tick = first
        self.returned: Tick | None = None  # the last tick that was a revisit
        self._traces: dict[str, deque[tuple[int, DreamView]]] = {}
        self._tallies: dict[tuple[object, ...], Tally] = {}
        self._scored: dict[str, DreamView] = {}
        self._count = 0  # ticks ever, while Tick.index begins anew with an episode
        self._returned_at = 0
        self._paused = False
        self._starts: deque[float] = deque(maxlen=PACE + 1)

    def add(self, tick: Tick) -> None:
        """Put one tick on the board."""
        self.tick = tick
        self._count += 1
        self._starts.append(tick.started)
        for name in list(self._traces):
            if name not in tick.dreams:
                del self._traces[name]
        for name, view in tick.dreams.items():
            self._traces.setdefault(name, deque(maxlen=TRACE)).append((self._count, view))
            if tick.revisit is not None and tick.action is not None:
                self._tallies.setdefault(_setting(view), Tally()).add(tick.revisit.range, view.ssim, view.srr)
                self._scored[name] = view
        if tick.revisit is not None:
            self.returned, self._returned_at = tick, self._count

    def pause(self, on: bool) -> None:
        """Time stands still: the pace is measured anew afterwards."""
        self._paused = on
        self._starts.clear()

    @property
    def pace(self) -> float | None:
        """Ticks a second over the last second or so, None in a pause and until it is known."""
        if self._paused or len(self._starts) < 3 or self._starts[-1] <= self._starts[0]:
            return None
        return (len(self._starts) - 1) / (self._starts[-1] - self._starts[0])

    @property
    def badge_age(self) -> int | None:
        """Ticks since the last revisit while its badge stands, None afterwards."""
        age = self._count - self._returned_at
        return age if self.returned is not None and age < BADGE else None

    def trace(self, name: str) -> list[tuple[int, DreamView]]:
        """(ticks before the present one, view) of a dream, oldest first."""
        return [(self._count - at, view) for at, view in self._traces.get(name, ())]

    def scored(self, name: str) -> DreamView:
        """The dream's view at the last revisit, in whose setting its retrieval is shown."""
        return self._scored.get(name, self.tick.dreams[name])

    def tally(self, name: str) -> Tally:
        """The retrieval of a dream in that setting."""
        return self._tallies.get(_setting(self.scored(name)), Tally())


def _setting(view: DreamView) -> tuple[object, ...]:
    return view.name, view.history, view.budget, view.steps, view.history_from, view.pose_from
