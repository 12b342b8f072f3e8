"""The hands of a player whose page is elsewhere: what they do, and which of it each tick answers."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

from worldsim.player.keymap import MOVES, TURNS, InputState, Intent, Keymap
from worldsim.server.messages import Hands
from worldsim.session.tick import Tick

UNANSWERED = 256  # actions that are remembered until their ticks come


class RemoteHands:
    """Turns messages into actions, and remembers which message an action came after.

    Args:
        keymap: the action language of the world.
        turn_rate, mouse_degrees: of held turns, degrees a second, and of the mouse, degrees a pixel.
        invert_y: whether mouse, stick and finger look up where they move down.
    """

    def __init__(
        self, keymap: Keymap, turn_rate: float, mouse_degrees: float, invert_y: bool = False
    ) -> None:
        words = keymap.keys or MOVES
        self._keymap, self._words = keymap, frozenset(words) | frozenset(TURNS)
        self._input = InputState(turn_rate, mouse_degrees, words, invert_y)
        self._lock = threading.Lock()
        self._newest = 0
        self._asked: deque[tuple[Any, int]] = deque(maxlen=UNANSWERED)

    def hold(self, hands: Hands) -> None:
        """Do what a message says; names that this world does not know are left out."""
        with self._lock:
            self._input.hold(hands.held & self._words, hands.stick)
            for name in hands.tapped & self._words:
                self._input.tap(name)
            self._input.move_mouse(*hands.mouse)
            self._newest = hands.number

    def release(self) -> None:
        """Let go of everything."""
        self._input.release()

    def act(self, rate: float) -> Any:
        """The action of the next tick, at so many ticks a second."""
        with self._lock:
            action = self._keymap.action(self._input.take(rate))
            if action is not None:  # the world waits for a key
                self._asked.append((action, self._newest))
        return action

    def intent(self, tick: Tick) -> Intent | None:
        """What a tick's action does, in words; None for a first tick."""
        return None if tick.action is None else self._keymap.intent(tick.action)

    def answered(self, tick: Tick) -> int | None:
        """The number of the newest message that a tick answers; None for one that no hands asked for.

        Ticks have to come in order.
        """
        with self._lock:
            for i, (action, number) in enumerate(self._asked):
                if action is tick.action:
                    for _ in range(i + 1):
                        self._asked.popleft()
                    return number
        return None
