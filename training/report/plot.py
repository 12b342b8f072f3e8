"""A small plotter: panels with linear or logarithmic axes, lines, dots and words, into a PNG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from itertools import pairwise
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
Point = tuple[float, float]
INK: Colour = (40, 44, 52)
FAINT: Colour = (222, 225, 230)
BLUE: Colour = (31, 97, 175)
ORANGE: Colour = (214, 108, 20)
GREEN: Colour = (38, 134, 84)
RED: Colour = (214, 39, 40)
VIOLET: Colour = (122, 79, 160)
SCALE = 2  # drawn larger and shrunk: Pillow's lines have hard edges


class Canvas:
    """A white picture in which everything is given in final pixels."""

    def __init__(self, width: int, height: int) -> None:
        self.size = (width, height)
        self._image = Image.new("RGB", (width * SCALE, height * SCALE), (255, 255, 255))
        self._draw = ImageDraw.Draw(self._image)

    def line(
        self, points: Sequence[Point], colour: Colour = INK, width: float = 1.0, dashed: bool = False
    ) -> None:
        scaled = [(x * SCALE, y * SCALE) for x, y in points]
        pieces = _dashes(scaled, 7.0 * SCALE) if dashed else [scaled]
        for piece in pieces:
            self._draw.line(piece, fill=colour, width=max(1, round(width * SCALE)), joint="curve")

    def dot(self, at: Point, colour: Colour = INK, radius: float = 3.0, filled: bool = True) -> None:
        x, y, r = at[0] * SCALE, at[1] * SCALE, radius * SCALE
        self._draw.ellipse(
            (x - r, y - r, x + r, y + r),
            fill=colour if filled else (255, 255, 255),
            outline=colour,
            width=SCALE,
        )

    def box(self, corner: Point, opposite: Point, colour: Colour) -> None:
        self._draw.rectangle((*(c * SCALE for c in corner), *(c * SCALE for c in opposite)), fill=colour)

    def picture(self, corner: Point, image: Image.Image) -> None:
        """A picture in its own pixels, its upper left at ``corner``."""
        large = image.resize((image.width * SCALE, image.height * SCALE), Image.Resampling.NEAREST)
        self._image.paste(large, (round(corner[0] * SCALE), round(corner[1] * SCALE)))

    def paste(self, corner: Point, other: Canvas) -> None:
        """Another canvas, its upper left at ``corner``."""
        self._image.paste(other._image, (round(corner[0] * SCALE), round(corner[1] * SCALE)))

    def text(self, at: Point, words: str, colour: Colour = INK, size: int = 12, anchor: str = "lm") -> None:
        """Words at a point; ``anchor`` is Pillow's: l, m or r across and t, m or b down."""
        place = (at[0] * SCALE, at[1] * SCALE)
        self._draw.text(place, words, fill=colour, font=_font(size * SCALE), anchor=anchor)

    def frame(self, corner: Point, opposite: Point, colour: Colour, width: float = 2.0) -> None:
        """The outline of a rectangle."""
        box = (*(c * SCALE for c in corner), *(c * SCALE for c in opposite))
        self._draw.rectangle(box, outline=colour, width=max(1, round(width * SCALE)))

    def save(self, file: Path, colours: int | None = None) -> None:
        """Write the PNG, with the folders above it; with ``colours`` (at most 256) as a palette, a smaller file."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(self.png(colours))

    def png(self, colours: int | None = None) -> bytes:
        """The PNG file's bytes; ``colours`` as for :meth:`save`."""
        image, buffer = self._image.resize(self.size, Image.Resampling.LANCZOS), BytesIO()
        (image if colours is None else image.quantize(colours)).save(
            buffer, "PNG", optimize=colours is not None
        )
        return buffer.getvalue()


@dataclass(frozen=True)
class Panel:
    """A part of a canvas with two axes; a range may run either way, a logarithmic one has to be above 0."""

    canvas: Canvas
    left: float
    top: float
    width: float
    height: float
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    x_log: bool = False
    y_log: bool = False

    def at(self, x: float, y: float) -> Point:
        """Where a value lies on the canvas."""
        across, up = _place(x, self.x_range, self.x_log), _place(y, self.y_range, self.y_log)
        return self.left + across * self.width, self.top + (1 - up) * self.height

    def axes(
        self, x_ticks: Sequence[float], y_ticks: Sequence[float], x_name: str = "", y_name: str = ""
    ) -> None:
        """Ticks with their values, faint lines across at the y ticks, and the names of both axes."""
        bottom, right = self.top + self.height, self.left + self.width
        for value in y_ticks:
            y = self.at(self.x_range[0], value)[1]
            self.canvas.line([(self.left, y), (right, y)], FAINT)
            self.canvas.text((self.left - 6, y), _number(value), size=11, anchor="rm")
        for value in x_ticks:
            x = self.at(value, self.y_range[0])[0]
            self.canvas.line([(x, bottom), (x, bottom + 4)])
            self.canvas.text((x, bottom + 7), _number(value), size=11, anchor="mt")
        self.canvas.line([(self.left, self.top), (self.left, bottom), (right, bottom)])
        self.canvas.text((self.left + self.width / 2, bottom + 24), x_name, anchor="mt")
        self.canvas.text((self.left, self.top - 10), y_name, anchor="lb")

    def curve(self, points: Sequence[Point], colour: Colour, dots: bool = True, dashed: bool = False) -> None:
        """Points joined by a line."""
        placed = [self.at(x, y) for x, y in points]
        self.canvas.line(placed, colour, 1.0 if dashed else 2.0, dashed)
        for point in placed if dots else ():
            self.canvas.dot(point, colour)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)  # reads the whole font anew each time


def decades(low: float, high: float) -> list[float]:
    """The powers of ten that hold a range of positive values, ends included."""
    return [10.0**k for k in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]


def _place(value: float, span: tuple[float, float], log: bool) -> float:
    low, high = (math.log(v) for v in span) if log else span
    return ((math.log(value) if log else value) - low) / (high - low)


def _number(value: float) -> str:
    exponent = round(math.log10(value)) if value > 0 else 0
    power = value > 0 and math.isclose(value, 10.0**exponent) and abs(exponent) > 3
    return f"1e{exponent}" if power else f"{value:g}"


def _dashes(points: Sequence[Point], length: float) -> list[list[Point]]:
    pieces = []
    for (x0, y0), (x1, y1) in pairwise(points):
        count = max(1, round(math.dist((x0, y0), (x1, y1)) / length))
        along = [(x0 + (x1 - x0) * i / count, y0 + (y1 - y0) * i / count) for i in range(count + 1)]
        pieces += [list(pair) for pair in zip(along[::2], along[1::2], strict=False)]
    return pieces
