"""A checkpoint loads as it was saved, or is refused in one sentence that says what to do."""

import re
import time
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from tests.helpers.small_model import SPEC, small_checkpoint, small_model
from worldsim import checkpoint
from worldsim.actions import ActionSpecMismatch, check_same, space_from_spec, vector
from worldsim.checkpoint import CONFIG, WEIGHTS, CheckpointError
from worldsim.checkpoint.formats import FORMAT, KEYS, PARTS
from worldsim.config import DreamConfig


def _refusal(path: Path | str) -> str:
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load(str(path))
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_weights_and_description_come_back(tmp_path: Path) -> None:
    loaded = checkpoint.load(str(small_checkpoint(tmp_path, env_id="worldsim/Blocks-v0")))
    assert loaded.description.env_id == "worldsim/Blocks-v0"
    assert loaded.action_spec == SPEC
    for (name, saved), (_, found) in zip(
        small_model().state_dict().items(), loaded.model.state_dict().items(), strict=True
    ):
        torch.testing.assert_close(saved, found, atol=2e-3, rtol=2e-3, msg=name)
    assert not loaded.model.training


def test_a_missing_checkpoint_names_the_shipped_ones(tmp_path: Path) -> None:
    assert "expected a folder" in _refusal(tmp_path / "nothing")


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    weights = small_checkpoint(tmp_path) / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-1000])
    assert "fetch or train it again" in _refusal(tmp_path)


def test_foreign_files_are_refused_and_never_unpickled(tmp_path: Path) -> None:
    small_checkpoint(tmp_path)
    torch.save({"x": torch.ones(1)}, tmp_path / WEIGHTS)
    assert "fetch or train it again" in _refusal(tmp_path)


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    config = small_checkpoint(tmp_path) / CONFIG
    config.write_text(config.read_text().replace("width: 32", "width: 64"))
    assert "config.yaml" in _refusal(tmp_path)


def test_a_misspelt_field_is_refused(tmp_path: Path) -> None:
    config = small_checkpoint(tmp_path) / CONFIG
    config.write_text(config.read_text().replace("env_id", "env_idd"))
    assert "env_id" in _refusal(tmp_path)


def test_a_newer_format_asks_for_an_update(tmp_path: Path) -> None:
    config = small_checkpoint(tmp_path) / CONFIG
    config.write_text(config.read_text().replace(f"format: {FORMAT}", "format: 9"))
    assert "update worldsim" in _refusal(tmp_path)


def test_no_weights_is_said(tmp_path: Path) -> None:
    (small_checkpoint(tmp_path) / WEIGHTS).unlink()
    assert WEIGHTS in _refusal(tmp_path)


def test_the_action_space_is_rebuilt_from_its_description() -> None:
    from envs.actions import noop, space, spec

    for family in ("minecraft", "dmlab"):
        original = space(family)
        rebuilt = space_from_spec(spec(original, family))
        assert rebuilt == original
        assert vector(rebuilt, noop(family)).shape == vector(original, original.sample()).shape
    with pytest.raises(ActionSpecMismatch, match=r"A speaks minecraft.* but B speaks dmlab"):
        check_same(spec(space("minecraft"), "minecraft"), spec(space("dmlab"), "dmlab"), "A", "B")


def test_an_autoencoder_file_comes_back_or_is_refused(tmp_path: Path) -> None:
    model = small_model()
    path = tmp_path / "autoencoder.safetensors"
    checkpoint.save_autoencoder(path, model.autoencoder, model.config.autoencoder)
    again, config = checkpoint.load_autoencoder(path)
    assert config == model.config.autoencoder
    x = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(again.encode(x), model.autoencoder.encode(x))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="train it again"):
        checkpoint.load_autoencoder(path)


def test_a_file_that_says_nothing_of_dreams_means_what_dreams_did_before(tmp_path: Path) -> None:
    """Older ones were written so; what one says is what its dream does."""
    config = small_checkpoint(tmp_path) / CONFIG
    text = config.read_text()
    config.write_text(text.replace("refresh: 8", "refresh: 5"))
    assert checkpoint.load(str(tmp_path)).model.config.dream == DreamConfig(refresh=5)
    told = yaml.safe_load(text)
    del told["model"]["dream"]
    config.write_text(yaml.safe_dump(told))
    assert checkpoint.load(str(tmp_path)).model.config.dream == DreamConfig()


def test_weights_that_are_not_those_that_were_saved_are_refused(tmp_path: Path) -> None:
    weights = small_checkpoint(tmp_path) / WEIGHTS
    data = bytearray(weights.read_bytes())
    data[-1001] ^= 4
    weights.write_bytes(data)
    assert "checksum" in _refusal(tmp_path)


@pytest.mark.parametrize(
    ("there", "instead", "told"),
    [
        ("depth: 2", "depth: 1000000000", "from 0 to 65536"),
        ("depth: 2", "depth: 60000", "far larger model"),
        ("width: 32", "width: 65536", "far larger model"),
        ("window: 4", "window: -4", "from 0 to 65536"),
        ("family: minecraft", "family: ${oc.env:HOME}", "expected plain values"),
        ("'n': 2", "'n': 100000000", "describes no actions"),
        ("kind: box", "kind: circle", "describes no actions"),
    ],
)
def test_a_model_of_sizes_that_its_weights_do_not_have_is_not_built(
    tmp_path: Path, there: str, instead: str, told: str
) -> None:
    config = small_checkpoint(tmp_path) / CONFIG
    text = config.read_text()
    assert there in text
    config.write_text(text.replace(there, instead))
    began = time.process_time()
    assert told in _refusal(tmp_path)
    assert time.process_time() - began < 5


def test_a_checkpoint_of_format_1_loads_under_the_names_of_today(tmp_path: Path) -> None:
    model = small_model(free_running=True, pixels=True)
    model.config.handover_after, model.config.recall_horizon = 24, 7
    checkpoint.save(tmp_path, model, {"family": "minecraft"})
    old = {now: before for before, now in PARTS.items()}
    tensors = {
        re.sub(rf"^({'|'.join(map(re.escape, old))})\.", lambda found: f"{old[found[1]]}.", k): v
        for k, v in load_file(tmp_path / "model.safetensors").items()
    }
    assert {k.partition(".")[0] for k in tensors} >= {"alone", "pixels"} and "pixels.cues.bias" in tensors
    save_file(tensors, tmp_path / "model.safetensors", {"format": "1"})
    text = (tmp_path / "config.yaml").read_text()
    for key, now in KEYS.items():
        assert f"  {now}: " in text
        text = text.replace(f"  {now}: ", f"  {key.rpartition('.')[2]}: ")
    (tmp_path / "config.yaml").write_text(text.replace("format: 2", "format: 1"))

    loaded = checkpoint.load(str(tmp_path))
    assert loaded.description.format == 1
    assert (loaded.model.config.handover_after, loaded.model.config.recall_horizon) == (24, 7)
    found = loaded.model.state_dict()
    assert found.keys() == model.state_dict().keys()
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(found[name], weight, atol=1e-3, rtol=1e-3)  # large ones are kept in halves


@pytest.mark.parametrize("name", ["blocks", "labmaze"])
def test_a_shipped_checkpoint_is_of_the_format_of_today(name: str) -> None:
    loaded = checkpoint.load(name)
    assert loaded.description.format == checkpoint.FORMAT and loaded.model.config.recall_horizon == 48
