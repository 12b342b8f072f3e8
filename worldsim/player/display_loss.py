"""A display that goes away while a window is on it: what was played is finished before the process ends.

Xlib ends a process whose server is gone from within whatever it was asked, without a word to Python.
"""

from __future__ import annotations

import ctypes
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress

import pygame

ENDED = 2  # the exit code, as of any mistake that is one sentence
_Handler = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)


class DisplayLoss:
    """Calls ``finish`` when the X server behind the present window is gone; the process then ends with code 2.

    Args:
        finish: called in the thread that draws; may take as long as it needs.
    """

    def __init__(self, finish: Callable[[], None]) -> None:
        self._finish = finish
        self._handler = _Handler(self._lost)  # Xlib keeps no reference
        if pygame.display.get_driver() == "x11":
            with suppress(AttributeError, OSError):
                ctypes.CDLL("libX11.so.6").XSetIOErrorHandler(self._handler)

    def _lost(self, display: int) -> int:
        try:
            self._finish()
            print(
                "error: the display is gone; what was played until then is whole", file=sys.stderr, flush=True
            )
        except BaseException:  # there is nobody behind this who could take it
            traceback.print_exc()
        os._exit(ENDED)
