"""Strips of true and dreamt frames, dreamt ones framed in red as in the paper's Figures 7, 14 and 15."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from training.report.plot import RED, Canvas

SIDE, GAP, LABEL = 78, 4, 170


def strip(record: Path, names: dict[str, str], rows: Sequence[str] = ()) -> Canvas:
    """The strip of one episode.

    Args:
        record: its JSON; the pictures lie beside it.
        names: how rows are called; ``rows`` chooses some, all where it is empty.
    """
    about: dict[str, Any] = json.loads(record.read_text())["strip"]
    every, columns = about["rows"], len(about["frames"])
    chosen = [name for name in every if name == "true" or not rows or name in rows]
    with Image.open(record.with_suffix(".png")) as opened:
        sheet = opened.convert("RGB")
    side = sheet.width // columns
    canvas = Canvas(LABEL + columns * (SIDE + GAP) + GAP, 34 + len(chosen) * (SIDE + GAP))
    for column, (frame, age) in enumerate(zip(about["frames"], about["ages"], strict=True)):
        x = LABEL + column * (SIDE + GAP) + SIDE / 2
        context = column < about["context"]
        canvas.text((x, 9), f"frame {frame}", size=11, anchor="mm")
        canvas.text((x, 23), "context" if context else f"seen {age} ago" if age else "", size=10, anchor="mm")
    for line, name in enumerate(chosen):
        y = 34 + line * (SIDE + GAP)
        for k, words in enumerate(re.split(", |: ", names.get(name, name))):
            canvas.text((4, y + SIDE / 2 - 8 + 16 * k), words, size=11)
        for column in range(columns):
            x = LABEL + column * (SIDE + GAP)
            cut = (column * side, every.index(name) * side)
            picture = sheet.crop((*cut, cut[0] + side, cut[1] + side))
            canvas.picture((x, y), picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
            if name != "true" and column >= about["context"]:
                canvas.frame((x, y), (x + SIDE - 1, y + SIDE - 1), RED)
    return canvas
