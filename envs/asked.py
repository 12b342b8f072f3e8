"""What every world is asked for when it is made, checked once: size in pixels, number of steps, whether to render."""

from __future__ import annotations

from typing import Any

import numpy as np


def check(
    world: str, size: Any, max_steps: Any, render_mode: str | None, sizes: tuple[int, int | None] = (1, None)
) -> None:
    """Whether a world can be made of this.

    Raises:
        ValueError: it cannot; a sentence that begins with the name of the ``world``.
    """
    least, most = sizes
    if not _whole(size, least) or (most is not None and size > most):
        wanted = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{world}: expected size to be an int {wanted}, found {size!r}")
    if max_steps is not None and not _whole(max_steps, 1):
        raise ValueError(f"{world}: expected max_steps to be None or an int above 0, found {max_steps!r}")
    if render_mode not in (None, "rgb_array"):
        raise ValueError(f"{world}: expected render_mode to be None or 'rgb_array', found {render_mode!r}")


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(value >= least)
