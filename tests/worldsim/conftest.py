"""What tests of trained models share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture
def inference() -> Iterator[None]:
    """Seeded, and nothing is learned."""
    torch.manual_seed(0)
    with torch.inference_mode():
        yield
