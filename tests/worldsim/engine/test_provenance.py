"""A pixel of a dream is looked up where it was first seen: copies of copies would blur, and errors would be kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.worldsim.engine.walls import FOV, HERE, SIDE, wall
from worldsim.engine.evidence import GENERATED, SMEAR, TRUE, Evidence
from worldsim.engine.generation import novelty
from worldsim.engine.kernels.poses import viewpoint
from worldsim.engine.past import DreamPast
from worldsim.engine.pixel_recall import COPIED, depths_for_recall
from worldsim.engine.provenance import Recollection, choose, look_up

RED, BLUE = (200, 0, 0), (0, 0, 200)
ALL, NONE = np.ones((SIDE, SIDE), np.bool_), np.zeros((SIDE, SIDE), np.bool_)
LEFT = ALL & (np.arange(SIDE) < SIDE // 2)

Colour = tuple[int, int, int]
Frame = tuple[Colour, list[float], NDArray[np.bool_] | None]
"""A wall of one colour, 2 ahead; where it was seen from; and what it saw first."""


@pytest.fixture(scope="module")
def draw() -> Evidence:
    return Evidence(SIDE, FOV, 1.0)


def _looked_up(draw: Evidence, pose: list[float], *frames: Frame) -> Recollection:
    pictures = np.stack([np.full((SIDE, SIDE, 3), colour, np.uint8) for colour, _, _ in frames])
    far = np.stack([wall(2.0 - seen_from[2]) for _, seen_from, _ in frames])
    return look_up(draw, pose, pictures, far, [p for _, p, _ in frames], [mask for _, _, mask in frames])


def _shows(found: Recollection, colour: Colour, mark: float) -> NDArray[np.bool_]:
    picture = (found.evidence[:3].transpose(1, 2, 0) + 1) * 127.5
    return (np.abs(picture - np.array(colour)).max(-1) < 1) & (found.evidence[3] == mark)


def test_a_copy_gives_way_to_the_frame_that_saw_it_first(draw: Evidence) -> None:
    found = _looked_up(draw, HERE, (BLUE, HERE, NONE), (RED, HERE, LEFT))
    assert _shows(found, RED, GENERATED)[LEFT].all()
    assert _shows(found, BLUE, GENERATED)[~LEFT].all(), (
        "where nobody saw it first a copy is better than nothing"
    )
    assert not found.first_seen.any() and found.sources == [1]


def test_true_frames_count_whole_and_stand_before_a_dreams_own(draw: Evidence) -> None:
    found = _looked_up(draw, HERE, (RED, HERE, None), (BLUE, HERE, ALL))
    assert _shows(found, RED, TRUE).all() and found.sources == [0]


def test_what_no_frame_shows_is_first_seen_now(draw: Evidence) -> None:
    turned = [0.0, 0, 0, FOV / 2, 0]
    found = _looked_up(draw, turned, (RED, HERE, None))
    assert np.array_equal(found.first_seen, found.evidence[3] == 0)
    assert 0.4 < found.first_seen.mean() < 0.6


def test_what_is_drawn_twice_as_large_is_remembered_anew_and_not_mixed_with_the_old(draw: Evidence) -> None:
    """From half the distance a remembered pixel covers two by two: what is drawn there has detail that is new."""
    near, nearer = [0.0, 0, 0.4, 0, 0], [0.0, 0, 1.05, 0, 0]
    one, two = (_looked_up(draw, pose, (RED, HERE, None)) for pose in (near, nearer))
    assert not one.first_seen.any() and one.kept.min() > 0.99
    assert two.first_seen.all() and two.kept.max() == 0


def test_what_a_dream_drew_from_afar_is_not_shown_from_near(draw: Evidence) -> None:
    """A smear that is shown in full confidence is copied: nothing would ever become of it."""
    near, anything = [0.0, 0, 0.3, 0, 0], _looked_up(draw, [0.0, 0, 0.3, 0, 0], (RED, HERE, ALL))
    assert _shows(anything, RED, GENERATED).all() and not anything.first_seen.any()
    draw = Evidence(SIDE, FOV, 1.0, enlarged=1.12)
    alone = _looked_up(draw, near, (RED, HERE, ALL))
    assert not alone.evidence[3].any() and alone.first_seen.all() and alone.kept.max() == 0
    copied = _looked_up(draw, near, (RED, HERE, ALL), (BLUE, [0.0, 0, 0.2, 0, 0], NONE))
    assert _shows(copied, BLUE, GENERATED).all(), "a copy from nearby is shown instead"
    assert copied.first_seen.all(), "and what is drawn over it is what is remembered"
    true = _looked_up(draw, near, (RED, HERE, None))
    assert _shows(true, RED, TRUE).all(), "what is true is shown from anywhere"


def test_what_a_dream_drew_from_afar_can_be_shown_under_a_mark_of_its_own() -> None:
    """It says what is there, and no detail of it: that is drawn and remembered as if nothing were known, though not
    from nothing."""
    draw, near = Evidence(SIDE, FOV, 1.0, enlarged=1.12, smears=True), [0.0, 0, 0.3, 0, 0]
    alone = _looked_up(draw, near, (RED, HERE, ALL))
    assert _shows(alone, RED, SMEAR).all()
    assert alone.first_seen.all() and alone.kept.max() == 0 and not alone.sources
    assert novelty(alone.evidence) == 0
    copied = _looked_up(draw, near, (RED, HERE, ALL), (BLUE, [0.0, 0, 0.2, 0, 0], NONE))
    assert _shows(copied, BLUE, GENERATED).all() and copied.first_seen.all(), "a copy from nearby tells more"
    assert _shows(_looked_up(draw, HERE, (RED, HERE, ALL)), RED, GENERATED).all()


def test_the_finer_of_two_views_is_shown(draw: Evidence) -> None:
    close = [0.0, 0, 1.0, 0, 0]
    found = _looked_up(draw, close, (RED, HERE, None), (BLUE, close, ALL))
    assert _shows(found, BLUE, GENERATED).all()


def test_views_that_saw_more_are_chosen_first_and_true_ones_before_all() -> None:
    poses = [HERE, [0.0, 0, 0.5, 0, 0], [0.0, 0, 0.6, 0, 0]]
    seen_from = [viewpoint(p, 1.0) for p in poses]
    assert choose(seen_from, [None, NONE, ALL], viewpoint([0.0, 0, 0.55, 0, 0], 1.0)) == [0, 2, 1]


def test_a_view_in_which_something_was_changed_is_chosen_however_little_it_saw_first() -> None:
    seen_from = [viewpoint(pose, 1.0) for pose in (HERE, [0.0, 0, 0.5, 0, 0])]
    assert choose(seen_from, [NONE, ALL], viewpoint(HERE, 1.0)) == [1, 0]
    assert choose(seen_from, [NONE, ALL], viewpoint(HERE, 1.0), edited={0}) == [0, 1]


def test_what_a_frame_copied_is_not_looked_up_in_it() -> None:
    past = DreamPast(8, latents=[torch.zeros(1, 2, 2)] * 2)
    past.poses = [torch.zeros(5)] * 2
    past.depths = [None, torch.ones(8, 8)]
    past.first_seen = [None, LEFT]
    true, own = depths_for_recall(past, [0, 1], lambda z, pitch: torch.full((len(z), 8, 8), 2.0))
    assert bool((true == 2).all())
    assert bool((own[:, :4] == 1).all()) and bool((own[:, 4:] == COPIED).all())
