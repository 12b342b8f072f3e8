"""What is said of an error in a model that is measured: one sentence, and where it was raised."""

from __future__ import annotations

import traceback

from training.bench.watch import TooSlow
from worldsim.dream.context import DreamError
from worldsim.dream.external import ModelFailed

FRAMES, LONGEST = 6, 4000
"""The last so many frames, and characters, of a traceback that is kept."""


def sentence(error: BaseException) -> str:
    """An error in one line, without the name of what is known to be wrong with a model."""
    text = " ".join(str(error).split())[:400]
    known = isinstance(error, ModelFailed | TooSlow | ValueError)
    return text if known and text else f"{type(error).__name__}: {text}"


def trace(error: BaseException) -> str:
    """The end of the traceback of what a model raised; empty for what this program found wrong with it."""
    if isinstance(error, DreamError | TooSlow):
        return ""
    raised = error.__cause__ if isinstance(error, ModelFailed) and error.__cause__ else error
    return "".join(traceback.format_exception(raised, limit=-FRAMES))[-LONGEST:]
