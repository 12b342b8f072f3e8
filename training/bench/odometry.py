"""Visual odometry between two pictures without knowing the action: the judge of action following.

How far away everything in a picture is, a shipped dream's memory of pixels tells from the picture alone. The motion is
the one under which the two pictures agree best, pixel by pixel (:mod:`worldsim.engine.kernels.photometric`): tried on
a grid of turns and steps, then corrected by Gauss-Newton. On true frames its errors are the row ``truth`` of a bench.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from envs.policies.moves import GAITS
from training.bench.truth import PLACES
from worldsim import checkpoint
from worldsim.engine.kernels.photometric import MOVES, disagreement
from worldsim.engine.kernels.poses import rotation
from worldsim.frames import averaged
from worldsim.models.geometry import cell_rays
from worldsim.models.memory.rays.pixel_memory import PixelMemory
from worldsim.models.memory.rays.warp import BEHIND

JUDGES = {"blocks": "blocks", "labmaze": "labmaze", "luanti": "blocks"}
"""Whose distances are taken, by world."""
OUTLIER = 32.0  # a difference of colours, of 255, that counts half
SIDE = 32  # pixels of the pictures that are compared
LEAST_OVERLAP = 0.15  # share of the pixels that the other one has to show
TURNS = np.linspace(-1.25, 1.25, 21)  # of the most that a body turns a frame
STEPS = ((0.0, 0.0), (0.0, 1.0), (0.0, -1.0), (1.0, 0.0), (-1.0, 0.0))  # right, forward; of its speed
ROUNDS = 4
STILL = 0.98
"""How much less a motion has to differ than none, to be believed."""

Array = NDArray[np.float64]


class FrameOdometry:
    """Motions of a world's frames; made by :meth:`of`."""

    def __init__(self, world: str) -> None:
        loaded = checkpoint.load(JUDGES[world], torch.device("cpu"))
        self._loaded, self._model = loaded, loaded.model
        self._gait = GAITS[PLACES[world][0]]
        fov = loaded.model.config.fov
        self._reach, self._rays = math.tan(math.radians(fov) / 2), cell_rays(SIDE, SIDE, fov).numpy()

    @staticmethod
    @cache
    def of(world: str) -> FrameOdometry:
        """That of a world, made once."""
        return FrameOdometry(world)

    def motions(self, frames: NDArray[np.uint8], pitches: Array) -> Array:
        """Right, forward (units) and turn (degrees) from each frame (n, H, W, 3) to the next: (n - 1, 3).

        ``pitches`` (n,) are what the camera's are in truth.
        """
        far, small = self._depths(frames, pitches), averaged(frames, SIDE)
        return np.array(
            [
                self._between(small[i], pitches[i], small[i + 1], far[i + 1], pitches[i + 1])
                for i in range(len(frames) - 1)
            ]
        ).reshape(-1, 3)

    @torch.inference_mode()
    def _depths(self, frames: NDArray[np.uint8], pitches: Array) -> NDArray[np.float32]:
        assert isinstance(self._model.pixels, PixelMemory)
        logs = self._model.pixels.depth(
            self._loaded.encode(frames), torch.from_numpy(pitches.astype(np.float32))
        )
        large = F.interpolate(logs[:, None].float(), size=(SIDE, SIDE), mode="bilinear", align_corners=False)
        return (large[:, 0].exp() * self._model.scale).numpy()

    def _between(
        self,
        before: NDArray[np.float32],
        tilt: float,
        after: NDArray[np.float32],
        far: NDArray[np.float32],
        tilted: float,
    ) -> Array:
        others = before[None]
        turns = np.array([rotation([0.0, 0.0, 0.0, 0.0, float(tilt)])], np.float32)
        places = np.zeros((1, 3), np.float32)

        def look(x: float, z: float, yaw: float) -> tuple[float, float, Array, Array]:
            curve, slope = np.empty((MOVES, MOVES)), np.empty(MOVES)
            here = np.array([x, 0.0, z], np.float32)
            turned = np.array(rotation([x, 0.0, z, yaw, float(tilted)]), np.float32)
            error, shown = disagreement(
                after, far, self._rays, turned, here, others, turns, places,
                self._reach, BEHIND, OUTLIER, curve, slope,
            )  # fmt: skip
            return error if shown >= LEAST_OVERLAP else np.inf, shown, curve, slope

        speed, most = self._gait.speed, self._gait.turn
        # The camera before looks along +z, so that right is -x.
        tried = [
            (look(-right * speed, forward * speed, turn * most)[0], right, forward, turn)
            for turn in TURNS
            for right, forward in STEPS
        ]
        none = look(0.0, 0.0, 0.0)[0]
        error, right, forward, turn = min(tried)
        if not error < STILL * none:
            error, right, forward, turn = none, 0.0, 0.0, 0.0
        at = np.array([-right * speed, forward * speed, turn * most])
        for _ in range(ROUNDS):
            error, _, curve, slope = look(*at)
            flat = np.ix_([0, 2, 3], [0, 2, 3])
            firm = np.diag([1e-2 * curve[0, 0] + 1e-6, 1e-2 * curve[2, 2] + 1e-6, 1e-2 * curve[3, 3] + 1e-6])
            moved = at - np.linalg.solve(curve[flat] + firm, slope[[0, 2, 3]])
            if not look(*moved)[0] < error:
                break
            at = moved
        return np.array([-at[0], at[1], at[2]])
