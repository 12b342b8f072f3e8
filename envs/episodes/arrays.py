"""Arrays in a ``.npz`` of somebody else: nothing is unpickled, and every size is checked before memory is taken."""

from __future__ import annotations

import zipfile
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from envs.episodes.limits import DAMAGE, MIB

MEMBERS = 1024
HEADER = 4096  # bytes of one array's header
KINDS = "biuf"  # numbers and truth values


class ArraysError(ValueError):
    """A ``.npz`` that cannot be read, or that says to hold more than it may."""


def read_arrays(file: BinaryIO, most: int) -> dict[str, np.ndarray]:
    """The arrays of a ``.npz`` by name: numbers and truth values of at most eight bytes each.

    Args:
        file: open for reading bytes, and seekable.
        most: bytes that all arrays may have together.

    Raises:
        ArraysError: it is damaged, or holds objects, or more than ``most``.
    """
    try:
        with zipfile.ZipFile(file) as packed:
            infos = packed.infolist()
            if len(infos) > MEMBERS or sum(i.file_size for i in infos) > most + HEADER * MEMBERS:
                raise ArraysError(
                    f"expected at most {MEMBERS} arrays of {most / MIB:.0f} MiB together, found {len(infos)} of "
                    f"{sum(i.file_size for i in infos) / MIB:.0f} MiB"
                )
            return {info.filename.removesuffix(".npy"): _read(packed, info) for info in infos}
    except DAMAGE as error:
        if isinstance(error, ArraysError):
            raise
        raise ArraysError(f"no readable arrays: {_line(error)}") from None


def _read(packed: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    with packed.open(info) as member:
        version = npy.read_magic(member)
        read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
        if read is None:
            raise ArraysError(f"{info.filename} has version {version} of numpy's format")
        shape, by_column, dtype = read(member, max_header_size=HEADER)
        if dtype.kind not in KINDS or dtype.itemsize > 8:
            raise ArraysError(f"expected numbers in {info.filename}, found {_line(dtype)}")
        count = 1
        for side in shape:
            count *= _side(side)
        if not 0 <= count * dtype.itemsize <= info.file_size:
            raise ArraysError(
                f"{info.filename} says to hold {count} numbers, but has {info.file_size} bytes only"
            )
        data = member.read(count * dtype.itemsize)
        if len(data) != count * dtype.itemsize or member.read(1):
            raise ArraysError(f"{info.filename} holds fewer or more numbers than the {count} it says")
    array: np.ndarray = np.frombuffer(data, dtype).reshape(shape, order="F" if by_column else "C")
    return array.astype(dtype.newbyteorder("="))  # a copy, which can be written


def _side(side: Any) -> int:
    if not isinstance(side, int) or isinstance(side, bool) or side < 0:
        raise ArraysError(f"expected whole numbers as the sides of an array, found {_line(side)}")
    return side


def _line(value: Any) -> str:
    return " ".join(str(value).split())[:120] or type(value).__name__
