"""Batches that another thread makes: in order, with its errors, and no thread left where they end."""

from __future__ import annotations

import threading
import time

import pytest

from training.data.prefetch import ahead


def test_steps_follow_each_other_from_any_on() -> None:
    with ahead(lambda step: step * step) as made:
        assert [made(step) for step in range(3, 8)] == [9, 16, 25, 36, 49]


def test_what_making_raises_is_raised_where_it_is_asked_for() -> None:
    with ahead(lambda step: 1 // (2 - step)) as made:
        assert made(0) == 0 and made(1) == 1
        with pytest.raises(ZeroDivisionError):
            made(2)


def test_the_thread_that_makes_has_ended_where_they_end() -> None:
    busy = threading.Event()

    def make(step: int) -> int:
        if step > 1:
            busy.set()
            time.sleep(0.3)  # as torch would be inside a product when the interpreter ends
        return step

    before = threading.active_count()
    with ahead(make) as made:
        made(0)
        assert busy.wait(10)
    assert threading.active_count() == before
