"""The SRR judge on painted frames: a blue wall with a red plate above a green floor, under a white sky."""

import numpy as np
import pytest

from worldsim.metrics.srr import Palettes, SrrError, Verdict, View, retrieval, successes, view

SKY, FLOOR, WALL, PLATE = (255, 255, 255), (40, 150, 60), (40, 60, 170), (220, 40, 40)
PALETTES = Palettes(
    np.array([FLOOR, (200, 160, 40), (60, 60, 60)], float),
    np.array([WALL, (150, 60, 170), (180, 80, 40)], float),
    np.array([PLATE, (250, 220, 30), (20, 20, 25)], float),
)
IDS = np.zeros((48, 48), int)  # 0 sky, 10 floor, 20 wall, 30 decal
IDS[32:] = 10
IDS[12:32] = 20
DECAL = np.s_[18:26, 20:28]


def _ids(decal: bool = True) -> np.ndarray:
    ids = IDS.copy()
    if decal:
        ids[DECAL] = 30
    return ids


def _paint(ids: np.ndarray, **colours: tuple[int, int, int]) -> np.ndarray:
    told = {
        0: SKY,
        10: colours.get("floor", FLOOR),
        20: colours.get("wall", WALL),
        30: colours.get("plate", PLATE),
    }
    frame = np.zeros((*ids.shape, 3), np.uint8)
    for i, colour in told.items():
        frame[ids == i] = colour
    return frame


def _true(decal: bool = True) -> View:
    ids = _ids(decal)
    return view(_paint(ids), ids, ids // 10)


def _blurred(frame: np.ndarray, times: int = 2) -> np.ndarray:
    x = frame.astype(float)
    for _ in range(times):
        x = sum(np.roll(x, (dy, dx), (0, 1)) for dy in (-1, 0, 1) for dx in (-1, 0, 1)) / 9
    return x.astype(np.uint8)


def test_the_true_frame_is_retrieved_and_so_is_a_soft_or_slightly_moved_one() -> None:
    true = _true()
    for frame in (true.frame, _blurred(true.frame), np.roll(true.frame, (1, 2), (0, 1))):
        assert retrieval(true, frame, PALETTES) == Verdict(True, True, True)


@pytest.mark.parametrize(
    ("wrong", "verdict"),
    [
        ({"floor": (200, 160, 40)}, Verdict(False, True, True)),
        ({"wall": (180, 80, 40)}, Verdict(True, False, True)),
        ({"plate": (250, 220, 30)}, Verdict(True, True, False)),
        ({"plate": WALL}, Verdict(True, True, False)),
    ],
)
def test_each_wrong_colour_is_told(wrong: dict[str, tuple[int, int, int]], verdict: Verdict) -> None:
    found = retrieval(_true(), _paint(_ids(), **wrong), PALETTES)
    assert found == verdict and not found.retrieved


def test_a_colour_nearer_to_a_rival_is_the_rivals() -> None:
    """Within the tolerance of the true floor's colour, but another floor has that colour."""
    close = (45, 162, 64)
    frame = _paint(_ids(), floor=close)
    crowded = Palettes(np.array([FLOOR, (51, 172, 66)], float), PALETTES.wall, PALETTES.decal)
    assert retrieval(_true(), frame, PALETTES).floor
    near = Palettes(np.array([FLOOR, (70, 190, 60)], float), PALETTES.wall, PALETTES.decal)
    assert retrieval(_true(), _paint(_ids(), floor=(62, 180, 62)), near).floor is False
    assert retrieval(_true(), frame, crowded).floor  # a rival within the tolerance is the same colour


def test_a_faint_decal_counts_from_a_share_and_a_moved_one_from_its_place() -> None:
    def faded(share: float) -> tuple[int, int, int]:
        r, g, b = (round(w + share * (p - w)) for w, p in zip(WALL, PLATE, strict=True))
        return r, g, b

    assert retrieval(_true(), _paint(_ids(), plate=faded(0.6)), PALETTES).decals
    assert retrieval(_true(), _paint(_ids(), plate=faded(0.1)), PALETTES).decals is False
    moved = _paint(IDS)
    moved[DECAL[0], 33:41] = PLATE
    assert retrieval(_true(), moved, PALETTES).decals is False


def test_a_decal_on_a_wall_that_is_bare_is_a_mistake() -> None:
    bare = _true(decal=False)
    assert retrieval(bare, bare.frame, PALETTES).decals is None
    assert retrieval(bare, _paint(_ids()), PALETTES) == Verdict(True, True, False)


def test_two_walls_in_sight_have_both_to_be_right() -> None:
    ids = _ids(decal=False)
    ids[12:32, 30:] = 21
    frame = _paint(ids)
    frame[ids == 21] = (180, 80, 40)
    true = view(frame, ids, ids // 10)
    assert retrieval(true, frame, PALETTES).wall
    assert retrieval(true, _paint(_ids(decal=False)), PALETTES).wall is False


def test_one_colour_and_noise_are_refused() -> None:
    true = _true()
    noise = np.random.default_rng(0).integers(0, 256, true.frame.shape).astype(np.uint8)
    for frame in (noise, *(np.full_like(true.frame, c) for c in (FLOOR, WALL, PLATE, SKY))):
        assert not retrieval(true, frame, PALETTES).retrieved


def test_a_frame_without_floor_or_wall_is_no_trial() -> None:
    ids = np.full((48, 48), 20)
    facing = view(_paint(ids), ids, ids // 10)
    verdict = retrieval(facing, facing.frame, PALETTES)
    assert verdict == Verdict(None, True, None) and not verdict.trial
    assert successes([verdict, Verdict(True, True, None), Verdict(True, True, False)]) == [1.0, 0.0]


def test_what_does_not_belong_together_is_refused() -> None:
    with pytest.raises(SrrError, match="of its size"):
        view(_paint(IDS), IDS[:20], IDS // 10)
    with pytest.raises(SrrError, match="kinds 0 to 3"):
        view(_paint(IDS), IDS, IDS)
    with pytest.raises(SrrError, match="uint8 frame of shape"):
        retrieval(_true(), _true().frame[:20], PALETTES)
