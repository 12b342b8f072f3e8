"""What lies between the matrix products of the denoiser, one loop for what would be three to ten operations.

Arrays are float32 and share their memory with tensors. Compiled once by numba and kept on disk.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

_compiled: Any = njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
_F = np.float32
EPSILON = 1e-5  # of layer norms


@_compiled
def exponential(x: float) -> float:
    """e^x for |x| <= 87, to 1e-7 (Cephes' expf): plain arithmetic, so that loops over it become vector instructions."""
    x = min(max(x, _F(-87.0)), _F(87.0))
    n = np.floor(x * _F(1.44269504) + _F(0.5))
    f = x - n * _F(0.6931471805599453)
    y = _F(1.9875691500e-4)
    y = y * f + _F(1.3981999507e-3)
    y = y * f + _F(8.3334519073e-3)
    y = y * f + _F(4.1665795894e-2)
    y = y * f + _F(1.6666665459e-1)
    y = y * f + _F(5.0000001201e-1)
    y = y * f * f + f + _F(1.0)
    return y * np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)


@_compiled
def normalise(x: np.ndarray, h: np.ndarray, told: np.ndarray, scale: int, shift: int, each: int) -> None:
    """h = layer norm of the rows of x (n, w), scaled and shifted.

    Row i takes them from row i // each of ``told``, where they begin at columns ``scale`` and ``shift``.
    """
    n, w = x.shape
    for i in range(n):
        g = i // each
        total = _F(0.0)
        for j in range(w):
            total += x[i, j]
        mean = total / _F(w)
        square = _F(0.0)
        for j in range(w):
            square += (x[i, j] - mean) * (x[i, j] - mean)
        root = _F(1.0) / np.sqrt(square / _F(w) + _F(EPSILON))
        for j in range(w):
            h[i, j] = (x[i, j] - mean) * root * told[g, scale + j] + told[g, shift + j]


@_compiled
def add_gated(x: np.ndarray, y: np.ndarray, bias: np.ndarray, told: np.ndarray, gate: int, each: int) -> None:
    """x += gate (y + bias), rows as in :func:`normalise`; bias (w,)."""
    n, w = x.shape
    for i in range(n):
        g = i // each
        for j in range(w):
            x[i, j] += told[g, gate + j] * (y[i, j] + bias[j])


@_compiled
def gelu(h: np.ndarray, bias: np.ndarray) -> None:
    """h = gelu(h + bias) with the tanh approximation, which is x times a logistic function; h (n, w), bias (w,)."""
    for i in range(h.shape[0]):
        for j in range(h.shape[1]):
            x = h[i, j] + bias[j]
            u = x * (_F(1.5957691216) + _F(0.0713548163) * x * x)
            h[i, j] = x / (_F(1.0) + exponential(-u))


@_compiled
def split_heads(
    qkv: np.ndarray,
    bias: np.ndarray,
    cos: np.ndarray,
    sin: np.ndarray,
    queries: np.ndarray,
    keys: np.ndarray,
    values: np.ndarray,
    places: np.ndarray,
) -> None:
    """Turn queries and keys by their frame's angle and put them, and values, where attention reads them.

    Args:
        qkv: (T B S, 3 heads head), rows by frame, dream and cell; bias: (3 heads head,); cos, sin: (T, head / 2).
        queries: (B, heads, T, S, head), scaled here; keys, values: (B, heads, places, S, head) of a ring.
        places: (T,), where each frame's keys and values go.
    """
    b, heads, t, s, head = queries.shape
    half, width = head // 2, heads * head
    root = _F(1.0) / np.sqrt(_F(head))
    for f in range(t):
        place = places[f]
        for d in range(b):
            for c in range(s):
                row = (f * b + d) * s + c
                for a in range(heads):
                    q, k, v = a * head, width + a * head, 2 * width + a * head
                    for j in range(half):
                        x, y = qkv[row, q + j] + bias[q + j], qkv[row, q + half + j] + bias[q + half + j]
                        queries[d, a, f, c, j] = (x * cos[f, j] - y * sin[f, j]) * root
                        queries[d, a, f, c, half + j] = (x * sin[f, j] + y * cos[f, j]) * root
                    for j in range(half):
                        x, y = qkv[row, k + j] + bias[k + j], qkv[row, k + half + j] + bias[k + half + j]
                        keys[d, a, place, c, j] = x * cos[f, j] - y * sin[f, j]
                        keys[d, a, place, c, half + j] = x * sin[f, j] + y * cos[f, j]
                    for j in range(head):
                        values[d, a, place, c, j] = qkv[row, v + j] + bias[v + j]
