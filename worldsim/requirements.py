"""Requirement 1 of Meta-ARVDM as five named, executable checks (section 4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

Levels = Sequence[float]
TOLERANCE = 1e-6


class ScheduleError(ValueError):
    """A method breaks a condition of Requirement 1."""


def monotonicity(window: int, stride: int, levels_in: Levels, levels_out: Levels) -> bool:
    """Levels do not fall along the window, and every frame leaves cleaner than it came."""
    rising = all(a <= b + TOLERANCE for levels in (levels_in, levels_out) for a, b in pairwise(levels))
    return rising and all(o < i for i, o in zip(levels_in, levels_out, strict=True))


def boundary(window: int, stride: int, levels_in: Levels, levels_out: Levels) -> bool:
    """The last ``stride`` frames enter as pure noise, the first ``stride`` leave clean."""
    noise = all(abs(x - 1) <= TOLERANCE for x in levels_in[window - stride :])
    return noise and all(abs(x) <= TOLERANCE for x in levels_out[:stride])


def circularity(window: int, stride: int, levels_in: Levels, levels_out: Levels) -> bool:
    """What one step puts out is what the next takes in, ``stride`` places on."""
    pairs = zip(levels_in[: window - stride], levels_out[stride:], strict=True)
    return all(abs(a - b) <= TOLERANCE for a, b in pairs)


def constant_pace(window: int, stride: int, levels_in: Levels, levels_out: Levels) -> bool:
    """Every frame moves by the same amount in one step."""
    paces = [a - b for a, b in zip(levels_in, levels_out, strict=True)]
    return max(paces) - min(paces) <= TOLERANCE


def causality(first_frame: int, references: Iterable[int]) -> bool:
    """The reference frames of a step that denoises frames from ``first_frame`` on all lie before it."""
    return all(0 <= r < first_frame for r in references)


Check = Callable[[int, int, Levels, Levels], bool]
LEVEL_CHECKS: dict[str, Check] = {
    "monotonicity": monotonicity,
    "boundary": boundary,
    "circularity": circularity,
    "constant pace": constant_pace,
}


def require(window: int, stride: int, levels_in: Levels, levels_out: Levels) -> None:
    """Check the four conditions on noise levels.

    Raises:
        ScheduleError: window, stride and lengths do not fit, or a condition does not hold; names it.
    """
    if not 1 <= stride <= window or len(levels_in) != window or len(levels_out) != window:
        raise ScheduleError(
            f"expected 1 <= stride <= window and one level a frame, found window {window}, stride {stride}, "
            f"{len(levels_in)} input and {len(levels_out)} output levels"
        )
    for name, check in LEVEL_CHECKS.items():
        if not check(window, stride, levels_in, levels_out):
            raise ScheduleError(
                f"{name} does not hold for L_in {tuple(levels_in)}, L_out {tuple(levels_out)}"
            )
