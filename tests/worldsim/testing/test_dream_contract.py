"""The contract of dreams holds for every dream of ours, and says in words what is wrong with one that breaks it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.small_ar_diffusion import small_ar_diffusion
from tests.helpers.small_model import SPEC, small_loaded
from tests.helpers.small_video import small_video
from worldsim.checkpoint import Description, Loaded
from worldsim.diffusion.methods import method
from worldsim.dream.ar_diffusion import ArDream
from worldsim.dream.external import ModelFailed
from worldsim.dream.video import MethodDream
from worldsim.dream.world import DreamEnv
from worldsim.testing import DreamContractError, dream_contract


def test_a_world_model_keeps_the_contract(tmp_path: Path) -> None:
    loaded = small_loaded(tmp_path)
    dream_contract(lambda: DreamEnv(loaded, budget=4))


def _played(name: str, *words: str) -> MethodDream:
    fewer = ["initialise.steps=1"] if name == "fifo" else []
    return MethodDream(small_video(), replace(method(name, [*fewer, *words]), steps=1))


@pytest.mark.parametrize("name", ["fifo", "gamengen", "outpainting", "soft_compression"])
def test_a_method_keeps_the_contract(name: str) -> None:
    dream_contract(lambda: _played(name))


def test_a_method_without_reference_frames_is_told_to_be_deaf_to_a_true_past() -> None:
    with pytest.raises(
        DreamContractError, match=r"1 of 11 rules are broken\n- a true past reaches the next frame"
    ):
        dream_contract(lambda: _played("fifo", "initialise.references={policy: none, count: 0}"))


def test_ar_diffusion_keeps_the_contract() -> None:
    loaded = Loaded(small_ar_diffusion().eval(), Description(action_spec=SPEC), Path())
    dream_contract(lambda: ArDream(loaded, denoising_steps=1))


def test_copying_the_last_frame_keeps_the_contract() -> None:
    dream_contract("examples.last_frame:LastFrame")
    dream_contract("examples.last_frame:LastFrame", action_spec=SPEC)


class Copy:
    """What the broken ones below differ from."""

    def begin(self, frames: Any, actions: Any) -> None:
        self.frame = frames[-1]

    def step(self, action: Any) -> Any:
        return self.frame


class Floats(Copy):
    def step(self, action: Any) -> Any:
        return np.transpose(self.frame, (2, 0, 1)) / 255.0


class Shared(Copy):
    frames: Any = None

    def begin(self, frames: Any, actions: Any) -> None:
        type(self).frames = frames

    def step(self, action: Any) -> Any:
        return type(self).frames[-1]


class Random(Copy):
    def step(self, action: Any) -> Any:
        return np.random.default_rng().integers(0, 256, self.frame.shape, np.uint8)


class Deaf(Copy):
    def begin(self, frames: Any, actions: Any) -> None:
        self.frame = frames[0]

    def correct(self, frames: Any) -> None:
        pass


class Raises(Copy):
    def step(self, action: Any) -> Any:
        return self.frame[action.shape[1]]


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (Floats, r"expected step to give a frame uint8 \(64, 64, 3\) .*, found float64 \(3, 64, 64\)"),
        (Shared, "two dreams do not disturb each other: frame 1 differed while another one was dreamt"),
        (Random, "the same context actions and seed give the same frames: frame 1 differed a second time"),
        (Deaf, r"made black, and made white, it showed the same frame; correct\(frames\) has to reach it"),
    ],
)
def test_a_rule_that_is_broken_is_told_in_words(model: type, told: str) -> None:
    with pytest.raises(DreamContractError, match=told):
        dream_contract(model)


def test_a_model_that_raises_keeps_its_traceback_and_is_named() -> None:
    with pytest.raises(ModelFailed, match=r"the model Raises failed in step\(action\): IndexError") as raised:
        dream_contract(Raises)
    cause = raised.value.__cause__
    assert isinstance(cause, IndexError) and cause.__traceback__ is not None
