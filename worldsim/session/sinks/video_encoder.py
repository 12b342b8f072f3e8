"""Draws and encodes a video: python -m worldsim.session.sinks.video_encoder FILE FPS, ticks on its input."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain
from typing import BinaryIO

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from worldsim.session.sinks.palette import BACKGROUND, BANDS, FAINT, TEXT
from worldsim.session.tick import DreamView, Tick

PANE = 320  # least side of a picture in the video, in pixels
_GAP, _HEAD, _FOOT = 12, 26, 48


def encode(path: str, fps: int, ticks: Iterator[Tick]) -> None:
    """Write ticks as a video; see :func:`write`."""
    first = next(ticks, None)
    if first is not None:
        names = list(first.dreams)
        write(path, fps, (compose(tick, names) for tick in chain([first], ticks)))


def write(
    path: str,
    fps: int,
    pictures: Iterable[np.ndarray],
    pixels: str = "yuv420p",
    **options: str,
) -> None:
    """Write pictures, uint8 (H, W, 3) with even sides, as H.264; in yuv420p, which every player plays, unless asked.

    Args:
        options: of x264, crf 18 and veryfast where there are none. One thread: their number changes the file.

    Raises:
        OSError: the file can not be written (PyAV's errors are of this kind).
    """
    rest = iter(pictures)
    first = next(rest, None)
    if first is None:
        return
    with av.open(path, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps))
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = pixels
        stream.options = dict(options or {"crf": "18", "preset": "veryfast"})
        stream.codec_context.thread_count = 1
        for picture in chain([first], rest):
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24"))
            )
        container.mux(stream.encode(None))


def received(stream: BinaryIO) -> Iterator[Tick]:
    """The ticks that the other process sends, until it closes the pipe or is gone."""
    while True:
        try:
            yield pickle.load(stream)
        except (EOFError, pickle.UnpicklingError):  # the end, or cut off in the middle of a tick
            return


def compose(tick: Tick, names: list[str]) -> np.ndarray:
    """One video frame, uint8 (H, W, 3) with even sides: the true world, then the named dreams."""
    side = tick.true_frame.shape[0]
    zoom = max(1, -(-PANE // side))
    pane = side * zoom
    width, height = _GAP + (1 + len(names)) * (pane + _GAP), _HEAD + pane + _FOOT
    canvas = Image.new("RGB", (width + width % 2, height + height % 2), BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    _paste(canvas, tick.true_frame, _GAP, pane)
    draw.text((_GAP, 6), "true world", TEXT, _font(14))
    note = f"frame {tick.index}"
    if tick.revisit is not None:
        note += f", seen {tick.revisit.age} frames ago"
    draw.text((_GAP, _HEAD + pane + 6), note, FAINT, _font(12))
    for column, name in enumerate(names, start=1):
        if name in tick.dreams:
            left = _GAP + column * (pane + _GAP)
            view = tick.dreams[name]
            _paste(canvas, view.frame, left, pane)
            _label(draw, view, left, _HEAD + pane)
    return np.asarray(canvas)


def _label(draw: ImageDraw.ImageDraw, view: DreamView, left: int, bottom: int) -> None:
    draw.text((left, 6), f"dream: {view.name}", TEXT, _font(14))
    draw.text((left, bottom + 6), view.label, FAINT, _font(12))
    score = f"SSIM {view.ssim:.2f}"
    if view.retrieved is not None:
        score += ", retrieved" if view.retrieved else ", forgotten"
    draw.text((left, bottom + 24), score, BANDS[view.band], _font(14))


def _paste(canvas: Image.Image, frame: np.ndarray, left: int, pane: int) -> None:
    canvas.paste(Image.fromarray(frame).resize((pane, pane), Image.Resampling.NEAREST), (left, _HEAD))


_FONTS: dict[int, ImageFont.FreeTypeFont | ImageFont.ImageFont] = {}


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    if size not in _FONTS:
        _FONTS[size] = ImageFont.load_default(size)
    return _FONTS[size]


if __name__ == "__main__":
    try:
        encode(sys.argv[1], int(sys.argv[2]), received(sys.stdin.buffer))
    except OSError as error:
        sys.exit(f"{error.errno or 0} {error}")
