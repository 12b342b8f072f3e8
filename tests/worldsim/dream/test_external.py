"""Somebody else's model plays against the true world: one file outside the repository, no change inside."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import flatdim

import run_demo
from tests.helpers.small_model import SPEC
from worldsim.dream import external, registry
from worldsim.dream.context import DreamError
from worldsim.dream.external import ModelFailed

EXAMPLE = Path(__file__).parents[3] / "examples" / "last_frame.py"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of somebody else's, which is the working one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    return tmp_path


def _demo(*words: object) -> int:
    given = ["--env", "minecraft", "--headless", "--policy", "needle", "--seed", "3", *map(str, words)]
    return run_demo.main(given)


def test_a_file_of_nine_lines_is_scored_recorded_and_filmed_beside_blocks(elsewhere: Path) -> None:
    shutil.copy(EXAMPLE, elsewhere / "copying_model.py")
    files = ("--report", "r.json", "--video", "v.mp4", "--record", "rec")
    assert _demo("--checkpoint", "copying_model:LastFrame", "--steps", 40, "--compare", *files) == 0
    report = json.loads(Path("r.json").read_text())
    assert (report["checkpoint"], report["steps"]) == ("copying_model:LastFrame", 40)
    assert {name: dream["history"] for name, dream in report["dreams"].items()} == {
        "memory": 112,
        "forgetful": 8,
    }
    # it remembers one frame
    assert report["dreams"]["memory"]["ssim"] == report["dreams"]["forgetful"]["ssim"]
    assert Path("v.mp4").stat().st_size and list(Path("rec").glob("*.zip"))


def test_its_own_error_keeps_its_traceback_and_names_the_model(elsewhere: Path) -> None:
    text = EXAMPLE.read_text().replace("return self.frame  #", "return self.frames  #")
    (elsewhere / "broken_model.py").write_text(text)
    with pytest.raises(
        ModelFailed, match=r"the model broken_model:LastFrame failed in step\(action\): Attr"
    ) as e:
        _demo("--checkpoint", "broken_model:LastFrame", "--steps", 3)
    assert isinstance(e.value.__cause__, AttributeError)
    frame = e.value.__cause__.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    assert frame is not None and frame.tb_frame.f_code.co_filename.endswith("broken_model.py")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            "return self.frame / 255",
            r"expected step to give a frame uint8 \(64, 64, 3\).*found float64 \(64, 64, 3\)",
        ),
        ("return self.frame[::2, ::2]", r"found uint8 \(32, 32, 3\)"),
        ("return None", "found nothing"),
    ],
)
def test_a_wrong_frame_says_what_was_expected(
    elsewhere: Path, line: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"wrong_{abs(hash(line))}"
    (elsewhere / f"{name}.py").write_text(EXAMPLE.read_text().replace("return self.frame", line))
    assert _demo("--checkpoint", f"{name}:LastFrame", "--steps", 3) == 2
    (said,) = (x for x in capsys.readouterr().err.splitlines() if x.startswith("error: "))
    assert name in said and re.search(told, said)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("no_such_package.models:make", "no module no_such_package is here"),
        (
            "examples.last_frame:Nothing",
            "examples.last_frame has no Nothing",
        ),
        ("examples.last_frame:__name__", "expected a class or a function that makes a model, found 'ex"),
        ("builtins:dict", "makes a dict without begin and step"),
    ],
)
def test_a_name_that_makes_no_model_says_why(name: str, told: str) -> None:
    with pytest.raises(DreamError, match=told):
        registry.find(name).dream(registry.Options(action_spec=SPEC))


class Noting:
    """Writes down what it is given; can be corrected."""

    histories = (2, 5)

    def __init__(self, size: int, action_spec: dict[str, Any]) -> None:
        self.made = size, action_spec
        self.told: list[Any] = []

    def begin(self, frames: np.ndarray, actions: np.ndarray, seed: int) -> None:
        self.size = len(frames[0])
        self.told.append((frames[:, 0, 0, 0].tolist(), actions.shape, seed))

    def step(self, action: np.ndarray) -> np.ndarray:
        return np.full((self.size, self.size, 3), 100, np.uint8)


class Correctable(Noting):
    def correct(self, frames: np.ndarray) -> None:
        self.told.append(frames[:, 0, 0, 0].tolist())


def _frames(*values: int) -> np.ndarray:
    return np.stack([np.full((32, 32, 3), value, np.uint8) for value in values])


@pytest.mark.parametrize(
    ("kind", "corrected"),
    [(Noting, [3, 4, 100, 7, 8]), (Correctable, [7, 8])],
)
def test_history_is_what_a_model_begins_from_and_a_correction_what_it_is_told_or_begins_from(
    kind: type[Noting], corrected: list[int]
) -> None:
    options = registry.Options(size=32, action_spec=SPEC)
    dream = registry.Source("noting", factory=kind).dream(options, history=5)
    width = flatdim(dream.action_space)
    actions = np.zeros((5, width), np.float32)
    dream.reset(seed=9, options={"frames": _frames(0, 0, 1, 2, 3, 4), "actions": actions})
    for _ in range(3):
        frame = dream.step(actions[0])[0]
    assert frame.shape == (32, 32, 3)
    dream.correct(_frames(7, 8))
    model = dream.predictor.model
    assert model.made == (32, SPEC)
    begun, then = model.told
    assert begun == ([0, 1, 2, 3, 4], (4, width), 9)
    assert then == (corrected if kind is Correctable else (corrected, (4, width), 9))


@pytest.mark.parametrize("kind", [Noting, Correctable])
def test_with_less_than_its_longest_history_a_model_never_knows_more_of_the_past(kind: type[Noting]) -> None:
    class Remembering(kind):  # type: ignore[valid-type,misc]
        histories = (2, 50)

        def begin(self, frames: np.ndarray, actions: np.ndarray, seed: int) -> None:
            super().begin(frames, actions, seed)
            self.knows = frames[:, 0, 0, 0].tolist()
            assert len(actions) == len(frames) - 1

        def step(self, action: np.ndarray) -> np.ndarray:
            self.most = max(getattr(self, "most", 0), len(self.knows))
            self.knows.append(100)
            return super().step(action)

    class Told(Remembering):
        def correct(self, frames: np.ndarray) -> None:
            self.knows[-len(frames) :] = frames[:, 0, 0, 0].tolist()

    knows = {}
    for history in (3, 50):
        model = Told if kind is Correctable else Remembering
        dream = registry.Source("it", factory=model).dream(
            registry.Options(size=32, action_spec=SPEC), history=history
        )
        action = np.zeros(flatdim(dream.action_space), np.float32)
        dream.reset(seed=9, options={"frames": _frames(0, 1, 2, 3), "actions": [action] * 3})
        for true in (4, 5, 6, 7):
            dream.step(action)
            dream.correct(_frames(true))
        dream.step(action)
        dream.step(action)
        knows[history] = dream.predictor.model.most, dream.predictor.model.knows
    assert knows == {3: (3, [6, 7, 100, 100]), 50: (9, [*range(8), 100, 100])}


def test_an_entry_point_is_a_name_for_a_factory(monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        name = "still"

        def load(self) -> Any:
            return external.find("examples.last_frame:LastFrame")

    monkeypatch.setattr(external, "entry_points", lambda group: [Point()] if group == external.GROUP else [])
    source = registry.find("still")
    dream = source.dream(registry.Options(action_spec=SPEC))
    frame, _ = dream.reset(options={"frames": np.full((1, 64, 64, 3), 7, np.uint8)})
    assert np.array_equal(dream.step(dream.action_space.sample())[0], frame)
    assert registry.find("blocks").loaded is not None
