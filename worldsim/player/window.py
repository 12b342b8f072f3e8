"""The window: opening it, what goes where, text, the panes with the worlds, and the help over them."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pygame

from worldsim.session.sinks.palette import (
    ACCENT,
    BACKGROUND,
    BANDS,
    CARD,
    FAINT,
    LINE,
    RECORDING,
    TEXT,
    Colour,
)
from worldsim.session.tick import Tick

SIZE = (1280, 800)
GAP = 16
HEAD, FOOT = 30, 24  # above a picture its name, under it its settings
HUD_HEIGHT = 240
STATUS = 26
WORDS = HEAD + FOOT + GAP  # what they take of the height
HUD_WIDTH, LEAST = (
    560,
    64,
)  # below such a width no HUD, and below such a height of the pictures less of what is around

# No OpenGL behind the window: where that is software, a flip takes 20 ms instead of 1, and the dream's cores.
_PLAIN = "0"

HELP = (
    ("W A S D", "walk"),
    ("arrows, mouse", "look (click to capture the mouse, Tab to let it go)"),
    ("space, shift, ctrl", "jump, sneak, sprint"),
    ("left, right mouse", "attack, use"),
    ("P, N", "pause, one step"),
    ("R", "record, stop recording"),
    ("C", "compare with the forgetful twin"),
    ("H", "the dream's past: its own or true"),
    ("X", "start the dream again from the present true frames"),
    ("[ ]   F5 F6", "history: how many past frames it may use"),
    ("- =   F7 F8", "budget: how many memory latents"),
    (", .   F9 F10", "denoising steps"),
    ("T", "needle: turn away, walk off, come back"),
    ("V", "save the last 20 seconds as a video"),
    ("B, G", "bookmark this moment, go back to it"),
    ("F1, Esc", "this help, leave"),
    ("", "letters and signs: the keys where a US keyboard has them"),
)
HINT = "F1 help, click to look with the mouse"
WALKING = 4  # the first lines of it, which are for walkers only


def display_missing() -> str | None:
    """Why no window can be opened here, None where one can."""
    wanted = os.environ.get("SDL_VIDEODRIVER")
    graphical = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if sys.platform.startswith("linux") and not graphical and not wanted:
        return "neither DISPLAY nor WAYLAND_DISPLAY is set"
    os.environ.setdefault("SDL_FRAMEBUFFER_ACCELERATION", _PLAIN)
    try:
        pygame.display.init()
    except pygame.error as error:
        return str(error)
    return None


@dataclass(frozen=True)
class Layout:
    """Where things are, in pixels."""

    panes: list[pygame.Rect]  # the pictures: the true world, then the dreams
    hud: pygame.Rect
    status: pygame.Rect


def layout(size: tuple[int, int], panes: int, side: int) -> Layout:
    """Place ``panes`` square pictures of ``side`` pixels, as large as whole multiples allow, over the HUD.

    A window too small for all of it has no HUD, a smaller one no words, and any window has pictures: what there is no
    room for has no height.
    """
    width, height = size
    gap = min(GAP, width // (4 * panes))
    hud = HUD_HEIGHT if width >= HUD_WIDTH and height >= HUD_HEIGHT + STATUS + WORDS + LEAST else 0
    status = STATUS if height >= STATUS + WORDS + LEAST else 0
    words = WORDS if status else 0
    room_across = (width - gap * (panes + 1)) // panes
    room_down = height - hud - status - words
    room = max(1, min(room_across, room_down))
    shown = room // side * side or room
    stride = min(room_across, shown + 6 * gap) + gap
    left = (width - stride * (panes - 1) - shown) // 2
    top = (GAP // 2 + HEAD if words else 0) + max(0, (room_down - shown) // 2)
    rects = [pygame.Rect(left + i * stride, top, shown, shown) for i in range(panes)]
    bottom = height - status
    across = max(1, width - 2 * gap)
    return Layout(
        rects, pygame.Rect(gap, bottom - hud, across, hud), pygame.Rect(gap, bottom, across, status)
    )


@lru_cache(maxsize=32)
def _font(size: int) -> pygame.font.Font:
    return pygame.font.Font(None, size)


@lru_cache(maxsize=512)
def _rendered(words: str, size: int, colour: Colour) -> pygame.Surface:
    # Drawn twice as large and shrunk: the font's own small sizes are unevenly spaced.
    large = _font(2 * size).render(words, True, colour).convert_alpha()
    return pygame.transform.smoothscale(large, measure(words, size))


def measure(words: str, size: int) -> tuple[int, int]:
    """Width and height of words in pixels."""
    width, height = _font(2 * size).size(words)
    return (width + 1) // 2, (height + 1) // 2


def text(
    on: pygame.Surface,
    words: str,
    at: tuple[float, float],
    size: int = 20,
    colour: Colour = TEXT,
    width: int = 0,
) -> pygame.Rect:
    """Write words with their top left corner at a place, smaller where they would be wider than ``width``."""
    while width and size > 11 and measure(words, size)[0] > width:
        size -= 1
    return on.blit(_rendered(words, size, colour), at)


def picture(frame: np.ndarray, size: tuple[int, int]) -> pygame.Surface:
    """A frame uint8 (H, W, 3) at another size, pixels as squares."""
    surface = pygame.image.frombuffer(frame.tobytes(), frame.shape[1::-1], "RGB")
    return pygame.transform.scale(surface, size)


class Window:
    """The pygame window.

    Raises:
        pygame.error: it can not be opened.
    """

    def __init__(self, title: str, size: tuple[int, int] = SIZE) -> None:
        os.environ.setdefault("SDL_FRAMEBUFFER_ACCELERATION", _PLAIN)
        pygame.display.init()
        pygame.font.init()
        pygame.joystick.init()
        pygame.display.set_caption(title)
        self.screen = pygame.display.set_mode(size, pygame.RESIZABLE)
        pygame.key.stop_text_input()  # which begins with the window: an input method makes text of W, A, S and D
        self.title = title
        self.captured = False
        self.help = False
        self.rows: tuple[tuple[str, str], ...] = HELP
        self.hint = HINT

    def capture_mouse(self, on: bool) -> None:
        """Hide the mouse and read its motion as the camera's, or give it back."""
        self.captured = on
        pygame.event.set_grab(on)
        pygame.mouse.set_visible(not on)
        pygame.mouse.get_rel()

    def close(self) -> None:
        """Close it and give the mouse back. May be called twice."""
        if pygame.display.get_init():
            self.capture_mouse(False)
        _rendered.cache_clear()
        _font.cache_clear()
        pygame.quit()

    def draw_worlds(self, tick: Tick, places: Layout, paused: bool) -> None:
        """The true world and the dreams, each labelled; clears the screen first."""
        self.screen.fill(BACKGROUND)
        rect = places.panes[0]
        self._picture(tick.true_frame, rect)
        if not places.status.height:
            for rect, view in zip(places.panes[1:], tick.dreams.values(), strict=False):
                self._picture(view.frame, rect)
            return
        text(self.screen, "true world", (rect.left, rect.top - HEAD + 6), 26, ACCENT)
        note = f"frame {tick.index}"
        if tick.pose is not None:
            x, y, z, yaw, pitch = tick.pose
            note += f", at {x:.1f} {y:.1f} {z:.1f}, looking {yaw:.0f}, {pitch:.0f}"
        text(self.screen, note, (rect.left, rect.bottom + 6), 18, FAINT, rect.width)
        self._marks(rect, tick.recording, paused)
        for rect, view in zip(places.panes[1:], tick.dreams.values(), strict=False):
            self._picture(view.frame, rect)
            name = text(self.screen, f"dream: {view.name}", (rect.left, rect.top - HEAD + 6), 26)
            score = f"SSIM {view.ssim:.2f} {view.band}"
            width = measure(score, 20)[0]
            at = max(name.right + 8, rect.right - width), rect.top - HEAD + 10
            text(self.screen, score, at, 20, BANDS[view.band])
            text(self.screen, view.label, (rect.left, rect.bottom + 6), 18, FAINT, rect.width)

    def draw_status(self, place: pygame.Rect, notice: str | None) -> None:
        """The bottom line: the last notice, or where help is."""
        if not place.height:
            return
        words = notice or ("Tab or Esc lets the mouse go" if self.captured else self.hint)
        text(self.screen, words, (place.left, place.top + 4), 20, TEXT if notice else FAINT, place.width)

    def draw_help(self) -> None:
        """All keys, over everything."""
        across, down = self.screen.get_size()
        line = max(8, min(26, (down - 60) // len(self.rows)))
        size = line - 5
        box = pygame.Rect(0, 0, min(620, across), 60 + line * len(self.rows))
        box.center = self.screen.get_rect().center
        pygame.draw.rect(self.screen, CARD, box, border_radius=10)
        pygame.draw.rect(self.screen, LINE, box, 2, border_radius=10)
        text(self.screen, "Keys", (box.left + 20, box.top + 14), 26, ACCENT)
        for row, (keys, meaning) in enumerate(self.rows):
            y = box.top + 46 + line * row
            text(self.screen, keys, (box.left + 20, y), size, TEXT, 165)
            text(self.screen, meaning, (box.left + 190, y), size, FAINT, max(1, box.width - 210))

    def _picture(self, frame: np.ndarray, rect: pygame.Rect) -> None:
        surface = picture(frame, rect.size)
        self.screen.blit(surface, rect)

    def _marks(self, rect: pygame.Rect, recording: bool, paused: bool) -> None:
        right = rect.right
        for on, words, colour in ((recording, "REC", RECORDING), (paused, "PAUSE", TEXT)):
            if on:
                right -= measure(words, 22)[0]
                text(self.screen, words, (right, rect.top - HEAD + 9), 22, colour)
                right -= 14
                if colour == RECORDING:
                    pygame.draw.circle(self.screen, colour, (right + 5, rect.top - HEAD + 16), 5)
                    right -= 14
