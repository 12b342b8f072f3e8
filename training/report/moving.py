"""A moving picture for a page, out of a video: python -m training.report moving video=FILE.mp4 out=FILE.webp"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from omegaconf import MISSING
from PIL import Image

from worldsim.config import ConfigError, load

LARGEST = 2 * 10**6
"""Bytes; a page that takes longer to come is not looked at."""
QUALITIES = (60, 45, 30, 20)


@dataclass
class Config:
    """``seconds`` of the video from ``start`` on, ``fps`` pictures a second of them, at most ``width`` pixels wide.

    ``out`` ends in .webp or .gif.
    """

    video: str = MISSING
    out: str = MISSING
    start: float = 0.0
    seconds: float = 8.0
    fps: float = 10.0
    width: int = 640

    def __post_init__(self) -> None:
        if self.out != MISSING and Path(self.out).suffix not in (".webp", ".gif"):
            raise ConfigError(f"expected out=FILE.webp or FILE.gif, found out={self.out}")
        if self.seconds <= 0 or self.fps <= 0:
            raise ConfigError("expected seconds and fps above 0")


def run(args: list[str]) -> dict[str, Any]:
    """Write the picture, in the best quality that stays under :data:`LARGEST` bytes.

    Raises:
        ConfigError: the video has no frame there, or no quality is small enough.
    """
    config = load(Config, args)
    frames = list(_frames(config))
    if not frames:
        raise ConfigError(f"{config.video} has no frame from {config.start} s on")
    out, first = Path(config.out), frames[0]
    shown: dict[str, Any] = {"save_all": True, "append_images": frames[1:], "loop": 0}
    shown["duration"] = round(1000 / config.fps)
    for quality in QUALITIES if out.suffix == ".webp" else [0]:
        if out.suffix == ".webp":
            shown |= {"quality": quality, "method": 3}
        first.save(out, **shown)
        if (size := out.stat().st_size) <= LARGEST:
            return {"out": str(out), "frames": len(frames), "bytes": size, "quality": quality}
    raise ConfigError(
        f"{out} has {size} bytes, at most {LARGEST} are wanted; take fewer seconds or less width"
    )


def _frames(config: Config) -> Iterator[Image.Image]:
    """The pictures wanted of the video, in their order."""
    with av.open(config.video) as opened:
        wanted = config.start
        for frame in opened.decode(video=0):
            if frame.time is None or frame.time < wanted - 1e-6:
                continue
            if frame.time >= config.start + config.seconds:
                return
            picture = frame.to_image()
            if config.width and picture.width > config.width:
                height = round(picture.height * config.width / picture.width)
                picture = picture.resize((config.width, height), Image.Resampling.LANCZOS)
            yield picture
            wanted += 1 / config.fps
