"""Published checkpoints: what is no safetensors is never opened, and every refusal is one sentence."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pytest

from tests.helpers.small_model import small_checkpoint
from worldsim import checkpoint
from worldsim.checkpoint import CheckpointError, hub


def _refusal(name: str) -> str:
    with pytest.raises(CheckpointError) as error:
        checkpoint.load(name)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_path_is_loaded_from_where_it_is(tmp_path: Path) -> None:
    folder = small_checkpoint(tmp_path / "mine")
    assert checkpoint.load(str(folder)).path == folder


def test_an_id_is_no_path_below_a_folder_that_is_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    assert hub.is_id("someone/blocks") and hub.is_id("someone/blocks@v1.0")
    for path in ("runs/blocks", "blocks", "./a/b", "/a/b", "a/b/c", "../a", "a/b c"):
        assert not hub.is_id(path)


def test_a_mistyped_path_is_not_asked_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    assert "no checkpoint 'runs/blokcs'" in _refusal("runs/blokcs")


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert "pip install huggingface_hub" in _refusal("someone/blocks")


def test_offline_it_says_that_nothing_could_be_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert "could not be fetched" in _refusal("someone-who-is-not/blocks")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "last.ckpt"])
def test_pickled_weights_are_refused_and_never_opened(name: str, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> object:
            return (Path(tmp_path / "opened").touch, ())

    (tmp_path / "published").mkdir()
    (tmp_path / "published" / name).write_bytes(pickle.dumps(Bomb()))
    told = _refusal(str(tmp_path / "published"))
    assert name in told and "never opened" in told
    assert not (tmp_path / "opened").exists()


def test_a_pickle_under_the_name_of_safetensors_is_refused(tmp_path: Path) -> None:
    folder = small_checkpoint(tmp_path / "published")
    (folder / checkpoint.WEIGHTS).write_bytes(pickle.dumps({"weights": [1.0] * 100}))
    assert "is not whole" in _refusal(str(folder))
