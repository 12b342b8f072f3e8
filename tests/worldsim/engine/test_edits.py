"""What is dug is forgotten, in every frame that showed it; what is put down is drawn once, before all that is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.worldsim.engine.walls import FOV, HERE, SIDE, wall
from worldsim.config import EditConfig
from worldsim.engine.edits import BEHIND, RADIUS, Edit, edit_marks, edits_of, forgotten, pressed
from worldsim.engine.evidence import GENERATED, TRUE, Evidence
from worldsim.engine.past import DreamPast
from worldsim.engine.pixel_recall import COPIED, depths_for_recall
from worldsim.engine.provenance import look_up
from worldsim.models.geometry import cell_rays

KEYS = EditConfig(keys=[1, 3], reach=4.5)
DIG, PLACE, NOTHING = (np.array(a, float) for a in ([0, 1, 1, 0], [0, 0, 0, 1], [1, 0, 1, 0]))
REACH = 0.7
RAYS = cell_rays(SIDE, SIDE, FOV).numpy()


@pytest.fixture(scope="module")
def draw() -> Evidence:
    return Evidence(SIDE, FOV, 1.0)


def _edits(action: np.ndarray, ahead: float = 2.0, after: list[float] = HERE) -> list[Edit]:
    return edits_of(KEYS, pressed(KEYS, action, 0, {}), HERE, after, wall(ahead), REACH, 1.0)


def test_what_the_eye_points_at_is_dug_behind_its_face_and_put_down_before_it() -> None:
    (dug,), (placed,) = _edits(DIG), _edits(PLACE)
    assert dug.middle == pytest.approx((0, 0, 2 + BEHIND), abs=0.01) and dug.kind == "dig"
    assert placed.middle[2] < 2 and placed.kind == "place"


def test_the_camera_turns_first() -> None:
    (edit,) = _edits(DIG, after=[0.0, 0, 0, 20.0, 0])
    away = 2 / np.cos(np.radians(20)) + BEHIND
    expected = (-np.sin(np.radians(20)) * away, 0, np.cos(np.radians(20)) * away)
    assert edit.middle == pytest.approx(expected, abs=0.05)


def test_nothing_is_dug_by_another_key_out_of_reach_or_out_of_sight() -> None:
    assert not _edits(NOTHING) and not _edits(DIG, ahead=5.0)
    assert not _edits(DIG, after=[0.0, 0, 0, 50.0, 0]) and not _edits(DIG, after=[0.0, 0, 0, 180.0, 0])


def test_a_key_that_is_held_rests_between_two_edits() -> None:
    before: dict[str, list[int]] = {}
    made = []
    for frame in range(12):
        if kinds := pressed(KEYS, DIG, frame, before):
            before.setdefault(kinds[0], []).append(frame)
            made.append(frame)
    assert made == [0, 4, 8] and pressed(KEYS, PLACE, 11, before) == ["place"], "the other key does not rest"


def test_what_was_dug_is_a_hole_in_every_frame_that_showed_it() -> None:
    edits = _edits(DIG)
    aside = [0.5, 0, 0, 0, 0]
    here, there = (forgotten(edits, pose, wall(2.0), RAYS, 1.0) for pose in (HERE, aside))
    assert here is not None and there is not None
    assert here[SIDE // 2, SIDE // 2] and not here[0, 0]
    # The hole is as wide as the ball is where the face cuts it, and lies where the other eye sees it.
    wide = np.sqrt(RADIUS**2 - BEHIND**2) / (2 * REACH) * SIDE
    assert here[SIDE // 2].sum() == pytest.approx(wide, abs=2)
    middles = [np.flatnonzero(mask[SIDE // 2]).mean() for mask in (here, there)]
    assert middles[1] - middles[0] == pytest.approx(0.5 / (2 * 2 * REACH) * SIDE, abs=1.5)
    assert forgotten(edits, HERE, wall(6.0), RAYS, 1.0) is None, "what is far behind it was not dug"
    assert forgotten(_edits(PLACE), HERE, wall(2.0), RAYS, 1.0) is None


def test_memory_shows_nothing_where_something_was_dug_until_it_is_seen_anew(draw: Evidence) -> None:
    gone = forgotten(_edits(DIG), HERE, wall(2.0), RAYS, 1.0)
    assert gone is not None
    picture = np.full((1, SIDE, SIDE, 3), 200, np.uint8)
    found = look_up(draw, HERE, picture, wall(2.0)[None], [HERE], [None], [gone])
    assert (found.evidence[3][gone] == 0).all() and (found.evidence[3][~gone] == TRUE).all()
    assert np.array_equal(found.first_seen, gone) and found.kept[SIDE // 2, SIDE // 2] == 0
    later = np.concatenate([picture, picture // 2])
    seen = look_up(
        draw,
        HERE,
        later,
        np.stack([wall(2.0), wall(3.0)]),
        [HERE] * 2,
        [None, found.first_seen],
        [gone, None],
    )
    middle = seen.evidence[:, SIDE // 2, SIDE // 2]
    assert middle[3] == GENERATED and (middle[0] + 1) * 127.5 == pytest.approx(100, abs=1)


@pytest.mark.parametrize(("action", "mark"), [(DIG, -1.0), (PLACE, -0.5)])
def test_evidence_says_where_something_is_being_changed(
    draw: Evidence, action: np.ndarray, mark: float
) -> None:
    marks = edit_marks(_edits(action), HERE, RAYS, SIDE)
    assert marks is not None and marks[SIDE // 2, SIDE // 2] == mark and marks[0, 0] == 0
    picture = np.full((2, SIDE, SIDE, 3), 200, np.uint8)
    far, masks = wall(2.0)[None].repeat(2, 0), [None, np.zeros((SIDE, SIDE), np.bool_)]
    found = look_up(draw, HERE, picture, far, [HERE] * 2, masks, edited=marks)
    assert np.array_equal(np.minimum(found.evidence[3], 0), marks), "and memory shows nothing there"
    assert (found.evidence[:3, marks < 0] == 0).all() and (found.evidence[3][marks == 0] == TRUE).all()
    assert np.array_equal(found.first_seen, marks < 0), "what is drawn there is seen first now"
    assert edit_marks(_edits(action), [0.0, 0, 0, 180.0, 0], RAYS, SIDE) is None, "it is behind the eye"


def test_no_pixel_is_put_in_of_what_was_dug() -> None:
    past = DreamPast(8, latents=[torch.zeros(1, 2, 2)])
    past.poses, past.depths = [torch.zeros(5)], [torch.ones(8, 8)]
    gone = np.zeros((8, 8), np.bool_)
    gone[2, 3] = True
    past.forgotten = [gone]
    (far,) = depths_for_recall(past, [0], lambda z, pitch: z)
    assert np.array_equal((far == COPIED).numpy(), gone)
