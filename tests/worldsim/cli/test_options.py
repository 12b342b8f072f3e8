"""A report and a video take the place of nothing that is no report and no video."""

from __future__ import annotations

from pathlib import Path

import pytest

from worldsim.cli.options import OptionError, parse


@pytest.mark.parametrize(
    ("option", "name", "ending"),
    [
        ("--report", "episode.zip", ".json"),
        ("--report", "model.safetensors", ".json"),
        ("--report", "v.mp4", ".json"),
        ("--video", "episode.zip", ".mp4"),
        ("--video", "v", ".mp4"),
    ],
)
def test_an_output_with_another_ending_is_refused(
    option: str, name: str, ending: str, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match=f"expected a file that ends in \\{ending}$"):
        parse(["--env", "dmlab", "--headless", option, str(tmp_path / name)])


def test_a_report_and_a_video_are_named_by_their_endings(tmp_path: Path) -> None:
    files = ["--report", str(tmp_path / "r.JSON"), "--video", str(tmp_path / "v.mp4")]
    options = parse(["--env", "dmlab", "--headless", *files])
    assert options.report == tmp_path / "r.JSON" and options.video == tmp_path / "v.mp4"
