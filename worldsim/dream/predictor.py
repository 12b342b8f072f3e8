"""What a dream asks of whatever imagines its frames: one interface for our models, methods, and anybody else's code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from worldsim.actions import ActionSpec
from worldsim.session.snapshot import Snapshot, SnapshotError

Frames = NDArray[np.uint8]
S = TypeVar("S")


@dataclass(frozen=True)
class Spec:
    """What a predictor can do, which is what the dials of a dream are checked against.

    Attributes:
        name: what errors call it.
        action_spec: the action language that it was trained on (:mod:`worldsim.actions`).
        size: height and width of the pictures that it takes and shows, pixels.
        histories: how many frames back it can be asked to look, a ladder.
        window: the forgetful twin's history, the shortest that says something.
        budgets: latents that it can be asked to compress these to; (0,) where it compresses nothing.
        budget, steps: of a dream that is not told otherwise; its history is the longest.
        most_steps: the most network calls a frame.
        shortest: the least history that may be asked for, where that is not the window.
        poseless: why it uses no pose, in words; empty where it does.
    """

    name: str
    action_spec: ActionSpec
    size: int
    histories: tuple[int, ...]
    window: int
    budgets: tuple[int, ...] = (0,)
    budget: int = 0
    steps: int = 1
    most_steps: int = 1
    shortest: int | None = None
    poseless: str = ""


@dataclass(frozen=True)
class Context:
    """True frames uint8 (n, H, W, 3), the actions float32 (n - 1, D) between them, and poses (n, 5) if known."""

    frames: Frames
    actions: NDArray[np.float32]
    poses: NDArray[np.floating[Any]] | None = None


@dataclass
class Settings:
    """The dials of a dream as they stand; ``pose_from`` is "dream" or "true"."""

    history: int
    budget: int
    denoising_steps: int
    pose_from: str = "dream"


@dataclass(frozen=True)
class Row(Generic[S]):
    """One dream in a step: its state and dials, the true pose (5,) of the frame to come where it is to be used, and
    the actions (D,) that are known to follow."""

    state: S
    settings: Settings
    pose: NDArray[np.float32] | None = None
    future: Sequence[NDArray[np.float32]] = ()


class Predictor(Protocol[S]):
    """Imagines frames. All it knows of one dream is in a state that :meth:`begin` makes, so that one predictor may
    serve several dreams; who inherits from this has only to write :meth:`begin`, :meth:`step` and :meth:`correct`."""

    spec: Spec

    def begin(self, context: Context, settings: Settings, seed: int) -> S:
        """The state of a dream that has seen the context."""
        ...

    def step(
        self, rows: Sequence[Row[S]], action: NDArray[np.float32]
    ) -> tuple[list[Frames], dict[str, float]]:
        """One frame uint8 (H, W, 3) for every row, under one action (D,), and the milliseconds of each phase.

        There are several rows only where :meth:`fits` said that they can be dreamt in one pass.
        """
        ...

    def correct(
        self, state: S, frames: Frames, poses: NDArray[np.floating[Any]] | None, settings: Settings
    ) -> None:
        """Replace the newest n >= 1 frames of a dream by true ones (n, H, W, 3), with their poses (n, 5) if known."""
        ...

    def about(self, state: S, settings: Settings) -> dict[str, Any]:
        """Of a dream's newest frame: ``memory_frames`` and ``memory_latents`` that were read; perhaps its ``pose``, the
        ``calls`` of a network that it took, and its ``novelty``, the share of the view that memory did not show."""
        return {"memory_frames": 0, "memory_latents": 0}

    def turn(self, state: S, settings: Settings) -> None:
        """A dial of a dream that has begun was turned."""
        return None

    def fits(self, state: S, other: Predictor[Any], its: Any) -> bool:
        """Whether a dream of another predictor, in the state ``its``, can be a row of one step with one of mine."""
        return False

    def prepare(self, state: S) -> None:
        """Do what the next step would begin with, whatever its action."""
        return None

    @property
    def fingerprint(self) -> str:
        """What a dream's state belongs to: a name of the weights, the same wherever they are loaded."""
        return self.spec.name

    def save(self, state: S) -> Snapshot:
        """A copy of all it knows of a dream, to go back to: the same actions then give the same frames.

        Raises:
            SnapshotError: this predictor cannot.
        """
        raise SnapshotError(f"{self.spec.name} cannot keep the state of a dream")

    def load(self, snapshot: Snapshot, settings: Settings) -> S:
        """The state of a dream that :meth:`save` gave, of the same fingerprint.

        Raises:
            SnapshotError: it is not whole, or does not fit.
        """
        raise SnapshotError(f"{self.spec.name} cannot go back to a state")

    def prefetch(self, frame: Frames) -> None:
        """A true frame (H, W, 3) that a correction will bring."""
        return None
