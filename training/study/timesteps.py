"""Figures 10 and 16: rollouts by each of the four timestep sets, beside the order predicted without a rollout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from training.study.claims import LEAST, unjudged
from training.study.resample import jackknife
from training.study.rows import FIGURE_10
from training.study.scores import Record, lfd_by_segment
from worldsim.metrics.bootstrap import interval
from worldsim.metrics.theory.error_budget import LossCurve, score_loss
from worldsim.metrics.theory.timestep_sets import NAMES, End, predict

ROW = dict(zip(NAMES, (row.name for row in FIGURE_10), strict=True))
PAIRS = (("a,1", "a,2"), ("b,1", "b,2"))
LOSSES = ("velocity", "score")
ENDS: tuple[End, ...] = ("noisy", "clean")


def predictions(losses: Mapping[str, Any], calls: int) -> list[dict[str, Any]]:
    """SEE of every set (Eqn. 10) and their order, from slowest degradation; nothing is rolled out.

    ``velocity`` is what the network is trained on, as the paper takes its pretraining error: x0's error over t^2.
    ``score`` is the theorem's. Each is read at the noisy end of an interval, which is Assumption 3, and at the clean
    end, which gives the order of the paper's figure (:func:`worldsim.metrics.theory.timestep_sets.predict`).

    Args:
        losses: what :func:`training.study.losses.by_level` found. calls: network calls a frame, the intervals.
    """
    t, x0 = np.array(losses["levels"]), np.array(losses["x0"]) * losses["values"]
    curves = {"velocity": x0 / t**2, "score": score_loss(x0, 1 - t, t)}
    found = []
    for loss in LOSSES:
        curve = LossCurve(tuple(t), tuple(float(x) for x in curves[loss]))
        for end in ENDS:
            prediction = predict(curve, calls + 1, end=end)
            see = {name: round(x, 1) for name, x in prediction.see.items()}
            found.append({"loss": loss, "end": end, "see": see, "order": list(prediction.order)})
    return found


def degradation(records: Mapping[str, Sequence[Record]]) -> dict[str, Any]:
    """Mean LFD of frames over all segments of every set with its interval, and the order from the least.

    Args:
        records: of each set's rollouts, by the set's name; sets that were not played are missing.
    """
    found = {name: jackknife(some, lambda r, n=name: _lfd(r, n)) for name, some in records.items() if some}  # type: ignore[misc]
    return {"lfd": found, "order": sorted(found, key=lambda name: cast(float, found[name]["mean"]))}


def claims(records: Mapping[str, Sequence[Record]], seed: int) -> list[dict[str, Any]]:
    """(\\*,1) less (\\*,2), paired over the episodes of both: what the paper's figures show is (\\*,1) ahead."""
    found = []
    for first, second in PAIRS:
        other = {r["header"]["episode"]: r for r in records.get(second, ())}
        both = [
            (r, other[r["header"]["episode"]])
            for r in records.get(first, ())
            if r["header"]["episode"] in other
        ]
        if not both:
            continue
        apart = jackknife(both, lambda some, p=(first, second): _lfd_apart(some, p))  # type: ignore[misc]
        psnr = interval([_psnr_apart(*pair, (first, second)) for pair in both], seed)
        for metric, difference, sign in (("lfd_frames", apart, -1), ("psnr", psnr, 1)):
            found.append(
                {
                    "claim": f"({first}) degrades less than ({second})",
                    "rows": [ROW[first], ROW[second]],
                    "metric": metric,
                    "difference": difference,
                    "verdict": _verdict(difference, sign),
                }
            )
    return found


def _lfd(records: Sequence[Record], name: str) -> float:
    return float(np.mean(lfd_by_segment(records, ROW[name], "frames")))


def _lfd_apart(pairs: Sequence[tuple[Record, Record]], names: tuple[str, str]) -> float:
    return _lfd([a for a, _ in pairs], names[0]) - _lfd([b for _, b in pairs], names[1])


def _psnr_apart(a: Record, b: Record, names: tuple[str, str]) -> list[float]:
    """Difference in the mean PSNR of the rollout, seed by seed."""
    runs, others = a["rows"][ROW[names[0]]], b["rows"][ROW[names[1]]]
    return [float(np.mean(runs[s]["psnr"]) - np.mean(others[s]["psnr"])) for s in runs]


def _verdict(difference: dict[str, Any], better: int) -> str:
    if difference["episodes"] < LEAST:
        return unjudged(difference)
    low, high = sorted((better * difference["low"], better * difference["high"]))
    return "shown" if low > 0 else "contradicted" if high < 0 else "not told apart"
