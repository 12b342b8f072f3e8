"""What one step of a session looks like: the frozen record that every sink (HUD, video, report) reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np  # whoever asks for help need not wait for it

from worldsim.metrics.retrieval import Band, Revisit

Source = Literal["dream", "true"]


@dataclass(frozen=True)
class DreamView:
    """One dream's answer to one action, its score and the settings it was dreamt with."""

    name: str
    frame: np.ndarray  # uint8 (H, W, 3)
    ssim: float
    psnr: float
    band: Band
    retrieved: bool | None  # None where the true view is no revisit
    history: int
    budget: int
    steps: int  # denoising steps
    history_from: Source
    pose_from: str  # "dream", "true" or "none"
    blind: int  # frames dreamt since its past was last true, this one included; 0: a true context frame
    memory_frames: int  # past frames that reached the denoiser
    memory_latents: int  # latents they were compressed into
    step_ms: float
    srr: bool | None = None  # floor, wall and decals all retrieved; None: no revisit, or nothing to judge by
    phase_ms: dict[str, float] = field(default_factory=dict)
    calls: int | None = None  # of its network for this frame; None: it does not say
    novelty: float | None = (
        None  # share of this view that its memory did not show, 0 to 1; None: it does not say
    )

    @property
    def cost(self) -> str:
        """What the frame took, in words: milliseconds, denoising steps and, where known, calls and novelty."""
        words = f"{self.step_ms:.0f} ms, {self.steps} step{'' if self.steps == 1 else 's'}"
        if self.calls is not None:
            words += f", {self.calls} call{'' if self.calls == 1 else 's'}"
        return words if self.novelty is None else f"{words}, {self.novelty:.0%} new"

    @property
    def label(self) -> str:
        """The settings in words, the same on the screen and in videos."""
        past = "dream" if self.history_from == "dream" else f"true (blind {self.blind})"
        return f"history {self.history}, budget {self.budget}, past: {past}, pose: {self.pose_from}"


@dataclass(frozen=True)
class Tick:
    """One step of the true world and its dreams.

    ``action`` led from the frame of the tick before to ``true_frame``; it is None on the first tick
    after a reset, whose frame is the true context and whose dreams have not dreamt yet.
    """

    index: int  # steps since the reset
    action: Any | None
    true_frame: np.ndarray  # uint8 (H, W, 3)
    pose: np.ndarray | None  # float64 (5,) = x, y, z, yaw, pitch
    revisit: Revisit | None
    dreams: dict[str, DreamView]
    true_ms: float  # the true world's step
    total_ms: float  # everything: world, dreams, scores
    recording: bool
    started: float  # time.perf_counter() when the step began, seconds
