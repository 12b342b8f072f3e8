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
    return declared_pace(levels_in, levels_out, [1.0] * window)


def declared_pace(levels_in: Levels, levels_out: Levels, paces: Sequence[float]) -> bool:
    """Every frame moves at its own pace alpha_i: what replaces constant pace where a method relaxes it.

    The frames share one clock, so their moves are the paces times one number (end of section 4).
    """
    moves = [a - b for a, b in zip(levels_in, levels_out, strict=True)]
    time = sum(moves) / sum(paces)
    return all(abs(move - pace * time) <= TOLERANCE for move, pace in zip(moves, paces, strict=True))


def causality(first_frame: int, references: Iterable[int]) -> bool:
    """The reference frames of a step that denoises frames from ``first_frame`` on all lie before it."""
    return all(0 <= r < first_frame for r in references)


Check = Callable[[int, int, Levels, Levels], bool]
LEVEL_CHECKS: dict[str, Check] = {
    "monotonicity": monotonicity,
    "0-T boundary": boundary,
    "circularity": circularity,
    "constant pace": constant_pace,
}


def require(
    window: int, stride: int, levels_in: Levels, levels_out: Levels, paces: Sequence[float] | None = None
) -> None:
    """Check the four conditions on noise levels; with ``paces``, declared pace in the place of constant pace.

    Raises:
        ScheduleError: window, stride and lengths do not fit, or a condition does not hold; names it.
    """
    if not 1 <= stride <= window or len(levels_in) != window or len(levels_out) != window:
        raise ScheduleError(
            f"expected 1 <= stride <= window and one level a frame, found window {window}, stride {stride}, "
            f"{len(levels_in)} input and {len(levels_out)} output levels"
        )
    if paces is not None and (len(paces) != window or min(paces) <= 0):
        raise ScheduleError(f"expected one positive pace for each of {window} frames, found {tuple(paces)}")
    for name, check in LEVEL_CHECKS.items():
        if name == "constant pace" and paces is not None:
            if not declared_pace(levels_in, levels_out, paces):
                raise ScheduleError(
                    f"declared pace does not hold: frames that go from {tuple(levels_in)} to {tuple(levels_out)} "
                    f"do not move at the paces {tuple(paces)}"
                )
        elif not check(window, stride, levels_in, levels_out):
            hint = "; a method that relaxes it declares its paces" if name == "constant pace" else ""
            raise ScheduleError(
                f"{name} does not hold for L_in {tuple(levels_in)}, L_out {tuple(levels_out)}{hint}"
            )


def require_causal(references: Callable[[int], Iterable[int]], steps: Iterable[int]) -> None:
    """Check causality of a reference policy for steps that denoise frames from each of ``steps`` on.

    Raises:
        ScheduleError: a reference frame does not lie before its step.
    """
    for first in steps:
        chosen = list(references(first))
        if not causality(first, chosen):
            raise ScheduleError(
                f"causality does not hold: the step that denoises frames from {first} on refers to frames {chosen}"
            )
