"""Timestep compositions for training AR-Diffusion: its FoPP scheduler and what its ablation puts in the place of it."""

from __future__ import annotations

import torch
from torch import Tensor

from training.objectives.fopp import Fopp

SCHEMES = ("fopp", "uniform_first", "independent", "equal")


class Timesteps:
    """Draws compositions (t_1 ... t_F), 1 <= t_i <= T, by a scheme (section 3.3).

    ``fopp`` is Algorithm 1; ``uniform_first`` draws the first frame's timestep uniformly, then each frame's uniformly
    from there to T; ``independent`` draws each on its own (Diffusion Forcing); ``equal`` one for all.

    Args:
        non_decreasing: whether t_1 <= ... <= t_F must hold. Without that constraint the two schemes that serve it,
            FoPP and uniform first, draw each frame on its own.

    Raises:
        ValueError: an unknown scheme, or independent timesteps that must not decrease.
    """

    def __init__(self, scheme: str, non_decreasing: bool, frames: int, steps: int) -> None:
        if scheme not in SCHEMES:
            raise ValueError(f"timesteps: expected one of {', '.join(SCHEMES)}, found {scheme!r}")
        if scheme == "independent" and non_decreasing:
            raise ValueError(
                "independent timesteps do decrease along the frames; say non_decreasing=false too"
            )
        self.scheme = scheme if non_decreasing or scheme == "equal" else "independent"
        self.frames, self.steps = frames, steps
        self.fopp = Fopp(frames, steps) if self.scheme == "fopp" else None
        self._others = {frames: self}

    def of(self, frames: int) -> Timesteps:
        """The same for another number of frames."""
        if frames not in self._others:
            self._others[frames] = Timesteps(self.scheme, self.scheme != "independent", frames, self.steps)
        return self._others[frames]

    def draw(self, which: Tensor, each: Tensor) -> Tensor:
        """Timesteps (B, F) from numbers uniform in [0, 1): ``which`` (B, 2), ``each`` (B, F)."""
        if self.fopp is not None:
            return self.fopp.draw(which, each)
        if self.scheme == "equal":
            each = which[:, :1].expand_as(each)
        if self.scheme != "uniform_first":
            return (each.double() * self.steps).long() + 1
        columns, now = [], torch.ones_like(each[:, 0], dtype=torch.long)
        for u in each.double().unbind(1):
            now = now + (u * (self.steps - now + 1)).long()
            columns.append(now)
        return torch.stack(columns, 1)
