"""A block of the generator in one call, multiplied by tiles; between its products lie the loops of :mod:`.layers`.

Attention is multiplied by tiles as well. Scores lie with keys in rows and queries in columns: so keys are read as they
lie in the ring, and a softmax needs no sum along a vector.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from worldsim.engine.kernels.compilation import compiled
from worldsim.engine.kernels.exponential import exponential
from worldsim.engine.kernels.layers import add_gated, normalise_rms, silu, split_heads_rms
from worldsim.engine.kernels.tiles import (
    CONFIG,
    DEEP,
    GROUP,
    SIDE,
    TILE,
    add_square,
    add_wide,
    begin,
    compiled_ahead,
    end,
    multiply,
    round_rows,
    rounded,
    store,
    zero,
)

HEAD = GROUP * SIDE
"""Numbers of a head that this is written for."""

_F, _W = np.float32, np.uint32
_ROWS, _WEIGHTS, _RING = "f4[:,::1]", "u2[:,:,:,:,:,::1]", "f4[:,:,:,:,:,::1]"


def fits(width: int, heads: int, tokens: int) -> bool:
    """Whether a block of this width, over so many tokens a frame, can be computed here."""
    return width == heads * HEAD and tokens % SIDE == 0


@compiled()
def _pair(low: Any, high: Any) -> Any:
    """Two numbers in bfloat16 beside each other, as a tile of a weight holds them."""
    return _W(rounded(low)) | _W(_W(rounded(high)) << _W(16))


@compiled()
def _pair_columns(queries: np.ndarray, pairs: np.ndarray) -> None:
    """Queries (n, HEAD) as a weight whose columns they are: (groups, HEAD / DEEP, GROUP, SIDE, SIDE) of pairs."""
    for i in range(len(queries)):
        row, tile, column = queries[i], i // SIDE, i % SIDE
        for d in range(HEAD // 2):
            to = pairs[tile // GROUP, d // SIDE, tile % GROUP, d % SIDE]
            to[column] = _pair(row[2 * d], row[2 * d + 1])


@compiled()
def _pair_rows(values: np.ndarray, pairs: np.ndarray) -> None:
    """Values (n, HEAD) as a weight whose rows they are: (n / DEEP, GROUP, SIDE, SIDE) of pairs."""
    for i in range(len(values) // 2):
        for g in range(GROUP):
            to = pairs[i // SIDE, g, i % SIDE]
            first = values[2 * i, g * SIDE : (g + 1) * SIDE]
            second = values[2 * i + 1, g * SIDE : (g + 1) * SIDE]
            for j in range(SIDE):
                to[j] = _pair(first[j], second[j])


@compiled()
def _soften(scores: np.ndarray, first: int, weights: np.ndarray, line: np.ndarray, total: np.ndarray) -> None:
    """Weights (SIDE, n) of queries, rounded and not yet divided by their ``total`` (SIDE,), of scores (n, SIDE).

    What lies before key ``first`` has no weight, nor what is behind the scores; ``line`` (n,) is room.
    """
    used = len(scores)
    for j in range(SIDE):
        for k in range(used):
            line[k] = scores[k, j]
        part, to = line[first:used], weights[j]
        largest = part[0]
        for k in range(len(part)):
            largest = max(largest, part[k])
        add = _F(0.0)
        for k in range(len(part)):
            e = exponential(part[k] - largest)
            part[k] = e
            add += e
        total[j] = add
        to[:first] = 0
        behind = to[first:used]
        for k in range(len(part)):
            behind[k] = rounded(part[k])
        to[used:] = 0


@compiled()
def attend(
    queries: np.ndarray, keys: np.ndarray, values: np.ndarray, count: int, begins: int, h: np.ndarray
) -> None:
    """What queries find among the frames of a ring.

    Args:
        queries: (B, heads, T, S, HEAD), scaled; of T = 2 frames the first does not see the ring's place 0, but its own.
        keys, values: (B, heads, places, S, HEAD); places behind ``count`` + 1 are empty, ``count`` at least T - 1.
        begins: the first frame that is asked for. h: (T B S, heads HEAD), rows by frame, dream and token.
    """
    b, heads, t, s = queries.shape[:4]
    used = min(count + 1, keys.shape[2]) * s
    deep = -(-used // DEEP)
    full, tiles = deep * DEEP, t * s // SIDE
    short, at = np.zeros((full, HEAD), np.uint16), np.zeros((deep, GROUP, SIDE, SIDE), np.uint32)
    pairs = np.zeros((-(-tiles // GROUP), HEAD // DEEP, GROUP, SIDE, SIDE), np.uint32)
    scores = np.empty((tiles + tiles % 2, full, SIDE), np.float32)
    weights, found = np.empty((SIDE, full), np.uint16), np.empty((SIDE, HEAD), np.float32)
    line, total = np.empty(full, np.float32), np.empty(SIDE, np.float32)
    k, q, p, o = short.ctypes.data, pairs.ctypes.data, scores.ctypes.data, found.ctypes.data
    begin(CONFIG.ctypes.data)
    for d in range(b):
        for a in range(heads):
            round_rows(keys[d, a].reshape(-1, HEAD)[:used], short[:used])
            _pair_rows(values[d, a].reshape(-1, HEAD)[:used], at)
            _pair_columns(queries[d, a].reshape(-1, HEAD), pairs)
            for i in range(begins * s // SIDE // 2 * 2, tiles, 2):
                weight = q + (i // GROUP * (HEAD // DEEP) * GROUP + i % GROUP) * TILE
                for j in range(0, full, 2 * SIDE):
                    to, beside = p + (i * full + j) * 64, p + ((i + 1) * full + j) * 64
                    zero()
                    rows = k + j * 2 * HEAD
                    add_square(rows, rows + SIDE * 2 * HEAD, 2 * HEAD, weight, HEAD // DEEP)
                    store(to, beside, to + TILE, beside + TILE, 64)
            for i in range(begins * s // SIDE, tiles):
                frame = i * SIDE // s
                _soften(scores[i, :used], 0 if frame == t - 1 else s, weights, line, total)
                zero()
                add_wide(weights.ctypes.data, 2 * full, at.ctypes.data, deep)
                store(o, o + 64, o + 128, o + 192, 4 * HEAD)
                first = (frame * b + d) * s + i * SIDE % s
                for j in range(SIDE):
                    to_row, row, part = h[first + j, a * HEAD : (a + 1) * HEAD], found[j], _F(1.0) / total[j]
                    for c in range(HEAD):
                        to_row[c] = row[c] * part
    end()


@compiled_ahead(
    f"void({', '.join(3 * [_ROWS] + 4 * [_WEIGHTS] + 4 * [_ROWS])}, f4[:,:,:,:,::1], {_RING}, {_RING}, i8[::1], i8)"
)
def transform(
    x: np.ndarray,
    modulation: np.ndarray,
    bias: np.ndarray,
    qkv: np.ndarray,
    out: np.ndarray,
    up: np.ndarray,
    down: np.ndarray,
    query_norm: np.ndarray,
    key_norm: np.ndarray,
    cos: np.ndarray,
    sin: np.ndarray,
    queries: np.ndarray,
    keys: np.ndarray,
    values: np.ndarray,
    places: np.ndarray,
    count: int,
) -> None:
    """All blocks (:class:`worldsim.models.denoisers.generator.GeneratorBlock`) over x (T B S, width), in place.

    Of the frames before the last only keys and values are wanted: the last block does not finish them.

    Args:
        modulation: (T B, 6 width); bias: (depth, 6 width), with the 1 of scales and gates added.
        qkv, out, up, down: (depth, ...), each from :func:`.tiles.laid_out`; query_norm, key_norm: (depth, HEAD).
        keys, values: (depth, B, heads, places, S, HEAD); queries and the others as in :func:`.layers.split_heads_rms`
            and :func:`attend`; queries are room.
    """
    rows, w = x.shape
    depth, b, t, s = len(bias), queries.shape[0], queries.shape[2], queries.shape[3]
    h, short = np.empty((rows, w), np.float32), np.empty((rows, 4 * w), np.uint16)
    wide, update = np.empty((rows, 4 * w), np.float32), np.empty((rows, w), np.float32)
    three = wide.reshape(-1)[: rows * 3 * w].reshape(rows, 3 * w)
    narrow = short.reshape(-1)[: rows * w].reshape(rows, w)
    modulated, nothing = np.empty((t * b, 6 * w), np.float32), np.zeros(w, np.float32)
    begins = 0
    for i in range(depth):
        for j in range(t * b):
            for c in range(6 * w):
                modulated[j, c] = modulation[j, c] + bias[i, c]
        normalise_rms(x, h, modulated, 0, w, s)
        multiply(h, narrow, qkv[i], three)
        split_heads_rms(three, query_norm[i], key_norm[i], cos, sin, queries, keys[i], values[i], places)
        if i == depth - 1:
            begins = t - 1
        attend(queries, keys[i], values[i], count, begins, h)
        r, m = begins * b * s, begins * b
        multiply(h[r:], narrow[r:], out[i], update[r:])
        add_gated(x[r:], update[r:], nothing, modulated[m:], 2 * w, s)
        normalise_rms(x[r:], h[r:], modulated[m:], 3 * w, 4 * w, s)
        multiply(h[r:], narrow[r:], up[i], wide[r:])
        silu(wide[r:])
        multiply(wide[r:], short[r:], down[i], update[r:])
        add_gated(x[r:], update[r:], nothing, modulated[m:], 5 * w, s)
