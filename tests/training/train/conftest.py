"""A small checkpoint and walks in its world, for all trainers on walks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.small_walks import small_maze, small_walks


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    return small_maze(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="session")
def walks(small: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_walks(small, tmp_path_factory.mktemp("walks"))
