"""What a player far away may ask of a session, by commands alone."""

import threading
from typing import Any

from tests.helpers.small_world import Drum, LastFrameDream, NoteRecorder, act
from worldsim.session.session import Session


def _notices(session: Session) -> list[str]:
    found = []
    while not session.controls.notices.empty():
        found.append(session.controls.notices.get())
    return found


def test_every_setting_of_a_session_can_be_set_from_another_thread() -> None:
    session = Session(Drum(), {"memory": LastFrameDream()}, twin=LastFrameDream, recorder=NoteRecorder())
    session.reset(seed=0)

    def ask() -> None:
        controls = session.controls
        controls.set_compare(True)
        controls.set_history(16)
        controls.set_budget(8)
        controls.set_denoising_steps(99)
        controls.set_pose_from("true")
        controls.set_history_from("true")
        controls.toggle_recording()

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    tick = session.step(act())
    view, twin = tick.dreams["memory"], tick.dreams["forgetful"]
    assert (view.history, view.budget, view.steps, view.pose_from) == (16, 8, 8, "true")
    assert (twin.history, twin.budget, twin.steps, twin.pose_from) == (8, 8, 8, "true")
    assert view.history_from == "true" and tick.recording
    assert len(_notices(session)) == 7


def test_what_a_dream_does_not_have_is_told_and_changes_nothing() -> None:
    class Refusing(LastFrameDream):
        def __setattr__(self, name: str, value: Any) -> None:
            if name == "history" and value == 13:
                raise ValueError("history: expected 8 to 112 frames, found 13")
            super().__setattr__(name, value)

    session = Session(Drum(), {"memory": Refusing()})
    session.reset(seed=0)
    session.controls.set_history(13)
    assert session.step(act()).dreams["memory"].history == 112
    assert _notices(session) == ["history: expected 8 to 112 frames, found 13"]


def test_a_setting_of_a_session_without_a_dream_says_so() -> None:
    session = Session(Drum(), {})
    session.reset(seed=0)
    session.controls.set_budget(8)
    session.apply()
    assert "no dream plays here" in _notices(session)[0]
