"""Scores of sets of free-running episodes, and the share of each."""

from __future__ import annotations

import numpy as np

from training.bench import stretches


def _walks(seed: int, shift: float, count: int = 4) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {f"e{i}": rng.normal(shift, 1, (2, 9, 6)) for i in range(count)}


def test_what_has_left_the_world_is_farther_and_less_of_it() -> None:
    true = list(_walks(0, 0).values())
    near, far = (stretches.scores(_walks(1, shift), true) for shift in (0.0, 6.0))
    assert far["summary"]["fd worst"]["mean"] > near["summary"]["fd worst"]["mean"] + 10
    assert near["summary"]["precision worst"]["mean"] > 0.5 > far["summary"]["precision worst"]["mean"]
    assert near["summary"]["coverage 0-45"]["mean"] > far["summary"]["coverage 0-45"]["mean"]
    row = near["summary"]["fd 64-109"]
    assert row["low"] <= row["mean"] <= row["high"] and row["episodes"] == 4


def test_every_episode_has_a_share_and_they_come_to_the_jackknife() -> None:
    of, true = _walks(2, 0.5), list(_walks(0, 0).values())
    found = stretches.scores(of, true)
    shares = [found["values"][i]["fd 0-45"][0] for i in of]
    whole = found["summary"]["fd 0-45"]["mean"]
    without = [
        stretches.scores({k: v for k, v in of.items() if k != i}, true)["summary"]["fd 0-45"]["mean"]
        for i in of
    ]
    assert np.allclose(shares, [4 * whole - 3 * w for w in without], atol=1e-2)


def test_fewer_than_three_episodes_have_no_score() -> None:
    assert stretches.scores(_walks(1, 0, 2), list(_walks(0, 0).values())) == {"summary": {}, "values": {}}
