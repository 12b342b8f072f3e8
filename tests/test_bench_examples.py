"""The worked examples of docs/bench.md: models that are not ours."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from envs import actions
from worldsim.testing import dream_contract

EXAMPLES = Path(__file__).parents[1] / "examples"
SPEC = {family: actions.spec(actions.space(family), family) for family in ("minecraft", "dmlab")}


@pytest.fixture(autouse=True)
def examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", [str(EXAMPLES), *sys.path])


def press(family: str, **keys: Any) -> np.ndarray:
    from worldsim.actions import vector

    space, action = actions.space(family), actions.noop(family)
    if family == "dmlab":
        action[[0, 3]] = keys.get("look", 0), keys.get("forward", 0)
    else:
        action |= keys
    return vector(space, action)


@pytest.mark.parametrize("family", ["minecraft", "dmlab"])
def test_the_nearest_view_keeps_every_rule_of_a_dream(family: str) -> None:
    dream_contract("nearest_view:make", action_spec=SPEC[family])


def test_the_nearest_view_is_the_one_that_was_seen_there() -> None:
    import nearest_view

    model = nearest_view.make(SPEC["dmlab"])
    frames = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8)
    right = press("dmlab", look=500)  # 30 degrees
    model.begin(frames, np.stack([right] * 4))
    left = press("dmlab", look=-500)
    assert [int(model.step(left)[0, 0, 0]) for _ in range(4)] == [3, 2, 1, 0]
    model.correct(frames[:2] + 100)  # the newest two, 30 degrees and 0
    assert int(model.step(right)[0, 0, 0]) in (1, 100)


def test_what_copies_the_last_frame_keeps_every_rule() -> None:
    dream_contract("last_frame:LastFrame")


def test_adapters_of_published_weights_have_the_shapes_that_those_take() -> None:
    import published_weights as adapters

    seen: list[tuple[tuple[int, ...], ...]] = []

    def network(*parts: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(tuple(p.shape) for p in parts))
        return parts[0][:, -1]

    frames = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    camera = press("minecraft", forward=1, camera=np.array([-5.0, 40.0], np.float32))
    for make, shapes in (
        (adapters.Oasis, ((1, 3, 3, 360, 640), (1, 3, 25))),
        (adapters.WorldMem, ((1, 3, 3, 360, 640), (1, 3, 25), (1, 3, 5))),
    ):
        model = make(network, SPEC["minecraft"])
        model.begin(frames, np.stack([camera] * 2))
        shown = model.step(camera)
        assert shown.shape == (64, 64, 3) and shown.dtype == np.uint8 and seen.pop() == shapes
        described = dict(zip(adapters.OASIS_ACTIONS, model.action(camera), strict=True))
        assert (described["forward"], described["back"], described["cameraX"], described["cameraY"]) == (
            1,
            0,
            -0.25,
            1,
        )
    diamond = adapters.Diamond(network, lambda action: int(action[0] > 0))
    diamond.begin(frames, np.stack([camera] * 2))
    assert np.array_equal(diamond.step(camera), frames[-1])
    assert seen.pop() == ((1, 4, 3, 64, 64), (1, 4))


def test_a_denoiser_of_simulusion_is_trained_and_dreams(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("simulusion")
    import simulusion_peer as peer

    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (12, 64, 64, 3), np.uint8)]
    network = peer.train(frames, [np.zeros((11, 7), np.float32)], seconds=0, batch=2)
    torch.save({name: value.half() for name, value in network.state_dict().items()}, tmp_path / "peer.pt")
    monkeypatch.setenv("SIMULUSION_PEER", str(tmp_path / "peer.pt"))
    dream_contract("simulusion_peer:make", action_spec=SPEC["dmlab"])
    ends = np.array([[0, 0, 0, 0, 0, 0, 0], [-512, 0, -1, -1, 0, 0, 0], [512, 0, 1, 1, 0, 0, 0]])
    assert peer.classes(ends).tolist() == [22, 0, peer.CLASSES - 1]
