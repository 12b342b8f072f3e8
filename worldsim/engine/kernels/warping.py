"""Looking pixels up in remembered pictures and mixing them with a drawing: the loops of :mod:`.cpu.pixel_memory`.

Compiled by numba for these very types when this is first imported, and kept on disk.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from worldsim.engine.kernels.exponential import exponential

_F = np.float32
_BYTES, _PICTURES = "u1[:,:,::1]", "u1[:,:,:,::1]"
_ROWS, _CUBE, _FOUR = "f4[:,::1]", "f4[:,:,::1]", "f4[:,:,:,::1]"


@njit("void(f4, i8, i8[::1], f4[::1])", cache=True, nogil=True, fastmath=True, error_model="numpy")
def taps(x: np.floating[Any], width: int, places: np.ndarray, weights: np.ndarray) -> None:
    """The four pixels of a line of ``width`` that a cubic through x takes, and how much of each: torch's ``bicubic``
    with its border, both written."""
    first = int(np.floor(x))
    f, a = x - _F(first), _F(-0.75)
    for k in range(4):
        places[k] = min(max(first + k - 1, 0), width - 1)
    near, next_, out, far = f, _F(1.0) - f, _F(1.0) + f, _F(2.0) - f
    weights[0] = ((a * out - _F(5.0) * a) * out + _F(8.0) * a) * out - _F(4.0) * a
    weights[1] = ((a + _F(2.0)) * near - (a + _F(3.0))) * near * near + _F(1.0)
    weights[2] = ((a + _F(2.0)) * next_ - (a + _F(3.0))) * next_ * next_ + _F(1.0)
    weights[3] = ((a * far - _F(5.0) * a) * far + _F(8.0) * a) * far - _F(4.0) * a


@njit(
    f"void({_BYTES}, {_ROWS}, {_ROWS}, {_PICTURES}, {_CUBE}, {_CUBE}, {_ROWS}, "
    f"f4, f4, f4, i8, {_FOUR}, {_CUBE}, {_FOUR})",
    cache=True, nogil=True, fastmath=True, error_model="numpy",
)  # fmt: skip
def warp(
    drawn: np.ndarray,
    log_depth: np.ndarray,
    rays: np.ndarray,
    pictures: np.ndarray,
    theirs: np.ndarray,
    turns: np.ndarray,
    steps: np.ndarray,
    scale: float,
    reach: float,
    behind: float,
    each: int,
    found: np.ndarray,
    inside: np.ndarray,
    fits: np.ndarray,
) -> None:
    """Look every pixel of a drawing up in R pictures; :func:`.warp.project` and ``sample`` in one.

    Args:
        drawn: (H, W, 3); log_depth: (h, w), its log distances in units of ``scale``; rays: (H W, 3).
        pictures: (R, H, W, 3); theirs: (R, h, w), their log distances; turns: (R, 3, 3) from the drawing's axes to the
            pictures'; steps: (R, 3), where the drawing's camera is in theirs; reach: half a picture's width one away;
            behind: what is nearer than that along the axis is not seen; each: pixels along one of the model's.
        found: (R, H, W, 3), 0 to 255, and inside: (R, H, W), 0 or 1, are written; so are the first features of each,
            (R, ., ., FEATURES), but for what is told of a picture as a whole.
    """
    height, width = drawn.shape[0], drawn.shape[1]
    half = height // fits.shape[1]
    h, w = log_depth.shape
    cells_high, cells_wide = _F(h) / _F(height), _F(w) / _F(width)
    unit = _F(np.log(scale))
    share, byte = _F(1.0) / _F(half * half), _F(1.0) / _F(127.5)
    apart = np.empty(3, _F)  # what the pixels of one of the model's differ by, together
    columns, rows, wide, high = np.empty(4, np.int64), np.empty(4, np.int64), np.empty(4, _F), np.empty(4, _F)
    distance = np.empty((height, width), _F)
    for i in range(height):
        y = min(max((_F(i) + _F(0.5)) * cells_high - _F(0.5), _F(0.0)), _F(h - 1))
        y0 = int(y)
        y1, fy = min(y0 + 1, h - 1), y - _F(y0)
        for j in range(width):
            x = min(max((_F(j) + _F(0.5)) * cells_wide - _F(0.5), _F(0.0)), _F(w - 1))
            x0 = int(x)
            x1, fx = min(x0 + 1, w - 1), x - _F(x0)
            top = log_depth[y0, x0] + (log_depth[y0, x1] - log_depth[y0, x0]) * fx
            low = log_depth[y1, x0] + (log_depth[y1, x1] - log_depth[y1, x0]) * fx
            distance[i, j] = exponential(top + (low - top) * fy) * scale
    for r in range(len(pictures)):
        t, s, picture, depth = turns[r], steps[r], pictures[r], theirs[r]
        fits[r, :, :, :] = _F(0.0)
        for row in range(0, height, each):
            for column in range(0, width, each):
                apart[:] = _F(0.0)
                for i in range(row, row + each):
                    for j in range(column, column + each):
                        ray, far = rays[i * width + j], distance[i, j]
                        a, b, c = ray[0] * far, ray[1] * far, ray[2] * far
                        right = t[0, 0] * a + t[0, 1] * b + t[0, 2] * c + s[0]
                        up = t[1, 0] * a + t[1, 1] * b + t[1, 2] * c + s[1]
                        forward = t[2, 0] * a + t[2, 1] * b + t[2, 2] * c + s[2]
                        across = max(forward, behind) * reach
                        u, v = right / across, -up / across
                        here = forward > behind and abs(u) < _F(1.0) and abs(v) < _F(1.0)
                        inside[r, i, j] = _F(1.0) if here else _F(0.0)
                        x = min(max((u + _F(1.0)) * _F(0.5) * _F(width) - _F(0.5), _F(-3.0)), _F(width + 2))
                        y = min(max((v + _F(1.0)) * _F(0.5) * _F(height) - _F(0.5), _F(-3.0)), _F(height + 2))
                        u, v = min(max(u, _F(-1.0)), _F(1.0)), min(max(v, _F(-1.0)), _F(1.0))
                        taps(x, width, columns, wide)
                        taps(y, height, rows, high)
                        cue = fits[r, i // half, j // half]
                        for k in range(3):
                            value = _F(0.0)
                            for m in range(4):
                                line = _F(0.0)
                                for n in range(4):
                                    line += wide[n] * _F(picture[rows[m], columns[n], k])
                                value += high[m] * line
                            value = min(max(value, _F(0.0)), _F(255.0))
                            found[r, i, j, k] = value
                            theirs_now = value * byte - _F(1.0)
                            mine = _F(drawn[i, j, k]) * byte - _F(1.0)
                            apart[k] += theirs_now - mine
                            if here:
                                cue[k] += theirs_now * share
                            cue[3 + k] += mine * share
                        if here:
                            x = min(max((u + _F(1.0)) * _F(0.5) * _F(w) - _F(0.5), _F(0.0)), _F(w - 1))
                            y = min(max((v + _F(1.0)) * _F(0.5) * _F(h) - _F(0.5), _F(0.0)), _F(h - 1))
                            x0, y0 = int(x), int(y)
                            x1, y1 = min(x0 + 1, w - 1), min(y0 + 1, h - 1)
                            fx, fy = x - _F(x0), y - _F(y0)
                            top = depth[y0, x0] + (depth[y0, x1] - depth[y0, x0]) * fx
                            low = depth[y1, x0] + (depth[y1, x1] - depth[y1, x0]) * fx
                            away = max(np.sqrt(right * right + up * up + forward * forward), behind)
                            hidden = top + (low - top) * fy + unit - np.log(away)
                            hidden = min(max(hidden, _F(-1.0)), _F(1.0))
                            cue[7] += hidden * share
                            cue[8] += abs(hidden) * share
                            cue[9] += share
                far_apart = abs(apart[0]) + abs(apart[1]) + abs(apart[2])
                fits[r, row // half, column // half, 6] += far_apart * share / _F(3.0)


@njit(
    f"void({_BYTES}, {_FOUR}, {_CUBE}, {_CUBE}, f4, {_BYTES})",
    cache=True, nogil=True, fastmath=True, error_model="numpy",
)  # fmt: skip
def mix(
    drawn: np.ndarray,
    found: np.ndarray,
    inside: np.ndarray,
    logits: np.ndarray,
    unseen: float,
    shown: np.ndarray,
) -> None:
    """shown (H, W, 3) = drawn and found (R, H, W, 3) by the softmax of logits (R, ., .), the drawing's being 0.

    What is not ``inside`` has the logit -``unseen``.
    """
    height, width = drawn.shape[0], drawn.shape[1]
    count, h, w = logits.shape
    cells_high, cells_wide = _F(h) / _F(height), _F(w) / _F(width)
    weights = np.empty(count, _F)
    for i in range(height):
        y = min(max((_F(i) + _F(0.5)) * cells_high - _F(0.5), _F(0.0)), _F(h - 1))
        y0 = int(y)
        y1, fy = min(y0 + 1, h - 1), y - _F(y0)
        for j in range(width):
            x = min(max((_F(j) + _F(0.5)) * cells_wide - _F(0.5), _F(0.0)), _F(w - 1))
            x0 = int(x)
            x1, fx = min(x0 + 1, w - 1), x - _F(x0)
            most = _F(0.0)
            for r in range(count):
                here = logits[r]
                top = here[y0, x0] + (here[y0, x1] - here[y0, x0]) * fx
                low = here[y1, x0] + (here[y1, x1] - here[y1, x0]) * fx
                weights[r] = top + (low - top) * fy if inside[r, i, j] > 0 else -unseen
                most = max(most, weights[r])
            rest = exponential(-most)
            total = rest
            for r in range(count):
                weights[r] = exponential(weights[r] - most)
                total += weights[r]
            for k in range(3):
                value = rest * _F(drawn[i, j, k])
                for r in range(count):
                    value += weights[r] * found[r, i, j, k]
                shown[i, j, k] = np.uint8(min(max(value / total, _F(0.0)), _F(255.0)) + _F(0.5))
