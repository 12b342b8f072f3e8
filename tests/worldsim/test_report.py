"""The report of a run."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.worldsim.small_world import Drum, LastFrameDream, act
from worldsim.report import Report
from worldsim.session import Session


def _report(yaws: list[float]) -> tuple[Report, list[float]]:
    session, report = Session(Drum(), {"memory": LastFrameDream()}), Report({"env": "minecraft"})
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


def test_the_report_is_one_json_object_and_the_table_is_short(tmp_path: Path) -> None:
    report, _ = _report([5] * 5)
    report.write(tmp_path / "r.json")
    assert json.loads((tmp_path / "r.json").read_text())["env"] == "minecraft"
    assert len(report.table().splitlines()) == 3


def test_a_report_of_no_step_has_no_numbers() -> None:
    report = Report({})
    assert report.as_dict()["fps"] == {"median": None, "p1": None}
    assert report.as_dict()["dreams"] == {}
