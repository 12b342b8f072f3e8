"""How large what is read may be, and what a damaged file makes the libraries raise that read it."""

from __future__ import annotations

import json
import lzma
import struct
import zipfile
import zlib
from typing import Any

from PIL import Image

MIB = 2**20
FRAMES = 500_000
"""Of one episode, about seven hours of play; a longer recording goes on in another file."""
SIDE = 4096
"""Pixels of a picture, each way."""
DIRECTORY = 48 * MIB
"""Bytes of a zip's table of contents, which is held in memory."""
META = 4 * MIB
"""Bytes of meta.json."""
LINE = 4 * MIB
"""Bytes of one line of steps.jsonl."""
PICTURE = 64 * MIB
"""Bytes of one picture."""
ARRAYS = 256 * MIB
"""Bytes of all arrays of steps.npz together."""
GROWTH = 20
"""Times its own length that a zip may hold; a recording holds as much as it is long."""
SEED = 2**128
"""The largest seed of an episode."""
FIELDS, CHOICES, NUMBERS = 256, 65_536, 1_048_576
"""Of an action language: its fields, the choices of a Discrete, and the numbers of a Box."""
VECTORS = 512 * MIB
"""Bytes of all actions of one episode as the model sees them."""

DAMAGE = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    RuntimeError,  # NotImplementedError and RecursionError are of this kind
    MemoryError,
    ArithmeticError,
    LookupError,
    TypeError,
    ValueError,
    SyntaxError,
    AttributeError,
    Image.DecompressionBombError,
)
"""What zipfile, json, numpy and Pillow raise over damaged bytes. To be caught around one call of theirs, no more."""


def parse_json(data: bytes) -> dict[str, Any]:
    """The JSON object in these bytes.

    Raises:
        ValueError: they are no JSON, no object, or nested too deeply.
    """
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"no readable JSON: {str(error).splitlines()[0]}") from None
    if not isinstance(found, dict):
        raise ValueError(f"expected a JSON object, found a {type(found).__name__}")
    return found
