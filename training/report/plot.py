"""Canvases of pixels and panels with axes, drawn by matplotlib into a PNG; it is the extra ``report``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Colour = tuple[int, int, int]
Point = tuple[float, float]
INK: Colour = (40, 44, 52)
FAINT: Colour = (222, 225, 230)
BLUE: Colour = (31, 97, 175)
ORANGE: Colour = (214, 108, 20)
GREEN: Colour = (38, 134, 84)
RED: Colour = (214, 39, 40)
VIOLET: Colour = (122, 79, 160)
DPI = 128  # a power of two, by which sizes in pixels divide without a rest
POINTS = 72 / DPI  # of a pixel
_ACROSS = {"l": "left", "m": "center", "r": "right"}
_DOWN = {"t": "top", "m": "center", "b": "bottom"}


class PlotError(ValueError):
    """There is nothing to draw with."""


class Canvas:
    """A white picture in which everything is given in its pixels, from its upper left.

    Raises:
        PlotError: matplotlib is not installed.
    """

    def __init__(self, width: int, height: int) -> None:
        try:
            from matplotlib.figure import Figure
        except ImportError:
            raise PlotError("matplotlib draws reports: pip install 'worldsim[report]'") from None
        self.size = (width, height)
        self.figure = Figure((width / DPI, height / DPI), dpi=DPI)
        self._plane = self.figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0), zorder=2)
        self._plane.set_axis_off()

    def line(
        self, points: Sequence[Point], colour: Colour = INK, width: float = 1.0, dashed: bool = False
    ) -> None:
        style = "--" if dashed else "-"
        self._plane.plot(*zip(*points, strict=True), style, color=_rgb(colour), lw=width * POINTS)

    def dot(self, at: Point, colour: Colour = INK, radius: float = 3.0, filled: bool = True) -> None:
        edge, face = _rgb(colour), _rgb(colour if filled else (255, 255, 255))
        self._plane.plot(*at, "o", ms=2 * radius * POINTS, mec=edge, mfc=face, mew=POINTS)

    def box(self, corner: Point, opposite: Point, colour: Colour) -> None:
        self._rectangle(corner, opposite, color=_rgb(colour), lw=0)

    def frame(self, corner: Point, opposite: Point, colour: Colour, width: float = 2.0) -> None:
        """The outline of a rectangle."""
        self._rectangle(corner, opposite, ec=_rgb(colour), fill=False, lw=width * POINTS)

    def picture(self, corner: Point, image: Image.Image) -> None:
        """A picture in its own pixels, its upper left at ``corner``."""
        left, top = round(corner[0]), self.size[1] - round(corner[1]) - image.height
        self.figure.figimage(np.asarray(image.convert("RGB")), left, top, origin="upper")

    def paste(self, corner: Point, other: Canvas) -> None:
        """Another canvas, its upper left at ``corner``."""
        self.picture(corner, Image.open(BytesIO(other.png())))

    def text(self, at: Point, words: str, colour: Colour = INK, size: int = 12, anchor: str = "lm") -> None:
        """Words at a point; ``anchor``: l, m or r across and t, m or b down."""
        place: dict[str, Any] = {"ha": _ACROSS[anchor[0]], "va": _DOWN[anchor[1]], "parse_math": False}
        self._plane.text(*at, words, color=_rgb(colour), fontsize=size * POINTS, **place)

    def save(self, file: Path, colours: int | None = None) -> None:
        """Write the PNG, with the folders above it; with ``colours`` (at most 256) as a palette, a smaller file."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(self.png(colours))

    def png(self, colours: int | None = None) -> bytes:
        """The PNG file's bytes; ``colours`` as for :meth:`save`."""
        drawn, buffer = BytesIO(), BytesIO()
        self.figure.savefig(drawn, format="png", dpi=DPI)
        image = Image.open(drawn).convert("RGB")
        (image if colours is None else image.quantize(colours)).save(buffer, "PNG", optimize=True)
        return buffer.getvalue()

    def _rectangle(self, corner: Point, opposite: Point, **style: Any) -> None:
        from matplotlib.patches import Rectangle

        (left, top), (right, bottom) = corner, opposite
        self._plane.add_patch(Rectangle(corner, right - left, bottom - top, **style))


class Panel:
    """A part of a canvas with two axes; a range may run either way, a logarithmic one has to be above 0."""

    def __init__(
        self,
        canvas: Canvas,
        left: float,
        top: float,
        width: float,
        height: float,
        x_range: Point,
        y_range: Point,
        x_log: bool = False,
        y_log: bool = False,
    ) -> None:
        self.canvas, self.left, self.top, self.width, self.height = canvas, left, top, width, height
        self.x_range, self.y_range = x_range, y_range
        (across, down), bottom = canvas.size, top + height
        place = (left / across, 1 - bottom / down, width / across, height / down)
        scales: dict[str, Any] = {
            "xscale": "log" if x_log else "linear",
            "yscale": "log" if y_log else "linear",
        }
        self._axes = canvas.figure.add_axes(place, facecolor="none", zorder=1, **scales)
        self._axes.set(xlim=x_range, ylim=y_range, xticks=[], yticks=[])
        self._axes.minorticks_off()
        self._axes.spines[:].set_visible(False)

    def at(self, x: float, y: float) -> Point:
        """Where a value lies on the canvas."""
        across, up = self._axes.transData.transform((x, y))
        return float(across), self.canvas.size[1] - float(up)

    def axes(
        self, x_ticks: Sequence[float], y_ticks: Sequence[float], x_name: str = "", y_name: str = ""
    ) -> None:
        """Ticks with their values, faint lines across at the y ticks, and the names of both axes."""
        small, ink = 11 * POINTS, _rgb(INK)
        self._axes.set_xticks(x_ticks, [f"{x:g}" for x in x_ticks], fontsize=small, color=ink)
        self._axes.set_yticks(y_ticks, [f"{y:g}" for y in y_ticks], fontsize=small, color=ink)
        self._axes.set(xlim=self.x_range, ylim=self.y_range)
        self._axes.tick_params(left=False, length=4 * POINTS, width=POINTS, color=ink)
        self._axes.grid(axis="y", color=_rgb(FAINT), lw=POINTS)
        for side in ("left", "bottom"):
            self._axes.spines[side].set(visible=True, color=ink, lw=POINTS)
        self._axes.set_xlabel(x_name, fontsize=12 * POINTS, color=ink)
        self._axes.set_title(y_name, loc="left", fontsize=12 * POINTS, color=ink)

    def curve(self, points: Sequence[Point], colour: Colour, dots: bool = True, dashed: bool = False) -> None:
        """Points joined by a line."""
        placed = [self.at(x, y) for x, y in points]
        self.canvas.line(placed, colour, 1.0 if dashed else 2.0, dashed)
        for point in placed if dots else ():
            self.canvas.dot(point, colour)


def decades(low: float, high: float) -> list[float]:
    """The powers of ten that hold a range of positive values, ends included."""
    return [10.0**k for k in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]


def _rgb(colour: Colour) -> tuple[float, float, float]:
    r, g, b = colour
    return r / 255, g / 255, b / 255
