"""One true world and its dreams in lockstep."""

import time
from typing import Any

import numpy as np
import pytest

from tests.helpers.small_world import Drum, LastFrameDream, NoteRecorder, act
from worldsim.session.dreams import NO_DREAM
from worldsim.session.session import Session
from worldsim.session.tick import Tick


def _session(dream: LastFrameDream | None = None, env: Drum | None = None, **options: Any) -> Session:
    return Session(env or Drum(), {"memory": dream or LastFrameDream()}, **options)


def _corrections(dream: LastFrameDream) -> list[tuple[int, Any]]:
    """(dreamt frames before it, what was corrected) of every correction."""
    steps, found = 0, []
    for name, what in dream.calls:
        steps += name == "step"
        if name == "correct":
            found.append((steps, what))
    return found


def _notices(session: Session) -> list[str]:
    found = []
    while not session.controls.notices.empty():
        found.append(session.controls.notices.get())
    return found


def test_the_first_tick_is_true_context_and_has_no_action() -> None:
    tick = _session().reset(seed=3)
    assert tick.index == 0
    assert tick.action is None
    assert tick.dreams["memory"].blind == 0


def test_a_tick_scores_the_dream_against_the_true_frame_of_the_same_step() -> None:
    session = _session()
    session.reset(seed=3)
    still, turned = session.step(act()), session.step(act(yaw=90))
    assert still.dreams["memory"].ssim == pytest.approx(1.0)
    assert still.dreams["memory"].band == "same"
    assert turned.dreams["memory"].ssim < 0.4
    assert turned.index == 2
    assert np.array_equal(turned.dreams["memory"].frame, still.true_frame)


def test_a_revisit_says_whether_the_dream_retrieved_it() -> None:
    session = _session()
    session.reset(seed=3)
    session.step(act(yaw=90))
    tick = session.step(act(yaw=-90))
    assert tick.revisit is not None
    assert tick.revisit.age == 2
    assert tick.dreams["memory"].retrieved is True  # this dream never left the view


def test_history_from_dream_never_looks_at_the_truth() -> None:
    dream = LastFrameDream()
    session = _session(dream, history_from="dream")
    session.reset()
    ticks = [session.step(act(yaw=5)) for _ in range(40)]
    assert _corrections(dream) == []
    assert ticks[-1].dreams["memory"].blind == 40


def test_history_from_true_replaces_the_past_at_every_16th_frame() -> None:
    dream = LastFrameDream()
    session = _session(dream, history_from="true")
    session.reset()
    ticks = [session.step(act(yaw=5)) for _ in range(40)]
    assert _corrections(dream) == [(16, (16, None)), (32, (16, None))]
    assert [t.dreams["memory"].blind for t in ticks] == [*range(1, 17), *range(1, 17), *range(1, 9)]
    assert np.array_equal(ticks[16].dreams["memory"].frame, ticks[15].true_frame)


def test_blind_from_now_makes_the_past_true_and_the_next_16_frames_blind() -> None:
    dream = LastFrameDream()
    session = _session(dream, history_from="true")
    session.reset()
    for _ in range(10):
        session.step(act(yaw=5))
    session.controls.blind_from_now()
    ticks = [session.step(act(yaw=5)) for _ in range(17)]
    assert _corrections(dream) == [(10, (10, None)), (26, (16, None))]
    assert [t.dreams["memory"].blind for t in ticks] == [*range(1, 17), 1]


def test_what_is_done_between_steps_is_what_the_next_would_begin_with() -> None:
    """The same corrections before the same frames, whoever has time for them; asking twice does nothing twice."""

    def played(prepare: bool) -> tuple[list[Any], list[Tick]]:
        dream = LastFrameDream()
        session = _session(dream, history_from="true")
        ticks = [session.reset()]
        for i in range(40):
            if prepare:
                session.prepare()
                session.prepare()
            if i == 21:
                session.controls.blind_from_now()
            ticks.append(session.step(act(yaw=5)))
        return _corrections(dream), ticks

    (corrected, ticks), (expected, others) = played(True), played(False)
    assert corrected == expected == [(16, (16, None)), (21, (5, None)), (37, (16, None))]
    assert [t.dreams["memory"].blind for t in ticks] == [t.dreams["memory"].blind for t in others]
    assert all(
        np.array_equal(a.dreams["memory"].frame, b.dreams["memory"].frame)
        for a, b in zip(ticks, others, strict=True)
    )


def test_the_next_tick_counts_what_was_done_for_it_before(monkeypatch: pytest.MonkeyPatch) -> None:
    dream = LastFrameDream()
    session = _session(dream)
    session.reset()
    monkeypatch.setattr(dream, "prepare", lambda: time.sleep(0.05), raising=False)
    session.prepare()
    first, second = session.step(act()), session.step(act())
    assert first.dreams["memory"].step_ms >= 50 and first.total_ms >= 50
    assert second.dreams["memory"].step_ms < 50


@pytest.mark.parametrize("pose_from", ["dream", "none"])
def test_a_dream_with_its_own_pose_is_never_told_the_true_one(pose_from: str) -> None:
    dream = LastFrameDream(pose_from)
    session = _session(dream, history_from="true")
    session.reset()
    for _ in range(20):
        session.step(act(yaw=5))
    assert not [c for c in dream.calls if c[0] == "set_true_pose"]
    assert dream.calls[0] == ("reset", {"frames": (1, 64, 64, 3), "actions": (0, 20)})


def test_a_dream_with_the_true_pose_is_guided_at_every_step_and_in_its_context() -> None:
    dream = LastFrameDream("true")
    session = _session(dream, history_from="true")
    session.reset()
    for _ in range(17):
        session.step(act(yaw=5))
    assert dream.calls[0][1]["poses"] == (1, 5)
    assert [c[1][3] for c in dream.calls if c[0] == "set_true_pose"][:3] == [5, 10, 15]
    assert _corrections(dream) == [(16, (16, 16))]


def test_restart_gives_the_dreams_the_last_112_true_frames_and_the_actions_between_them() -> None:
    dream = LastFrameDream()
    session = _session(dream)
    session.reset()
    for _ in range(150):
        session.step(act(yaw=3))
    session.controls.restart_dreams()
    tick = session.step(act())
    assert ("reset", {"frames": (112, 64, 64, 3), "actions": (111, 20)}) in dream.calls
    assert tick.dreams["memory"].blind == 1
    assert tick.dreams["memory"].ssim == pytest.approx(1.0)


def test_the_forgetful_twin_comes_and_goes_and_keeps_the_shortest_history() -> None:
    session = _session(twin=LastFrameDream)
    session.reset()
    session.step(act(yaw=30))
    session.controls.set_compare(True)
    session.controls.set_history(48)
    both = session.step(act())
    assert list(both.dreams) == ["memory", "forgetful"]
    assert [v.history for v in both.dreams.values()] == [48, 8]
    assert [v.blind for v in both.dreams.values()] == [1, 1]  # an honest comparison: one context for both
    session.controls.toggle_compare()
    assert list(session.step(act()).dreams) == ["memory"]


def test_a_session_without_a_twin_says_so() -> None:
    session = _session()
    session.reset()
    session.controls.set_compare(True)
    session.apply()
    assert "no forgetful twin" in _notices(session)[0]


def test_a_dream_of_one_history_has_no_twin_and_says_so() -> None:
    class OneHistory(LastFrameDream):
        histories = (8,)

    session = _session(OneHistory(), twin=OneHistory)
    session.reset()
    session.controls.set_compare(True)
    assert list(session.step(act()).dreams) == ["memory"]
    assert "one history, 8 frames" in _notices(session)[0]


def test_dials_turn_by_one_choice_and_stop_at_the_ends() -> None:
    dream = LastFrameDream()
    session = _session(dream)
    session.reset()
    session.controls.turn("history", -1)
    session.controls.turn("budget", +1)
    session.controls.turn("denoising_steps", +1)
    view = session.step(act()).dreams["memory"]
    assert (view.history, view.budget, view.steps) == (48, 48, 3)


def test_what_is_asked_for_happens_between_ticks() -> None:
    dream = LastFrameDream()
    session = _session(dream)
    session.reset()
    session.controls.set_budget(8)
    assert dream.budget == 48
    assert session.step(act()).dreams["memory"].budget == 8


def test_recording_starts_and_stops_and_a_failure_is_told_and_not_raised() -> None:
    session = _session(recorder=NoteRecorder())
    session.reset()
    session.controls.toggle_recording()
    assert session.step(act()).recording
    session.controls.toggle_recording()
    assert not session.step(act()).recording
    assert _notices(session) == ["recording", "recorded episode.zip"]

    refused = _session(recorder=NoteRecorder(refuses=True))
    refused.reset()
    refused.controls.toggle_recording()
    assert not refused.step(act()).recording
    assert _notices(refused) == ["no permission to write there"]


def test_after_the_end_of_an_episode_the_next_step_begins_a_new_one() -> None:
    session = _session(env=Drum(max_steps=2))
    session.reset(seed=1)
    ticks: list[Tick] = [session.step(act(yaw=5)) for _ in range(4)]
    assert [t.index for t in ticks] == [1, 2, 0, 1]
    assert ticks[2].action is None


def test_closing_the_session_closes_the_world() -> None:
    env = Drum()
    _session(env=env).close()
    assert env.closed


def test_without_a_dream_the_true_world_plays_and_every_dial_says_so() -> None:
    session = Session(Drum(), {})
    session.reset(seed=0)
    for ask in (
        session.controls.toggle_compare,
        session.controls.toggle_history_from,
        session.controls.restart_dreams,
    ):
        ask()
    session.controls.turn("budget", 1)
    tick = session.step(act(3.0))
    assert tick.index == 1 and tick.dreams == {}
    told = [session.controls.notices.get_nowait() for _ in range(4)]
    assert set(told) == {NO_DREAM} and session.controls.notices.empty()


@pytest.mark.parametrize(("source", "told"), [("true", 5), ("dream", 0)])
def test_a_dream_is_told_ahead_which_true_frames_a_correction_will_bring(source: Any, told: int) -> None:
    expected = []

    class Expecting(LastFrameDream):
        def prefetch(self, frame: np.ndarray) -> None:
            expected.append(frame)

    session = _session(Expecting(), history_from=source)
    session.reset()
    ticks = [session.step(act(yaw=5)) for _ in range(5)]
    assert [f.tobytes() for f in expected] == [t.true_frame.tobytes() for t in ticks[:told]]
