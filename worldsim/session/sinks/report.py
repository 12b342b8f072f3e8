"""The report of a run: a sink of ticks that ends as one JSON object and as a short table."""

from __future__ import annotations

import json
from array import array
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.metrics.retrieval import RANGE_NAMES, Tally
from worldsim.session.sinks.degradation import RolloutScores
from worldsim.session.sinks.lpips_sample import Distance, LpipsSample
from worldsim.session.tick import DreamView, Tick


class Report:
    """Collects ticks; ``as_dict`` is the report.

    Args:
        about: what the ticks can not know: env, backend, seed, device, threads, dtype, checkpoint, ...
        lpips: LPIPS, if it is wanted: of a sample of the frames, computed when the report is.

    ``fps`` is taken from one tick's beginning to the next one's, so it holds everything that was done in
    between (policy, video, recording); ``step_ms`` is the session's step alone: world, dreams and scores.
    Frames of true context (tick 0) are counted in neither and are not scored.
    """

    def __init__(self, about: dict[str, Any], lpips: Distance | None = None) -> None:
        self.about = about
        self._distance = lpips
        self._lpips: dict[str, LpipsSample] = {}
        self._step_ms, self._between_s = array("d"), array("d")
        self._last_start: float | None = None
        self._ssim: dict[str, array[float]] = defaultdict(lambda: array("d"))
        self._psnr: dict[str, array[float]] = defaultdict(lambda: array("d"))
        self._tallies: dict[str, Tally] = defaultdict(Tally)
        self._rollouts: dict[str, RolloutScores] = defaultdict(RolloutScores)
        self._views: dict[str, DreamView] = {}

    def add(self, tick: Tick) -> None:
        """Count one tick."""
        if tick.action is None:
            self._last_start = None
            return
        if self._last_start is not None:
            self._between_s.append(tick.started - self._last_start)
        self._last_start = tick.started
        self._step_ms.append(tick.total_ms)
        for name, view in tick.dreams.items():
            self._views[name] = view
            self._ssim[name].append(view.ssim)
            self._psnr[name].append(view.psnr)
            self._rollouts[name].add(view)
            if self._distance is not None:
                self._lpips.setdefault(name, LpipsSample(self._distance)).add(tick.true_frame, view.frame)
            if tick.revisit is not None:
                self._tallies[name].add(tick.revisit.range, view.ssim, view.srr)

    @property
    def steps(self) -> int:
        """How many steps were counted."""
        return len(self._step_ms)

    def as_dict(self) -> dict[str, Any]:
        """The report, ready for JSON; numbers that no tick could give are None."""
        fps = 1 / np.array(self._between_s) if self._between_s else np.array([])
        return {
            **self.about,
            "steps": self.steps,
            "fps": {"median": _percentile(fps, 50), "p1": _percentile(fps, 1)},
            "step_ms": {f"p{p}": _percentile(self._step_ms, p) for p in (50, 95, 99)},
            "dreams": {name: self._dream(name, view) for name, view in self._views.items()},
        }

    def _dream(self, name: str, view: DreamView) -> dict[str, Any]:
        retrieval, degradation = self._tallies[name].summary(), self._rollouts[name].summary()
        lpips = {"lpips": self._lpips[name].summary()} if name in self._lpips else {}
        return {
            "history": view.history,
            "budget": view.budget,
            "denoising_steps": view.steps,
            "history_from": view.history_from,
            "pose_from": view.pose_from,
            "psnr": round(float(np.mean(self._psnr[name])), 2),
            "ssim": round(float(np.mean(self._ssim[name])), 4),
            **lpips,
            "retrieval": {r: {k: _round(v) for k, v in score.items()} for r, score in retrieval.items()},
        } | ({} if degradation is None else {"degradation": degradation})

    def write(self, path: Path) -> None:
        """Write the report as JSON, whole or not at all.

        Raises:
            OSError: it can not be written there.
        """
        text = json.dumps(self.as_dict(), indent=2) + "\n"
        if not path.is_file():  # a pipe, a device
            path.write_text(text)
            return
        new = path.with_name(f".{path.name}.new")
        try:
            new.write_text(text)
            new.replace(path)
        except OSError:
            new.unlink(missing_ok=True)
            raise

    def table(self) -> str:
        """The report for reading: one line a dream, then the speed."""
        report = self.as_dict()
        wide = (
            30 if any("srr" in s for d in report["dreams"].values() for s in d["retrieval"].values()) else 20
        )
        head = f"{'dream':<10} {'history':>7} {'past':>5} {'pose':>5} {'SSIM':>6} {'PSNR':>6}"
        lines = [head + "".join(f"  {'seen ' + r + ' ago':>{wide}}" for r in RANGE_NAMES)]
        for name, dream in report["dreams"].items():
            line = f"{name:<10} {dream['history']:>7} {dream['history_from']:>5} {dream['pose_from']:>5} "
            line += f"{dream['ssim']:>6.3f} {dream['psnr']:>6.2f}"
            for score in dream["retrieval"].values():
                text = f"{score['ssim']:.3f} (n={score['n']})" if score["n"] else "none (n=0)"
                if score.get("trials"):
                    text = f"{text}, SRR {score['srr']:.2f}"
                line += f"  {text:>{wide}}"
            lines.append(line)
        for name, dream in report["dreams"].items():
            if fall := dream.get("degradation"):
                scores = (f"{s} {p:.2f}" for s, p in zip(fall["segments"], fall["psnr"], strict=True))
                lines.append(
                    f"{name}, PSNR by frames since the last true one: {', '.join(scores)} (n={fall['n']})"
                )
            if distance := dream.get("lpips"):
                lines.append(f"{name}, LPIPS of {distance['n']} frames: {distance['mean']:.3f}")
        fps, ms = report["fps"], report["step_ms"]
        if fps["median"] is not None:
            lines.append(
                f"{report['steps']} steps, {fps['median']:.1f} frames/s (slowest percent {fps['p1']:.1f}), "
                f"{ms['p50']:.1f} ms a step"
            )
        return "\n".join(lines)


def _percentile(values: Any, percent: float) -> float | None:
    return round(float(np.percentile(values, percent)), 3) if len(values) else None


def _round(value: float | None) -> float | None:
    return round(value, 4) if isinstance(value, float) else value
