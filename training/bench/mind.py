"""MIND's folders and result keys (Ye et al. 2026): lcm of videos against truth, gsc of mirrored ones.

    worldsim bench mind truth=MIND-Data test=MODEL_VIDEOS out=result.json

``truth`` is laid out as MIND's data (``1st_data/test/mem_test/NAME/video.mp4`` and ``action.json``), ``test`` as its
results (``1st_data/mem_test/NAME/video.mp4``, ``1st_data/mirror_test/NAME/*.mp4``); ``worldsim bench export to=mind``
writes both. The JSON has MIND's keys for what is measured: ``lcm`` and ``gsc``, per frame, with ``mse``, ``psnr``,
``ssim``, ``lpips`` and their averages. SSIM here is scikit-image's (7x7, uniform), where MIND takes torchmetrics'
(11x11, Gaussian): numbers compare within one program. ``visual_quality``, ``dino`` and ViPE's ``action`` need networks
that are not here and are left out. ``video_max_time=N`` looks at the first N frames only.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from omegaconf import MISSING

from training.bench.truth import Truth
from training.evaluation.scores import networks
from worldsim.cli.command import command
from worldsim.config import ConfigError, load
from worldsim.metrics.perceptual import Perceptual
from worldsim.metrics.ssim import psnr, ssim
from worldsim.runtime import pick_device
from worldsim.session.sinks import video_encoder

PERSPECTIVES = ("1st_data", "3rd_data")
AGAINST_TRUTH, MIRRORED = ("mem_test", "action_space_test"), "mirror_test"
VIDEO, ACTION = "video.mp4", "action.json"
FPS = 24
LEAST_TURN = 0.5
"""Degrees of a look in one frame that count as one."""

Frames = NDArray[np.uint8]


@dataclass
class Config:
    truth: str = MISSING
    test: str = MISSING
    out: str = "result.json"
    video_max_time: int = 0
    perceptual: str = "auto"
    device: str = "auto"


@command
def main(words: list[str]) -> int:
    """Score the videos in a folder."""
    config = load(Config, words)
    found = result(
        Path(config.truth),
        Path(config.test),
        networks(config.perceptual, pick_device(config.device)),
        config.video_max_time or None,
    )
    Path(config.out).write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    bad = [row for row in found["data"] if row["error"]]
    print(f"{len(found['data']) - len(bad)} videos scored, {len(bad)} bad, in {config.out}")
    for row in bad[:3]:
        print(f"{row['path']}: {row['error']}", file=sys.stderr)
    return 1 if bad else 0


def result(
    truth: Path, test: Path, eyes: Perceptual | None = None, most: int | None = None
) -> dict[str, Any]:
    """MIND's ``result.json`` of the videos in ``test``.

    Raises:
        ConfigError: there is no video laid out as MIND's.
    """
    data = [_row(truth, test, *where, eyes, most) for where in _videos(test)]
    if not data:
        raise ConfigError(
            f"test: expected {PERSPECTIVES[0]}/{AGAINST_TRUTH[0]}/NAME/{VIDEO} below {test}, found none"
        )
    return {"video_max_time": most, "data": data}


def likeness(a: Frames, b: Frames, eyes: Perceptual | None = None) -> dict[str, Any]:
    """MIND's ``lcm`` (or ``gsc``) of frames (n, H, W, 3): lists per frame, averages, and the length."""
    x, y = a.astype(np.float64) / 255, b.astype(np.float64) / 255
    columns = {
        "mse": ((x - y) ** 2).mean((1, 2, 3)).tolist(),
        "psnr": [psnr(p, q) for p, q in zip(a, b, strict=True)],
        "ssim": [ssim(p, q) for p, q in zip(a, b, strict=True)],
    }
    if eyes is not None:
        columns["lpips"] = [float(v) for v in eyes.lpips(a, b)]
    found: dict[str, Any] = {"length": len(a)}
    for name, values in columns.items():
        found |= {name: [round(v, 6) for v in values], f"avg_{name}": round(float(np.mean(values)), 6)}
    return found


def write_truth(truth: Truth, folder: Path, name: str) -> None:
    """A true episode as MIND's data: the whole video, and its actions and poses with ``mark_time``."""
    assert truth.walk.poses is not None
    there = folder / PERSPECTIVES[0] / "test" / AGAINST_TRUTH[0] / name
    there.mkdir(parents=True, exist_ok=True)
    save(there / VIDEO, truth.walk.frames)
    frames = len(truth.walk.frames)
    rows = [_frame(truth.walk.poses, i) for i in range(frames)]
    described = {
        "mark_time": truth.start,
        "total_time": frames,
        "caption": f"{truth.script.world}, {truth.script.task}, seed {truth.script.seed}",
        "data": rows,
    }
    (there / ACTION).write_text(json.dumps(described, indent=1) + "\n", "utf-8")


def place(folder: Path, mirrored: bool, name: str) -> Path:
    """Where a model's video of an episode lies."""
    kind = MIRRORED if mirrored else AGAINST_TRUTH[0]
    return folder / PERSPECTIVES[0] / kind / name / VIDEO


def save(path: Path, frames: Frames, fps: int = FPS) -> None:
    """Frames (n, H, W, 3), of even sides, as H.264 without loss of lightness (crf 0, 4:4:4)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    video_encoder.write(str(path), fps, frames, "yuv444p", crf="0", preset="veryfast")


def read(path: Path, start: int = 0, count: int | None = None) -> Frames:
    """Frames of a video from ``start`` on, at most ``count``: (n, H, W, 3).

    Raises:
        ValueError: it cannot be read, or has no such frame.
    """
    found = []
    try:
        with av.open(str(path)) as container:
            for i, frame in enumerate(container.decode(video=0)):
                if i >= start:
                    found.append(frame.to_ndarray(format="rgb24"))
                if count is not None and len(found) == count:
                    break
    except (av.error.FFmpegError, IndexError) as error:
        raise ValueError(f"{path} is no video that can be read: {error}") from None
    if not found:
        raise ValueError(f"{path} has no frame {start}")
    return np.stack(found)


def _videos(test: Path) -> Iterator[tuple[str, str, str]]:
    for perspective in PERSPECTIVES:
        for kind in (*AGAINST_TRUTH, MIRRORED):
            for folder in sorted((test / perspective / kind).glob("*")):
                if any(folder.glob("*.mp4")):
                    yield perspective, kind, folder.name


def _row(
    truth: Path, test: Path, perspective: str, kind: str, name: str, eyes: Perceptual | None, most: int | None
) -> dict[str, Any]:
    row: dict[str, Any] = {"path": name, "perspective": perspective, "test_type": kind, "error": None}
    folder = test / perspective / kind / name
    try:
        if kind == MIRRORED:
            row["video_results"] = [_mirrored(path, eyes) for path in sorted(folder.glob("*.mp4"))]
        else:
            row |= _against(truth / perspective / "test" / kind / name, folder, eyes, most)
    except (OSError, ValueError, KeyError) as error:
        row["error"] = " ".join(str(error).split())
    return row


def _against(truth: Path, test: Path, eyes: Perceptual | None, most: int | None) -> dict[str, Any]:
    described = json.loads((truth / ACTION).read_text("utf-8"))
    mark, total = int(described["mark_time"]), int(described["total_time"])
    shown = read(test / VIDEO)
    count = min(len(shown), total - mark, most or total)
    true = read(truth / VIDEO, mark, count)
    if true.shape[1:] != shown.shape[1:]:
        raise ValueError(f"expected pictures of {true.shape[1:3]} as in truth, found {shown.shape[1:3]}")
    return {
        "mark_time": mark,
        "total_time": total,
        "sample_frames": len(shown),
        "lcm": likeness(shown[: len(true)], true, eyes),
    }


def _mirrored(path: Path, eyes: Perceptual | None) -> dict[str, Any]:
    """The first half against the second one backwards."""
    frames = read(path)
    half = len(frames) // 2
    row: dict[str, Any] = {
        "video_name": path.name,
        "error": None,
        "mark_time": half,
        "sample_frames": len(frames),
    }
    if len(frames) % 2:
        return row | {"error": "frame count is not an even number!"}
    return row | {"gsc": likeness(frames[:half], frames[half:][::-1], eyes)}


def _frame(poses: NDArray[np.float64], i: int) -> dict[str, Any]:
    """What MIND's action.json says of a frame: keys by what moved to the next one, and the pose.

    ``ws`` 0 is forward and 1 backward, ``ad`` left and right, ``ud`` up and down, ``lr`` left and right; none where
    nothing moves that way.
    """
    row: dict[str, Any] = {"time": i}
    if i + 1 < len(poses):
        dx, dz = poses[i + 1, 0] - poses[i, 0], poses[i + 1, 2] - poses[i, 2]
        yaw = np.deg2rad(poses[i, 3])
        ahead, right = -dx * np.sin(yaw) + dz * np.cos(yaw), -dx * np.cos(yaw) - dz * np.sin(yaw)
        turn = (poses[i + 1, 3] - poses[i, 3] + 180) % 360 - 180
        tilt = poses[i + 1, 4] - poses[i, 4]
        for key, value, least in (
            ("ws", -ahead, 0.05),
            ("ad", right, 0.05),
            ("ud", tilt, LEAST_TURN),
            ("lr", turn, LEAST_TURN),
        ):
            if abs(value) >= least:
                row[key] = int(value > 0)
    x, y, z, yaw, pitch = (round(float(v), 5) for v in poses[i])
    return row | {"actor_pos": {"x": x, "y": y, "z": z}, "actor_rpy": {"x": 0.0, "y": pitch, "z": yaw}}


if __name__ == "__main__":
    sys.exit(main())
