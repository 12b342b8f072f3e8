"""What lies between the matrix products of denoiser, compressor and reader: one loop for three to ten operations.

Arrays are float32 and share their memory with tensors. Compiled by numba for these very types when this is first
imported, and kept on disk.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from worldsim.engine.kernels.compilation import compiled
from worldsim.engine.kernels.exponential import exponential

_F = np.float32
_ROW, _ROWS, _CUBE, _HEADS = "f4[::1]", "f4[:,::1]", "f4[:,:,::1]", "f4[:,:,:,:,::1]"
EPSILON = 1e-5  # of layer norms
RMS_EPSILON = 1.1920929e-07  # of RMS norms in single precision


@compiled()
def _moments(row: np.ndarray) -> tuple[Any, Any]:
    """Mean and reciprocal standard deviation of a row (w,), as a layer norm has them."""
    w = len(row)
    total = _F(0.0)
    for j in range(w):
        total += row[j]
    mean = total / _F(w)
    square = _F(0.0)
    for j in range(w):
        square += (row[j] - mean) * (row[j] - mean)
    return mean, _F(1.0) / np.sqrt(square / _F(w) + _F(EPSILON))


@compiled(f"void({_ROWS}, {_ROWS}, {_ROWS}, i8, i8, i8)")
def normalise(
    x: np.ndarray, h: np.ndarray, modulation: np.ndarray, scale: int, shift: int, each: int
) -> None:
    """h = layer norm of the rows of x (n, w), scaled and shifted.

    Row i takes them from row i // each of ``modulation``, where they begin at columns ``scale`` and ``shift``.
    """
    n, w = x.shape
    for i in range(n):
        row, to = x[i], h[i]
        # Slices, not sums of indices: those would be checked one by one.
        scales, shifts = modulation[i // each, scale : scale + w], modulation[i // each, shift : shift + w]
        mean, root = _moments(row)
        for j in range(w):
            to[j] = (row[j] - mean) * root * scales[j] + shifts[j]


@compiled()
def _root(row: np.ndarray) -> Any:
    """Reciprocal root mean square of a row (w,), as an RMS norm has it."""
    square = _F(0.0)
    for j in range(len(row)):
        square += row[j] * row[j]
    return _F(1.0) / np.sqrt(square / _F(len(row)) + _F(RMS_EPSILON))


@compiled(f"void({_ROWS}, {_ROWS}, {_ROWS}, i8, i8, i8)")
def normalise_rms(
    x: np.ndarray, h: np.ndarray, modulation: np.ndarray, scale: int, shift: int, each: int
) -> None:
    """As :func:`normalise`, with an RMS norm."""
    n, w = x.shape
    for i in range(n):
        row, to = x[i], h[i]
        scales, shifts = modulation[i // each, scale : scale + w], modulation[i // each, shift : shift + w]
        root = _root(row)
        for j in range(w):
            to[j] = row[j] * root * scales[j] + shifts[j]


@compiled(f"void({_ROWS})")
def silu(h: np.ndarray) -> None:
    """h = silu(h); h (n, w)."""
    for i in range(h.shape[0]):
        for j in range(h.shape[1]):
            x = h[i, j]
            h[i, j] = x / (_F(1.0) + exponential(-x))


@compiled(f"void({_ROWS}, {_ROWS}, {_ROW}, {_ROWS}, i8, i8)")
def add_gated(
    x: np.ndarray, y: np.ndarray, bias: np.ndarray, modulation: np.ndarray, gate: int, each: int
) -> None:
    """x += gate (y + bias), rows as in :func:`normalise`; bias (w,)."""
    n, w = x.shape
    for i in range(n):
        row, update, gates = x[i], y[i], modulation[i // each, gate : gate + w]
        for j in range(w):
            row[j] += gates[j] * (update[j] + bias[j])


@compiled(f"void({_ROWS}, {_ROW})")
def gelu(h: np.ndarray, bias: np.ndarray) -> None:
    """h = gelu(h + bias) with the tanh approximation, which is x times a logistic function; h (n, w), bias (w,)."""
    for i in range(h.shape[0]):
        for j in range(h.shape[1]):
            x = h[i, j] + bias[j]
            u = x * (_F(1.5957691216) + _F(0.0713548163) * x * x)
            h[i, j] = x / (_F(1.0) + exponential(-u))


@compiled()
def _turn(
    x: np.ndarray, bias: np.ndarray, cos: np.ndarray, sin: np.ndarray, scale: float, to: np.ndarray
) -> None:
    """x + bias (head,) turned by angles (head / 2,), its halves being pairs, and scaled."""
    half = len(cos)
    first, second, bias1, bias2, to1, to2 = x[:half], x[half:], bias[:half], bias[half:], to[:half], to[half:]
    for j in range(half):
        u, v = first[j] + bias1[j], second[j] + bias2[j]
        to1[j] = (u * cos[j] - v * sin[j]) * scale
        to2[j] = (u * sin[j] + v * cos[j]) * scale


@compiled(f"void({_ROWS}, {_ROW}, {_ROWS}, {_ROWS}, {_HEADS}, {_HEADS}, {_HEADS}, i8[::1])")
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
    width = heads * head
    root = _F(1.0) / np.sqrt(_F(head))
    for f in range(t):
        for d in range(b):
            for a in range(heads):
                at = a * head
                for c in range(s):
                    row = qkv[(f * b + d) * s + c]
                    key, value = keys[d, a, places[f], c], values[d, a, places[f], c]
                    query = queries[d, a, f, c]
                    _turn(row[at : at + head], bias[at : at + head], cos[f], sin[f], root, query)
                    at += width
                    _turn(row[at : at + head], bias[at : at + head], cos[f], sin[f], _F(1.0), key)
                    at += width
                    mine, offset = row[at : at + head], bias[at : at + head]
                    for j in range(head):
                        value[j] = mine[j] + offset[j]
                    at -= 2 * width


@compiled(f"void({_ROWS}, {_ROW}, {_ROW}, {_ROWS}, {_ROWS}, {_HEADS}, {_HEADS}, {_HEADS}, i8[::1])")
def split_heads_rms(
    qkv: np.ndarray,
    query_norm: np.ndarray,
    key_norm: np.ndarray,
    cos: np.ndarray,
    sin: np.ndarray,
    queries: np.ndarray,
    keys: np.ndarray,
    values: np.ndarray,
    places: np.ndarray,
) -> None:
    """As :func:`split_heads`, without biases and with RMS norms of queries and keys, whose weights are (head,)."""
    b, heads, t, s, head = queries.shape
    width, half = heads * head, head // 2
    scale = _F(1.0) / np.sqrt(_F(head))
    for f in range(t):
        for d in range(b):
            for a in range(heads):
                for c in range(s):
                    row = qkv[(f * b + d) * s + c]
                    query, key = queries[d, a, f, c], keys[d, a, places[f], c]
                    value = values[d, a, places[f], c]
                    x, y = row[a * head : a * head + head], row[width + a * head : width + a * head + head]
                    root_x, root_y = _root(x) * scale, _root(y)
                    for j in range(half):
                        u, v = x[j] * query_norm[j], x[half + j] * query_norm[half + j]
                        query[j] = (u * cos[f, j] - v * sin[f, j]) * root_x
                        query[half + j] = (u * sin[f, j] + v * cos[f, j]) * root_x
                        u, v = y[j] * key_norm[j], y[half + j] * key_norm[half + j]
                        key[j] = (u * cos[f, j] - v * sin[f, j]) * root_y
                        key[half + j] = (u * sin[f, j] + v * cos[f, j]) * root_y
                    mine = row[2 * width + a * head : 2 * width + a * head + head]
                    for j in range(head):
                        value[j] = mine[j]


@compiled(f"void({_CUBE}, {_ROWS}, {_ROWS}, {_ROWS}, f8, {_CUBE})")
def steer(
    frames: np.ndarray,
    actions: np.ndarray,
    position: np.ndarray,
    where: np.ndarray,
    eps: float,
    h: np.ndarray,
) -> None:
    """The norm of what a compressor's attention over time reads, without its scale and shift, cell by cell.

    frames (M, S, w), actions (M, w) as one more cell, position (S + 1, w), where (M, w) -> h (S + 1, M, w).
    """
    m, s, w = frames.shape
    for c in range(s + 1):
        place = position[c]
        for i in range(m):
            token = frames[i, c] if c < s else actions[i]
            to, here = h[c, i], where[i]
            total = _F(0.0)
            for j in range(w):
                x = token[j] + (place[j] + here[j])
                to[j] = x
                total += x
            mean = total / _F(w)
            square = _F(0.0)
            for j in range(w):
                square += (to[j] - mean) * (to[j] - mean)
            root = _F(1.0) / np.sqrt(square / _F(w) + _F(eps))
            for j in range(w):
                to[j] = (to[j] - mean) * root


@compiled(f"void({_ROWS}, {_ROWS}, {_ROW}, f4, f4, {_ROWS})")
def look(
    rays: np.ndarray,
    points: np.ndarray,
    bias: np.ndarray,
    sharpness: float,
    shift: float,
    weights: np.ndarray,
) -> None:
    """Weights (P, N) of a head, e^(sharpness ray . direction + bias - shift): rays (P, 3), points (3, N), bias (N,)."""
    dx, dy, dz = points[0], points[1], points[2]
    for i in range(len(rays)):
        x, y, z = sharpness * rays[i, 0], sharpness * rays[i, 1], sharpness * rays[i, 2]
        row = weights[i]
        for k in range(len(row)):
            row[k] = exponential(x * dx[k] + y * dy[k] + z * dz[k] + (bias[k] - shift))


@njit("f8(f8[::1], f8[::1])", cache=True, nogil=True, error_model="numpy")
def viewpoint_distance(a: np.ndarray, b: np.ndarray) -> float:
    """:func:`worldsim.models.geometry.viewpoint_distance` of two viewpoints (6,)."""
    place = chord = 0.0
    for j in range(3):
        place += (a[j] - b[j]) ** 2
        chord += (a[3 + j] - b[3 + j]) ** 2
    return float(2 * np.arcsin(min(np.sqrt(chord) / 2, 1.0)) + np.sqrt(place))


@njit("i8[::1](f8[:,::1], f8[::1], i8, f8, f8, f8[::1])", cache=True, nogil=True, error_model="numpy")
def most_relevant(
    viewpoints: np.ndarray, target: np.ndarray, count: int, crowding: float, reach: float, penalty: np.ndarray
) -> np.ndarray:
    """:func:`.selection.relevant_views` of one dream: which ``count`` of stands (N, 6), best first."""
    n = len(viewpoints)
    cost = np.empty(n)
    for i in range(n):
        cost[i] = viewpoint_distance(viewpoints[i], target) + penalty[i]
    chosen = np.empty(count, np.int64)
    for k in range(count):
        best = cost.argmin()
        chosen[k] = best
        for i in range(n):
            cost[i] += crowding * np.exp(-viewpoint_distance(viewpoints[i], viewpoints[best]) / reach)
        cost[best] = np.inf
    return chosen
