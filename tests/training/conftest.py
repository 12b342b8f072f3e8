"""Every test trains as a command does, in a process of its own: what Accelerate remembers is forgotten."""

from __future__ import annotations

import pytest
from accelerate.state import AcceleratorState


@pytest.fixture(autouse=True)
def forgotten() -> None:
    """One precision a process is Accelerate's rule, and tests ask for several."""
    AcceleratorState._reset_state()
