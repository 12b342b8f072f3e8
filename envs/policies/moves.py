"""One tick of intention, the raw action that carries it out, and how the body of each family moves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from envs.actions import noop

DEGREES_PER_PIXEL = 0.06  # DeepMind Lab's look actions


@dataclass(frozen=True)
class Move:
    """One tick of intention: degrees to turn (right) and tilt (down), and what is pressed."""

    turn: float = 0.0
    tilt: float = 0.0
    forward: int = 0
    strafe: int = 0
    jump: bool = False
    sprint: bool = False
    sneak: bool = False
    attack: bool = False
    use: bool = False


def to_action(family: str, move: Move) -> Any:
    """The raw action of a family for a move."""
    action = noop(family)
    if family in ("minecraft", "doom"):
        action |= {"forward": int(move.forward > 0), "back": int(move.forward < 0)}
        action |= {"right": int(move.strafe > 0), "left": int(move.strafe < 0)}
        pressed = ("jump", "sprint", "sneak", "attack", "use")  # Doom has no first and no third
        action |= {n: int(getattr(move, n)) for n in pressed if n in action}
        action["camera"] = np.array([move.tilt, move.turn], np.float32)
        return action
    pixels = [round(move.turn / DEGREES_PER_PIXEL), round(-move.tilt / DEGREES_PER_PIXEL)]
    action[:2] = np.clip(pixels, -512, 512)
    action[2:] = (move.strafe, move.forward, move.attack, move.jump, move.sneak)
    return action


@dataclass(frozen=True)
class Gait:
    """How a family's body moves: units and degrees per tick, half width, how near counts as there.

    ``stride`` is how many columns of its walk map count as one step when a policy chooses how far to go; ``slide`` is
    how far a body that is let go slides on, in lengths of its last step.
    """

    speed: float
    turn: float
    tilt: float
    width: float
    near: float
    smooth: bool
    stride: int = 1
    slide: float = 0.0


GAITS = {
    "minecraft": Gait(speed=0.216, turn=12.0, tilt=6.0, width=0.35, near=0.25, smooth=True),
    "dmlab": Gait(speed=0.25, turn=16.98, tilt=4.0, width=0.3, near=0.15, smooth=False),
    # Doom's friction leaves 0.90625 of the speed a tic, 0.8213 a step: 0.8213 / (1 - 0.8213) of the last one follow.
    "doom": Gait(speed=0.45, turn=12.0, tilt=4.0, width=0.1, near=0.35, smooth=True, stride=4, slide=4.6),
}
