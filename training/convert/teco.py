"""TECO's data sets: DMLab (``.npz`` with video and actions) and Minecraft (``.mp4`` with an ``.npz`` beside it).

The two are aligned in opposite ways. DMLab's ``actions[i]`` is taken AT frame i: it leads from frame i to i+1, and
the last one leads nowhere. Minecraft's ``actions[i]`` is what led TO frame i: the first one is a dummy, and the step
from frame i to i+1 is ``actions[i + 1]`` (its collector writes a 0 first, and then one more than what it chose).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.actions import noop
from envs.adapters.picture import square
from envs.episodes.arrays import ArraysError, read_arrays
from envs.episodes.episode import Episode
from envs.episodes.limits import MIB
from training.convert.recording import BadFile, Recording, check_bytes, video_frames
from worldsim.session.sinks import video_encoder

LOOKS = 283  # pixels of DeepMind Lab's look action in one turn, about 17 degrees
TURN = 20.0  # degrees of one turn in Minecraft, as the collector's source has it
FPS = 20
ARRAYS = 1024 * MIB  # bytes of one file of theirs, unpacked; a published one has 4 to 15 MiB


def dmlab_action(number: int) -> NDArray[np.int32]:
    """0 turns left, 1 turns right, 2 goes forward."""
    action: NDArray[np.int32] = noop("dmlab")
    if number == 2:
        action[3] = 1
    elif number in (0, 1):
        action[0] = (-LOOKS, LOOKS)[number]
    else:
        raise BadFile(f"expected TECO DMLab's actions 0, 1 and 2, found {number}")
    return action


def minecraft_action(number: int) -> dict[str, Any]:
    """0 does nothing, 1 goes forward jumping, 2 turns left, 3 turns right."""
    action: dict[str, Any] = noop("minecraft")
    if number == 1:
        action |= {"forward": 1, "jump": 1}
    elif number in (2, 3):
        action["camera"] = np.array([0.0, (-TURN, TURN)[number - 2]], np.float32)
    elif number != 0:
        raise BadFile(f"expected TECO Minecraft's actions 0 to 3, found {number}")
    return action


def read_dmlab(path: Path, size: int) -> list[Recording]:
    """One recording from ``.npz``: video uint8 (N, H, W, 3), actions int (N,)."""
    arrays = _arrays(path)
    if not {"video", "actions"} <= set(arrays):
        raise BadFile(f"expected the arrays video and actions, found {sorted(arrays)}")
    video, taken = arrays["video"], arrays["actions"]
    if video.ndim != 4 or video.shape[-1] != 3 or video.dtype != np.uint8 or taken.shape != video.shape[:1]:
        raise BadFile(
            f"expected video uint8 (N, H, W, 3) and actions (N,), found {video.dtype} {video.shape} and {taken.shape}"
        )
    if taken.dtype.kind not in "iu" or not len(taken) or not min(video.shape[1:3]) > 0:
        raise BadFile(f"expected whole numbers as actions, and pictures, found {taken.dtype} {taken.shape}")
    check_bytes(len(video), size)
    moves = [dmlab_action(int(number)) for number in taken[:-1]]
    return [Recording("dmlab", [square(frame, size) for frame in video], moves)]


def read_minecraft(path: Path, size: int) -> list[Recording]:
    """One recording from ``.mp4``, with ``actions`` int (N,) in the ``.npz`` beside it."""
    beside = path.with_suffix(".npz")
    if not beside.is_file():
        raise BadFile(f"expected the actions in {beside.name} beside it, found none")
    arrays = _arrays(beside)
    if "actions" not in arrays:
        raise BadFile(f"expected the array actions in {beside.name}, found {sorted(arrays)}")
    frames, actions = video_frames(path, size), arrays["actions"]
    if actions.shape != (len(frames),) or actions.dtype.kind not in "iu":
        raise BadFile(f"expected one action a frame, found {actions.shape} for {len(frames)} frames")
    moves = [minecraft_action(int(number)) for number in actions[1:]]
    return [Recording("minecraft", frames, moves, lossless=False)]


def write(episode: Episode, folder: Path, name: str) -> Path:
    """Write an episode as TECO has it: ``NAME.npz``, or ``NAME.mp4`` (lossy) and ``NAME.npz``.

    Raises:
        BadFile: an action is none of TECO's few.
    """
    family = episode.meta["family"]
    if family not in ("dmlab", "minecraft"):
        raise BadFile(f"TECO has formats for dmlab and minecraft, this is an episode of {family}")
    known = (
        [dmlab_action(n) for n in range(3)] if family == "dmlab" else [minecraft_action(n) for n in range(4)]
    )
    numbers = [_number(episode.action(i), known, i) for i in range(len(episode) - 1)]
    frames = episode.frames()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.npz"
    if family == "dmlab":
        # The last action leads nowhere; TECO's files have one all the same.
        _save(path, video=frames, actions=np.array([*numbers, numbers[-1]], np.int32))
        return path
    _save_video(path.with_suffix(".mp4"), frames)
    _save(path, actions=np.array([0, *numbers], np.int32))
    return path


def _number(action: Any, known: list[Any], i: int) -> int:
    for number, one in enumerate(known):
        fields = one if isinstance(one, dict) else {"": one}
        asked = action if isinstance(action, dict) else {"": action}
        same = fields.keys() == asked.keys() and all(
            np.shape(asked[name]) == np.shape(fields[name]) for name in fields
        )
        if same and all(np.allclose(asked[name], fields[name]) for name in fields):
            return number
    raise BadFile(f"action {i} is none of the {len(known)} that TECO's format knows")


def _save(path: Path, **arrays: NDArray[Any]) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    temporary.replace(path)


def _save_video(path: Path, frames: NDArray[np.uint8]) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    video_encoder.write(str(temporary), FPS, frames, crf="10")
    temporary.replace(path)


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with path.open("rb") as file:
            return read_arrays(file, ARRAYS)
    except ArraysError as error:
        raise BadFile(f"{path.name} cannot be read: {error}") from None
