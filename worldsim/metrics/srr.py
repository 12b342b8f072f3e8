"""SRR, the successful retrieval rate: does a dreamt frame show the true floor, wall and decals? (paper, section 6.1)

The paper asks that "floor and wall colors and wall decorations" be right, and does not say how that is decided. Here
a program decides, from the true frame and masks of what each of its pixels shows:

* *floor and wall*: a surface is every pixel of one texture, less a rim, so that a picture shifted by a pixel or two
  is not punished. Its mean colour in the dreamt frame has to lie within ``SAME_COLOUR`` (CIEDE2000) of the true one,
  and no other colour that floors (walls) can have may be nearer. Every surface of the frame has to match.
* *decals*: a decal dreamt softly is a mixture of its own mean colour with that of the wall around it. The mean colour
  of its place, at the best of all shifts of up to ``SHIFT`` pixels, has to be such a mixture with at least ``SHARE``
  of the decal, more than the wall around has there, and no other decal's mixture may be clearly nearer. A decal
  where the true wall is bare fails the frame too. What is compared is colour in its place, not the glyph: a decal is
  about a dozen pixels wide, and an autoencoder that makes one latent of 8x8 pixels does not keep glyphs.

What is too small to be told is not judged. How far to trust the judge is measured by ``python -m training.report srr``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, binary_erosion, label, uniform_filter
from skimage.color import deltaE_ciede2000, rgb2lab

KINDS = ("other", "floor", "wall", "decal")  # a pixel's kind indexes this
RIM = 2  # pixels taken off around a floor or wall, where the frame allows it
LEAST_SURFACE = 60  # pixels of a floor or wall that is judged, after the rim
LEAST_DECAL = 24  # pixels of a decal that is judged
SAME_COLOUR = 10.0  # CIEDE2000
SHARE = (
    0.3  # of the decal's own colour, in the mixture with the wall's; small ones keep 0.4 in an autoencoder
)
STANDS_OUT = 0.1  # more of it than the wall around has
OFF_MIXTURE = 20.0  # distance in CIELAB of a colour from a mixture that it may still be
ON_MIXTURE = 6.0  # and one at which it is that, whatever else it may be
SHIFT = 3  # pixels

Colours = NDArray[np.float64]
Mask = NDArray[np.bool_]


class SrrError(ValueError):
    """Frames, ids or colours that do not belong together."""


@dataclass(frozen=True)
class Palettes:
    """Mean colours, (n, 3) in 0..255, of all floors, walls and decals that a world of this kind can have."""

    floor: Colours
    wall: Colours
    decal: Colours


@dataclass(frozen=True)
class View:
    """A true frame and what it shows.

    Attributes:
        frame: uint8 (H, W, 3).
        floors, walls, decals: a mask (H, W) of every texture and every decal in sight.
    """

    frame: NDArray[np.uint8]
    floors: tuple[Mask, ...]
    walls: tuple[Mask, ...]
    decals: tuple[Mask, ...]


@dataclass(frozen=True)
class Verdict:
    """What of the true frame a dreamt frame retrieves; None where the true frame has nothing large enough to judge.

    ``decals`` is False also for a decal on a wall that is bare in truth.
    """

    floor: bool | None
    wall: bool | None
    decals: bool | None

    @property
    def trial(self) -> bool:
        """Whether the frame counts: it shows both floor and wall."""
        return self.floor is not None and self.wall is not None

    @property
    def retrieved(self) -> bool:
        """Whether nothing of floor, wall and decals is missed."""
        return self.floor is not False and self.wall is not False and self.decals is not False


def view(frame: NDArray[np.uint8], ids: NDArray[np.integer], kinds: NDArray[np.integer]) -> View:
    """A true frame with its id picture taken apart.

    Args:
        frame: uint8 (H, W, 3).
        ids: (H, W), one number for every texture and every decal.
        kinds: (H, W), index into KINDS of what each pixel shows.

    Raises:
        SrrError: sizes that differ or an unknown kind.
    """
    if frame.dtype != np.uint8 or frame.shape != (*ids.shape, 3) or ids.shape != kinds.shape:
        raise SrrError(
            f"expected a uint8 frame with ids and kinds of its size, found {frame.shape}, {ids.shape}, {kinds.shape}"
        )
    if kinds.min() < 0 or kinds.max() >= len(KINDS):
        raise SrrError(f"expected kinds 0 to {len(KINDS) - 1}, found {kinds.min()} to {kinds.max()}")

    def masks(kind: str) -> tuple[Mask, ...]:
        of_kind = kinds == KINDS.index(kind)
        return tuple((ids == i) & of_kind for i in np.unique(ids[of_kind]))

    return View(frame, masks("floor"), masks("wall"), masks("decal"))


def retrieval(true: View, dreamt: NDArray[np.uint8], palettes: Palettes) -> Verdict:
    """Whether a dreamt frame (H, W, 3) retrieves floor, wall and decals of the true one.

    Raises:
        SrrError: frames of different shape or type.
    """
    if dreamt.shape != true.frame.shape or dreamt.dtype != np.uint8:
        raise SrrError(
            f"expected a uint8 frame of shape {true.frame.shape}, found {dreamt.dtype} {dreamt.shape}"
        )
    decals = [
        _decal_matches(true, mask, dreamt, palettes.decal)
        for mask in true.decals
        if mask.sum() >= LEAST_DECAL and _wall_around(true, mask).any()
    ]
    if _invented_decal(true, dreamt, palettes.decal):
        decals.append(False)
    return Verdict(
        _all(_surface_matches(true.frame, m, dreamt, palettes.floor) for m in _judged(true.floors)),
        _all(_surface_matches(true.frame, m, dreamt, palettes.wall) for m in _judged(true.walls)),
        _all(decals),
    )


def successes(verdicts: Iterable[Verdict]) -> list[float]:
    """1 for every trial that succeeds, 0 for one that fails; their mean is the SRR. Other frames are left out."""
    return [float(v.retrieved) for v in verdicts if v.trial]


def _all(matches: Iterable[bool]) -> bool | None:
    found = list(matches)
    return all(found) if found else None


def _judged(masks: tuple[Mask, ...]) -> list[Mask]:
    # beyond the frame's edge a surface goes on: no rim there
    inner = [binary_erosion(mask, iterations=RIM, border_value=True) for mask in masks]
    return [mask for mask in inner if mask.sum() >= LEAST_SURFACE]


def _lab(colours: Colours) -> Colours:
    """Colours (..., 3) in 0..255 to CIELAB."""
    return np.asarray(rgb2lab(np.asarray(colours, float) / 255))


def _difference(a: Colours, b: Colours) -> Colours:
    """CIEDE2000 between colours (..., 3) in CIELAB."""
    return np.asarray(deltaE_ciede2000(*np.broadcast_arrays(a, b)))


def _surface_matches(
    true: NDArray[np.uint8], mask: Mask, dreamt: NDArray[np.uint8], palettes: Colours
) -> bool:
    wanted, found = _lab(true[mask].mean(0)), _lab(dreamt[mask].mean(0))
    off, others = _difference(wanted, found), _lab(palettes)
    others = others[_difference(others, wanted) > SAME_COLOUR]  # the rest are this colour
    return bool(off <= SAME_COLOUR and (_difference(others, found) > off).all())


def _wall_around(true: View, decal: Mask) -> Mask:
    walls = np.any(true.walls, axis=0) if true.walls else np.zeros_like(decal)
    return np.asarray(binary_dilation(decal, iterations=3) & walls)


def _decal_matches(true: View, mask: Mask, dreamt: NDArray[np.uint8], palettes: Colours) -> bool:
    wall = true.frame[_wall_around(true, mask)].mean(0)
    colours = true.frame[mask].mean(0)
    others = palettes[np.linalg.norm(_lab(palettes) - _lab(colours), axis=1) > OFF_MIXTURE]
    mixed = np.concatenate([colours[None], others])
    off, share = _unmix(_shifted_means(dreamt, mask), wall, mixed)
    _, around = _unmix(_shifted_means(dreamt, _wall_around(true, mask)), wall, mixed[:1])
    nearest = off[:, 0] <= off.min(1).clip(ON_MIXTURE)
    plain = share[:, 0] >= np.maximum(SHARE, around[:, 0] + STANDS_OUT)
    return bool((nearest & plain & (off[:, 0] <= OFF_MIXTURE)).any())


def _shifted_means(frame: NDArray[np.uint8], mask: Mask) -> Colours:
    """Mean colour of a frame under a mask that is shifted up to SHIFT pixels each way: (shifts, 3).

    What leaves the frame is left out; where half of the mask would, the shift does not count: its place is unmoved.
    """
    rows, columns = np.nonzero(mask)
    means = []
    for down, right in product(range(-SHIFT, SHIFT + 1), repeat=2):
        y, x = rows + down, columns + right
        inside = (y >= 0) & (y < mask.shape[0]) & (x >= 0) & (x < mask.shape[1])
        if 2 * inside.sum() < len(inside):
            y, x, inside = rows, columns, np.ones_like(inside)
        means.append(frame[y[inside], x[inside]].mean(0))
    return np.array(means)


def _unmix(colours: Colours, wall: Colours, decals: Colours) -> tuple[Colours, Colours]:
    """The mixture of the wall's colour with each decal's that is nearest to each colour: (n, decals), (n, decals).

    Returns its distance in CIELAB and the decal's share. Mixed in sRGB, as a blur mixes.
    """
    shares = np.linspace(0, 1, 11)
    mixed = _lab(wall + shares[:, None, None] * (decals - wall))  # (11, decals, 3)
    distance = np.linalg.norm(_lab(colours)[:, None, None] - mixed, axis=-1)  # (n, 11, decals)
    return distance.min(1), shares[distance.argmin(1)]


def _invented_decal(true: View, dreamt: NDArray[np.uint8], decals: Colours) -> bool:
    """Whether a wall that is bare in truth has, all around by wall, a spot of a decal's colour."""
    soft_true, soft = (uniform_filter(f.astype(float), (3, 3, 1)) for f in (true.frame, dreamt))
    changed = np.linalg.norm(_lab(soft) - _lab(soft_true), axis=-1) > 2 * SAME_COLOUR
    for wall in true.walls:
        bare = binary_erosion(wall, iterations=RIM)
        spots = bare & changed
        if spots.sum() < LEAST_DECAL:
            continue
        off, share = _unmix(soft[spots], true.frame[bare].mean(0), decals)
        best = np.arange(len(off)), off.argmin(1)
        spots[spots] = (share[best] >= SHARE) & (off[best] <= OFF_MIXTURE)
        parts, count = label(spots)
        for part in (parts == k + 1 for k in range(count)):
            if part.sum() >= LEAST_DECAL and not (binary_dilation(part) & ~bare).any():
                return True
    return False
