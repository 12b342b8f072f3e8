"""The noise levels of a method as a picture: the staircase on which frames come down over autoregressive steps."""

from __future__ import annotations

from textwrap import shorten

import torch
from torch import Tensor

from training.report.plot import BLUE, FAINT, INK, ORANGE, Canvas, Colour, Panel
from worldsim.diffusion.methods import Method
from worldsim.diffusion.schedules import Schedule, path

WIDTH, MARGIN, STEP_HEIGHT = 960, 64, 190
CLEAN, NOISE = (28, 66, 120), (246, 226, 190)  # colours of level 0 and level 1
UNBORN = (255, 255, 255)
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
    canvas.dot((MARGIN + 6, 70), ORANGE, filled=False)
    canvas.text((MARGIN + 16, 70), "L_in")
    canvas.dot((MARGIN + 66, 70), BLUE)
    canvas.text((MARGIN + 76, 70), "L_out")
    across = (-0.5, frames - 0.5)
    for k in range(shown):
        top = 110 + k * STEP_HEIGHT
        panel = Panel(canvas, MARGIN, top, WIDTH - 2 * MARGIN, STEP_HEIGHT - 60, across, (0, 1.04))
        panel.axes(_some(frames), (0, 0.25, 0.5, 0.75, 1), y_name=f"autoregressive step {k + 1}: noise level")
        _step(panel, levels, first=k * schedule.stride)
    _map(canvas, rows, 110 + shown * STEP_HEIGHT, map_height)
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


def _step(panel: Panel, levels: Tensor, first: int) -> None:
    """One autoregressive step: the frames of its window, from L_in down to L_out."""
    for i in range(first):
        panel.canvas.dot(panel.at(i, 0), FAINT)
    for i, falls in enumerate(levels.T.tolist()):
        frame = first + i
        panel.curve([(frame, falls[0]), (frame, falls[-1])], INK, dots=False)
        for level in falls[1:-1]:
            x, y = panel.at(frame, level)
            panel.canvas.line([(x - 3, y), (x + 3, y)], INK)
        panel.canvas.dot(panel.at(frame, falls[0]), ORANGE, 4, filled=False)
        panel.canvas.dot(panel.at(frame, falls[-1]), BLUE)


def _map(canvas: Canvas, rows: Tensor, top: float, height: float) -> None:
    canvas.text(
        (MARGIN, top - 10), "level at every network call, from top to bottom (dark: clean)", anchor="lb"
    )
    wide, high = (WIDTH - 2 * MARGIN) / rows.shape[1], height / len(rows)
    for r, row in enumerate(rows.tolist()):
        for f, level in enumerate(row):
            corner = (MARGIN + f * wide, top + r * high)
            canvas.box(corner, (corner[0] + wide - 1, corner[1] + high), _shade(level))
    for f in _some(rows.shape[1]):
        canvas.text((MARGIN + (f + 0.5) * wide, top + height + 7), str(f), size=11, anchor="mt")
    canvas.text((WIDTH / 2, top + height + 26), "frame", anchor="mt")


def _shade(level: float) -> Colour:
    if level != level:  # not begun
        return UNBORN
    r, g, b = (round(c + (n - c) * level) for c, n in zip(CLEAN, NOISE, strict=True))
    return r, g, b


def _some(frames: int) -> list[int]:
    """At most about 16 frame numbers for an axis."""
    return list(range(0, frames, max(1, -(-frames // 16))))


def _summary(method: Method, calls: int) -> str:
    s = method.schedule
    relaxed = f", relaxes {s.relaxed}" if s.relaxed else ""
    return f"window {s.window}, stride {s.stride}, noise levels of {calls} denoising steps{relaxed}"
