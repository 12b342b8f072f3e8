"""A dream over compiled networks is the plain dream: here nothing is compiled, so what is left is the backend's own."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.helpers.small_model import SIZE, SPEC, WINDOW
from tests.helpers.small_networks import small_denoisers, small_generator
from worldsim import checkpoint
from worldsim.actions import space_from_spec
from worldsim.checkpoint import LoadedModel
from worldsim.dream.world import DreamEnv
from worldsim.engine.compiled.backend import Compiled
from worldsim.engine.compiled.calls import EngineWarning
from worldsim.engine.compiled.export import Call, outputs
from worldsim.engine.step import Engine
from worldsim.models.world_model import WorldModel

MODELS = {"generator": small_generator, "stem": lambda: small_generator(8), "denoisers": small_denoisers}


class Plain:
    """Compiles nothing; remembers which network was asked for at which shapes."""

    name = "plain"

    def __init__(self) -> None:
        self.shapes: list[tuple[str, int]] = []

    def compile(self, network: nn.Module, args: Sequence[Tensor]) -> Call:
        self.shapes.append((type(network).__name__, len(args[0])))
        return lambda *given: outputs(network(*given))


def saved(model: WorldModel, folder: Path) -> LoadedModel:
    checkpoint.save(folder, model, {"family": "minecraft", "action_spec": SPEC})
    return checkpoint.load(str(folder))


def compare(loaded: LoadedModel, compiler: object, size: int = SIZE, frames: int = 14) -> None:
    """Two dreams of the plain engine and two over the compiler, in step: with a correction, true poses, a twin."""
    pairs = [[DreamEnv(loaded, history=h, size=size, engine="eager") for h in (20, WINDOW)] for _ in range(2)]
    with torch.inference_mode():
        engine = Engine(Compiled(loaded.model, compiler, strict=True))  # type: ignore[arg-type]
    rng, space = np.random.default_rng(0), space_from_spec(SPEC)
    space.seed(0)
    given = {
        "frames": rng.integers(0, 256, (12, size, size, 3), np.uint8),
        "actions": [space.sample() for _ in range(11)],
    }
    for dream in pairs[0]:
        dream.reset(seed=3, options=given)
    for dream in pairs[1]:
        dream.predictor._engine_words = ("eager", "fp32")
        dream.reset(seed=3, options=given)
        dream.predictor.engine = engine
        with torch.inference_mode():
            engine.encode_features(dream.past)
            engine.replay(dream.past)
    for i in range(frames):
        action = space.sample()
        if i == frames // 2:
            shown = rng.integers(0, 256, (3, size, size, 3), np.uint8)
            for dream in pairs[0] + pairs[1]:
                dream.correct(shown)
        if i % 3 == 2:
            for dream in pairs[0] + pairs[1]:
                dream.set_true_pose(np.array([i, 1.0, 2, 9 * i, 5]))
        plain, other = (DreamEnv.together(pair, action) for pair in pairs)
        for a, b, p, q in zip(plain, other, *pairs, strict=True):
            torch.testing.assert_close(q.latents[-1], p.latents[-1], atol=2e-3, rtol=2e-3)
            assert np.allclose(a[4]["pose"], b[4]["pose"], atol=3e-3)
            assert np.abs(a[0].astype(int) - b[0]).max() <= 2


@pytest.mark.parametrize("kind", MODELS)
def test_a_dream_over_networks_is_the_plain_dream(kind: str, tmp_path: Path) -> None:
    """Beside its twin, after a correction, with true poses; both dreams are rows of one batch."""
    plain = Plain()
    compare(saved(MODELS[kind](), tmp_path), plain)
    asked = "GeneratorStep" if kind != "denoisers" else "DenoiserStep"
    assert (asked, 2) in plain.shapes
    assert len(plain.shapes) < 20  # and no shape is compiled twice
    assert max(batch for _, batch in plain.shapes) == 2


def test_larger_pictures_are_the_same_too(tmp_path: Path) -> None:
    compare(saved(small_generator(), tmp_path), Plain(), size=2 * SIZE, frames=5)


class _Broken(Plain):
    def compile(self, network: nn.Module, args: Sequence[Tensor]) -> Call:
        if type(network).__name__ == "Look":
            raise RuntimeError("no kernel for this card\nand much more")
        if type(network).__name__ == "Decode":
            return lambda *given: tuple(1.5 * x for x in outputs(network(*given)))
        return super().compile(network, args)


def test_a_network_that_fails_or_is_wrong_runs_as_the_module_and_is_named(tmp_path: Path) -> None:
    loaded = saved(small_generator(), tmp_path)
    latents = torch.randn(1, 8, 4, 4)
    with torch.inference_mode(), warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        backend = Compiled(loaded.model, _Broken())
        found = backend.look(latents), backend.decode(latents, SIZE)
        assert torch.equal(found[0], loaded.model.odometry.look(latents))
        assert torch.equal(found[1], loaded.model.autoencoder.decode(latents))
        backend.look(latents)
    told = [str(w.message) for w in heard if issubclass(w.category, EngineWarning)]
    assert len(told) == 2  # once each
    assert "'look'" in told[0] and "no kernel for this card)" in told[0]
    assert "'decode'" in told[1] and "off the module" in told[1]
