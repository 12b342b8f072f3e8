"""Damage of every kind: to bytes, to JSON and YAML, to arrays, pictures and zips."""

from __future__ import annotations

import io
import json
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

ODD: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1, 2, 3, 255, 65_536, 2**31, 2**63, 2**64, 10**9, 10**30, -(10**30)),
    *(
        0.5,
        1e308,
        -1e308,
        float("nan"),
        float("inf"),
        "",
        "x",
        "0",
        "../../x",
        "/etc/passwd",
        "\ud800",
        "${x}",
    ),
    *(
        [],
        {},
        [[]],
        [None],
        {"": None},
        {"a": {"b": {}}},
        [0] * 300,
        "x" * 5000,
        [[0, 1], [2]],
        "${oc.env:HOME}",
    ),
)


def some_bytes(data: bytes, rng: random.Random) -> bytes:
    """These bytes with some flipped, lost, doubled, zeroed or added."""
    if not data:
        return rng.randbytes(rng.randrange(64))
    found, at = bytearray(data), rng.randrange(len(data))
    length = min(len(data) - at, 1 << rng.randrange(12))
    way = rng.randrange(7)
    if way == 0:
        for _ in range(1 << rng.randrange(6)):
            found[rng.randrange(len(found))] ^= 1 << rng.randrange(8)
    elif way == 1:
        del found[at:]
    elif way == 2:
        del found[at : at + length]
    elif way == 3:
        found[at:at] = found[at : at + length]
    elif way == 4:
        found[at : at + length] = bytes(length)
    elif way == 5:
        found[at : at + 4] = struct.pack(
            "<I", rng.choice((0, 1, 0x7FFFFFFF, 0xFFFFFFFF, rng.getrandbits(32)))
        )
    else:
        found[at:at] = rng.randbytes(length)
    return bytes(found)


def places(value: Any, depth: int = 400) -> list[tuple[Any, Any]]:
    """Every (container, key) below a value of dicts and lists, as deep as Python goes by itself."""
    found: list[tuple[Any, Any]] = []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        found += [(value, key), *(places(inner, depth - 1) if depth else ())]
    return found


def some_value(value: Any, rng: random.Random) -> Any:
    """A value of dicts and lists with one to three of its parts replaced by odd ones, moved or left out."""
    value = json.loads(json.dumps(value))
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        spots = places(value)
        if not spots or rng.random() < 0.02:
            return rng.choice(ODD)
        where, key = rng.choice(spots)
        way = rng.random()
        if way < 0.75:
            where[key] = rng.choice(ODD)
        elif way < 0.85:
            del where[key]
        elif way < 0.95:
            other, name = rng.choice(spots)
            where[key] = json.loads(json.dumps(other[name] if _has(other, name) else None))
        else:
            deep: Any = 0
            for _ in range(rng.choice((10, 100, 900))):
                deep = [deep] if rng.random() < 0.5 else {"x": deep}
            where[key] = deep
    return value


def some_json(data: bytes, rng: random.Random) -> bytes:
    """JSON with other contents, or no JSON any more."""
    way = rng.random()
    if way < 0.2:
        return some_bytes(data, rng)
    if way < 0.25:
        return rng.choice((b"[", b'{"a":')) * rng.choice((500, 100_000))
    try:
        return json.dumps(some_value(json.loads(data), rng)).encode()
    except (ValueError, RecursionError):
        return some_bytes(data, rng)


def some_lines(data: bytes, rng: random.Random) -> bytes:
    """Lines of JSON of which one is another, or that stand in another order."""
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    way = rng.randrange(5)
    if way == 0:
        lines[at : at + 1] = []
    elif way == 1:
        lines[at:at] = lines[at : at + 1] * rng.choice((1, 2, 50))
    elif way == 2:
        rng.shuffle(lines)
    else:
        lines[at] = some_json(lines[at], rng)
    return b"\n".join(lines)


def some_arrays(data: bytes, rng: random.Random) -> bytes:
    """A ``.npz`` with an array of another shape or type, one that lies, one more or one less."""
    if rng.random() < 0.3:
        return some_bytes(data, rng)
    with np.load(io.BytesIO(data), allow_pickle=False) as packed:
        arrays: dict[str, Any] = {name: packed[name] for name in packed.files}
    name = rng.choice(list(arrays))
    old = arrays[name]
    odd: tuple[Callable[[], Any], ...] = (
        lambda: old[: len(old) // 2],
        lambda: np.concatenate([old, old]),
        lambda: old.astype(rng.choice(("f2", "f8", "i1", "u8", "?", "S3", "U2", "c16", "M8[s]"))),
        lambda: np.array([{"a": 1}] * max(1, len(old)), object),
        lambda: np.full_like(old, rng.choice((0, 1, 7, 99))),
        lambda: np.full(old.shape, rng.choice((np.nan, np.inf, -1e300, 2.0**62))),
        lambda: old.reshape(1, *old.shape),
        lambda: np.zeros(()),
        lambda: np.zeros((0, 3)),
        lambda: np.zeros(len(old), [("a", "i4"), ("b", "f4")]),
        lambda: old.astype(old.dtype.newbyteorder(">")) if old.dtype.kind in "iuf" else old,
        lambda: np.asfortranarray(old),
    )
    way = rng.random()
    if way < 0.7:
        arrays[name] = rng.choice(odd)()
    elif way < 0.8:
        del arrays[name]
    elif way < 0.9:
        arrays[rng.choice(("pose", "prelude.action", "x/../../y", "\u202e", "action.", name + ".npy"))] = old
    packed_again = io.BytesIO()
    with zipfile.ZipFile(packed_again, "w", rng.choice((0, 0, 8, 12, 14))) as archive:
        for key, array in arrays.items():
            with archive.open(f"{key}.npy", "w") as member:
                if way >= 0.9 and key == name:
                    shape = rng.choice(((2**40,), (2**20, 2**20), (-1,), (len(old), 2**33), (10**18, 10**18)))
                    head = {"descr": "<f8", "fortran_order": False, "shape": shape}
                    np.lib.format.write_array_header_1_0(member, head)
                    member.write(bytes(64))
                else:
                    np.lib.format.write_array(member, np.asarray(array), allow_pickle=True)
    return packed_again.getvalue()


def some_picture(data: bytes, rng: random.Random) -> bytes:
    """A picture of another size, kind or format, or one that says to be huge."""
    way = rng.random()
    if way < 0.3:
        return some_bytes(data, rng)
    if way < 0.5:  # a header of another size, with a checksum that fits
        found = bytearray(data)
        side = rng.choice((0, 1, 15, 17, 4096, 4097, 30_000, 2**31 - 1))
        found[16:24] = struct.pack(">II", side, rng.choice((16, side)))
        if rng.random() < 0.3:
            found[24:29] = bytes(
                (rng.choice((1, 8, 16)), rng.choice((0, 2, 3, 4, 6)), 0, 0, rng.randrange(2))
            )
        found[29:33] = struct.pack(">I", zlib.crc32(found[12:29]))
        return bytes(found)
    mode = rng.choice(("RGB", "RGBA", "L", "P", "1", "I;16", "LA"))
    size = rng.choice(((16, 16), (16, 16), (17, 16), (1, 1), (600, 2)))
    other = io.BytesIO()
    form = rng.choice(("PNG", "PNG", "GIF", "JPEG", "BMP", "TIFF", "WEBP"))
    picture = Image.new(mode, size)
    if form in ("JPEG", "GIF", "WEBP", "BMP"):
        picture = Image.new("RGB", size)
    picture.save(other, form)
    return other.getvalue()


def repacked(members: dict[str, bytes], rng: random.Random) -> bytes:
    """A zip of these members, packed in another way: compressed, doubled, misnamed, short of one, or a bomb."""
    names = list(members)
    way = rng.randrange(8)
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", rng.choice((0, 8, 12, 14)) if way == 0 else 0) as archive:
        left_out = rng.choice(names) if way == 1 else None
        for name in names:
            if name == left_out:
                continue
            told = (
                rng.choice(("../" * 5 + name, "/" + name, name + "\n", "x" * 300))
                if way == 2 and rng.random() < 0.3
                else name
            )
            archive.writestr(told, members[name])
            if way == 3 and rng.random() < 0.3:
                archive.writestr(name, some_bytes(members[name], rng))
        if way == 4:
            with archive.open(zipfile.ZipInfo("steps.npz"), "w", force_zip64=True) as member:
                member.write(members.get("steps.npz", b""))
        if way == 5:
            info = zipfile.ZipInfo(rng.choice(names))
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, bytes(48 << 20))
    found = bytearray(data.getvalue())
    if way >= 6:  # flags, methods, versions, lengths of the tables
        for mark in (b"PK\x01\x02", b"PK\x03\x04"):
            if rng.random() < 0.7 and (count := found.count(mark)):
                at = -1
                for _ in range(rng.randrange(count) + 1):
                    at = found.index(mark, at + 1)
                field = at + rng.randrange(4, 46 if mark == b"PK\x01\x02" else 30)
                found[field : field + 2] = struct.pack(
                    "<H", rng.choice((0, 1, 8, 12, 14, 99, 255, 0x0801, 65_535))
                )
    return bytes(found)


def _has(where: Any, key: Any) -> bool:
    return key in where if isinstance(where, dict) else isinstance(where, list) and key < len(where)
