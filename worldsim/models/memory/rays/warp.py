"""Where the points that a camera sees lie in the pictures of other cameras, and what those pictures show there."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from worldsim.models.geometry import rotation

BEHIND = 1e-2
"""Distance along a camera's axis below which a point counts as behind it."""


def project(
    depth: Tensor, rays: Tensor, target: Tensor, others: Tensor, fov: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Project every pixel of a picture into the pictures of other cameras.

    Args:
        depth: (N, h, w), how far from the camera what a pixel shows is, in the world's units.
        rays: (h w, 3), :func:`worldsim.models.geometry.cell_rays` of the picture; fov: in degrees, of all cameras.
        target: (N, 5), the picture's pose; others: (N, R, 5), the other cameras'.

    Returns:
        places (N, R, h, w, 2) in the other pictures, right and down from -1 to 1, as ``grid_sample`` takes them; how
        far away the points are from there (N, R, h, w); and which of them their pictures hold (N, R, h, w).
    """
    size = depth.shape[1:]
    points = target[:, None, :3] + depth.flatten(1)[..., None] * torch.einsum(
        "nij,sj->nsi", rotation(target), rays
    )
    local = torch.einsum("nrji,nrsj->nrsi", rotation(others), points[:, None] - others[:, :, None, :3])
    forward = local[..., 2]
    across = forward.clamp_min(BEHIND) * math.tan(math.radians(fov) / 2)
    places = torch.stack([local[..., 0] / across, -local[..., 1] / across], -1)
    inside = (forward > BEHIND) & (places.abs().amax(-1) < 1)
    return (
        places.unflatten(2, size),
        local.norm(dim=-1).clamp_min(BEHIND).unflatten(2, size),
        inside.unflatten(2, size),
    )


def sample(pictures: Tensor, places: Tensor, mode: str = "bilinear") -> Tensor:
    """What pictures (N, R, C, H, W) show at places (N, R, h, w, 2): (N, R, C, h, w).

    ``mode``: of :func:`torch.nn.functional.grid_sample`; ``bicubic`` may go a little beyond the values of a picture.
    """
    n = pictures.shape[:2]
    found = F.grid_sample(
        pictures.flatten(0, 1), places.flatten(0, 1), mode, padding_mode="border", align_corners=False
    )
    return found.unflatten(0, n)
