"""Videos of a session."""

from pathlib import Path

import av
import pytest

from tests.helpers.small_world import Drum, LastFrameDream, act
from worldsim.session.session import Session
from worldsim.session.sinks.video import VideoWriter
from worldsim.session.sinks.video_encoder import compose
from worldsim.session.tick import Tick


def _ticks(count: int) -> list[Tick]:
    session = Session(Drum(), {"memory": LastFrameDream(), "forgetful": LastFrameDream()})
    return [session.reset(), *(session.step(act(yaw=5)) for _ in range(count - 1))]


def test_every_tick_is_one_frame_at_the_pace_asked_for(tmp_path: Path) -> None:
    video = VideoWriter(tmp_path / "v.mp4", fps=15)
    for tick in _ticks(7):
        video.add(tick)
    video.close()
    with av.open(str(tmp_path / "v.mp4")) as found:
        assert found.streams.video[0].average_rate == 15
        assert found.streams.video[0].codec_context.pix_fmt == "yuv420p"
        assert sum(1 for _ in found.decode(video=0)) == 7


def test_the_panes_show_the_frames_side_by_side_and_the_sides_are_even() -> None:
    tick = _ticks(2)[-1]
    picture = compose(tick, ["memory", "forgetful"])
    assert all(side % 2 == 0 for side in picture.shape[:2])
    assert (picture[26:346:5, 12:332:5] == tick.true_frame).all()
    assert (picture[26:346:5, 344:664:5] == tick.dreams["memory"].frame).all()


def test_a_twin_that_is_gone_leaves_its_pane_dark() -> None:
    session = Session(Drum(), {"memory": LastFrameDream()})
    picture = compose(session.reset(), ["memory", "forgetful"])
    assert picture[30:340, 680:990].max() < 30


def test_a_video_without_a_frame_leaves_no_file(tmp_path: Path) -> None:
    VideoWriter(tmp_path / "v.mp4", fps=15).close()
    assert not (tmp_path / "v.mp4").exists()


def test_where_nothing_can_be_written_it_says_so_at_once(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing"):
        VideoWriter(tmp_path / "missing" / "v.mp4", fps=15)


def test_an_encoder_that_ends_early_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    video = VideoWriter(tmp_path / "v.mp4", fps=15)
    video._process.kill()
    with pytest.raises(OSError, match="could not be written") as told:
        for tick in _ticks(30):
            video.add(tick)
        video.close()
    assert told.value.filename == str(tmp_path / "v.mp4")


def test_what_the_encoder_tells_is_told(tmp_path: Path) -> None:
    video = VideoWriter(tmp_path / "v.mp4", fps=15)
    (tmp_path / "v.mp4").unlink()
    (tmp_path / "v.mp4").mkdir()
    with pytest.raises(IsADirectoryError):
        for tick in _ticks(30):
            video.add(tick)
        video.close()
