"""What others recorded seldom fits to the last line: what fits is kept, and one file never costs another."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from envs.episodes.episode import Episode
from tests.training.convert.test_convert import _convert, _dmlab, _mp4, _ramp, _vpt

LINE = {"mouse": {"dx": 1.0, "dy": 0.0, "buttons": [], "newButtons": []}, "keyboard": {"keys": []}}
GOOD = json.dumps(LINE)


@pytest.mark.parametrize(
    ("lines", "frames"),
    [
        ([GOOD] * 5, 5),  # three lines missing
        ([GOOD] * 11, 8),  # three frames missing
        ([*[GOOD] * 7, '{"mouse": {"dx": 1.0, "d'], 7),  # a torn last line
        ([*[GOOD] * 7, "null"], 7),
        ([json.dumps({**LINE, "mouse": None}), *[GOOD] * 7], 7),
    ],
)
def test_of_lines_and_frames_that_do_not_match_what_fits_is_kept(
    tmp_path: Path, lines: list[str], frames: int
) -> None:
    _vpt(tmp_path / "src", count=8)
    (tmp_path / "src" / "play.jsonl").write_text("\n".join(lines))
    assert _convert(tmp_path / "src", tmp_path / "out", "--from", "vpt") == 0
    assert len(Episode(tmp_path / "out" / "play.zip")) == frames


def test_a_file_that_is_only_menus_and_a_web_page_are_skipped_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _vpt(tmp_path / "src")
    for name in ("menus", "page"):
        _mp4(tmp_path / "src" / f"{name}.mp4", _ramp(6, 36, 64))
        (tmp_path / "src" / f"{name}.jsonl").write_text(
            "\n".join([json.dumps({**LINE, "isGuiOpen": True})] * 6)
        )
    (tmp_path / "src" / "page.mp4").write_text("<?xml?><Error><Code>BlobNotFound</Code></Error>")
    assert _convert(tmp_path / "src", tmp_path / "out", "--from", "vpt") == 0
    told = capsys.readouterr()
    assert "1 converted, 0 were there already, 2 bad" in told.out
    assert "menus.mp4: nothing in it is play" in told.err and "page.mp4: the video cannot be read" in told.err


def test_sources_of_one_name_and_of_long_names_are_all_converted(tmp_path: Path) -> None:
    long = tmp_path / "src" / ("d" * 120)
    _dmlab(tmp_path / "src", [0, 1, 2], "a-b")  # train/a-b.npz
    _dmlab(tmp_path / "src" / "train", [0, 1, 2], "x")
    (tmp_path / "src" / "train" / "train" / "x.npz").rename(tmp_path / "src" / "train" / "train" / "b.npz")
    (tmp_path / "src" / "train" / "train").rename(tmp_path / "src" / "train" / "a")  # train/a/b.npz
    _dmlab(long, [0, 1, 2], "e" * 120)
    for told in (3, 3):  # and again
        assert _convert(tmp_path / "src", tmp_path / "out", "--from", "teco_dmlab") == 0
        assert len(list((tmp_path / "out").glob("*.zip"))) == told


def test_a_file_that_says_to_hold_more_than_memory_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("training.convert.recording.FRAMES_BYTES", 5 * 64 * 64 * 3)
    _dmlab(tmp_path / "src", [0, 1, 2, 0, 1, 2], "long")
    _dmlab(tmp_path / "src", [0, 1, 2], "short")
    np.savez(
        tmp_path / "src" / "train" / "object.npz", video=np.array([{}], object), actions=np.zeros(1, int)
    )
    assert _convert(tmp_path / "src", tmp_path / "out", "--from", "teco_dmlab") == 0
    assert [p.name for p in (tmp_path / "out").glob("*.zip")] == ["train-short.zip"]
    assert "choose a smaller --size" in capsys.readouterr().err
