"""Which past frames R_i an autoregressive step may see: pure functions of the next frame's index (Algorithm 1)."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass


class ReferencesError(ValueError):
    """A reference policy that does not exist, or numbers that it cannot have."""


def none(i: int) -> list[int]:
    """No frame: all that a step knows of the past is in its window."""
    return []


def last(i: int, count: int) -> list[int]:
    """The ``count`` frames before frame i, oldest first; fewer at the start."""
    return list(range(max(0, i - count), i))


def anchors_and_last(i: int, anchors: int, count: int) -> list[int]:
    """The first ``anchors`` frames of all and the last ``count`` (StreamingT2V, ART-V)."""
    return sorted({*range(min(anchors, i)), *last(i, count)})


def strided(i: int, count: int, stride: int) -> list[int]:
    """Every ``stride``-th frame back from i - 1, ``count`` of them at most, oldest first (Table 3)."""
    return list(range(i - 1, -1, -stride))[:count][::-1]


@dataclass
class ReferencePolicy:
    """The reference frames of a method, and the noise level at which they are shown.

    ``policy`` is a name in ``POLICIES``; ``count``, ``anchors`` and ``every`` are its numbers. A ``level`` above 0
    is noise augmentation: a network that has learned to see disturbed context bears its own errors better (GameNGen).
    """

    policy: str = "last"
    count: int = 16
    anchors: int = 0
    every: int = 1
    level: float = 0.0

    def __call__(self, i: int) -> list[int]:
        """Indices of the frames that the step which denoises frames from i on may see, oldest first."""
        return POLICIES[self.policy](self, i)

    @property
    def most(self) -> int:
        """How many frames it can choose at most."""
        reach = self.anchors + self.count * self.every
        return max(len(self(i)) for i in (reach, reach + 1))

    def check(self) -> None:
        """Refuse what cannot be.

        Raises:
            ReferencesError: an unknown policy, negative numbers, or a level outside [0, 1).
        """
        if self.policy not in POLICIES:
            near = difflib.get_close_matches(self.policy, POLICIES, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"the policies are {', '.join(POLICIES)}"
            raise ReferencesError(f"no reference policy {self.policy!r}; {hint}")
        if self.count < 0 or self.anchors < 0 or self.every < 1 or not 0 <= self.level < 1:
            raise ReferencesError(
                f"references: expected count and anchors of at least 0, every of at least 1 and a level in [0, 1), "
                f"found count {self.count}, anchors {self.anchors}, every {self.every}, level {self.level}"
            )


POLICIES: dict[str, Callable[[ReferencePolicy, int], list[int]]] = {
    "none": lambda p, i: none(i),
    "last": lambda p, i: last(i, p.count),
    "anchors_and_last": lambda p, i: anchors_and_last(i, p.anchors, p.count),
    "strided": lambda p, i: strided(i, p.count, p.every),
}
