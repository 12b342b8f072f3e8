"""The scores of every row in every stretch, with what is left of them when one seed is left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.imagination.config import Config
from training.imagination.distances import Frechet, Neighbours, Score
from training.imagination.features import Features
from training.imagination.play import Frames
from worldsim.metrics.bootstrap import interval

Array = NDArray[np.float64]

HIGHER = {"fvd": False, "fd": False, "precision": True, "recall": True, "coverage": True}
"""The scores, and whether more of each is better: FVD of clips; Fréchet distance, precision, recall and coverage of
frames in EfficientNet's features."""


@dataclass
class Scored:
    """One score of one row: in every stretch and then of all of them together (S + 1,), and the same without each seed
    in turn (N, S + 1)."""

    values: Array
    without: Array

    def interval(self, of: Callable[[Array], float]) -> dict[str, Any]:
        """What ``of`` the stretches is, with a 95% interval over seeds.

        A distance is no mean of its seeds, so that its jackknife pseudo-values N v - (N - 1) v_without are drawn with
        replacement (:mod:`worldsim.metrics.bootstrap`) and their interval is laid around the value. The reference set
        stays as it is.
        """
        value, n = of(self.values), len(self.without)
        pseudo = [n * value - (n - 1) * of(row) for row in self.without]
        found = interval([[p] for p in pseudo])
        low, high = (value + found[end] - found["mean"] for end in ("low", "high"))
        return {"value": round(value, 4), "low": round(low, 4), "high": round(high, 4), "n": n}


Scores = dict[str, dict[str, Scored]]
"""By score and row."""


def scores(rows: dict[str, Frames], reference: Frames, features: Features, config: Config) -> Scores:
    """Every score of every row, walks (N, T, H, W, 3), against all stretches of the reference walks."""
    frames, clips = features.frames(reference), features.clips(reference)
    fd, fvd = Frechet(frames.reshape(-1, frames.shape[-1])), Frechet(clips.reshape(-1, clips.shape[-1]))
    near = Neighbours(frames.reshape(-1, frames.shape[-1]), _whose(frames), config.neighbours)
    found: Scores = {name: {} for name in HIGHER}
    for name, walks in rows.items():
        of_frames, of_clips = features.frames(walks), features.clips(walks)
        functions: dict[str, list[Score]] = {score: [] for score in HIGHER}
        for part in (*(slice(s, s + 1) for s in range(len(config.stretches))), slice(None)):
            pictures, moving = (x[:, part].reshape(-1, x.shape[-1]) for x in (of_frames, of_clips))
            precision, recall, coverage = near.of(pictures, _whose(of_frames[:, part]))
            for score, of in (
                ("fvd", fvd.of(moving)),
                ("fd", fd.of(pictures)),
                ("precision", precision),
                ("recall", recall),
                ("coverage", coverage),
            ):
                functions[score].append(of)
        for score, each in functions.items():
            count = config.clips_each if score == "fvd" else config.frames_each
            found[score][name] = _scored(each, len(walks), count)
    return found


def _whose(features: Array) -> NDArray[np.intp]:
    """Which walk each of features (n, ..., D) is of, flattened."""
    return np.repeat(np.arange(len(features)), int(np.prod(features.shape[1:-1])))


def _scored(functions: list[Score], n: int, each: int) -> Scored:
    """Scores by their functions, of ``each`` samples of n seeds in every stretch, the last of all stretches."""
    sizes = [each] * (len(functions) - 1) + [each * (len(functions) - 1)]
    whose = [np.repeat(np.arange(n), size) for size in sizes]
    pairs = list(zip(functions, whose, strict=True))
    return Scored(
        np.array([f(w >= 0) for f, w in pairs]), np.array([[f(w != i) for f, w in pairs] for i in range(n)])
    )


def worst(values: Array, higher: bool) -> float:
    """The worst stretch of (S + 1,), the last being all together."""
    return float(values[:-1].min() if higher else values[:-1].max())


def summary(score: str, rows: dict[str, Scored], config: Config) -> dict[str, Any]:
    """What is told of one score: each row by stretch, and with intervals ``all`` stretches as one set, their ``mean``,
    the ``worst`` of them and a ``ratio`` to other true worlds.

    ``ratio`` is the worst stretch of a row over the mean of other true worlds over the same stretches; that of the true
    worlds themselves says how far from 1 chance alone leads. Its interval leaves each seed out of both.
    """
    higher, names = HIGHER[score], [f"{a}-{b}" for a, b in config.stretches]
    true = rows["true"]
    statistics: dict[str, Any] = {}
    for name, row in rows.items():
        statistics[name] = {k: round(float(v), 4) for k, v in zip(names, row.values[:-1], strict=True)}
        statistics[name]["all"] = row.interval(lambda v: float(v[-1]))
        statistics[name]["mean"] = row.interval(lambda v: float(v[:-1].mean()))
        statistics[name]["worst"] = row.interval(lambda v: worst(v, higher)) | {
            "stretch": names[int((row.values if higher else -row.values)[:-1].argmin())]
        }
        both = Scored(
            np.concatenate([row.values, true.values]), np.concatenate([row.without, true.without], 1)
        )
        statistics[name]["ratio"] = both.interval(
            lambda v: _ratio(v[: len(v) // 2], v[len(v) // 2 :], higher)
        )
    return statistics


def _ratio(values: Array, true: Array, higher: bool) -> float:
    return worst(values, higher) / max(float(true[:-1].mean()), 1e-9)
