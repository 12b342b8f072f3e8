"""Which of other people's networks are installed here."""

from __future__ import annotations

import pytest

from worldsim.metrics.networks.weights import SOURCES, NetworkError, find


def needs(*names: str) -> pytest.MarkDecorator:
    """Skips a test where a package of weights is not installed, and says which."""
    lacking = ""
    for name in names or SOURCES:
        try:
            find(name)
        except NetworkError as error:
            lacking = str(error)
    return pytest.mark.skipif(bool(lacking), reason=lacking or "all are there")
