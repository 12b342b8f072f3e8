"""A video of the true world and its dreams, side by side and labelled: a sink of ticks."""

from __future__ import annotations

import errno
import queue
import threading
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from worldsim.palette import BACKGROUND, BANDS, FAINT, TEXT
from worldsim.tick import DreamView, Tick

PANE = 320  # about the side of a picture in the video, in pixels
_GAP, _HEAD, _FOOT = 12, 26, 48


class VideoWriter:
    """Writes ticks into an mp4 (H.264, yuv420p, which every player plays) from a thread of its own.

    The file's width is fixed by the first tick; a twin that appears later is left out, one that goes
    leaves its pane dark.

    Args:
        path: the file to make.
        fps: ticks a second of playing time.

    Raises:
        OSError: the file can not be made there.
    """

    def __init__(self, path: Path, fps: int) -> None:
        path.open("wb").close()  # says at once, and not at the end, that nothing can be written there
        self.path = path
        self._fps = fps
        self._names: list[str] | None = None
        self._error: BaseException | None = None
        self._ticks: queue.Queue[Tick | None] = queue.Queue(maxsize=64)
        self._thread = threading.Thread(target=self._run, name="video", daemon=True)
        self._thread.start()

    def add(self, tick: Tick) -> None:
        """Append one frame.

        Raises:
            OSError: writing failed, for example because the disk is full.
        """
        self._raise_if_failed()
        self._ticks.put(tick)

    def close(self) -> None:
        """Finish the file; an empty one is removed. May be called twice.

        Raises:
            OSError: writing failed.
        """
        if self._thread.is_alive():
            self._ticks.put(None)
            self._thread.join()
        self._raise_if_failed()
        if self._names is None:
            self.path.unlink(missing_ok=True)

    def _raise_if_failed(self) -> None:
        if self._error is not None:
            code = getattr(self._error, "errno", None) or errno.EIO
            raise OSError(code, f"could not write the video ({self._error})", str(self.path)) from self._error

    def _run(self) -> None:
        try:
            first = self._ticks.get()
            if first is not None:
                self._write(first)
        except Exception as error:
            self._error = error
            while self._ticks.get() is not None:  # so that nobody waits for a full queue
                pass

    def _write(self, first: Tick) -> None:
        self._names = list(first.dreams)
        picture = compose(first, self._names)
        with av.open(str(self.path), "w", format="mp4") as container:
            stream = container.add_stream("libx264", rate=Fraction(self._fps))
            stream.height, stream.width = picture.shape[:2]
            stream.pix_fmt = "yuv420p"
            stream.options = {"crf": "18", "preset": "veryfast"}
            stream.codec_context.thread_count = 1
            tick: Tick | None = first
            while tick is not None:
                frame = av.VideoFrame.from_ndarray(compose(tick, self._names), format="rgb24")
                container.mux(stream.encode(frame))
                tick = self._ticks.get()
            container.mux(stream.encode(None))


def compose(tick: Tick, names: list[str]) -> np.ndarray:
    """One video frame, uint8 (H, W, 3) with even sides: the true world, then the named dreams."""
    side = tick.true_frame.shape[0]
    zoom = max(1, PANE // side)
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
