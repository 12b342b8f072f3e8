"""Whether a score may be decided by: it has to rank pictures of which is known how good they are."""

from __future__ import annotations

from typing import Any

ORDER = (("true", "autoencoder", False), ("autoencoder", "blurred", True), ("autoencoder", "confetti", True))
"""The better row, the worse one, and whether a tie is wrong: other true worlds are at least as good as the same through
the autoencoder, and those are better than mud and than the same pictures cut up and mixed."""


def judged(scores: dict[str, float], higher: bool) -> dict[str, Any]:
    """``usable``: whether every pair of :data:`ORDER` is ranked right; ``wrong``: those that are not, in words.

    Args:
        scores: that of each row.
        higher: whether more of it is better.
    """
    wrong = []
    for better, worse, strictly in ORDER:
        ahead = (scores[better] - scores[worse]) * (1 if higher else -1)
        if ahead < 0 or (strictly and ahead == 0):
            wrong.append(f"{worse} {scores[worse]:.4g} not worse than {better} {scores[better]:.4g}")
    return {"usable": not wrong, "wrong": wrong}
