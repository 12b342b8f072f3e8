"""The files of bookmarks: each is one session's alone."""

from __future__ import annotations

import time
from pathlib import Path

from tests.helpers.small_world import Drum
from worldsim.session import snapshot
from worldsim.session.session import Session


def test_sessions_at_one_frame_in_one_second_keep_a_file_each(tmp_path: Path) -> None:
    sessions = [Session(Drum(), {}, bookmarks=tmp_path) for _ in range(4)]
    for seed, session in enumerate(sessions):
        session.reset(seed=seed)
        session.controls.place_bookmark()
    while time.time() % 1 > 0.7:  # their names tell the second
        time.sleep(0.01)
    for session in sessions:
        session.apply()
    kept = set()
    for seed, session in enumerate(sessions):
        assert session.bookmarks is not None
        session.bookmarks.wait()
        notices = [session.controls.notices.get_nowait() for _ in range(2)]
        (path,) = (Path(notice[5:]) for notice in notices if notice.startswith("kept "))
        assert snapshot.read(path).tree["seed"] == seed
        kept.add(path)
    assert len(kept) == 4 and set(tmp_path.iterdir()) == kept
