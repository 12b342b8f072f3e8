"""How a picture's pixels would move in other pictures if its camera moved: the loop of :mod:`.visual_odometry`.

Compiled by numba for these very types when this is first imported, and kept on disk.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_F = np.float32
_ROW, _ROWS, _CUBE, _FOUR = "f4[::1]", "f4[:,::1]", "f4[:,:,::1]", "f4[:,:,:,::1]"
MOVES = 4
"""What a camera may be off by: x, y, z and yaw."""


@njit(
    f"UniTuple(f8, 2)({_CUBE}, {_ROWS}, {_ROWS}, {_ROWS}, {_ROW}, {_FOUR}, {_CUBE}, {_ROWS}, f4, f4, f4, "
    "f8[:,::1], f8[::1])",
    cache=True, nogil=True, fastmath=True, error_model="numpy",
)  # fmt: skip
def disagreement(
    picture: np.ndarray,
    depth: np.ndarray,
    rays: np.ndarray,
    turned: np.ndarray,
    here: np.ndarray,
    others: np.ndarray,
    turns: np.ndarray,
    places: np.ndarray,
    reach: float,
    behind: float,
    outlier: float,
    curve: np.ndarray,
    slope: np.ndarray,
) -> tuple[float, float]:
    """How far a picture and what others show of it are apart, and how that would change with its camera's pose.

    Args:
        picture: (H, W, 3); depth: (H, W) in the world's units; rays: (H W, 3) in the camera's axes; turned: (3, 3),
            camera to world; here: (3,), where it stands.
        others: (R, H, W, 3); turns: (R, 3, 3), camera to world; places: (R, 3); reach: half a picture's width one away;
            behind: what is nearer than that along the axis is not seen.
        outlier: a difference of colours that counts half (Geman and McClure 1987): something else stands there.
        curve: (MOVES, MOVES) and slope: (MOVES,), the normal equations, are written.

    Returns:
        the mean of what differences count, and the share of pixels that others show.
    """
    height, width = depth.shape
    curve[:, :] = 0.0
    slope[:] = 0.0
    total = count = 0.0
    degree = _F(np.pi / 180)
    soft = _F(1.0) / (outlier * outlier)
    j = np.empty(MOVES, _F)
    for r in range(len(others)):
        other, t = others[r], turns[r]
        off_x, off_y, off_z = here[0] - places[r, 0], here[1] - places[r, 1], here[2] - places[r, 2]
        for row in range(height):
            for column in range(width):
                ray, far = rays[row * width + column], depth[row, column]
                wx = far * (turned[0, 0] * ray[0] + turned[0, 1] * ray[1] + turned[0, 2] * ray[2])
                wy = far * (turned[1, 0] * ray[0] + turned[1, 1] * ray[1] + turned[1, 2] * ray[2])
                wz = far * (turned[2, 0] * ray[0] + turned[2, 1] * ray[1] + turned[2, 2] * ray[2])
                x, y, z = wx + off_x, wy + off_y, wz + off_z
                forward = t[0, 2] * x + t[1, 2] * y + t[2, 2] * z
                if forward <= behind:
                    continue
                across = _F(1.0) / (forward * reach)
                u = (t[0, 0] * x + t[1, 0] * y + t[2, 0] * z) * across
                v = -(t[0, 1] * x + t[1, 1] * y + t[2, 1] * z) * across
                px = (u + _F(1.0)) * _F(0.5) * _F(width) - _F(0.5)
                py = (v + _F(1.0)) * _F(0.5) * _F(height) - _F(0.5)
                if px < _F(0.0) or py < _F(0.0) or px >= _F(width - 1) or py >= _F(height - 1):
                    continue
                x0, y0 = int(px), int(py)
                fx, fy = px - _F(x0), py - _F(y0)
                # How its place in the other picture moves with x, y, z and yaw: right and down, from -1 to 1.
                ux, vx = t[0, 0] - u * reach * t[0, 2], -t[0, 1] - v * reach * t[0, 2]
                uy, vy = t[1, 0] - u * reach * t[1, 2], -t[1, 1] - v * reach * t[1, 2]
                uz, vz = t[2, 0] - u * reach * t[2, 2], -t[2, 1] - v * reach * t[2, 2]
                uyaw, vyaw = (-wz * ux + wx * uz) * degree, (-wz * vx + wx * vz) * degree
                wide, high = _F(0.5) * across * _F(width), _F(0.5) * across * _F(height)
                count += 1.0
                for c in range(3):
                    a, b = other[y0, x0, c], other[y0, x0 + 1, c]
                    d, e = other[y0 + 1, x0, c], other[y0 + 1, x0 + 1, c]
                    top, low = a + (b - a) * fx, d + (e - d) * fx
                    error = top + (low - top) * fy - picture[row, column, c]
                    gx = ((b - a) * (_F(1.0) - fy) + (e - d) * fy) * wide
                    gy = (low - top) * high
                    j[0], j[1], j[2] = gx * ux + gy * vx, gx * uy + gy * vy, gx * uz + gy * vz
                    j[3] = gx * uyaw + gy * vyaw
                    trust = _F(1.0) / (_F(1.0) + error * error * soft)
                    total += error * error * trust
                    weight = trust * trust
                    for k in range(MOVES):
                        slope[k] += weight * error * j[k]
                        for m in range(k + 1):
                            curve[k, m] += weight * j[k] * j[m]
    for k in range(MOVES):
        for m in range(k):
            curve[m, k] = curve[k, m]
    return total / max(3.0 * count, 1.0), count / (len(others) * height * width)
