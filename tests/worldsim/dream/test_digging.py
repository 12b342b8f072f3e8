"""What is dug in a dream is forgotten by every engine, is kept with its state, and stops nobody."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.helpers.small_model import SPEC, small_config
from tests.helpers.small_networks import small_generator
from worldsim import checkpoint
from worldsim.checkpoint import LoadedModel
from worldsim.config import ConfigError, EditConfig
from worldsim.dream.world import DreamEnv
from worldsim.models.world_model import WorldModel

ATTACK, USE = 1, 19
BALL = 40.0  # so large that something is within it, whatever an untrained network reads for distances

pytestmark = pytest.mark.usefixtures("inference")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    model = small_generator()
    model.config.dream.edits = EditConfig(keys=[ATTACK, USE], reach=1e4, block=BALL)
    model.config.dream.body = [0.3, 0.45, -0.5, 0.2]
    folder: Path = tmp_path_factory.mktemp("digging")
    checkpoint.save(folder, model, {"family": "minecraft", "action_spec": SPEC})
    return checkpoint.load(str(folder))


def _action(*keys: int) -> np.ndarray:
    action = np.zeros(20, np.float32)
    action[list(keys)] = 1
    return action


def _forgotten(dream: DreamEnv) -> int:
    return sum(mask is not None and bool(mask.any()) for mask in dream.past.forgotten)


@pytest.mark.parametrize("engine", ["cpu", "eager"])
def test_what_is_dug_is_forgotten_and_stays_so_in_what_is_kept(loaded: LoadedModel, engine: str) -> None:
    dream = DreamEnv(loaded, engine=engine)
    dream.reset(seed=1)
    for _ in range(6):
        dream.step(_action())
    assert not _forgotten(dream)
    dream.step(_action(ATTACK))
    dug = _forgotten(dream)
    assert dug and dream.past.forgotten[-1] is None, "the newest frame is of after it"
    newest = dream.past.count - 1
    assert dream.past.edited == {"dig": [newest]}
    dream.step(_action(ATTACK))
    assert dream.past.edited == {"dig": [newest]}, "a key that is held rests"
    kept = dream.save()
    frames = [dream.step(_action(USE))[0] for _ in range(3)]
    dream.load(kept)
    assert _forgotten(dream) == dug
    again = [dream.step(_action(USE))[0] for _ in range(3)]
    assert all(np.array_equal(a, b) for a, b in zip(frames, again, strict=True))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("body", [0.3, 0.4], "dream.body: expected 4 numbers"),
        ("edits", EditConfig(keys=[1, 20]), "dream.edits.keys"),
        ("enlarged", 0.5, "dream.enlarged: expected 1 or more, or 0"),
        ("smears", True, "dream.smears: expected dream.enlarged"),
    ],
)
def test_settings_of_a_dream_that_cannot_be_are_refused(name: str, value: object, said: str) -> None:
    config = small_config()
    setattr(config.dream, name, value)
    with pytest.raises(ConfigError, match=said):
        WorldModel(config)
