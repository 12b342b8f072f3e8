"""The report of a run."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.small_world import Drum, LastFrameDream, act
from worldsim.session.session import Session
from worldsim.session.sinks.degradation import RolloutScores
from worldsim.session.sinks.lpips_sample import LpipsSample
from worldsim.session.sinks.report import Report


def _report(yaws: list[float], lpips: Any = None, **options: Any) -> tuple[Report, list[float]]:
    session = Session(Drum(), {"memory": LastFrameDream()}, **options)
    report = Report({"env": "minecraft"}, lpips)
    ticks = [session.reset(seed=2), *(session.step(act(yaw=yaw)) for yaw in yaws)]
    for tick in ticks:
        report.add(tick)
    return report, [t.dreams["memory"].ssim for t in ticks[1:]]


def test_means_are_over_dreamt_frames_only() -> None:
    report, scores = _report([90, 90, 90])
    assert report.steps == 3
    assert report.as_dict()["dreams"]["memory"]["ssim"] == pytest.approx(np.mean(scores), abs=1e-4)


def test_revisits_are_counted_by_age() -> None:
    report, scores = _report([60, *[1.0] * 20, -80])
    retrieval = report.as_dict()["dreams"]["memory"]["retrieval"]
    assert retrieval["0-16"] == {"ssim": None, "n": 0}
    assert retrieval["16-48"] == {"ssim": pytest.approx(scores[-1], abs=1e-4), "n": 1}


def test_a_dream_left_to_its_own_past_is_scored_by_segments_of_16_frames() -> None:
    report, scores = _report([3.0] * 40)
    found = report.as_dict()["dreams"]["memory"]["degradation"]
    assert found["segments"] == ["0-16", "16-32"]
    assert found["ssim"] == pytest.approx([np.mean(scores[:16]), np.mean(scores[16:32])], abs=1e-4)
    assert found["percent"]["ssim"][1] == pytest.approx(100 * found["ssim"][1] / found["ssim"][0], abs=0.1)
    assert found["decay"] == pytest.approx(found["psnr"][0] - found["psnr"][1], abs=1e-3)
    assert "PSNR by frames since the last true one" in report.table()


def test_a_past_that_becomes_true_again_is_no_rollout() -> None:
    report, _ = _report([3.0] * 40, history_from="true")
    assert "degradation" not in report.as_dict()["dreams"]["memory"]


def test_turning_a_dial_ends_a_rollout_and_only_the_longest_count() -> None:
    session, scores = Session(Drum(), {"memory": LastFrameDream()}), RolloutScores()
    session.reset()
    for i in range(60):
        if i == 20:
            session.controls.set_budget(8)
        if i == 24:
            session.controls.restart_dreams()
        scores.add(session.step(act(yaw=3)).dreams["memory"])
    found = scores.summary()
    assert found is not None and found["segments"] == ["0-16", "16-32"] and found["n"] == 1


def test_the_report_is_one_json_object_and_the_table_is_short(tmp_path: Path) -> None:
    report, _ = _report([5] * 5)
    report.write(tmp_path / "r.json")
    assert json.loads((tmp_path / "r.json").read_text())["env"] == "minecraft"
    assert len(report.table().splitlines()) == 3


def test_a_report_of_no_step_has_no_numbers() -> None:
    report = Report({})
    assert report.as_dict()["fps"] == {"median": None, "p1": None}
    assert report.as_dict()["dreams"] == {}


def _apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Stands for LPIPS: the mean difference of each pair."""
    return np.abs(a.astype(float) - b).mean((1, 2, 3))


def test_lpips_is_in_the_report_where_it_is_asked_for() -> None:
    report, _ = _report([30, 60, 90], lpips=_apart)
    found = report.as_dict()["dreams"]["memory"]["lpips"]
    assert found["n"] == 3 and found["mean"] > 0
    assert f"memory, LPIPS of 3 frames: {found['mean']:.3f}" in report.table()
    assert "lpips" not in _report([30, 60, 90])[0].as_dict()["dreams"]["memory"]


def test_lpips_is_computed_when_the_run_is_over_and_once() -> None:
    asked: list[int] = []
    report, _ = _report([30, 60], lpips=lambda a, b: (asked.append(len(a)), _apart(a, b))[1])
    assert not asked
    assert report.as_dict() == report.as_dict() and sum(asked) == 2


def test_a_long_run_keeps_frames_from_all_of_it_and_no_more_than_it_may() -> None:
    sample = LpipsSample(_apart, frames=8)
    frames = np.arange(100, dtype=np.uint8)[:, None, None, None].repeat(3, 3)
    for frame in frames:
        sample.add(frame, np.zeros_like(frame))
    kept = range(0, 100, 16)  # 1 in 2, in 4, in 8, in 16
    assert sample.summary() == {"mean": pytest.approx(np.mean(kept)), "n": len(kept)}
