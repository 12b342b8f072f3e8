"""What every true world has: pictures of one size, a limit of steps, the seed of its world, the newest picture."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
from numpy.typing import NDArray

Observation = dict[str, NDArray[np.uint8]]


class TrueWorld(gymnasium.Env[Observation, Any]):
    """A world that is seen in square pictures, ``{"pov": uint8 (size, size, 3)}``.

    Who inherits has a ``label`` and perhaps bounds of its ``sizes``, begins its ``reset`` with :meth:`_begin`, its
    ``step`` with :meth:`_ready`, ends a step by :meth:`_cut`, and keeps the newest picture as ``_pov``.

    Args:
        size: height and width of the picture in pixels.
        max_steps: truncate an episode after this many steps, or None.
        render_mode: None or ``rgb_array``.

    Raises:
        ValueError: a size, max_steps or render_mode that cannot be.
    """

    label: str
    sizes: ClassVar[tuple[int, int | None]] = (1, None)
    """The smallest and the largest picture, None where there is no largest."""

    def __init__(self, size: int, max_steps: int | None, render_mode: str | None) -> None:
        self._check(size, max_steps, render_mode)
        self.size = int(size)
        self.max_steps = None if max_steps is None else int(max_steps)
        self.render_mode = render_mode
        pov = gymnasium.spaces.Box(0, 255, (self.size, self.size, 3), np.uint8)
        self.observation_space = gymnasium.spaces.Dict({"pov": pov})  # type: ignore[assignment]
        self.world_seed: int | None = None
        self._steps = 0
        self._pov: NDArray[np.uint8] | None = None

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]
        """The newest picture, uint8 (size, size, 3), when made with ``render_mode="rgb_array"``."""
        self._ready()
        return None if self.render_mode is None or self._pov is None else self._pov.copy()

    def _begin(self, seed: int | None, seeds: int = 2**31) -> int:
        """The seed of a world that begins: ``seed``, or one of ``seeds`` drawn by the environment's own numbers."""
        super().reset(seed=seed)
        self._steps = 0
        self.world_seed = int(self.np_random.integers(seeds)) if seed is None else int(seed)
        return self.world_seed

    def _ready(self) -> None:
        if self.world_seed is None:
            raise RuntimeError(f"{self.label}: there is no world yet; call reset() first")

    def _cut(self) -> bool:
        """Count a step; whether it was the last that ``max_steps`` allows."""
        self._steps += 1
        return self.max_steps is not None and self._steps >= self.max_steps

    def _check(self, size: Any, max_steps: Any, render_mode: str | None) -> None:
        least, most = self.sizes
        if not _whole(size, least) or (most is not None and size > most):
            wanted = f"of at least {least}" if most is None else f"from {least} to {most}"
            raise ValueError(f"{self.label}: expected size to be an int {wanted}, found {size!r}")
        if max_steps is not None and not _whole(max_steps, 1):
            raise ValueError(
                f"{self.label}: expected max_steps to be None or an int above 0, found {max_steps!r}"
            )
        if render_mode not in (None, "rgb_array"):
            raise ValueError(
                f"{self.label}: expected render_mode to be None or 'rgb_array', found {render_mode!r}"
            )


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(value >= least)
