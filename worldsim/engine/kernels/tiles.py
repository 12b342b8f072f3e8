"""Products of bfloat16 by a processor that multiplies whole tiles (Intel's AMX), for a handful of rows.

A library prepares a product for longer than such a processor takes for it. Here a weight lies as tiles are loaded, and
a product is one loop. numba knows no instruction for tiles, so they are written as assembly, which is called only where
processor and system have them (:func:`available`).
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from worldsim.engine.kernels.compilation import compiled
from worldsim.engine.kernels.exponential import exponential

SIDE = 16
"""Rows of a tile, and numbers in single precision in one of them."""
DEEP = 32
"""Numbers in bfloat16 in a row of a tile."""
GROUP = 4
"""Tiles of a weight that lie together: so many sums grow at once, since one waits for the product before it."""

CONFIG = np.zeros(64, np.uint8)
"""What the processor is told before it loads a tile: that all eight have all their rows."""
CONFIG[0] = 1
CONFIG[16:32:2] = 64
CONFIG[48:56] = SIDE

TILE = 1024  # bytes
_PERMISSION = 158, 0x1023, 18  # arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
_intrinsic: Any = intrinsic  # who calls one leaves the context out
_F, _I, _U = np.float32, np.uint32, np.uint16

llvmlite.binding.initialize_native_asmparser()


@cache
def available() -> bool:
    """Whether the processor has tiles of bfloat16 and the system lets this process have them."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return False
    with suppress(OSError):
        if "amx_bf16" in Path("/proc/cpuinfo").read_text().split():
            return bool(ctypes.CDLL(None).syscall(*_PERMISSION) == 0)
    return False


def compiled_ahead(signature: str) -> Any:
    """:func:`.compilation.compiled` for these types where there are tiles; elsewhere nobody calls what needs them."""
    return compiled(signature if available() else None)


def _assembled(lines: str, clobbered: str, operands: int) -> tuple[Any, Callable[..., Any]]:
    """Signature and code of an intrinsic of so many addresses and counts that is these lines of assembly."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [ir.IntType(64)] * operands)
        names = [f"~{{{name}}}" for name in (*clobbered.split(), "memory", "flags")]
        builder.asm(kind, lines, ",".join(["r"] * operands + names), values, True)
        return context.get_dummy_value()

    return types.void(*[types.intp] * operands), generate


@_intrinsic
def begin(context: Any, config: Any) -> Any:
    """The tiles of this thread are as the configuration at an address says."""
    return _assembled("ldtilecfg ($0)", "", 1)


@_intrinsic
def end(context: Any) -> Any:
    """This thread has no tiles any more: what switches threads need not keep them."""
    return _assembled("tilerelease", "", 0)


@_intrinsic
def zero(context: Any) -> Any:
    """The four sums, tiles 0 to 3, are 0."""
    return _assembled("".join(f"tilezero %tmm{i}\n" for i in range(4)), "", 0)


def _prefetched(register: str, tiles: int, ahead: int) -> str:
    return "".join(f"prefetcht0 {ahead + 64 * i}(%{register})\n" for i in range(16 * tiles))


@_intrinsic
def add_wide(context: Any, rows: Any, stride: Any, weight: Any, count: Any) -> Any:
    """Onto the sums of four tiles beside each other: rows of ``stride`` bytes by ``count`` groups of a weight."""
    products = "".join(
        f"tileloadd {TILE * i}(%r9,%r11,1), %tmm{5 + i % 3}\ntdpbf16ps %tmm{5 + i % 3}, %tmm4, %tmm{i}\n"
        for i in range(4)
    )
    lines = f"""
        movq $0, %r8
        movq $2, %r9
        movq $3, %r10
        movq $$64, %r11
        1:
        tileloadd (%r8,$1,1), %tmm4
        {_prefetched("r9", 4, 4 * TILE)}
        {products}
        addq $$64, %r8
        addq $${4 * TILE}, %r9
        decq %r10
        jnz 1b
    """
    return _assembled(lines, "r8 r9 r10 r11", 4)


@_intrinsic
def add_square(context: Any, above: Any, below: Any, stride: Any, weight: Any, count: Any) -> Any:
    """Onto the sums of two tiles beside each other and two below: two times rows by ``count`` pairs of a weight."""
    lines = f"""
        movq $0, %r8
        movq $1, %rax
        movq $3, %r9
        movq $4, %r10
        movq $$64, %r11
        1:
        tileloadd (%r8,$2,1), %tmm4
        tileloadd (%r9,%r11,1), %tmm6
        tdpbf16ps %tmm6, %tmm4, %tmm0
        tileloadd {TILE}(%r9,%r11,1), %tmm7
        tdpbf16ps %tmm7, %tmm4, %tmm1
        tileloadd (%rax,$2,1), %tmm5
        tdpbf16ps %tmm6, %tmm5, %tmm2
        tdpbf16ps %tmm7, %tmm5, %tmm3
        addq $$64, %r8
        addq $$64, %rax
        addq $${4 * TILE}, %r9
        decq %r10
        jnz 1b
    """
    return _assembled(lines, "rax r8 r9 r10 r11", 5)


@_intrinsic
def store(context: Any, first: Any, second: Any, third: Any, fourth: Any, stride: Any) -> Any:
    """The four sums to four addresses, in rows of ``stride`` bytes."""
    return _assembled("".join(f"tilestored %tmm{i}, (${i},$4,1)\n" for i in range(4)), "", 5)


@compiled()
def rounded(x: Any) -> Any:
    """The bits of a number in bfloat16, rounded to the nearest, to even in the middle."""
    bits = _F(x).view(_I)
    return _U(_I(bits + _I(_I(0x7FFF) + _I(_I(bits >> _I(16)) & _I(1)))) >> _I(16))


def laid_out(weight: np.ndarray) -> np.ndarray:
    """A weight (inside, outside) as tiles are loaded: bits of bfloat16 (groups, depth, GROUP, SIDE, 2 SIDE).

    Both sides are filled up with zeros. A row of a tile holds, for each output, two inputs beside each other.
    """
    inside, outside = weight.shape
    depth, groups = -(-inside // DEEP), -(-outside // (GROUP * SIDE))
    full = np.zeros((depth * DEEP, groups * GROUP * SIDE), np.float32)
    full[:inside, :outside] = weight
    short = np.empty(full.shape, np.uint16)
    round_rows(full, short)
    parts = short.reshape(depth, SIDE, 2, groups, GROUP, SIDE).transpose(3, 0, 4, 1, 5, 2)
    return np.ascontiguousarray(parts).reshape(groups, depth, GROUP, SIDE, 2 * SIDE)


@compiled()
def round_rows(rows: np.ndarray, short: np.ndarray) -> None:
    """Bits of bfloat16 of rows (n, w), into the beginning of ``short``; what more there is of that stays."""
    for i in range(rows.shape[0]):
        row, to = rows[i], short[i]
        for j in range(len(row)):
            to[j] = rounded(row[j])


@compiled_ahead("void(f4[:,::1], u2[:,::1], u2[:,:,:,:,::1], f4[:,::1])")
def multiply(rows: np.ndarray, short: np.ndarray, weight: np.ndarray, out: np.ndarray) -> None:
    """out = rows @ weight.

    Args:
        rows: (n, inside). short: (m, depth DEEP), where they are rounded to; what is more than them stays.
        weight: from :func:`laid_out`. out: (m, groups GROUP SIDE); m a multiple of SIDE.
    """
    round_rows(rows, short)
    groups, depth = weight.shape[:2]
    stride, wide = 2 * short.shape[1], 4 * out.shape[1]
    a, b, c = short.ctypes.data, weight.ctypes.data, out.ctypes.data
    tiles = short.shape[0] // SIDE
    begin(CONFIG.ctypes.data)
    for g in range(groups):
        at = b + g * depth * GROUP * TILE
        for i in range(tiles // 2):
            above = a + 2 * i * SIDE * stride
            for half in range(2):
                to = c + 2 * i * SIDE * wide + (GROUP * g + 2 * half) * 64
                zero()
                add_square(above, above + SIDE * stride, stride, at + 2 * half * TILE, depth)
                store(to, to + 64, to + SIDE * wide, to + SIDE * wide + 64, wide)
        if tiles % 2:
            to = c + (tiles - 1) * SIDE * wide + GROUP * g * 64
            zero()
            add_wide(a + (tiles - 1) * SIDE * stride, stride, at, depth)
            store(to, to + 64, to + 128, to + 192, wide)
    end()


@compiled()
def _pad(x: np.ndarray, activated: bool, padded: np.ndarray) -> None:
    """Cells (N, h, w, C), or their SiLU, rounded into the middle of (N, h + 2, w + 2, deep C)."""
    n, h, w, c = x.shape
    for k in range(n):
        for i in range(h):
            for j in range(w):
                row, to = x[k, i, j], padded[k, i + 1, j + 1]
                if activated:
                    for d in range(c):
                        v = row[d]
                        to[d] = rounded(_F(v / (_F(1.0) + exponential(-v))))
                else:
                    for d in range(c):
                        to[d] = rounded(row[d])


@compiled_ahead(
    "void(f4[:,:,:,::1], b1, u2[:,:,:,::1], i8[::1], i8[:,::1], u2[:,:,:,:,::1], f4[::1], f4[:,:,::1], f4[:,::1])"
)
def convolve(
    x: np.ndarray,
    activated: bool,
    padded: np.ndarray,
    begins: np.ndarray,
    places: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    sums: np.ndarray,
    out: np.ndarray,
) -> None:
    """A 3x3 convolution of cells x (N, h, w, C), or of their SiLU, with a border of zeros.

    Args:
        padded: (N, h + 2, w + 2, deep C), zeros but for the middle, with room for a tile behind it.
        begins: (2 t,), the padded cells at which tiles of 16 begin, above and left of what they give. places: (2 t,
            SIDE), where in ``out`` each of their rows goes, or -1.
        weight: of (9 deep C, out) from :func:`laid_out`; bias: (out,); sums: (4, SIDE, SIDE), room; out: (N h w, out).
    """
    _pad(x, activated, padded)
    deep, line, outside = padded.shape[3], padded.shape[2], out.shape[1]
    stride, count = 2 * deep, deep // DEEP
    depth = weight.shape[1]
    a, b, s = padded.ctypes.data, weight.ctypes.data, sums.ctypes.data
    begin(CONFIG.ctypes.data)
    for pair in range(-(-outside // (2 * SIDE))):
        at = b + (pair // 2) * depth * GROUP * TILE + (pair % 2) * 2 * TILE
        for t in range(len(begins) // 2):
            above, below = a + begins[2 * t] * stride, a + begins[2 * t + 1] * stride
            zero()
            for tap in range(9):
                off = ((tap // 3) * line + tap % 3) * stride
                add_square(above + off, below + off, stride, at + tap * count * GROUP * TILE, count)
            store(s, s + TILE, s + 2 * TILE, s + 3 * TILE, 64)
            for k in range(4):
                first = (2 * pair + k % 2) * SIDE
                many = min(SIDE, outside - first)
                for r in range(SIDE):
                    place = places[2 * t + k // 2, r]
                    if place >= 0 and many == SIDE:
                        to, row, more = (
                            out[place, first : first + SIDE],
                            sums[k, r],
                            bias[first : first + SIDE],
                        )
                        for j in range(SIDE):
                            to[j] = row[j] + more[j]
                    elif place >= 0:
                        for j in range(many):
                            out[place, first + j] = sums[k, r, j] + bias[first + j]
    end()
