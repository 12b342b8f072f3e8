"""What a session asks of the things it is given: a dream and a recorder, by shape and not by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np  # whoever asks for help need not wait for it

from worldsim.session.snapshot import Snapshot

BLIND = 16  # frames dreamt between two looks at the true past (the paper's protocol)
MAX_STEPS = 8  # denoising steps a player can turn up to


class DreamLost(ConnectionError):
    """A dream on another machine that is not there any more; the sentence is for the player."""


class Dream(Protocol):
    """A world model that can be walked through, as :class:`worldsim.dream.env.Dream` is."""

    history: int  # past frames that may reach the denoiser, one of ``histories``
    budget: int  # latents the past is compressed into, one of ``budgets``; 0: it is not compressed
    denoising_steps: int
    pose_from: Any  # "dream", "true" or "none"

    @property
    def histories(self) -> Sequence[int]: ...
    @property
    def budgets(self) -> Sequence[int]: ...

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin from true context: frames uint8 (n, H, W, 3), actions float32 (n - 1, D), poses (n, 5)?"""
        ...

    def together(
        self, dreams: Sequence[Any], action: Any
    ) -> Sequence[tuple[np.ndarray, Any, bool, bool, dict[str, Any]]]:
        """The next frame uint8 (H, W, 3) of several dreams, this one among them, as gymnasium's step gives it.

        ``info`` has ``memory_frames``, ``memory_latents`` and ``step_ms``, the dream's share of what it took.
        """
        ...

    def correct(self, frames: np.ndarray, poses: np.ndarray | None = None) -> None:
        """Replace the newest n frames of the past by true ones, uint8 (n, H, W, 3)."""
        ...

    def set_true_pose(self, pose: np.ndarray) -> None:
        """Tell the true pose (5,) of the next frame; asked only where ``pose_from`` is "true"."""
        ...

    def prepare(self) -> None:
        """Do what the next step would begin with, whatever its action; there is time."""
        ...

    def prefetch(self, frame: np.ndarray) -> None:
        """Tell a true frame (H, W, 3) that a correction will bring."""
        ...

    def save(self) -> Snapshot:
        """A copy of it to come back to; a SnapshotError where it cannot be kept."""
        ...

    def load(self, snapshot: Snapshot) -> tuple[np.ndarray, dict[str, Any]]:
        """Go back to a copy; what ``reset`` gives."""
        ...


class Surfaces(Protocol):
    """A true world that says what its picture shows. SRR is judged live in a world that has both of these."""

    @property
    def surface_colours(self) -> Mapping[str, np.ndarray]:
        """Mean colours (n, 3), 0 to 255, that a ``floor``, a ``wall`` and a ``decal`` can have here."""
        ...

    def surfaces(self) -> tuple[np.ndarray, np.ndarray]:
        """Ids (H, W) of the present picture, one number a texture or decal, and each pixel's kind (H, W):
        an index into ``worldsim.metrics.srr.KINDS``."""
        ...


class Recording(Protocol):
    """The wrapper that records the true world (``envs.episodes.recorder.Recorder``)."""

    @property
    def recording(self) -> bool: ...

    def start(self) -> Any:
        """Record from the present frame on."""
        ...

    def stop(self) -> Any:
        """Seal what was recorded and give its path."""
        ...
