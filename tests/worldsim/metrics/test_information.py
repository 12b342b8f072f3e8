"""Proposition 3, Fact 1 and Theorem 2 hold on small discrete worlds, and a world forgets less when given more past."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from worldsim.metrics.theory.forgetting import HiddenWorld, history_forgetting, landmark_loop, sequences
from worldsim.metrics.theory.information import (
    InformationError,
    condition_on,
    conditional_mutual_information,
    indistinguishable,
    kl,
    plug_in,
    total_variation,
)

LEVELS = (0.05, 0.3, 0.7, 1.0)


def random_table(seed: int, shape: tuple[int, int, int] = (6, 3, 4)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    table = rng.random(shape) * (rng.random(shape) < 0.7)  # some cells cannot occur
    return table / table.sum()


def test_information_of_known_tables() -> None:
    copy = np.zeros((2, 2, 2))
    copy[0, :, 0] = copy[1, :, 1] = 1 / 4
    assert conditional_mutual_information(copy) == pytest.approx(1)
    exclusive = np.zeros((2, 2, 2))  # Z = X xor Y: nothing without Y, everything with it
    for x in range(2):
        for y in range(2):
            exclusive[x, y, x ^ y] = 1 / 4
    assert conditional_mutual_information(exclusive) == pytest.approx(1)
    assert conditional_mutual_information(exclusive.sum(1, keepdims=True)) == pytest.approx(0)


@pytest.mark.parametrize("seed", range(20))
def test_proposition_3_more_kept_of_the_past_never_forgets_more(seed: int) -> None:
    table, rng = random_table(seed), np.random.default_rng(seed)
    f = rng.integers(0, 4, 6)
    g = rng.integers(0, 2, 4)[f]  # g = h(f)
    everything, nothing = np.arange(6), np.zeros(6, int)
    forgotten = [
        conditional_mutual_information(condition_on(table, kept)) for kept in (everything, f, g, nothing)
    ]
    assert forgotten == sorted(forgotten)
    assert forgotten[0] == pytest.approx(0, abs=1e-9)
    assert forgotten[-1] == pytest.approx(conditional_mutual_information(table))


@pytest.mark.parametrize("seed", range(5))
def test_fact_1_what_says_nothing_of_the_output_does_not_help(seed: int) -> None:
    table = random_table(seed)
    # a coin that is part of the past, drawn given Y alone: f(X) = coin is independent of Z given Y
    coin = np.random.default_rng(seed).random(table.shape[1])
    wider = np.concatenate([table * coin[:, None], table * (1 - coin[:, None])])  # X' = (coin, X)
    redundant = np.repeat([0, 1], len(table))
    whole = conditional_mutual_information(wider)
    assert conditional_mutual_information(condition_on(wider, redundant)) == pytest.approx(whole)
    useful = np.tile(np.arange(len(table)) % 2, 2)
    assert conditional_mutual_information(condition_on(wider, useful)) < whole - 1e-3


def test_the_plug_in_estimate_nears_the_truth() -> None:
    table = random_table(0)
    rng = np.random.default_rng(1)
    truth = conditional_mutual_information(table)
    for count, near in ((300, 0.3), (3000, 0.05), (30_000, 0.01)):
        x, y, z = np.unravel_index(rng.choice(table.size, count, p=table.ravel()), table.shape)
        assert plug_in(x, y, z) == pytest.approx(truth, abs=near)
    rows = np.stack([x // 2, x % 2], 1)  # two columns that make up one symbol
    assert plug_in(rows, y, z) == pytest.approx(plug_in(x, y, z))


def test_the_plug_in_estimate_of_a_whole_world_is_its_table() -> None:
    x, y, z = np.unravel_index(np.arange(24), (4, 3, 2))
    assert plug_in(x, y, z) == pytest.approx(0, abs=1e-12)
    assert plug_in(x, y, x) == pytest.approx(2)


@pytest.mark.parametrize("s", LEVELS)
def test_theorem_2_pairs_look_the_same_and_hide_s_bits(s: float) -> None:
    world = indistinguishable(s)
    for other in (world.copies, world.mirrors):
        np.testing.assert_allclose(other.sum(2), world.independent.sum(2))  # (X, Y)
        np.testing.assert_allclose(other.sum(0), world.independent.sum(0))  # (Y, Z)
        assert conditional_mutual_information(other) == pytest.approx(s)
        assert kl(other, world.independent) == pytest.approx(s)  # appendix E.3
        assert total_variation(other, world.independent) == pytest.approx(0.5 - world.flip)
        assert total_variation(other, world.independent) >= s / 2 - 1e-9  # Proposition 6
    assert conditional_mutual_information(world.independent) == 0


@pytest.mark.parametrize("s", LEVELS)
def test_theorem_2_no_estimate_is_near_both(s: float) -> None:
    """Whatever the estimate, it is s^2 / 2 bits off one of two worlds of the same data, s^2 / 8 of the paper's pair."""
    world, rng = indistinguishable(s), np.random.default_rng(0)
    pairs = (((world.copies, world.mirrors), s**2 / 2), ((world.independent, world.copies), s**2 / 8))
    for (one, two), radius in pairs:
        between = [(1 - q) * one + q * two for q in np.linspace(0, 1, 21)]
        anywhere = list(rng.dirichlet(np.ones(8), 100).reshape(-1, 2, 2, 2))
        blurred = [0.9 * p + 0.1 * q for p, q in zip(between, anywhere, strict=False)]
        assert all(max(kl(one, p), kl(two, p)) >= radius for p in between + anywhere + blurred)


def test_the_papers_pair_alone_does_not_reach_the_printed_constant() -> None:
    world = indistinguishable(1.0)
    midway = (world.independent + world.copies) / 2
    assert max(kl(world.independent, midway), kl(world.copies, midway)) < 1 / 2


def test_data_of_short_segments_leads_every_estimate_to_the_same_place() -> None:
    """An estimator that sees (X, Y) and (Y, Z) makes the independent world of a world of copies."""
    s, count = 0.7, 20_000
    world, rng = indistinguishable(s), np.random.default_rng(0)

    def estimate(table: np.ndarray) -> np.ndarray:
        pairs = []
        for gone in (2, 0):
            pair = table.sum(gone)
            pairs.append(rng.multinomial(count, pair.ravel()).reshape(pair.shape) / count)
        xy, yz = pairs
        joined: np.ndarray = xy[:, :, None] * (yz / yz.sum(1, keepdims=True))[None]
        return joined / joined.sum()

    assert kl(world.independent, estimate(world.independent)) < 0.01
    assert kl(world.copies, estimate(world.copies)) == pytest.approx(s, abs=0.05)
    assert kl(world.copies, estimate(world.copies)) >= s**2 / 2


def test_a_landmark_is_remembered_as_soon_as_its_last_visit_is_given() -> None:
    places = 4
    forgotten = history_forgetting(landmark_loop(places), 2 * places + 1)
    assert forgotten == pytest.approx([1.0] * places + [0.0] * (places + 1))


@pytest.mark.parametrize(("places", "colours"), [(2, 2), (3, 2), (3, 4)])
def test_history_forgetting_falls_with_the_history_given(places: int, colours: int) -> None:
    forgotten = history_forgetting(landmark_loop(places, colours, step=0.7), 7)
    assert all(more <= less + 1e-9 for less, more in pairwise(forgotten))
    assert forgotten[0] > forgotten[2] > 0.01
    assert forgotten[-1] == 0


def test_history_forgetting_is_the_information_of_the_enumerated_world() -> None:
    joint = sequences(landmark_loop(3, step=0.7), 6)
    assert sum(joint.values()) == pytest.approx(1)
    rng = np.random.default_rng(0)
    seen = np.array(list(joint))
    drawn = seen[rng.choice(len(seen), 30_000, p=np.array(list(joint.values())))]
    exact = history_forgetting(landmark_loop(3, step=0.7), 6)
    for given in (1, 3):
        estimated = plug_in(drawn[:, : 5 - given], drawn[:, 5 - given : 5], drawn[:, 5])
        assert estimated == pytest.approx(exact[given], abs=0.02)


def test_what_is_no_distribution_is_refused() -> None:
    wrong = [
        lambda: conditional_mutual_information(np.ones((2, 2, 2))),
        lambda: conditional_mutual_information(np.ones((2, 2)) / 4),
        lambda: condition_on(np.ones((2, 2, 2)) / 8, [0, 1, 2]),
        lambda: plug_in([0, 1], [0], [0, 1]),
        lambda: plug_in([], [], []),
        lambda: indistinguishable(1.5),
        lambda: HiddenWorld(np.array([1.0]), np.array([[0.5]]), np.array([[1.0]])),
        lambda: HiddenWorld(np.array([1.0]), np.ones((2, 2)) / 2, np.array([[1.0]])),
        lambda: history_forgetting(landmark_loop(2), 0),
    ]
    for make in wrong:
        with pytest.raises(InformationError, match="expected"):
            make()
