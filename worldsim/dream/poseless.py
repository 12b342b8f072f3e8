"""What dreams without a pose share: the environment's surface, and the dials that they do not have."""

from __future__ import annotations

from typing import Any, Generic

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from worldsim.actions import as_vector, space_from_spec
from worldsim.checkpoint import Loaded, M
from worldsim.dream.context import DreamError, check_context


class PoselessDream(gymnasium.Env[np.ndarray, Any], Generic[M]):
    """A video model as an environment: it is begun by true context, and a pose is neither known nor used.

    Attributes:
        histories: how many frames back it can be asked to look.
    """

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    histories: tuple[int, ...]

    def __init__(self, loaded: Loaded[M], seed: int) -> None:
        self.loaded: Loaded[M] = loaded
        self.model: M = loaded.model
        self.device: torch.device = next(self.model.parameters()).device
        size = self.model.config.size
        self.action_space = space_from_spec(loaded.action_spec)
        self.observation_space = spaces.Box(0, 255, (size, size, 3), np.uint8)
        self.render_mode = "rgb_array"
        self._seed, self._random = seed, torch.Generator()
        self._frame: np.ndarray | None = None

    @property
    def called(self) -> str:
        """What errors call it."""
        raise NotImplementedError

    @property
    def window(self) -> int:
        """The shortest history."""
        return min(self.histories)

    @property
    def pose_from(self) -> str:
        """``none``: it knows no pose."""
        return "none"

    @pose_from.setter
    def pose_from(self, value: str) -> None:
        if value == "true":
            raise DreamError(f"pose_from: {self.called} uses no pose; leave pose_from out")

    def guide(self, pose: np.ndarray) -> None:
        """Nothing: it uses no pose."""

    def render(self) -> np.ndarray | None:  # type: ignore[override]
        """The newest frame."""
        return self._frame

    def _begin(self, seed: int | None, options: dict[str, Any] | None) -> tuple[np.ndarray, list[Tensor]]:
        """The true frames (n, H, W, 3) of a reset, and the normalised action (A,) that led to each.

        Raises:
            DreamError: frames of another size, or a number of actions that does not fit.
        """
        super().reset(seed=seed)
        frames: np.ndarray
        actions: list[Any]
        frames, actions = check_context(options or {}, self.model.config.size)
        none = torch.zeros(self.model.config.action_dim, device=self.device)
        self._random = torch.Generator().manual_seed(self._seed if seed is None else seed)
        self._frame = frames[-1]
        return frames, [self.model.normalise(none), *(self._vector(a) for a in actions)]

    def _vector(self, action: Any) -> Tensor:
        flat = as_vector(self.action_space, action)
        return self.model.normalise(torch.as_tensor(flat, device=self.device))
