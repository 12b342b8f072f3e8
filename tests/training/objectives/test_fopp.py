"""FoPP against enumeration: counts, conditional distributions, and samples."""

from __future__ import annotations

import itertools
import math
import time
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy.special import binom as choose
from scipy.stats import chisquare

from training.objectives.fopp import Fopp, FoppError, compositions, counts, log_counts

SMALL = [(f, t) for f in range(1, 6) for t in range(1, 6)]
every_small_size = pytest.mark.parametrize(("frames", "steps"), SMALL)


def _all(frames: int, steps: int) -> list[tuple[int, ...]]:
    """Every non-decreasing sequence, by trying all sequences."""
    every = itertools.product(range(1, steps + 1), repeat=frames)
    return [c for c in every if all(a <= b for a, b in itertools.pairwise(c))]


@every_small_size
def test_the_counts_are_those_of_enumeration(frames: int, steps: int) -> None:
    starting, ending = counts(frames, steps)
    for i in range(frames):
        ends = Counter(c[-1] for c in _all(i + 1, steps))
        starts = Counter(c[0] for c in _all(frames - i, steps))
        assert ending[i] == [ends[j] for j in range(1, steps + 1)]
        assert starting[i] == [starts[j] for j in range(1, steps + 1)]


@every_small_size
def test_the_counts_satisfy_the_recurrences(frames: int, steps: int) -> None:
    starting, ending = counts(frames, steps)
    assert starting[-1] == [1] * steps and ending[0] == [1] * steps
    assert all(row[-1] == 1 for row in starting) and all(row[0] == 1 for row in ending)
    for i, j in itertools.product(range(frames - 1), range(steps - 1)):
        assert starting[i][j] == starting[i][j + 1] + starting[i + 1][j]
        assert ending[i + 1][j + 1] == ending[i + 1][j] + ending[i][j + 1]


@every_small_size
def test_conditional_distributions_equal_enumeration(frames: int, steps: int) -> None:
    """Every frame's distribution given its drawn neighbour and, which must not matter, the whole rest drawn so far."""
    starting, ending = counts(frames, steps)
    logs = [table.exp() for table in log_counts(frames, steps)]
    every = _all(frames, steps)
    for i, edge in itertools.product(range(frames - 1), range(1, steps + 1)):
        before = Counter(c[i] for c in every if c[i + 1] == edge)  # of an earlier frame, its next one known
        after = Counter(c[i + 1] for c in every if c[i] == edge)  # of a later frame, its previous one known
        below, above = ending[i][:edge], starting[i + 1][edge - 1 :]
        for j, count in enumerate(below, 1):
            assert Fraction(count, sum(below)) == Fraction(before[j], before.total())
        for j, count in enumerate(above, edge):
            assert Fraction(count, sum(above)) == Fraction(after[j], after.total())
        for exact, table, part in (
            (below, logs[1][i], slice(0, edge)),
            (above, logs[0][i + 1], slice(edge - 1, None)),
        ):
            expected = torch.tensor(exact, dtype=torch.double) / sum(exact)
            torch.testing.assert_close(table[part] / table[part].sum(), expected)


@pytest.mark.parametrize(("frames", "steps"), [(1, 3), (2, 5), (3, 4), (4, 3), (5, 2)])
def test_compositions_through_a_timestep_come_up_equally_often(frames: int, steps: int) -> None:
    fopp, n, g = Fopp(frames, steps), 2000, torch.Generator().manual_seed(7)
    p = []
    for frame, step in itertools.product(range(frames), range(1, steps + 1)):
        drawn = fopp.given(
            torch.full((n,), frame), torch.full((n,), step), torch.rand(n, frames, generator=g)
        )
        found = Counter(map(tuple, drawn.tolist()))
        through = [c for c in _all(frames, steps) if c[frame] == step]
        assert found.keys() == set(through)
        p.append(chisquare([found[c] for c in through]).pvalue if len(through) > 1 else 1.0)
    assert min(p) > 0.01 / len(p)


def test_compositions_are_counted_as_in_figure_3() -> None:
    assert compositions("equal", 3, 3) == 3
    assert compositions("independent", 3, 3) == 27
    assert compositions("non_decreasing", 3, 3) == 10
    for frames, steps in SMALL:
        assert compositions("non_decreasing", frames, steps) == len(_all(frames, steps))


def test_compositions_of_sixteen_frames_are_as_many_as_multisets() -> None:
    assert compositions("equal", 16, 1000) == 1000
    assert compositions("independent", 16, 1000) == 10**48
    assert compositions("non_decreasing", 16, 1000) == math.comb(1015, 16)  # 5e34; the paper says 1e32


@pytest.mark.parametrize(("frames", "steps"), [(16, 1000), (128, 1000)])
def test_logarithms_of_the_counts_are_exact_to_ten_digits(frames: int, steps: int) -> None:
    for exact, found in zip(counts(frames, steps), log_counts(frames, steps), strict=True):
        assert found.isfinite().all()
        for i in {0, frames // 2, frames - 1}:
            expected = torch.tensor([math.log(c) for c in exact[i]], dtype=torch.double)
            torch.testing.assert_close(found[i], expected, rtol=1e-10, atol=1e-10)
    assert counts(128, 1000)[0][0][0] > 10**150  # far beyond any integer type


def _drawn(frames: int, steps: int, n: int, seed: int = 0) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return Fopp(frames, steps).draw(torch.rand(n, 2, generator=g), torch.rand(n, frames, generator=g))


def test_samples_of_a_small_size_pass_chi_square_over_all_compositions() -> None:
    frames, steps, n = 4, 4, 20_000
    starting, ending = counts(frames, steps)
    expected = {
        c: sum(1 / (starting[f][c[f] - 1] * ending[f][c[f] - 1]) for f in range(frames)) / (frames * steps)
        for c in _all(frames, steps)
    }
    assert sum(expected.values()) == pytest.approx(1)
    found = Counter(map(tuple, _drawn(frames, steps, n).tolist()))
    assert found.keys() <= expected.keys()
    assert chisquare([found[c] for c in expected], [n * p for p in expected.values()]).pvalue > 0.01


def test_samples_pass_chi_square_at_sixteen_frames_and_a_thousand_timesteps() -> None:
    """Each frame's timestep, in 25 bins, against its exact marginal; 16 tests, so the least of 16 p-values."""
    frames, steps, n, bins = 16, 1000, 10_000, 25
    drawn = _drawn(frames, steps, n)
    assert drawn.shape == (n, frames) and drawn.min() == 1 and drawn.max() == steps
    assert (drawn.diff(dim=1) >= 0).all()
    d, p = np.arange(steps), []  # timesteps from 0
    for i in range(frames):
        marginal = np.zeros(steps)
        for f in range(frames):
            if f == i:
                marginal += 1.0
                continue
            # Frame i below f, or the mirror image of that; free frames between, and free ones beyond i.
            beyond, between = (i, f - i - 1) if i < f else (frames - 1 - i, i - f - 1)
            inside, outside = choose(d + between, between), choose(d + beyond, beyond)
            whole = choose(d + beyond + between + 1, beyond + between + 1)
            # sum over t >= k of inside[t - k] / whole[t], the latter scaled by outside[k]
            part = np.correlate(1 / whole, inside, "full")[steps - 1 :] * outside
            marginal += part if i < f else part[::-1]
        expected = (marginal / (frames * steps)).reshape(bins, -1).sum(1)
        assert expected.sum() == pytest.approx(1)
        found = np.bincount((drawn[:, i].numpy() - 1) // (steps // bins), minlength=bins)
        p.append(chisquare(found, n * expected).pvalue)
    assert min(p) > 0.01 / frames


def test_the_frame_drawn_first_has_every_timestep_equally_often() -> None:
    g = torch.Generator().manual_seed(3)
    n, frames, steps = 5_000, 6, 50
    which = torch.rand(n, 2, generator=g)
    drawn = Fopp(frames, steps).draw(which, torch.rand(n, frames, generator=g))
    first = (which[:, 0] * frames).long()
    assert chisquare(np.bincount(first, minlength=frames)).pvalue > 0.01
    assert chisquare(np.bincount(drawn[torch.arange(n), first] - 1, minlength=steps)).pvalue > 0.01


def test_a_batch_of_128_frames_and_1000_timesteps_takes_milliseconds_of_a_processor() -> None:
    fopp, g = Fopp(128, 1000), torch.Generator().manual_seed(0)
    which, each = torch.rand(16, 2, generator=g), torch.rand(16, 128, generator=g)
    times = []
    for _ in range(5):
        began = time.process_time()
        drawn = fopp.draw(which, each)
        times.append(time.process_time() - began)
    assert (drawn.diff(dim=1) >= 0).all()
    assert min(times) < 0.1  # some 10 ms; a training step of 128 frames takes seconds


def test_the_ends_of_the_unit_interval_stay_in_range() -> None:
    fopp = Fopp(5, 7)
    for number in (0.0, 1 - 2**-24):
        drawn = fopp.draw(torch.full((1, 2), number), torch.full((1, 5), number))
        assert drawn.min() >= 1 and drawn.max() <= 7 and (drawn.diff(dim=1) >= 0).all()
    assert fopp.draw(torch.zeros(0, 2), torch.zeros(0, 5)).shape == (0, 5)


def test_what_cannot_be_drawn_is_refused_in_a_sentence() -> None:
    with pytest.raises(FoppError, match="at least 1 frame and 1 timestep, found 0 and 3"):
        Fopp(0, 3)
    with pytest.raises(FoppError, match="expected one of equal, independent, non_decreasing, found 'rising'"):
        compositions("rising", 3, 3)
    with pytest.raises(FoppError, match=r"expected uniform numbers \(B, 3\), found \(2, 4\)"):
        Fopp(3, 3).draw(torch.zeros(2, 2), torch.zeros(2, 4))
    with pytest.raises(FoppError, match=r"expected \(2, 2\) uniform numbers to choose by, found \(2, 3\)"):
        Fopp(3, 3).draw(torch.zeros(2, 3), torch.zeros(2, 3))
    with pytest.raises(FoppError, match="step: expected 1 to 3, found 4 to 4"):
        Fopp(3, 3).given(torch.tensor([0]), torch.tensor([4]), torch.zeros(1, 3))
    with pytest.raises(FoppError, match="frame: expected 0 to 2, found 3 to 3"):
        Fopp(3, 3).given(torch.tensor([3]), torch.tensor([1]), torch.zeros(1, 3))
