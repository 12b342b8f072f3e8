"""What was dug or placed in a dream: python -m training.imagination.edits checkpoint=blocks seeds=20

After ``context=16`` true frames a dream is on its own. It looks down, digs (or places) once, turns away by 120 degrees
and back. The true world is played beside it and says which pixels such a deed changes, and from what to what; there the
dream's pictures are compared with both. ``side`` of a picture is -1 where it shows what was there before and 1 where it
shows what is there after the deed (mean absolute differences; 0 is as near to one as to the other): right after the
deed (``done``), when it comes back into view (``back``), and at that moment in a dream that pressed nothing
(``untouched``), which should be below 0. Worlds where the deed changes little in the true picture are left out.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from envs.policies.moves import GAITS, Move, to_action
from training.imagination.config import Played
from training.imagination.play import Frames, Stage, begin_in_dream, begin_in_world, dream_of, world_of
from worldsim import checkpoint
from worldsim.cli.command import command
from worldsim.config import ConfigError, load
from worldsim.config.addresses import write_text
from worldsim.metrics.bootstrap import interval
from worldsim.runtime import hardware, pick_device

DEEDS = ("dig", "place")
LOOK_DOWN, LOOKS, WAITS, TURNS = 6, 3, 4, 10  # ticks
CHANGED = 24 / 255  # of a pixel, mean over colours, to count as changed by the deed
FEWEST = 0.01  # of a picture's pixels that a deed has to change

Array = NDArray[np.float64]


@dataclass
class EditsConfig(Played):
    """Who is played; ``seeds`` worlds for each deed."""


@dataclass
class Pictures:
    """Frames (H, W, 3) of one play: right before the deed, after it, and when it is back in view."""

    before: Frames
    done: Frames
    back: Frames


class Script:
    """A player of given moves."""

    def __init__(self, family: str, moves: Iterator[Move]) -> None:
        self.family, self.moves = family, moves

    def reset(self, info: dict[str, Any]) -> None:
        """Nothing to begin with."""

    def __call__(self, observation: Any, info: dict[str, Any]) -> Any | None:
        move = next(self.moves, None)
        return None if move is None else to_action(self.family, move)


def played(stage: Stage, family: str, deed: str | None) -> Pictures:
    """Look down, do the deed or nothing, turn away and back."""
    turn, tilt = GAITS[family].turn, GAITS[family].tilt

    def walk(*moves: Move) -> Frames:
        return stage.walk(Script(family, iter(moves)), len(moves)).frames[-1]

    before = walk(*[Move(tilt=tilt)] * LOOK_DOWN, *[Move()] * LOOKS)
    done = walk(Move(attack=deed == "dig", use=deed == "place"), *[Move()] * (LOOKS - 1))
    walk(*[Move(turn=turn)] * TURNS, *[Move()] * WAITS)
    return Pictures(before, done, walk(*[Move(turn=-turn)] * TURNS, *[Move()] * LOOKS))


def changed(true: Pictures) -> NDArray[np.bool_]:
    """The pixels (H, W) that a deed changes, and that are again as the deed left them when they come back."""
    apart = [np.abs(_unit(a) - _unit(true.done)).mean(-1) for a in (true.before, true.back)]
    return np.asarray((apart[0] > CHANGED) & (apart[1] < CHANGED))


def side(frame: Frames, true: Pictures, where: NDArray[np.bool_]) -> float:
    """-1 where a frame (H, W, 3) shows what was before the deed, 1 where what is after it."""
    before, after = (np.abs(_unit(frame) - _unit(a))[where].mean() for a in (true.before, true.done))
    return float((before - after) / (before + after))


def _unit(frame: Frames) -> Array:
    return frame.astype(float) / 255


def summary(sides: list[float]) -> dict[str, Any]:
    """The mean with its 95% bootstrap interval, and how many are nearer to after the deed."""
    return interval([[s] for s in sides]) | {"after": sum(s > 0 for s in sides)}


@command
def main(args: list[str]) -> int:
    config = load(EditsConfig, args)
    if config.threads:
        torch.set_num_threads(config.threads)
    device = pick_device(config.device)
    loaded = checkpoint.load(config.checkpoint, device)
    family = loaded.description.family
    if family != "minecraft":
        raise ConfigError(f"expected a dream of a world to dig in, found one of {family}")
    env = world_of(loaded)
    actors = {"dream": dream_of(loaded, config), "twin": dream_of(loaded, config, memory=False)}
    result: dict[str, Any] = {
        "settings": {k: v for k, v in vars(config).items() if k != "out"},
        "hardware": hardware(device),
        "edits": {},
    }
    for deed in DEEDS:
        sides: dict[str, dict[str, list[float]]] = {
            name: {"done": [], "back": [], "untouched": []} for name in actors
        }
        for seed in tqdm(range(config.first_seed, config.first_seed + config.seeds), deed, unit="world"):
            stage, context = begin_in_world(env, config, seed)
            true = played(stage, family, deed)
            where = changed(true)
            if where.mean() < FEWEST:
                continue
            for name, dream in actors.items():
                did = played(begin_in_dream(dream, context, seed), family, deed)
                not_done = played(begin_in_dream(dream, context, seed), family, None)
                for moment, frame in (("done", did.done), ("back", did.back), ("untouched", not_done.back)):
                    sides[name][moment].append(side(frame, true, where))
        if not sides["dream"]["done"]:
            raise ConfigError(
                f"no world of {config.seeds} in which {deed} changes the picture; give more seeds"
            )
        rows = {
            name: {moment: summary(values) for moment, values in row.items()} for name, row in sides.items()
        }
        result["edits"][deed] = rows
        for name, row in rows.items():
            cells = "  ".join(
                f"{moment} {v['mean']:+.3f} [{v['low']:+.3f}, {v['high']:+.3f}], {v['after']} after"
                for moment, v in row.items()
            )
            print(f"{deed:5s} {name:5s} {cells}  n={len(sides[name]['done'])}")
    env.close()
    if config.out:
        write_text(config.out, json.dumps(result, indent=1) + "\n")
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
