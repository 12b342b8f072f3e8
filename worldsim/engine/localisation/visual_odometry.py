"""Visual odometry: where true frames were seen from, found by what earlier frames show of them, pixel by pixel.

Dead reckoning drifts by a tenth of a block in a few seconds, which moves what is remembered by pixels. A true frame
tells where it was seen from: there, its pixels agree with those of the frames before it and, where a place comes back,
with those of long ago. Solved by Gauss-Newton on the pixels themselves (Engel, Koltun and Cremers 2018), from the pose
reckoned, with the drift that the odometry is known for as prior.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from worldsim.engine.kernels.layers import viewpoint_distance
from worldsim.engine.kernels.photometric import MOVES, disagreement
from worldsim.engine.kernels.poses import relevant, rotation, viewpoint
from worldsim.engine.localisation.relocalise import LEAST, heights_to_try
from worldsim.engine.past import DreamPast
from worldsim.engine.pixel_recall import depths_of
from worldsim.frames import averaged
from worldsim.models.geometry import cell_rays
from worldsim.models.memory.rays.warp import BEHIND
from worldsim.models.world_model import WorldModel

OLDER = 16
"""Frames between one and those that it is compared with: from one step to the next dead reckoning is better."""
NEAR = 0.4
"""How far those were seen from at most (:func:`worldsim.models.geometry.viewpoint_distance`): an error in distances
moves the pixels of near ones little."""
VIEWS_COMPARED = 3
"""Earlier frames that a frame is compared with."""
OUTLIER = 32.0
"""A difference of colours, of 255, that counts half."""
NOISE = 300.0
"""Variance of what differences of colours tell, over the square of what they count on average: the worse pictures
agree, the more is wrong with them that has nothing to do with the pose (training/LOG.md, 16)."""
MIN_RESIDUAL = 20.0
"""Less than which no pictures are taken to differ."""
ROUNDS = ((2, 3), (1, 2))
"""How many pixels are one each way, and how often the pose is corrected then."""
DRIFT_GROWTH = 0.6
"""What is lost from one correction to the next, over what was lost before."""
HEIGHT_PRIOR_SCALE = 0.1
"""What else is lost in height where steps are missed, over all that is."""
LEAST_OVERLAP = 0.15
"""Share of the pixels that earlier frames have to show."""
STEP_MARGIN = 0.7
"""How much less a step up or down has to differ to be believed."""


def refine_poses(
    model: WorldModel,
    past: DreamPast,
    first: int,
    history: int,
    measure: Callable[[Tensor, Tensor], Tensor],
) -> None:
    """Correct the poses of a past's frames from place ``first`` on, true ones, one after the other.

    Each is compared with what the ``history`` frames before it remember. ``measure`` takes latents (n, C, h, w) and
    pitches (n,) to log distances. Where nothing is known of how the model's
    dead reckoning errs, nothing is corrected.
    """
    if not model.odometry.drift.any():
        return
    camera, start = _Camera(model), max(1, first)
    reckoned = torch.stack(past.poses[start:]).cpu().numpy().astype(np.float64)
    far = depths_of(past, list(range(start, len(past))), measure)
    viewpoints = [viewpoint(pose.tolist(), model.scale) for pose in past.poses[:start]]
    off, known, lift = np.zeros((len(reckoned), MOVES)), np.zeros((len(reckoned), MOVES, MOVES)), 0.0
    for i, pose in enumerate(reckoned):
        pose[1] += lift
        pose[:MOVES] += off[i - 1] if i else 0.0
        now = viewpoint(pose.tolist(), model.scale)
        remembered = range(max(0, start + i - history), start + i - OLDER)
        old = [k for k in remembered if viewpoint_distance(viewpoints[k], now) < NEAR]
        off[i] = off[i - 1] if i else 0.0
        if old:
            chosen = [
                old[k] for k in relevant([viewpoints[k] for k in old], now, min(VIEWS_COMPARED, len(old)))
            ]
            others = [past.pictures[k] for k in chosen]
            theirs = [past.poses[k].tolist() for k in chosen]
            found = camera.find(past.pictures[start + i], far[i], pose.tolist(), others, theirs)
            if found is not None:
                step, moved, known[i] = found
                lift += step
                pose[1] += step
                off[i] += moved
        pose[:MOVES] -= off[i - 1] if i else 0.0  # reckoned again, but for whole steps
        viewpoints.append(now)
    reckoned[:, :MOVES] += _steady(off, known, camera.drift)
    past.poses[start:] = list(past.poses[start].new_tensor(reckoned))


def _steady(
    off: NDArray[np.float64], known: NDArray[np.float64], drift: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Corrections (n, MOVES) that grow evenly, as drift does, nearest to those found, ``off`` (n, MOVES).

    Each by itself would shake the motions that dead reckoning goes on from. ``known`` (n, MOVES, MOVES) is how firmly
    each is known; ``drift`` (MOVES,) how much is expected.
    """
    time = (np.arange(len(off)) + 1.0) / len(off)
    ramp = np.stack([np.ones_like(time), time], 1)  # (n, 2)
    curve = np.einsum("na,nb,nij->aibj", ramp, ramp, known).reshape(2 * MOVES, 2 * MOVES)
    slope = np.einsum("na,nij,nj->ai", ramp, known, off).reshape(-1)
    prior = np.concatenate([drift, drift * DRIFT_GROWTH]) ** -2.0
    fit = np.linalg.solve(curve + np.diag(prior), slope).reshape(2, MOVES)
    return ramp @ fit


class _Camera:
    """What all pictures of a model have in common: rays, and how far a pose may be off."""

    def __init__(self, model: WorldModel) -> None:
        self.scale, self.size, fov = model.scale, model.config.size, model.config.fov
        self.reach = math.tan(math.radians(fov) / 2)
        self.rays = {each: cell_rays(self.size // each, self.size // each, fov).numpy() for each, _ in ROUNDS}
        unit = np.array([model.scale, model.scale, model.scale, 1.0])
        drift = np.maximum(model.odometry.drift.cpu().numpy(), LEAST) * unit
        self.heights = heights_to_try(model, float(drift[1]))
        if len(self.heights) > 1:
            drift[1] *= HEIGHT_PRIOR_SCALE  # what is lost in height are whole steps
        self.drift, self.prior = drift, np.diag(drift**-2.0)

    def find(
        self,
        picture: np.ndarray,
        far: Tensor,
        guess: list[float],
        others: list[np.ndarray],
        theirs: list[list[float]],
    ) -> tuple[float, NDArray[np.float64], NDArray[np.float64]] | None:
        """How far a picture uint8 (H, W, 3) was seen from the pose guessed, by R others and their poses.

        A step up or down, what is left (MOVES,) and how firmly that is known (MOVES, MOVES); None where they show too
        little of it. ``far`` (., .) are its log distances.
        """
        pose, began = list(guess), np.array(guess[:MOVES])
        up = 0.0
        for level, (each, rounds) in enumerate(ROUNDS):
            look = self._look(each, picture, far, others, theirs)
            if level == 0:
                tried = []
                for height in self.heights:
                    at = [pose[0], pose[1] + height * self.scale, *pose[2:]]
                    tried.append((look(at)[0] * (1 if height == 0 else 1 / STEP_MARGIN), at))
                pose = min(tried, key=lambda pair: pair[0])[1]
                up = pose[1] - guess[1]
                began = np.array(pose[:MOVES])
            error, shown, curve, slope = look(pose)
            for _ in range(rounds):
                if shown < LEAST_OVERLAP:
                    return None
                noise = NOISE * max(error, MIN_RESIDUAL) ** 2
                pull = self.prior @ (np.array(pose[:MOVES]) - began)
                step = np.linalg.solve(curve / noise + self.prior, slope / noise + pull)
                nearer = [*(np.array(pose[:MOVES]) - step), pose[4]]
                after = look(nearer)
                if after[0] >= error:
                    break
                pose, (error, shown, curve, slope) = nearer, after
        return up, np.array(pose[:MOVES]) - began, curve / (NOISE * max(error, MIN_RESIDUAL) ** 2)

    def _look(
        self, each: int, picture: np.ndarray, far: Tensor, others: list[np.ndarray], theirs: list[list[float]]
    ) -> Callable[[list[float]], tuple[float, float, NDArray[np.float64], NDArray[np.float64]]]:
        """What a pose gives: the mean difference, the share of pixels compared, and the normal equations."""
        side = self.size // each
        log = F.interpolate(
            far.float().cpu()[None, None], size=(side, side), mode="bilinear", align_corners=False
        )
        depth = (log[0, 0].exp() * self.scale).numpy()
        mine = averaged(picture[None], side)[0]
        shown = averaged(np.stack(others), side)
        turns = np.array([rotation(pose) for pose in theirs], np.float32)
        places = np.array([pose[:3] for pose in theirs], np.float32)

        def look(pose: list[float]) -> tuple[float, float, NDArray[np.float64], NDArray[np.float64]]:
            curve, slope = np.empty((MOVES, MOVES)), np.empty(MOVES)
            here, turned = np.array(pose[:3], np.float32), np.array(rotation(pose), np.float32)
            error, share = disagreement(
                mine, depth, self.rays[each], turned, here, shown, turns, places,
                self.reach, BEHIND, OUTLIER, curve, slope,
            )  # fmt: skip
            return error, share, curve, slope

        return look
