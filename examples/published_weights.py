"""Skeletons of adapters for published world models: Oasis, DIAMOND and WorldMem.

Their weights cannot be fetched where this was written, and none of them was run: what is here are the code paths and
the shapes that each one's own inference code has (etched-ai/open-oasis, eloialonso/diamond, xizaoqu/WorldMem), and the
two things that every such adapter has to do: pictures between our 64 pixels and theirs, actions between MineRL's
dictionary and theirs. Give your loaded network as ``network`` and keep the rest.

Each network is a function that is given the past and gives one frame:

    oasis(frames (1, T, 3, 360, 640) in [0, 1], actions (1, T, 25)) -> (1, 3, 360, 640) in [0, 1]
    diamond(frames (1, 4, 3, 64, 64) in [-1, 1], actions (1, 4) int64) -> (1, 3, 64, 64) in [-1, 1]
    worldmem(frames (1, T, 3, 360, 640) in [0, 1], actions (1, T, 25), poses (1, T, 5)) -> (1, 3, 360, 640)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

OASIS_ACTIONS = (
    *("inventory", "ESC", *(f"hotbar.{i}" for i in range(1, 10)), "forward", "back", "left", "right"),
    *("cameraX", "cameraY", "jump", "sneak", "sprint", "swapHands", "attack", "use", "pickItem", "drop"),
)
"""open-oasis's 25 numbers, in its order; the camera's are over OASIS_TURN degrees, clipped to [-1, 1]."""
OASIS_TURN = 20.0
HEIGHT, WIDTH = 360, 640

Network = Callable[..., Tensor]


class Fields:
    """Numbers of an action vector by the names that an ``action_spec`` has."""

    def __init__(self, action_spec: dict[str, Any]) -> None:
        self._at: dict[str, slice] = {}
        at = 0
        for field in action_spec["fields"]:
            width = field["n"] if field["kind"] == "discrete" else int(np.prod(field["shape"]))
            self._at[field["name"]] = slice(at, at + width)
            at += width

    def pressed(self, action: np.ndarray, name: str) -> float:
        return float(action[self._at[name]][1]) if name in self._at else 0.0

    def camera(self, action: np.ndarray) -> np.ndarray:
        return action[self._at["camera"]]


def wide(frames: np.ndarray) -> Tensor:
    """Ours, uint8 (n, S, S, 3), as theirs: (n, 3, 360, 640) in [0, 1], squeezed."""
    x = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255
    return F.interpolate(x, (HEIGHT, WIDTH), mode="bilinear", antialias=True)


def square(frame: Tensor, size: int) -> np.ndarray:
    """Theirs (1, 3, H, W) in [0, 1] as ours, uint8 (size, size, 3)."""
    x = F.interpolate(frame.float(), (size, size), mode="bilinear", antialias=True)[0]
    return (x.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()


class Oasis:
    """open-oasis: a window of 32 frames, one number for every key; ``poses`` adds WorldMem's."""

    histories = (8, 32)
    poses = False

    def __init__(self, network: Network, action_spec: dict[str, Any], size: int = 64) -> None:
        self.network, self.fields, self.size = network, Fields(action_spec), size

    def begin(self, frames: np.ndarray, actions: np.ndarray) -> None:
        rows = [np.zeros(len(OASIS_ACTIONS)), *map(self.action, actions)]
        self.frames, self.actions = deque(wide(frames), max(self.histories)), deque(rows, max(self.histories))
        self.at = deque([np.zeros(5)] * len(frames), max(self.histories))

    def step(self, action: np.ndarray) -> np.ndarray:
        self.actions.append(self.action(action))
        past = torch.stack(list(self.frames))[None]
        rows = torch.from_numpy(np.stack(list(self.actions)[-len(self.frames) :])).float()[None]
        more = (torch.from_numpy(np.stack(self.at)).float()[None],) if self.poses else ()
        with torch.inference_mode():
            frame = self.network(past, rows, *more)
        self.frames.append(frame[0])
        self.at.append(self.at[-1])
        return square(frame, self.size)

    def action(self, action: np.ndarray) -> np.ndarray:
        """MineRL's as open-oasis's: (25,)."""
        pitch, yaw = self.fields.camera(action)
        camera = {"cameraX": pitch / OASIS_TURN, "cameraY": yaw / OASIS_TURN}
        return np.array(
            [
                np.clip(camera[name], -1, 1) if name in camera else self.fields.pressed(action, name)
                for name in OASIS_ACTIONS
            ]
        )


class WorldMem(Oasis):
    """WorldMem: Oasis's frames and actions, and a pose for every frame, which its memory is searched by.

    Poses are the model's own affair here; a model that is to be told true ones inherits from
    ``worldsim.dream.predictor.Predictor`` and reads ``Row.pose``.
    """

    poses = True


class Diamond:
    """DIAMOND: four frames of 64 pixels and one class an action; ``classes`` maps an action vector to its class."""

    histories = (4,)

    def __init__(self, network: Network, classes: Callable[[np.ndarray], int]) -> None:
        self.network, self.classes = network, classes

    def begin(self, frames: np.ndarray, actions: np.ndarray) -> None:
        x = torch.from_numpy(frames.copy()).permute(0, 3, 1, 2).float() / 127.5 - 1
        self.frames = deque([x[0]] * 4 + list(x), 4)
        self.actions = deque([0] * 4 + [self.classes(a) for a in actions], 4)

    def step(self, action: np.ndarray) -> np.ndarray:
        self.actions.append(self.classes(action))
        with torch.inference_mode():
            frame = self.network(torch.stack(list(self.frames))[None], torch.tensor([list(self.actions)]))
        self.frames.append(frame[0])
        return ((frame[0] + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
