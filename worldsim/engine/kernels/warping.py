"""Looking pixels up in remembered pictures and mixing them with a drawing: the loops of :mod:`.cpu.pixel_memory`.

Compiled by numba for these very types when this is first imported, and kept on disk.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from worldsim.engine.kernels.compilation import compiled
from worldsim.engine.kernels.exponential import exponential

_F = np.float32
_BYTES, _PICTURES = "u1[:,:,::1]", "u1[:,:,:,::1]"
_ROWS, _CUBE, _FOUR = "f4[:,::1]", "f4[:,:,::1]", "f4[:,:,:,::1]"


@compiled("void(f4[::1], i4[::1], f4[:,::1])")
def taps(x: np.ndarray, first: np.ndarray, weights: np.ndarray) -> None:
    """Cubics through x (n,), as torch's ``bicubic`` has them: the first of the four pixels (n,) that each takes, which
    may lie outside, and how much of each (4, n), both written."""
    a = _F(-0.75)
    w0, w1, w2, w3 = weights[0], weights[1], weights[2], weights[3]
    for j in range(len(x)):
        whole = np.floor(x[j])
        near = x[j] - whole
        next_, out, far = _F(1.0) - near, _F(1.0) + near, _F(2.0) - near
        first[j] = np.int32(whole) - np.int32(1)
        w0[j] = ((a * out - _F(5.0) * a) * out + _F(8.0) * a) * out - _F(4.0) * a
        w1[j] = ((a + _F(2.0)) * near - (a + _F(3.0))) * near * near + _F(1.0)
        w2[j] = ((a + _F(2.0)) * next_ - (a + _F(3.0))) * next_ * next_ + _F(1.0)
        w3[j] = ((a * far - _F(5.0) * a) * far + _F(8.0) * a) * far - _F(4.0) * a


@compiled(f"void({_ROWS}, f4[::1], {_ROWS}, f4[::1], f4, f4, f4, {_ROWS}, f4[::1])")
def project(
    rays: np.ndarray,
    distance: np.ndarray,
    turn: np.ndarray,
    step: np.ndarray,
    reach: float,
    behind: float,
    height: float,
    at: np.ndarray,
    inside: np.ndarray,
) -> None:
    """Where a row of pixels lies in another picture, of which :func:`warp` tells more.

    ``at`` (5, W) is written: column and row in pixels, the same in halves of the picture from its middle, at most one,
    and how far away it is there; and ``inside`` (W,).
    """
    width = _F(len(distance))
    columns, rows, across, along, away = at[0], at[1], at[2], at[3], at[4]
    for j in range(len(distance)):
        far = distance[j]
        a, b, c = rays[j, 0] * far, rays[j, 1] * far, rays[j, 2] * far
        right = turn[0, 0] * a + turn[0, 1] * b + turn[0, 2] * c + step[0]
        up = turn[1, 0] * a + turn[1, 1] * b + turn[1, 2] * c + step[1]
        forward = turn[2, 0] * a + turn[2, 1] * b + turn[2, 2] * c + step[2]
        plane = max(forward, behind) * reach
        u, v = right / plane, -up / plane
        inside[j] = _F(1.0) if (forward > behind) & (abs(u) < _F(1.0)) & (abs(v) < _F(1.0)) else _F(0.0)
        columns[j] = min(max((u + _F(1.0)) * _F(0.5) * width - _F(0.5), _F(-3.0)), width + _F(2.0))
        rows[j] = min(max((v + _F(1.0)) * _F(0.5) * height - _F(0.5), _F(-3.0)), height + _F(2.0))
        across[j], along[j] = min(max(u, _F(-1.0)), _F(1.0)), min(max(v, _F(-1.0)), _F(1.0))
        away[j] = max(np.sqrt(right * right + up * up + forward * forward), behind)


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy", inline="always")
def blend(lines: np.ndarray, top: int, left: int, high: np.ndarray, wide: np.ndarray, j: int) -> Any:
    """Red, green and blue of the four rows from ``top`` and four pixels from ``left`` of a picture's lines (H, 3 W),
    weighted by column j of ``high`` and ``wide`` (4, W); beyond its border that goes on."""
    height, last = lines.shape[0], lines.shape[1] - 3
    a, b = min(max(3 * left, 0), last), min(max(3 * left + 3, 0), last)
    c, d = min(max(3 * left + 6, 0), last), min(max(3 * left + 9, 0), last)
    w0, w1, w2, w3 = wide[0, j], wide[1, j], wide[2, j], wide[3, j]
    red = green = blue = _F(0.0)
    for m in range(4):
        line, h = lines[min(max(top + m, 0), height - 1)], high[m, j]
        red += h * (w0 * _F(line[a]) + w1 * _F(line[b]) + w2 * _F(line[c]) + w3 * _F(line[d]))
        green += h * (
            w0 * _F(line[a + 1]) + w1 * _F(line[b + 1]) + w2 * _F(line[c + 1]) + w3 * _F(line[d + 1])
        )
        blue += h * (
            w0 * _F(line[a + 2]) + w1 * _F(line[b + 2]) + w2 * _F(line[c + 2]) + w3 * _F(line[d + 2])
        )
    return red, green, blue


@compiled(
    f"void({_BYTES}, {_ROWS}, {_ROWS}, {_PICTURES}, {_CUBE}, {_CUBE}, {_ROWS}, "
    f"f4, f4, f4, i8, {_FOUR}, {_CUBE}, {_FOUR})"
)
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
    apart = np.empty((width // each, 3), _F)  # what the pixels of one of the model's differ by, together
    at = np.empty((5, width), _F)
    place, pixel = np.arange(width) // half, np.arange(width) // each
    lefts, tops = np.empty(width, np.int32), np.empty(width, np.int32)
    wide, high = np.empty((4, width), _F), np.empty((4, width), _F)
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
        t, s, depth = turns[r], steps[r], theirs[r]
        lines = pictures[r].reshape(height, 3 * width)
        fits[r, :, :, :] = _F(0.0)
        for i in range(height):
            if i % each == 0:
                apart[:] = _F(0.0)
            here = inside[r, i]
            project(rays[i * width : (i + 1) * width], distance[i], t, s, reach, behind, _F(height), at, here)
            taps(at[0], lefts, wide)
            taps(at[1], tops, high)
            for j in range(width):
                colour = blend(lines, tops[j], lefts[j], high, wide, j)
                cue, off = fits[r, i // half, place[j]], apart[pixel[j]]
                for k in range(3):
                    value = min(max(colour[k], _F(0.0)), _F(255.0))
                    found[r, i, j, k] = value
                    theirs_now = value * byte - _F(1.0)
                    mine = _F(drawn[i, j, k]) * byte - _F(1.0)
                    off[k] += theirs_now - mine
                    cue[k] += theirs_now * share * here[j]
                    cue[3 + k] += mine * share
                if here[j] > _F(0.0):
                    x = min(max((at[2, j] + _F(1.0)) * _F(0.5) * _F(w) - _F(0.5), _F(0.0)), _F(w - 1))
                    y = min(max((at[3, j] + _F(1.0)) * _F(0.5) * _F(h) - _F(0.5), _F(0.0)), _F(h - 1))
                    x0, y0 = int(x), int(y)
                    x1, y1 = min(x0 + 1, w - 1), min(y0 + 1, h - 1)
                    fx, fy = x - _F(x0), y - _F(y0)
                    above = depth[y0, x0] + (depth[y0, x1] - depth[y0, x0]) * fx
                    below = depth[y1, x0] + (depth[y1, x1] - depth[y1, x0]) * fx
                    hidden = above + (below - above) * fy + unit - np.log(at[4, j])
                    hidden = min(max(hidden, _F(-1.0)), _F(1.0))
                    cue[7] += hidden * share
                    cue[8] += abs(hidden) * share
                    cue[9] += share
            if i % each == each - 1:
                for c in range(width // each):
                    far_apart = abs(apart[c, 0]) + abs(apart[c, 1]) + abs(apart[c, 2])
                    fits[r, i // half, c * each // half, 6] += far_apart * share / _F(3.0)


@compiled(f"void({_BYTES}, {_FOUR}, {_CUBE}, {_CUBE}, f4, {_BYTES})")
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
