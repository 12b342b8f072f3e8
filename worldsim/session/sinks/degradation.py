"""Temporal degradation while it is played: a dream left to its own past, scored by segments of 16 frames (Figure 9)."""

from __future__ import annotations

from typing import Any

import numpy as np

from worldsim.metrics.degradation import LONGEST, SEGMENT, by_segment, maximum_decay, names, normalised
from worldsim.session.tick import DreamView


class RolloutScores:
    """Collects the views of one dream; every stretch on its own past is a rollout, from its last true frame on.

    A rollout ends where the dream starts again from the truth or its settings are turned; frames after
    ``LONGEST`` do not count.
    """

    def __init__(self) -> None:
        self._rollouts: list[dict[str, list[float]]] = []
        self._last: tuple[object, ...] = ()  # settings and frames dreamt at the last view that counted

    def add(self, view: DreamView) -> None:
        """Count one view; one whose past is true, or becomes true again, is no part of a rollout."""
        setting = (view.history, view.budget, view.steps, view.pose_from)
        expected = (*setting, view.blind - 1)
        self._last, last = (*setting, view.blind), self._last
        if view.history_from != "dream" or view.blind > LONGEST:
            self._last = ()
        elif view.blind == 1:
            self._rollouts.append({"psnr": [view.psnr], "ssim": [view.ssim]})
        elif last == expected:
            self._rollouts[-1]["psnr"].append(view.psnr)
            self._rollouts[-1]["ssim"].append(view.ssim)
        else:
            self._last = ()

    def summary(self) -> dict[str, Any] | None:
        """Means by segment over the longest rollouts; None where none filled a segment.

        ``segments``, ``psnr`` (dB) and ``ssim`` of each, ``percent`` of the first segment's, ``decay`` of PSNR (dB,
        its largest fall below the first segment), ``n`` rollouts: of all that reached as far as the longest one.
        """
        reached = [len(r["psnr"]) // SEGMENT for r in self._rollouts]
        most = max(reached, default=0)
        if not most:
            return None
        whole = [r for r, n in zip(self._rollouts, reached, strict=True) if n == most]
        found: dict[str, Any] = {"segments": list(names(most * SEGMENT)), "n": len(whole), "percent": {}}
        for metric in ("psnr", "ssim"):
            means = np.mean([by_segment(r[metric][: most * SEGMENT]) for r in whole], axis=0)
            found[metric] = [round(float(m), 4) for m in means]
            if means[0] > 0:
                found["percent"][metric] = [round(float(p), 2) for p in normalised(means)]
            if metric == "psnr":
                found["decay"] = round(float(maximum_decay(means)), 4)
        return found
