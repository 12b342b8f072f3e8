"""Playing without a window: a policy, a progress bar, and what the sinks leave behind."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from tqdm import tqdm

from worldsim.session.session import Session
from worldsim.session.tick import Tick


class Sink(Protocol):
    """Something that takes every tick: a video, a report."""

    def add(self, tick: Tick) -> None:
        """Take one tick."""
        ...


def play(
    session: Session,
    make_policy: Callable[[dict[str, Any]], Callable[[Any, dict[str, Any]], Any]],
    sinks: Sequence[Sink],
    *,
    seed: int | None,
    options: dict[str, Any] | None = None,
    steps: int | None = None,
) -> None:
    """Reset the session and let a policy play it until it ends (StopIteration) or for ``steps`` steps; a reset is none.

    Args:
        make_policy: makes the policy from the reset's ``info``.
        seed, options: of the session's reset.
    """
    tick = session.reset(seed=seed, options=options)
    policy = make_policy(session.info)
    with tqdm(total=steps, unit="step", desc="playing", dynamic_ncols=True) as bar:
        done = 0
        while True:
            for sink in sinks:
                sink.add(tick)
            while not session.controls.notices.empty():
                bar.write(session.controls.notices.get(), file=sys.stderr)
            if done == steps:
                return
            try:
                action = policy(session.observation, session.info)
            except StopIteration:
                return
            tick = session.step(action)
            if tick.action is None:  # a new episode: its policy begins anew
                policy = make_policy(session.info)
                continue
            done += 1
            bar.update()
            if done % 10 == 0:
                bar.set_postfix({name: f"SSIM {view.ssim:.2f}" for name, view in tick.dreams.items()})
