"""The free way that a dream sees before it, from the distances in its own newest frame: what it is roamed by."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from envs.policies.clearance import HEADINGS, ROOM, Clearance
from envs.policies.moves import GAITS
from envs.policies.roam import sight_of
from training.data.bodies import BODIES
from worldsim.dream.context import DreamError
from worldsim.dream.world import DreamEnv
from worldsim.models.geometry import cell_rays

Array = NDArray[np.float64]

FEW = 3
"""Places of the picture that must say that the way ends there; fewer may be a slip."""


def in_picture(
    depth: Array, fov: float, pitch: float, band: tuple[float, float], width: float, most: float
) -> Array:
    """The free way at each of :data:`envs.policies.clearance.HEADINGS` in a picture whose distances are known.

    A place of the picture stands in the way where it lies within the body's heights and its width of the line.

    Args:
        depth: (h, w), from the eye to what is seen there, in the world's units; fov: degrees, both ways.
        pitch: of the camera, degrees downwards; band: heights from the eye; width: half of the body's.
        most: how far to look.

    Returns:
        (11,), at most ``most``.
    """
    h, w = depth.shape
    right, up, forward = (depth.reshape(-1, 1) * cell_rays(h, w, fov).double().numpy()).T
    tilt = math.radians(pitch)
    height, ahead = (
        math.cos(tilt) * up - math.sin(tilt) * forward,
        math.sin(tilt) * up + math.cos(tilt) * forward,
    )
    met = (height > band[0]) & (height < band[1])
    yaw = np.deg2rad(HEADINGS)[:, None]
    along = np.sin(yaw) * right[met] + np.cos(yaw) * ahead[met]
    aside = np.cos(yaw) * right[met] - np.sin(yaw) * ahead[met]
    ends = np.where((np.abs(aside) < width) & (along > 0), along, most)
    ends = np.concatenate([ends, np.full((len(HEADINGS), FEW), most)], 1)
    return np.minimum(np.partition(ends, FEW - 1, 1)[:, FEW - 1], most)


def in_dream(dream: DreamEnv, family: str) -> Clearance:
    """The free way in a dream, as its newest frame shows it.

    Raises:
        DreamError: the dream knows no distances, or nobody said how tall a body of its family is.
    """
    config = dream.model.config
    body = config.dream.body or BODIES.get(family)
    if not config.pixels or not body:
        raise DreamError(
            f"roaming a dream needs the distances of a memory of pixels and a body of {', '.join(BODIES)}, found one "
            f"of {family} {'with' if config.pixels else 'without'} them; take policy=look_around"
        )
    most, width, band = sight_of(family).most, ROOM * GAITS[family].width, (body[2], body[3])

    def clearance(pose: Array) -> Array:
        return in_picture(dream.depth_map, config.fov, float(pose[4]), band, width, most)

    return clearance
