"""The HUD under the worlds: hands and pace, SSIM traces, retrieval bars, the revisit badge."""

from __future__ import annotations

import numpy as np
import pygame

from worldsim.metrics.retrieval import FORGOTTEN_BELOW, RANGE_NAMES, SAME_FROM, band
from worldsim.player.keymap import Intent
from worldsim.player.scoreboard import TRACE, Scoreboard
from worldsim.player.window import GAP, measure, picture, text
from worldsim.session.sinks.palette import ACCENT, BANDS, CARD, FAINT, LINE, TEXT

_PAD = 12
_SHARES = (0.24, 0.31, 0.24, 0.21)  # widths of the four cards
# name, column, row, width of a key cap, all in half key caps
_CAPS = (
    ("W", "forward", 2, 0, 2),
    ("A", "left", 0, 2, 2),
    ("S", "back", 2, 2, 2),
    ("D", "right", 4, 2, 2),
    ("shift", "sneak", 0, 4, 3),
    ("ctrl", "sprint", 3, 4, 3),
    ("space", "jump", 6, 4, 4),
    ("L", "attack", 7, 2, 1.5),
    ("R", "use", 8.5, 2, 1.5),
)


def draw(
    on: pygame.Surface,
    place: pygame.Rect,
    board: Scoreboard,
    intent: Intent | None,
    keys: tuple[str, ...] = (),
) -> None:
    """Draw the HUD of the tick that is on the screen; ``keys`` are those that play, a walker's where there are none."""
    if not place.height:  # the window is too small
        return
    left, room = float(place.left), place.width - GAP * (len(_SHARES) - 1)
    cards = []
    for share in _SHARES:
        cards.append(pygame.Rect(round(left), place.top, int(room * share), place.height - _PAD))
        left += room * share + GAP
    for card, title in zip(cards, ("", "SSIM to the true world", "retrieval by age", "revisit"), strict=True):
        pygame.draw.rect(on, CARD, card, border_radius=8)
        text(on, title, (card.left + _PAD, card.top + _PAD), 20, FAINT)
    if keys:
        _caps(on, cards[0], intent, keys)
    else:
        _hands(on, cards[0], intent)
    _pace(on, cards[0], board)
    _traces(on, cards[1], board)
    _bars(on, cards[2], board)
    _badge(on, cards[3], board)


def _hands(on: pygame.Surface, card: pygame.Rect, intent: Intent | None) -> None:
    unit = min(14.0, (card.width - 2 * _PAD - 70) / 10)
    for cap, move, column, row, width in _CAPS:
        rect = pygame.Rect(card.left + _PAD + column * unit, card.top + _PAD + row * 13, width * unit - 3, 23)
        _cap(on, rect, cap, intent is not None and move in intent.held)
    _camera(on, pygame.Rect(card.right - _PAD - 62, card.top + _PAD, 62, 62), intent)


def _caps(on: pygame.Surface, card: pygame.Rect, intent: Intent | None, keys: tuple[str, ...]) -> None:
    """The caps of any keys, in rows."""
    left, top = card.left + _PAD, card.top + _PAD
    for key in keys:
        wide = max(25, measure(key, 15)[0] + 10)
        if left + wide > card.right - _PAD:
            left, top = card.left + _PAD, top + 26
        if top > card.top + 70:
            return
        _cap(on, pygame.Rect(left, top, wide, 23), key, intent is not None and key in intent.held)
        left += wide + 3


def _cap(on: pygame.Surface, rect: pygame.Rect, cap: str, held: bool) -> None:
    pygame.draw.rect(on, ACCENT if held else LINE, rect, border_radius=4)
    size = 20 if len(cap) == 1 else 15
    words = measure(cap, size)
    at = rect.centerx - words[0] / 2, rect.centery - words[1] / 2
    text(on, cap, at, size, CARD if held else TEXT)


def _camera(on: pygame.Surface, box: pygame.Rect, intent: Intent | None) -> None:
    pygame.draw.rect(on, LINE, box, 1, border_radius=4)
    pygame.draw.line(on, LINE, box.midleft, box.midright)
    pygame.draw.line(on, LINE, box.midtop, box.midbottom)
    yaw, pitch = (intent.yaw, intent.pitch) if intent is not None else (0.0, 0.0)
    reach = box.width / 2 - 5
    # the square root shows small turns too; 30 degrees a tick reach the edge
    bend = [np.sign(v) * min(1.0, (abs(v) / 30) ** 0.5) * reach for v in (yaw, pitch)]
    tip = box.centerx + bend[0], box.centery + bend[1]
    pygame.draw.line(on, ACCENT, box.center, tip, 2)
    pygame.draw.circle(on, ACCENT if yaw or pitch else FAINT, tip, 4)
    text(on, f"{yaw:+.0f} {pitch:+.0f}", (box.left, box.bottom + 5), 17, FAINT, box.width)


def _pace(on: pygame.Surface, card: pygame.Rect, board: Scoreboard) -> None:
    tick, y = board.tick, card.top + 100
    pygame.draw.line(on, LINE, (card.left + _PAD, y - 7), (card.right - _PAD, y - 7))
    pace = "- frames/s" if board.pace is None else f"{board.pace:.1f} frames/s"
    text(on, pace, (card.left + _PAD, y), 24, TEXT)
    text(on, f"true {tick.true_ms:.1f} ms", (card.left + card.width * 0.55, y + 3), 18, FAINT)
    wide = card.width - 2 * _PAD
    for i, view in enumerate(tick.dreams.values()):
        top = y + 27 + i * 48
        text(on, f"{view.name}: {view.cost}", (card.left + _PAD, top), 19, TEXT, wide)
        used = f"memory in use: {view.memory_frames} frames, {view.memory_latents} latents"
        text(on, used, (card.left + _PAD, top + 16), 17, FAINT, wide)
        full = pygame.Rect(card.left + _PAD, top + 33, wide, 5)
        pygame.draw.rect(on, LINE, full, border_radius=2)
        full.width = int(wide * min(1.0, view.memory_frames / max(1, view.history)))
        pygame.draw.rect(on, ACCENT, full, border_radius=2)


def _traces(on: pygame.Surface, card: pygame.Rect, board: Scoreboard) -> None:
    names = list(board.tick.dreams)
    room = card.height - 38 - _PAD
    each = (room - 10 * (len(names) - 1)) // max(1, len(names))
    for i, name in enumerate(names):
        plot = pygame.Rect(
            card.left + _PAD + 24, card.top + 38 + i * (each + 10), card.width - 2 * _PAD - 24, each
        )
        _trace(on, plot, board, name, len(names) > 1)


def _trace(on: pygame.Surface, plot: pygame.Rect, board: Scoreboard, name: str, named: bool) -> None:
    def height(value: float) -> float:
        return plot.bottom - max(0.0, min(1.0, value)) * plot.height

    for level in (0.0, FORGOTTEN_BELOW, SAME_FROM):
        pygame.draw.line(on, LINE, (plot.left, height(level)), (plot.right, height(level)))
        text(on, f"{level:.1f}", (plot.left - 23, height(level) - 6), 16, FAINT)
    before: tuple[float, float] | None = None
    for ago, view in board.trace(name):
        if ago > TRACE:
            continue
        at = plot.right - ago * plot.width / TRACE, height(view.ssim)
        if before is not None:
            pygame.draw.line(on, BANDS[view.band], before, at, 2)
        if view.retrieved is not None:
            pygame.draw.line(on, BANDS[view.band], (at[0], plot.bottom - 4), (at[0], plot.bottom), 1)
        before = at
    if named:
        text(on, name, (plot.left + 4, plot.top + 1), 17, TEXT)


def _bars(on: pygame.Surface, card: pygame.Rect, board: Scoreboard) -> None:
    names = list(board.tick.dreams)
    if names:
        view = board.scored(names[0])
        setting = f"history {view.history}, budget {view.budget}, past: {view.history_from}"
        text(on, setting, (card.left + _PAD, card.top + 32), 17, FAINT, card.width - 2 * _PAD)
    plot = pygame.Rect(card.left + _PAD, card.top + 62, card.width - 2 * _PAD, card.height - 62 - 76)
    for level in (0.0, FORGOTTEN_BELOW, SAME_FROM):
        y = plot.bottom - level * plot.height
        pygame.draw.line(on, LINE, (plot.left, y), (plot.right, y))
    group = plot.width // len(RANGE_NAMES)
    for g, age_range in enumerate(RANGE_NAMES):
        left = plot.left + g * group + 4
        text(on, f"seen {age_range} ago", (left, plot.bottom + 5), 17, TEXT, group - 8)
        wide = (group - 12) // max(1, len(names))
        for i, name in enumerate(names):
            tally = board.tally(name)
            mean, n = tally.mean(age_range), tally.count(age_range)
            label = f"{name} n={n}" if len(names) > 1 else f"n={n}"
            text(on, label, (left, plot.bottom + 22 + 15 * i), 17, FAINT, group - 8)
            if mean is not None:
                tall = max(2, int(plot.height * max(0.0, mean)))
                bar = pygame.Rect(left + i * wide, plot.bottom - tall, wide - 3, tall)
                # the first dream's bar is filled, its twin's an outline, so that they tell apart
                pygame.draw.rect(on, BANDS[band(mean)], bar, 0 if i == 0 else 2, border_radius=2)
                text(on, f"{mean:.2f}", (bar.left, bar.top - 14), 17, TEXT, bar.width)
        rates = [board.tally(name).srr(age_range) for name in names]
        if any(rate is not None for rate in rates):
            words = "SRR " + ", ".join("-" if rate is None else f"{rate:.2f}" for rate in rates)
            text(on, words, (left, plot.bottom + 22 + 15 * len(names)), 17, FAINT, group - 8)


def _badge(on: pygame.Surface, card: pygame.Rect, board: Scoreboard) -> None:
    age, tick, wide = board.badge_age, board.returned, card.width - 2 * _PAD
    if age is None or tick is None or tick.revisit is None:
        text(on, "no view seen again yet", (card.left + _PAD, card.top + 38), 18, FAINT, wide)
        return
    when = "now" if age == 0 else f"{age} frames ago"
    text(on, when, (card.left + _PAD + 60, card.top + _PAD), 20, TEXT if age == 0 else FAINT)
    side = min(96, card.width - 2 * _PAD)
    on.blit(picture(tick.revisit.thumbnail, (side, side)), (card.left + _PAD, card.top + 38))
    y = card.top + 38 + side + 8
    text(on, f"seen {tick.revisit.age} frames before", (card.left + _PAD, y), 19, TEXT, wide)
    for i, view in enumerate(tick.dreams.values()):
        verdict = "retrieved" if view.retrieved else "forgotten"
        words = f"{view.name}: SSIM {view.ssim:.2f}, {verdict}"
        if view.srr is not None:
            words += ", surfaces right" if view.srr else ", surfaces wrong"
        text(on, words, (card.left + _PAD, y + 22 + 20 * i), 19, BANDS[view.band], wide)
