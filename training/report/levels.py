"""The noise levels of a method as a picture: the staircase on which frames come down over autoregressive steps."""

from __future__ import annotations

from textwrap import shorten
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from training.report.plot import BLUE, FAINT, INK, ORANGE, POINTS, Canvas, rgb
from worldsim.diffusion.methods import Method
from worldsim.diffusion.schedules import Schedule, path

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, MARGIN, STEP_HEIGHT = 960, 64, 190
CLEAN, NOISE = (28, 66, 120), (246, 226, 190)  # colours of level 0 and level 1
MOST_ROWS = 60  # of network calls shown one by one in the map


def levels_picture(method: Method, shown: int = 3) -> Canvas:
    """A panel for each of ``shown`` autoregressive steps, and below them one map of all network calls.

    A panel has frames from left to right and noise level upwards: a ring where a frame enters (L_in), a dot where it
    leaves (L_out), ticks at the levels between at which the network sees it. Panels share the axis of frames, so that
    one sees a frame leave one step at the height at which it enters the next. In the map, rows are network calls from
    top to bottom, columns the same frames, dark is clean.

    Raises:
        ValueError: fewer than 1 step.
    """
    if shown < 1:
        raise ValueError(f"expected at least 1 autoregressive step to draw, found shown={shown}")
    schedule = method.schedule
    levels = path(schedule, method.steps)  # (M + 1, w)
    frames = schedule.window + (shown - 1) * schedule.stride
    rows = calls_map(schedule, levels, shown)
    map_height = min(260, max(80, 6 * len(rows)))
    canvas = Canvas(WIDTH, 110 + shown * STEP_HEIGHT + map_height + 70)
    canvas.text((MARGIN, 26), shorten(f"{method.name}: {method.source}", 110), size=14)
    canvas.text((MARGIN, 48), _summary(method, len(levels) - 1), size=12)
    canvas.text((MARGIN, 70), "ring: L_in", ORANGE)
    canvas.text((MARGIN + 80, 70), "dot: L_out", BLUE)
    place: dict[str, Any] = {"left": MARGIN, "width": WIDTH - 2 * MARGIN}
    ticks = range(0, frames, max(1, -(-frames // 16)))
    across = (-0.5, frames - 0.5)
    for k in range(shown):
        panel = canvas.panel(
            **place,
            top=110 + k * STEP_HEIGHT,
            height=STEP_HEIGHT - 60,
            title=f"autoregressive step {k + 1}: noise level",
            xlim=across,
            ylim=(0, 1.04),
            xticks=ticks,
            yticks=(0, 0.25, 0.5, 0.75, 1),
        )
        _step(panel, levels, first=k * schedule.stride)
    from matplotlib.colors import LinearSegmentedColormap

    title = "level at every network call, from top to bottom (dark: clean)"
    top = 110 + shown * STEP_HEIGHT
    below = canvas.panel(**place, top=top, height=map_height, title=title, x_name="frame", xticks=ticks)
    shades = LinearSegmentedColormap.from_list("levels", [rgb(CLEAN), rgb(NOISE)])  # not begun: no colour
    below.imshow(rows.numpy(), shades, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    below.set(yticks=[], xlim=across)
    return canvas


def calls_map(schedule: Schedule, levels: Tensor, shown: int) -> Tensor:
    """Level of every frame before every network call and at the end, NaN for frames not begun: (calls + 1, frames).

    At most ``MOST_ROWS`` evenly chosen rows.
    """
    calls = len(levels) - 1
    table = torch.full((shown * calls + 1, schedule.window + (shown - 1) * schedule.stride), float("nan"))
    for k in range(shown):
        first = k * schedule.stride
        table[k * calls : (k + 1) * calls + 1, first : first + schedule.window] = levels
        table[(k + 1) * calls :, : first + schedule.stride] = 0  # clean frames stay so
    if len(table) > MOST_ROWS:
        table = table[torch.linspace(0, len(table) - 1, MOST_ROWS).round().long()]
    return table


def _step(panel: Axes, levels: Tensor, first: int) -> None:
    """One autoregressive step: the frames of its window, from L_in down to L_out."""
    frames = range(first, first + levels.shape[1])
    dots: dict[str, Any] = {"ms": 6 * POINTS, "mew": POINTS, "clip_on": False, "zorder": 3}
    panel.plot(range(first), [0] * first, "o", color=rgb(FAINT), **dots)
    panel.vlines(frames, levels[-1], levels[0], color=rgb(INK), lw=2 * POINTS)
    for between in levels[1:-1]:
        panel.plot(frames, between, "_", color=rgb(INK), **dots)
    panel.plot(frames, levels[0], "o", mec=rgb(ORANGE), mfc="white", **dots | {"ms": 8 * POINTS})
    panel.plot(frames, levels[-1], "o", color=rgb(BLUE), **dots)


def _summary(method: Method, calls: int) -> str:
    s = method.schedule
    relaxed = f", relaxes {s.relaxed}" if s.relaxed else ""
    return f"window {s.window}, stride {s.stride}, noise levels of {calls} denoising steps{relaxed}"
