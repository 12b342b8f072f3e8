"""What tests of trained models share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from tests.helpers.small_model import small_loaded
from worldsim.checkpoint import LoadedModel


@pytest.fixture
def inference() -> Iterator[None]:
    """Seeded, and nothing is learned."""
    torch.manual_seed(0)
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A small world model, as it is read from disk."""
    return small_loaded(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def with_pixels(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """One with a memory of pixels."""
    return small_loaded(tmp_path_factory.mktemp("checkpoint"), pixels=True)
