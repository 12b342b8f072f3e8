"""Reports print their numbers, end in one JSON line, and draw what they say they draw."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image

from training.report import levels
from training.report.__main__ import main
from worldsim.config import shipped
from worldsim.diffusion import methods
from worldsim.diffusion.schedules import path
from worldsim.metrics.theory.error_budget import Constants, method_budget


def report(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[str, dict[str, Any]]:
    assert main(list(words)) == 0
    printed = capsys.readouterr().out
    return printed, json.loads(printed.splitlines()[-1])


def test_a_video_becomes_a_moving_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with av.open(str(tmp_path / "v.mp4"), "w") as video:
        stream = video.add_stream("libx264", rate=10)
        stream.width, stream.height = 64, 32
        for i in range(20):
            frame = av.VideoFrame.from_ndarray(np.full((32, 64, 3), 12 * i, np.uint8), "rgb24")
            video.mux(stream.encode(frame))
        video.mux(stream.encode())
    out = tmp_path / "v.webp"
    _, found = report(
        capsys, "moving", f"video={tmp_path / 'v.mp4'}", f"out={out}", "seconds=1", "width=32", "fps=5"
    )
    with Image.open(out) as picture:
        assert getattr(picture, "n_frames", 1) == found["frames"] == 5
        assert picture.size == (32, 16)


@pytest.mark.parametrize("name", shipped.methods())
def test_every_preset_has_a_budget(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    printed, found = report(capsys, "theory", f"method={name}", "after=[2]")
    step = found["budget"]["one step"]
    assert found["budget"]["clip after 2 steps"]["total"] == pytest.approx(
        found["budget"]["initialisation"]["total"] + 2 * step["total"]
    )
    assert step["total"] == pytest.approx(step["nie"] + step["see"] + step["de"])
    assert all(word in printed for word in (name, "NIE", "SEE", "DE", "clip after 2 steps", "Requirement 1"))


@pytest.mark.parametrize("name", ["fifo", "outpainting", "ar_diffusion"])
def test_the_levels_are_drawn_where_they_lie(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every ring of L_in and every dot of L_out is at the height of its level."""
    file = tmp_path / "pictures" / f"{name}.png"
    report(capsys, "theory", f"method={name}", f"out={file}", "window=4", "shown=2")
    drawn = np.asarray(Image.open(file)).astype(int)
    schedule = methods.method(name, ["window=4"]).schedule
    across = (levels.WIDTH - 2 * levels.MARGIN) / (4 + schedule.stride)
    for k in range(2):
        bottom, height = 110 + k * levels.STEP_HEIGHT + levels.STEP_HEIGHT - 60, levels.STEP_HEIGHT - 60
        for i, level in enumerate(schedule.levels_out):
            x = levels.MARGIN + (k * schedule.stride + i + 0.5) * across
            y = bottom - height * level / 1.04
            assert np.abs(drawn[round(y), round(x)] - levels.BLUE).max() < 40


def test_words_of_the_method_reach_the_method(capsys: pytest.CaptureFixture[str]) -> None:
    _, found = report(capsys, "theory", "method=fifo", "window=4", "steps=3", "horizon=6", "dimension=10")
    expected = method_budget(methods.method("fifo", ["window=4", "steps=3"]), Constants(10, 6.0))
    assert found["budget"]["one step"]["de"] == pytest.approx(expected.step.de)
    assert found["budget"]["initialisation"]["nie"] == pytest.approx(expected.initial.nie)


def test_a_method_that_carries_nothing_over_has_no_initialisation() -> None:
    constants = Constants(10, 6.0)
    assert method_budget(methods.method("outpainting"), constants).initial.total == 0
    assert method_budget(methods.method("fifo"), constants).initial.total > 0


def test_a_loss_curve_orders_the_timestep_sets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "losses.json"
    file.write_text(json.dumps({"levels": [0.01, 0.1, 0.5, 1.0], "losses": [9.0, 4.0, 1.0, 0.5]}))
    printed, found = report(capsys, "theory", "method=gamengen", f"losses={file}")
    assert sorted(found["timestep_sets"]["order"]) == ["a,1", "a,2", "b,1", "b,2"]
    assert "from slowest degradation" in printed


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "expected a report of theory, convergence"),
        (["theories"], "found theories"),
        (["theory", "method=fifoo"], "did you mean 'fifo'"),
        (["theory", "method=fifo", "windw=3"], "did you mean 'window'"),
        (["theory", "method=fifo", "horizon=0"], "horizon above 0"),
        (["theory", "method=fifo", "losses=pyproject.toml"], "levels and losses"),
        (["theory", "method=fifo", "shown=0", "out=never.png"], "at least 1 autoregressive step"),
        (["convergence", "steps=[4]"], "at least 2 values"),
    ],
)
def test_a_mistake_is_one_sentence(
    words: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    told = capsys.readouterr().err
    assert expected in told and told.count("\n") == 1


@pytest.mark.parametrize("name", ["fifo", "outpainting", "ar_diffusion"])
def test_the_map_is_one_staircase(name: str) -> None:
    """A frame only ever falls, from noise to clean, and what a step leaves is what the next begins with."""
    chosen = methods.method(name, ["window=4", "steps=2"])
    schedule = chosen.schedule
    rows = levels.calls_map(schedule, path(schedule, chosen.steps), 3)
    assert rows.shape[1] == 4 + 2 * schedule.stride
    begun = ~rows.isnan()
    assert (begun[1:] >= begun[:-1]).all()  # no frame is lost
    falls = rows.nan_to_num(1.0)
    assert (falls[1:] <= falls[:-1] + 1e-6).all()
    assert torch.equal(rows[-1, : 3 * schedule.stride], torch.zeros(3 * schedule.stride))


def test_convergence_finds_the_slopes_of_the_bound(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "convergence.png"
    _, found = report(
        capsys, "convergence", f"out={file}", "steps=[64,128,256,512]", "horizons=[2,4,6,8]", "fine=0.05"
    )
    assert found["slopes"]["DE in log M"] == pytest.approx(-1, abs=0.06)
    assert found["slopes"]["sample in log M"] == pytest.approx(-2, abs=0.12)
    assert found["slopes"]["NIE in T"] == pytest.approx(-1, abs=0.02)
    assert Image.open(file).size == (1000, 460)
