"""What computes a step: pure functions of a past, behind the one order of :mod:`worldsim.engine.step`."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from worldsim.engine.generation import Sampler
from worldsim.engine.past import DreamPast
from worldsim.engine.viewpoints import Viewpoint, indices_of, read_views
from worldsim.models.world_model import WorldModel


class EngineError(ValueError):
    """An engine that does not exist, or that cannot step this model."""


@dataclass
class Selection:
    """What is read for the next frame of each dream: indices, the best first, and the views as the backend has them;
    and ``known``, the indices of all frames that it may look at."""

    indices: list[list[int]]
    views: Any
    known: list[list[int]]


class Backend(Sampler, Protocol):
    """The parts of one model, shared by its dreams, of which it changes nothing; B dreams have equally many frames.

    Latents are (B, C, h, w) and poses (B, 5), in the precision that the backend reckons in. What it keeps of each frame
    and of the newest ones together (``DreamPast.frames`` and ``.context``) is known to nobody else.
    """

    model: WorldModel
    memory_format: torch.memory_format
    """How latents lie in memory while they are made."""
    flushes_denormals: bool
    """Whether the numbers nearest to 0 are taken for 0, on the thread that computes."""
    keeps: tuple[type, ...]
    """Dataclasses that what it keeps of a past is made of, so that it can be written down."""

    def compress(self, past: DreamPast, part: slice, budget: int) -> Sized:
        """The frames in this part of a past, of which there may be none, as ``budget`` memory latents or fewer."""
        ...

    def look(self, latents: Tensor) -> Tensor:
        """What dead reckoning sees of frames: (B, D)."""
        ...

    def next_pose(
        self, looked: Tensor, pasts: Sequence[DreamPast], action: Tensor, given: Sequence[Tensor | None]
    ) -> tuple[Tensor, Tensor]:
        """Poses (B, 5) after an action (A,) and the motions (B, 5) that led there; poses ``given`` (5,) are taken."""
        ...

    def select(
        self, pasts: Sequence[DreamPast], memories: Sequence[Any], recent: Sequence[int], poses: Tensor
    ) -> Selection:
        """Choose what is read at these poses, of the memories and of so many ``recent`` frames of each past."""
        ...

    def read(self, selection: Selection, poses: Tensor, index: int) -> Any:
        """What the frames of this index find in what was selected; for :meth:`denoise`."""
        ...

    def denoise(
        self,
        pasts: Sequence[DreamPast],
        read: Any,
        noise: Tensor,
        controls: tuple[Tensor, Tensor],
        steps: int,
        spacing: str,
        mark: Callable[[str], None],
    ) -> Tensor:
        """Clean latents from noise, in so many steps; the newest frame enters the context first, where it is pending.

        ``controls``: (B, K) of the newest frame and of the next; ``mark`` is called at the end of a phase.
        """
        ...

    def decode(self, latents: Tensor, side: int) -> Any:
        """Pictures as :meth:`recall` and :meth:`shown` take them, of a dream whose own have ``side`` pixels each way.

        Where no head of the decoder draws so many they are smaller.
        """
        ...

    def recall(
        self,
        pasts: Sequence[DreamPast],
        sources: Sequence[Sequence[int]],
        latents: Tensor,
        poses: Tensor,
        drawn: Any,
    ) -> tuple[Any, Tensor]:
        """Pictures with pixels of the frames of these indices in them, and log distances (B, ., .)."""
        ...

    def shown(self, drawn: Any) -> list[np.ndarray]:
        """B pictures uint8 (H, W, 3)."""
        ...

    def measure(self, latents: Tensor, pitch: Tensor) -> Tensor:
        """Latents (n, C, h, w) and pitches (n,) in degrees to log distances (n, ., .)."""
        ...

    def keep(self, latents: Tensor, poses: Tensor, indices: Sequence[int]) -> list[Any]:
        """What is kept of each of n frames, (n, C, h, w) and (n, 5)."""
        ...

    def commit(self, latents: Tensor, controls: Tensor, first: int, free_running: bool) -> Any:
        """The context of n frames (n, C, h, w), steered by (n, K), the first of index ``first``; n may be 0.

        ``free_running``: for the second denoiser, which takes over where a dream has been left alone.
        """
        ...

    def detach(self, context: Any) -> Any:
        """The context of one dream as one of ``keeps``, apart from those that it steps with."""
        ...

    def attach(self, kept: Any) -> Any:
        """The context again."""
        ...

    def drawer(self, past: DreamPast, part: slice, index: int) -> Callable[[Tensor], Tensor]:
        """How this part of a past would draw the frame of an index: poses (K, 5) to latents (K, C, h, w)."""
        ...


def select_viewpoints(
    pasts: Sequence[DreamPast],
    memories: Sequence[list[Viewpoint]],
    recent: Sequence[int],
    poses: Tensor,
    model: WorldModel,
) -> Selection:
    """:meth:`Backend.select` where views are viewpoints and nothing else."""
    rows = zip(pasts, memories, recent, strict=True)
    views = [memory + past.kept.frames[-n:] for past, memory, n in rows]
    chosen = [
        read_views(past, row, pose, model)
        for past, row, pose in zip(pasts, views, poses.tolist(), strict=True)
    ]
    return Selection(indices_of(chosen), chosen, indices_of(views))
