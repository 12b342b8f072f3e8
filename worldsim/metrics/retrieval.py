"""Revisits: how many frames ago was this view last seen, and did the dream retrieve it?"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Band = Literal["forgotten", "resembling", "same"]

FORGOTTEN_BELOW = 0.4  # SSIM; the paper's "failed to retrieve"
SAME_FROM = 0.9

SPAN = 112  # frames looked back: the longest history
RANGES = ((0, 16), (16, 48), (48, 112))  # ages, half open: (low, high], as in the paper's tables
RANGE_NAMES = tuple(f"{low}-{high}" for low, high in RANGES)

NEAR_UNITS, NEAR_DEGREES = 0.5, 8.0  # the same view: closer than this in position, and in yaw and in pitch
AWAY_UNITS, AWAY_DEGREES = 1.5, 25.0  # another view: farther than this in position, or in yaw or in pitch
REST_UNITS, REST_DEGREES = 1e-3, 1e-2  # a camera that moved less than this since the last frame rests

SAME_PICTURE, OTHER_PICTURE = 0.9, 0.5  # where a world tells no pose: SSIM of the true pictures
_BLOCK = 8  # side of the pictures' SSIM windows
_SIDE = 64  # pictures are shrunk to about this before they are compared
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def range_of(age: int) -> str:
    """The name of the age range that an age of 1..112 frames falls into.

    Raises:
        ValueError: the age lies outside of all ranges.
    """
    for (low, high), name in zip(RANGES, RANGE_NAMES, strict=True):
        if low < age <= high:
            return name
    raise ValueError(f"expected an age of 1 to {SPAN} frames, found {age}")


def band(ssim: float) -> Band:
    """The paper's reading of an SSIM: below 0.4 forgotten, from 0.9 the same, resembling in between."""
    if ssim < FORGOTTEN_BELOW:
        return "forgotten"
    return "same" if ssim >= SAME_FROM else "resembling"


def retrieved(ssim: float) -> bool:
    """Whether a dreamt revisit counts as retrieved: not forgotten, SSIM at least 0.4."""
    return ssim >= FORGOTTEN_BELOW


@dataclass(frozen=True)
class Revisit:
    """The true world shows a view again that it showed ``age`` frames ago, with other views in between."""

    age: int  # frames since the view was last seen
    seen_index: int  # its index, in ticks
    range: str  # "0-16", "16-48" or "48-112"
    thumbnail: np.ndarray  # the true frame as it was then, uint8 (H, W, 3)


class RevisitFinder:
    """Watches the true world and says when a view comes back.

    The present visit reaches back to the latest frame that showed *another* view (more than 1.5 units
    away, or turned by more than 25 degrees). The frame is a revisit if a frame before that showed the
    *same* view (within 0.5 units and 8 degrees of yaw and of pitch); its age counts from the latest such
    frame. A world that tells no pose is judged by its pictures instead: the same from SSIM 0.9, another
    below 0.5. A resting camera is scored once, on arrival, so that waiting does not inflate the counts.

    All revisits count, also those whose earlier view fell into the stretch the dream is dreaming blind:
    there it has its own picture of it to remember.
    """

    def __init__(self, span: int = SPAN) -> None:
        self.span = span
        self.reset()

    def reset(self) -> None:
        """Forget all frames: a new world begins."""
        self._count = 0
        self._frames: list[np.ndarray | None] = [None] * self.span
        self._indices = np.zeros(self.span, np.int64)
        self._poses: np.ndarray | None = None  # (span, 5), a ring: slot = frame number modulo span
        self._pictures: _PictureRing | None = None

    def add(self, frame: np.ndarray, pose: np.ndarray | None, index: int) -> Revisit | None:
        """Compare a new true frame with those before it, then remember it.

        Args:
            frame: uint8 (H, W, 3); kept, so it must not change afterwards.
            pose: (5,) or None where the world tells none.
            index: the tick's number, handed back as ``seen_index`` when the view returns.
        """
        same, other, rests = self._by_pose(pose) if pose is not None else self._by_picture(frame)
        known = min(self._count, self.span)
        slots = (self._count - 1 - np.arange(known)) % self.span  # newest first: slots[k - 1] has age k
        found = None if rests else _last_seen(same[slots], other[slots])
        revisit = None
        if found is not None:
            slot = slots[found - 1]
            thumbnail = self._frames[slot]
            assert thumbnail is not None
            revisit = Revisit(found, int(self._indices[slot]), range_of(found), thumbnail)
        here = self._count % self.span
        self._frames[here], self._indices[here] = frame, index
        self._count += 1
        return revisit

    def _by_pose(self, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool]:
        if self._poses is None:
            self._poses = np.full((self.span, 5), np.inf)
        near = np.linalg.norm(self._poses[:, :3] - pose[:3], axis=1)  # (span,) units
        with np.errstate(invalid="ignore"):
            turned = np.abs((self._poses[:, 3] - pose[3] + 180) % 360 - 180)
        turned = np.fmax(turned, np.abs(self._poses[:, 4] - pose[4]))  # the larger of yaw and pitch
        last = (self._count - 1) % self.span
        rests = self._count > 0 and bool(near[last] < REST_UNITS and turned[last] < REST_DEGREES)
        self._poses[self._count % self.span] = pose
        same = (near < NEAR_UNITS) & (turned < NEAR_DEGREES)
        return same, (near > AWAY_UNITS) | (turned > AWAY_DEGREES), rests

    def _by_picture(self, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool]:
        if self._pictures is None:
            self._pictures = _PictureRing(frame, self.span)
        scores = self._pictures.compare_and_keep(frame, self._count % self.span)
        last = self._frames[(self._count - 1) % self.span]
        rests = last is not None and np.array_equal(last, frame)
        return scores >= SAME_PICTURE, scores < OTHER_PICTURE, rests


def _last_seen(same: np.ndarray, other: np.ndarray) -> int | None:
    """The smallest age with the same view that lies beyond another view; both (n,), newest first."""
    departures = np.flatnonzero(other)
    if departures.size == 0:
        return None
    earlier = np.flatnonzero(same[departures[0] + 1 :])
    return None if earlier.size == 0 else int(departures[0] + 1 + earlier[0]) + 1


class _PictureRing:
    """The past pictures as 8x8 blocks of grey, so that one product compares a frame with all of them."""

    def __init__(self, frame: np.ndarray, span: int) -> None:
        blocks = self._blocks(frame)
        self._ring = np.zeros((span, *blocks.shape), np.float32)  # (span, windows, 64), means taken off
        self._mean = np.zeros((span, blocks.shape[0]), np.float32)
        self._variance = np.zeros((span, blocks.shape[0]), np.float32)

    def compare_and_keep(self, frame: np.ndarray, slot: int) -> np.ndarray:
        """SSIM (span,) of a frame with every picture kept, over windows that do not overlap; then keep it."""
        blocks = self._blocks(frame)
        mean = blocks.mean(axis=1)
        centred = blocks - mean[:, None]
        variance = np.mean(centred * centred, axis=1)
        covariance = np.matmul(self._ring.transpose(1, 0, 2), centred[:, :, None])[..., 0].T / blocks.shape[1]
        light = (2 * self._mean * mean + _C1) / (self._mean**2 + mean**2 + _C1)
        texture = (2 * covariance + _C2) / (self._variance + variance + _C2)
        self._ring[slot], self._mean[slot], self._variance[slot] = centred, mean, variance
        scores: np.ndarray = np.mean(light * texture, axis=1)
        return scores

    @staticmethod
    def _blocks(frame: np.ndarray) -> np.ndarray:
        stride = max(1, min(frame.shape[:2]) // _SIDE)
        grey = frame[::stride, ::stride].astype(np.float32).mean(axis=2)
        rows, columns = grey.shape[0] // _BLOCK, grey.shape[1] // _BLOCK
        grey = grey[: rows * _BLOCK, : columns * _BLOCK].reshape(rows, _BLOCK, columns, _BLOCK)
        return grey.transpose(0, 2, 1, 3).reshape(rows * columns, _BLOCK * _BLOCK)


class Tally:
    """Mean SSIM, SRR and counts of the revisits of one dream, per age range."""

    def __init__(self) -> None:
        self._scores: dict[str, array[float]] = defaultdict(lambda: array("d"))
        self._verdicts: dict[str, list[bool]] = defaultdict(list)

    def add(self, age_range: str, ssim: float, srr: bool | None = None) -> None:
        """Count one dreamt revisit, and its verdict where there is one."""
        self._scores[age_range].append(ssim)
        if srr is not None:
            self._verdicts[age_range].append(srr)

    def summary(self) -> dict[str, dict[str, float | int | None]]:
        """``{"0-16": {"ssim": mean or None, "n": count}, ...}``, every range present.

        Where any revisit was judged, each range also has ``srr`` (or None) over ``trials``.
        """
        found: dict[str, dict[str, float | int | None]] = {
            name: {"ssim": self.mean(name), "n": self.count(name)} for name in RANGE_NAMES
        }
        if self._verdicts:
            for name, score in found.items():
                score |= {"srr": self.srr(name), "trials": self.trials(name)}
        return found

    def count(self, age_range: str) -> int:
        """How many revisits fell into a range."""
        return len(self._scores[age_range])

    def mean(self, age_range: str) -> float | None:
        """Their mean SSIM, None where there are none."""
        return _mean(self._scores[age_range])

    def trials(self, age_range: str) -> int:
        """How many of them were judged by what they show."""
        return len(self._verdicts.get(age_range, ()))

    def srr(self, age_range: str) -> float | None:
        """Share of those that show the true floor, wall and decals, None where none was judged."""
        return _mean(self._verdicts.get(age_range, ()))


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
