"""Freed memory goes back to the system between the frames of a long walk."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from worldsim.session.heap import EVERY, Trim, give_back

GLIBC = sys.platform.startswith("linux") and "glibc" in (os.confstr("CS_GNU_LIBC_VERSION") or "")


def _resident() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.skipif(not GLIBC, reason="glibc's allocator")
def test_gaps_between_what_is_kept_are_given_back() -> None:
    give_back()
    blocks = [bytearray(60_000) for _ in range(1_000)]  # below the size that is mapped by itself
    kept = blocks[::20]
    full = _resident()
    del blocks
    before = _resident()
    assert give_back()
    assert _resident() < min(before, full) - 20, "of the 57 MiB between them"
    assert len(kept) == 50


def test_it_is_done_now_and_then() -> None:
    trim = Trim()
    done = [trim() for _ in range(2 * EVERY)]
    assert not any(done[: EVERY - 1]) and sum(done) <= 2
