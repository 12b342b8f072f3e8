"""Canvases of pixels, and matplotlib's axes at places of them, as a PNG; matplotlib is the extra ``report``."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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

    def frame(self, corner: Point, opposite: Point, colour: Colour, width: float = 2.0) -> None:
        """The outline of a rectangle."""
        from matplotlib.patches import Rectangle

        (left, top), (right, bottom) = corner, opposite
        outline = Rectangle(corner, right - left, bottom - top, ec=rgb(colour), fill=False, lw=width * POINTS)
        self._plane.add_patch(outline)

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
        self._plane.text(*at, words, color=rgb(colour), fontsize=size * POINTS, **place)

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

    def panel(
        self,
        left: float,
        top: float,
        width: float,
        height: float,
        title: str = "",
        x_name: str = "",
        **axes: Any,
    ) -> Axes:
        """Axes in a part of the canvas, with faint lines across; ``axes``: limits, scales and ticks of theirs."""
        (across, down), ink = self.size, rgb(INK)
        place = (left / across, 1 - (top + height) / down, width / across, height / down)
        made = self.figure.add_axes(place, facecolor="none", zorder=1, **axes)
        made.set_title(title, loc="left", fontsize=12 * POINTS, color=ink)
        made.set_xlabel(x_name, fontsize=12 * POINTS, color=ink)
        made.minorticks_off()
        made.tick_params(labelsize=11 * POINTS, labelcolor=ink, color=ink, length=4 * POINTS, width=POINTS)
        made.grid(axis="y", color=rgb(FAINT), lw=POINTS)
        made.spines[["top", "right"]].set_visible(False)
        made.spines[["left", "bottom"]].set(color=ink, lw=POINTS)
        return made

    def legend(self, left: float, top: float, rows: Iterable[tuple[str, Colour]], columns: int = 1) -> None:
        """What colours mean, its upper left at a point."""
        from matplotlib.lines import Line2D

        handles = [
            Line2D([], [], color=rgb(colour), lw=2 * POINTS, marker="o", ms=8 * POINTS, label=words)
            for words, colour in rows
        ]
        at = left / self.size[0], 1 - top / self.size[1]
        self.figure.legend(
            handles=handles,
            loc="upper left",
            bbox_to_anchor=at,
            ncols=columns,
            fontsize=12 * POINTS,
            frameon=False,
            handlelength=1.0,
            columnspacing=1.5,
        )


def curve(axes: Axes, points: Iterable[Point], colour: Colour, style: str = "o-") -> None:
    """Points joined by a line, in matplotlib's format of markers and lines."""
    width = (1.0 if "--" in style else 2.0) * POINTS
    axes.plot(*zip(*points, strict=True), style, color=rgb(colour), lw=width, ms=6 * POINTS, clip_on=False)


def rgb(colour: Colour) -> tuple[float, float, float]:
    """As matplotlib has it, 0 to 1."""
    r, g, b = colour
    return r / 255, g / 255, b / 255
