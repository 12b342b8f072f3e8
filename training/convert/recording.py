"""What every importer yields: one stretch of play, aligned as an episode is, on its way to the disk."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from envs import actions
from envs.adapters.picture import square
from envs.episodes.episode import EpisodeError, EpisodeWriter
from envs.episodes.limits import DAMAGE, MIB, SIDE
from envs.episodes.sealing import in_use
from training.loop.cluster import Held

FOV = {"minecraft": 70.0, "dmlab": 90.0}  # degrees, up and down: the engines' defaults

FRAMES_BYTES = 2048 * MIB
"""Of the pictures of one recording: half an hour of play at --size 128, two hours at 64."""
LENIENT: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
"""Notes in a video that are not UTF-8 make none of its frames unreadable; PyAV 19 has no word for it."""


class BadFile(ValueError):
    """A file is not what its format says; it is reported and skipped."""


@dataclass
class Recording:
    """T+1 frames and the T actions between them: action i leads from frame i to frame i+1.

    Attributes:
        family: whose action language it is.
        frames: uint8 (size, size, 3) each.
        moves: raw actions of the family.
        poses: (x, y, z, yaw, pitch) of each frame, or None where the data tell none.
        lossless: whether the frames are as the game drew them.
        extra: more entries for meta.json.
    """

    family: str
    frames: Sequence[NDArray[np.uint8]]
    moves: Sequence[Any]
    poses: Sequence[Sequence[float]] | None = None
    lossless: bool = True
    extra: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path, name: str, source: str) -> Path:
        """Write it as ``folder/NAME.zip``; what an earlier, interrupted run left of it is made anew.

        Raises:
            BadFile: the frames and actions do not fit each other.
        """
        if len(self.frames) != len(self.moves) + 1 or not self.moves:
            raise BadFile(
                f"expected one frame more than actions, found {len(self.frames)} and {len(self.moves)}"
            )
        meta = {
            "env_id": source,
            "env_version": None,
            "env_kwargs": {},
            "backend": source,
            "family": self.family,
            "seed": 0,
            "size": int(self.frames[0].shape[0]),
            "fov": FOV[self.family],
            "action_spec": actions.spec(actions.space(self.family), self.family),
            "lossless": self.lossless,
            **self.extra,
        }
        if (leftover := folder / f"{name}.partial").exists():
            if in_use(leftover):
                raise Held(f"{leftover} is being written by another process")
            shutil.rmtree(leftover)
        poses: Sequence[Any] = self.poses if self.poses is not None else [None] * len(self.frames)
        with closing(EpisodeWriter(folder, name, meta)) as writer:
            try:
                writer.first(self.frames[0], poses[0])
                for move, frame, pose in zip(self.moves, self.frames[1:], poses[1:], strict=True):
                    writer.add(move, frame, pose)
            except EpisodeError:
                writer.discard()  # a bad source leaves nothing behind that looks like a recording
                raise
            return writer.seal()


def video_frames(path: Path, size: int) -> list[NDArray[np.uint8]]:
    """The frames of a video, the middle square of each as (size, size, 3).

    Raises:
        BadFile: it is no video, a damaged one, one of pictures of more than ``SIDE`` pixels each way, or a longer one
            than ``FRAMES_BYTES`` hold.
    """
    frames: list[NDArray[np.uint8]] = []
    try:
        with av.open(str(path), **LENIENT) as container:
            stream = container.streams.video[0]
            width, height = stream.codec_context.width, stream.codec_context.height
            if not 0 < min(width, height) <= max(width, height) <= SIDE:
                raise BadFile(f"expected a video of at most {SIDE} pixels each way, found {width}x{height}")
            stream.codec_context.options = {"max_pixels": str(SIDE * SIDE)}
            stream.codec_context.thread_count = 1
            for frame in container.decode(stream):
                frames.append(square(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8), size))
                check_bytes(len(frames), size)
    except BadFile:
        raise
    except (av.FFmpegError, *DAMAGE) as error:
        raise BadFile(f"the video cannot be read: {error}") from None
    return frames


def check_bytes(count: int, size: int) -> None:
    """Whether so many pictures may be held in memory.

    Raises:
        BadFile: they may not.
    """
    if count * size * size * 3 > FRAMES_BYTES:
        raise BadFile(
            f"at --size {size} it has more than {FRAMES_BYTES / MIB:.0f} MiB of pictures; choose a smaller --size"
        )
