"""The contractor data of VPT (and of MineRL's BASALT): ``.mp4`` with a ``.jsonl`` beside it, one line a frame.

Line i is what was pressed at frame i, so it leads to frame i+1. The mouse moves in pixels, 2400 of them being a
whole turn. Where a menu is open the mouse moves a cursor that our actions do not know: such stretches are cut out,
and each stretch between them is a recording. An attack button that is down in the first line, before anyone
pressed it, is stuck and counts from its next press only. Where there are more lines than frames, or fewer, the pairs
up to the shorter count; lines that say nothing are cut out as menus are, and a torn one ends the file.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.actions import noop
from envs.episodes.limits import LINE
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
LINES = 500_000
PLACE = ("xpos", "ypos", "zpos", "yaw", "pitch")


def read(path: Path, size: int) -> list[Recording]:
    """The recordings in ``.mp4`` and the ``.jsonl`` beside it: one for each stretch without an open menu.

    Raises:
        BadFile: a file is missing, damaged, or does not fit the other.
    """
    lines = _lines(path.with_suffix(".jsonl"))
    frames = video_frames(path, size)
    count = min(len(frames), len(lines))
    if abs(len(frames) - len(lines)) > 1:  # the recorder may stop between the two
        notice = f"{len(lines)} lines for {len(frames)} frames, the first {count} are taken"
        print(f"{path}: {notice}", file=sys.stderr)
    if count < 2:
        raise BadFile(
            f"expected one line a frame and at least two, found {len(lines)} lines for {len(frames)} frames"
        )
    try:
        moves = _moves(lines[:count])
        poses = [_pose(line) for line in lines[:count]]
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise BadFile(f"a line of {path.stem}.jsonl is none of a contractor's: {error!r}") from None
    found, first = [], 0
    for i in range(count + 1):
        if i == count or not _plays(lines[i]):
            if i - first > 1:
                found.append(_stretch(frames, moves, poses, first, i))
            first = i + 1
    if not found:
        raise BadFile("nothing in it is play: menus and lines that say nothing from beginning to end")
    return found


def _stretch(
    frames: list[NDArray[np.uint8]], moves: list[Any], poses: list[list[float] | None], first: int, end: int
) -> Recording:
    known = [pose for pose in poses[first:end] if pose is not None]
    whole = known if len(known) == end - first else None
    extra = {"first_frame": first}
    return Recording("minecraft", frames[first:end], moves[first : end - 1], whole, False, extra)


def _plays(line: dict[str, Any]) -> bool:
    """Whether a line says what was pressed in the world, and not in a menu or nothing at all."""
    return (
        isinstance(line.get("mouse"), dict)
        and isinstance(line.get("keyboard"), dict)
        and not line.get("isGuiOpen")
    )


def _moves(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    first = lines[0].get("mouse")
    stuck = isinstance(first, dict) and first.get("newButtons") == [0]
    moves = []
    for i, line in enumerate(lines):
        mouse = line.get("mouse")
        if not isinstance(mouse, dict) or not isinstance(line.get("keyboard"), dict):
            moves.append(noop("minecraft"))  # is cut out
            continue
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
    pose = [x, y + EYE, z, (yaw + 180.0) % 360.0 - 180.0, pitch]
    return pose if np.isfinite(pose).all() else None


def _lines(path: Path) -> list[dict[str, Any]]:
    """Every line up to the first torn one; a line that is no object is an empty one."""
    if not path.is_file():
        raise BadFile(f"expected the actions in {path.name} beside it, found none")
    found: list[dict[str, Any]] = []
    with path.open("rb") as file:
        while line := file.readline(LINE):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                if not found:
                    raise BadFile(f"{path.name} is damaged: {error}") from None
                print(
                    f"{path}: damaged from line {len(found) + 1} on, what is before counts", file=sys.stderr
                )
                break
            found.append(record if isinstance(record, dict) else {})
            if len(found) > LINES:
                raise BadFile(f"{path.name} has more than {LINES} lines")
    return found
