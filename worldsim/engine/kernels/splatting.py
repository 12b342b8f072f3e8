"""Forward warping of remembered pictures to a new pose, with a z-buffer: what memory shows, and where it shows nothing.

Each pixel of a remembered picture becomes a point in space by its distance and is drawn into the new picture, as large
as it appears there; the nearest point wins, of equally near ones the less enlarged, or else the better view's. Compiled
by numba for these very types when this is first imported, and kept on disk.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_F = np.float32
_BYTES, _PICTURES = "u1[:,:,::1]", "u1[:,:,:,::1]"
_ROWS, _CUBE, _FLAGS = "f4[:,::1]", "f4[:,:,::1]", "b1[:,:,::1]"

EDGE = 0.25
"""Difference of log distances between neighbouring pixels from which both lie across an edge and are left out."""
MARGIN = 0.06
"""Share by which a point has to be nearer to hide another one's surface."""
WIDEST = 4.0
"""Pixels a point covers at most each way."""
FINER = 1.5
"""How many times less enlarged a pixel has to be to stand before that of a better view at the same distance."""


@njit(
    f"void({_PICTURES}, {_CUBE}, {_FLAGS}, {_ROWS}, {_CUBE}, {_ROWS}, f4[::1], f4, f4, f4, f4, f4, f4, f4, "
    f"{_BYTES}, {_ROWS}, {_ROWS}, {_ROWS}, i8[:,::1])",
    cache=True, nogil=True, fastmath=True, error_model="numpy",
)  # fmt: skip
def splat(
    pictures: np.ndarray,
    log_depth: np.ndarray,
    counted: np.ndarray,
    rays: np.ndarray,
    turns: np.ndarray,
    steps: np.ndarray,
    marks: np.ndarray,
    scale: float,
    reach: float,
    behind: float,
    edge: float,
    margin: float,
    widest: float,
    finer: float,
    shown: np.ndarray,
    depth: np.ndarray,
    mark: np.ndarray,
    larger: np.ndarray,
    whose: np.ndarray,
) -> None:
    """Draw R remembered pictures, the best first, as they are seen from a new pose.

    Args:
        pictures: (R, H, W, 3); log_depth: (R, h, w), log distances in units of ``scale``; counted: (R, H, W), which of
            their pixels are drawn; rays: (H W, 3), unit vectors.
        turns: (R, 3, 3), from the axes of a remembered camera to the new one's; steps: (R, 3), where the remembered
            camera is in the new one's axes; marks: (R,), what ``mark`` says of a pixel that comes from a view.
        reach: half a picture's width one away; behind: what is nearer than that along the axis is not drawn.
        shown: (H, W, 3), depth, mark, larger and whose, each (H, W), are written; where nothing is seen they are grey,
            0 and, whose, -1. ``larger`` is how many times as large a remembered pixel appears as it was, ``whose`` the
            view that it comes from.
    """
    height, width = shown.shape[0], shown.shape[1]
    h, w = log_depth.shape[1], log_depth.shape[2]
    high, wide = _F(h) / _F(height), _F(w) / _F(width)
    aside = np.empty((height, width), _F)
    shown[:, :, :] = 127
    depth[:, :] = _F(0.0)
    mark[:, :] = _F(0.0)
    larger[:, :] = _F(0.0)
    whose[:, :] = -1
    half_w, half_h = _F(0.5) * _F(width), _F(0.5) * _F(height)
    log = np.empty((height, width), _F)
    for r in range(len(pictures)):
        t, s, far_map = turns[r], steps[r], log_depth[r]
        for i in range(height):
            y = min(max((_F(i) + _F(0.5)) * high - _F(0.5), _F(0.0)), _F(h - 1))
            y0 = int(y)
            y1, fy = min(y0 + 1, h - 1), y - _F(y0)
            for j in range(width):
                x = min(max((_F(j) + _F(0.5)) * wide - _F(0.5), _F(0.0)), _F(w - 1))
                x0 = int(x)
                x1, fx = min(x0 + 1, w - 1), x - _F(x0)
                top = far_map[y0, x0] + (far_map[y0, x1] - far_map[y0, x0]) * fx
                low = far_map[y1, x0] + (far_map[y1, x1] - far_map[y1, x0]) * fx
                log[i, j] = top + (low - top) * fy
        for i in range(height):
            for j in range(width):
                if not counted[r, i, j]:
                    continue
                here = log[i, j]
                right, down = log[i, min(j + 1, width - 1)], log[min(i + 1, height - 1), j]
                left, up = log[i, max(j - 1, 0)], log[max(i - 1, 0), j]
                if abs(right - left) > _F(2.0) * edge or abs(down - up) > _F(2.0) * edge:
                    continue
                ray = rays[i * width + j]
                away = np.exp(here) * scale
                a, b, c = ray[0] * away, ray[1] * away, ray[2] * away
                forward = t[2, 0] * a + t[2, 1] * b + t[2, 2] * c + s[2]
                if forward <= behind:
                    continue
                across = _F(1.0) / (forward * reach)
                px = t[0, 0] * a + t[0, 1] * b + t[0, 2] * c + s[0]
                py = t[1, 0] * a + t[1, 1] * b + t[1, 2] * c + s[1]
                u = (px * across + _F(1.0)) * half_w - _F(0.5)
                v = (_F(1.0) - py * across) * half_h - _F(0.5)
                if u < _F(-2.0) or v < _F(-2.0) or u > _F(width + 1) or v > _F(height + 1):
                    continue
                new = np.sqrt(px * px + py * py + forward * forward)
                # Perpendicular distances tell how large it appears: a picture's cells are equal on its plane.
                growth = ray[2] * away / forward
                size = min(max(_F(1.25) * growth, _F(1.0)), widest) * _F(0.5)
                first_row, last_row = int(np.ceil(v - size)), int(np.floor(v + size))
                first_col, last_col = int(np.ceil(u - size)), int(np.floor(u + size))
                for row in range(max(first_row, 0), min(last_row, height - 1) + 1):
                    for col in range(max(first_col, 0), min(last_col, width - 1) + 1):
                        off = (_F(row) - v) * (_F(row) - v) + (_F(col) - u) * (_F(col) - u)
                        old = depth[row, col]
                        wins = whose[row, col] < 0 or new < old * (_F(1.0) - margin)
                        if not wins and whose[row, col] == r and new < old * (_F(1.0) + margin):
                            wins = off < aside[row, col]
                        if not wins and whose[row, col] != r and new < old * (_F(1.0) + margin):
                            wins = growth * finer < larger[row, col]
                        if wins:
                            larger[row, col] = growth
                            whose[row, col] = r
                            depth[row, col] = new
                            aside[row, col] = off
                            mark[row, col] = marks[r]
                            for k in range(3):
                                shown[row, col, k] = pictures[r, i, j, k]
