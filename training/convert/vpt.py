"""The contractor data of VPT (and of MineRL's BASALT): ``.mp4`` with a ``.jsonl`` beside it, one line a frame.

Line i is what was pressed at frame i, so it leads to frame i+1. The mouse moves in pixels, 2400 of them being a
whole turn. Where a menu is open the mouse moves a cursor that our actions do not know: such stretches are cut out,
and each stretch between them is a recording. An attack button that is down in the first line, before anyone
pressed it, is stuck and counts from its next press only.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.actions import noop
from envs.adapters.picture import square
from training.convert.recording import BadFile, Recording, video_frames

DEGREES_PER_PIXEL = 360.0 / 2400.0
EYE = 1.62  # blocks between the position that is written down and the eye
KEYS = {
    "key.keyboard.w": "forward",
    "key.keyboard.s": "back",
    "key.keyboard.a": "left",
    "key.keyboard.d": "right",
    "key.keyboard.space": "jump",
    "key.keyboard.left.shift": "sneak",
    "key.keyboard.left.control": "sprint",
}
BUTTONS = {0: "attack", 1: "use"}
PLACE = ("xpos", "ypos", "zpos", "yaw", "pitch")


def read(path: Path, size: int) -> list[Recording]:
    """The recordings in ``.mp4`` and the ``.jsonl`` beside it: one for each stretch without an open menu.

    Raises:
        BadFile: a file is missing, damaged, or does not fit the other.
    """
    lines = _lines(path.with_suffix(".jsonl"))
    frames = [square(frame, size) for frame in video_frames(path)]
    if abs(len(frames) - len(lines)) > 1:  # the recorder may stop between the two
        raise BadFile(f"expected one line a frame, found {len(lines)} lines for {len(frames)} frames")
    count = min(len(frames), len(lines))
    try:
        moves = _moves(lines[:count])
        poses = [_pose(line) for line in lines[:count]]
    except (KeyError, TypeError) as error:
        raise BadFile(f"a line of {path.stem}.jsonl lacks {error}") from None
    found, first = [], 0
    for i in range(count + 1):
        if i == count or lines[i].get("isGuiOpen"):
            if i - first > 1:
                found.append(_stretch(frames, moves, poses, first, i))
            first = i + 1
    return found


def _stretch(
    frames: list[NDArray[np.uint8]], moves: list[Any], poses: list[list[float] | None], first: int, end: int
) -> Recording:
    told = [pose for pose in poses[first:end] if pose is not None]
    whole = told if len(told) == end - first else None
    extra = {"first_frame": first}
    return Recording("minecraft", frames[first:end], moves[first : end - 1], whole, False, extra)


def _moves(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    stuck = bool(lines) and lines[0]["mouse"].get("newButtons") == [0]
    moves = []
    for i, line in enumerate(lines):
        mouse = line["mouse"]
        if i and 0 in mouse.get("newButtons", ()):
            stuck = False
        action: dict[str, Any] = noop("minecraft")
        action |= {KEYS[key]: 1 for key in line["keyboard"]["keys"] if key in KEYS}
        action |= {BUTTONS[b]: 1 for b in mouse["buttons"] if b in BUTTONS and not (stuck and b == 0)}
        camera = np.array([mouse["dy"], mouse["dx"]], np.float64) * DEGREES_PER_PIXEL  # (pitch, yaw)
        # More than half a turn in a tick is the mouse being caught anew, not a look.
        action["camera"] = np.where(np.abs(camera) > 180.0, 0.0, camera).astype(np.float32)
        moves.append(action)
    return moves


def _pose(line: dict[str, Any]) -> list[float] | None:
    if any(line.get(name) is None for name in PLACE):
        return None
    x, y, z, yaw, pitch = (float(line[name]) for name in PLACE)
    return [x, y + EYE, z, (yaw + 180.0) % 360.0 - 180.0, pitch]


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        raise BadFile(f"expected the actions in {path.name} beside it, found none")
    try:
        return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
    except ValueError as error:
        raise BadFile(f"{path.name} is damaged: {error}") from None
