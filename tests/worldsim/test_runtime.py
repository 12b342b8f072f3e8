"""So many threads as are asked for, and a sentence where that is no number of threads."""

from __future__ import annotations

import pytest
import torch

from worldsim.runtime import DeviceError, use_threads


def test_threads_are_those_asked_for_or_torchs_own_choice() -> None:
    before = torch.get_num_threads()
    try:
        use_threads(0)
        assert torch.get_num_threads() == before
        use_threads(before + 1)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_fewer_threads_than_none_are_refused() -> None:
    with pytest.raises(DeviceError, match=r"threads: expected at least 0.* found -1"):
        use_threads(-1)
