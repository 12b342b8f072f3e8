"""A real S3 server on this machine: collected to, trained from, played from; cut off in the middle, a sentence."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.object_store import BUCKET, Proxy, environment, make_bucket, needed, s3
from tests.helpers.small_model import small_model
from tests.helpers.small_run import SMALL_AUTOENCODER, record
from tests.helpers.small_walks import small_maze
from training import collect
from training.convert import index as command
from training.data import blocks
from training.data.episodes import open_episodes
from training.train import autoencoder as train_autoencoder
from worldsim import checkpoint
from worldsim.cli.command import MISTAKE
from worldsim.config import addresses
from worldsim_app import play

pytestmark = needed
DATA, SHARDS, RUN = f"{BUCKET}/data", f"{BUCKET}/shards", f"{BUCKET}/runs/autoencoder"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with s3() as (proxy, variables), environment(variables):
        make_bucket()
        yield proxy


@pytest.fixture(autouse=True)
def fresh(store: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Another machine for each test: nothing is cached, and nobody has to wait long."""
    monkeypatch.setenv("WORLDSIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(addresses, "FIRST_WAIT", 0.05)
    blocks.shared.cache_clear()
    yield
    store.cut_after = store.only = None
    blocks.shared.cache_clear()


def _collect(out: str, episodes: int = 2) -> int:
    words = ["env=labmaze", "policy=explore", "steps=12", "size=32", "workers=1"]
    return collect.main([*words, f"episodes={episodes}", f"out={out}"])


def test_collected_packed_trained_and_gone_on_with_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _collect(DATA) == 0 and _collect(str(tmp_path / "own")) == 0
    assert not list(addresses.cache().rglob("*.zip"))  # what was brought there is not kept here
    own = open_episodes(tmp_path / "own")
    for one, other in zip(own, open_episodes(DATA), strict=True):
        np.testing.assert_array_equal(one.frames(), other.frames())
    assert _collect(DATA) == 0
    assert "0 episodes recorded, 2 were there already" in capsys.readouterr().out
    assert command.main([f"data={DATA}", f"out={SHARDS}"]) == 0
    assert sorted(addresses.entries(SHARDS)) == ["index.parquet", "shard-00000.tar"]
    words = ["seconds=1e9", "batch=8", "sample_every=1e9", *SMALL_AUTOENCODER]
    assert train_autoencoder.main([f"data={SHARDS}", f"out={RUN}", "steps=1", *words]) == 0
    assert {"state.safetensors", "autoencoder.safetensors"} <= addresses.entries(RUN).keys()
    monkeypatch.setenv("WORLDSIM_CACHE", str(tmp_path / "another machine"))
    blocks.shared.cache_clear()
    assert train_autoencoder.main([f"data={SHARDS}", f"out={RUN}", "steps=2", *words]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["steps"] == 2
    there, _ = checkpoint.load_autoencoder(f"{RUN}/autoencoder.safetensors")
    words = [f"data={tmp_path / 'own'}", f"out={tmp_path / 'run'}", "steps=2", *words]
    assert train_autoencoder.main(words) == 0
    here, _ = checkpoint.load_autoencoder(tmp_path / "run" / "autoencoder.safetensors")
    for name, weight in here.state_dict().items():  # as one run over the folder of this machine
        np.testing.assert_allclose(weight, there.state_dict()[name], rtol=1e-3, atol=1e-5, err_msg=name)


def test_a_checkpoint_is_fetched_once_whole_and_again_when_it_was_changed(
    store: Proxy, tmp_path: Path
) -> None:
    address = f"{BUCKET}/checkpoint"
    model = small_model()
    for seed in (0, 1):
        model.action_mean.fill_(seed)
        checkpoint.save(tmp_path / "own", model, {})
        for file in ("model.safetensors", "config.yaml"):
            addresses.upload(tmp_path / "own" / file, f"{address}/{file}")
        loaded = checkpoint.load(address)
        assert float(loaded.model.action_mean.mean()) == seed
        fetched = loaded.path.stat().st_mtime_ns
        assert checkpoint.load(address).path.stat().st_mtime_ns == fetched
    shutil.rmtree(addresses.cache())
    store.only, store.cut_after = b"GET /worldsim/checkpoint/model.safetensors", 5000
    with pytest.raises(checkpoint.CheckpointError, match="could not be reached in 4 tries"):
        checkpoint.load(address)
    assert store.cuts >= 4
    assert not list((addresses.cache() / "checkpoints").iterdir())  # not half of it
    store.cut_after = None
    addresses.write(f"{address}/model.safetensors", (tmp_path / "own/model.safetensors").read_bytes()[:-9])
    with pytest.raises(checkpoint.CheckpointError, match="is not whole"):
        checkpoint.load(address)


def test_a_checkpoint_is_played_by_its_address(tmp_path: Path) -> None:
    small = Path(small_maze(tmp_path / "own"))
    for file in ("model.safetensors", "config.yaml"):
        addresses.upload(small / file, f"{BUCKET}/maze/{file}")
    words = ["--env", "dmlab", "--headless", "--steps", "4", "--checkpoint", f"{BUCKET}/maze"]
    assert (
        play.main([*words, "--report", str(tmp_path / "report.json"), "--video", str(tmp_path / "v.mp4")])
        == 0
    )
    assert json.loads((tmp_path / "report.json").read_text())


def test_cut_off_while_reading_it_is_tried_again_and_then_a_sentence(
    store: Proxy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address = f"{BUCKET}/cut"
    assert command.main([f"data={record(tmp_path / 'own', 1, 12)}", f"out={address}"]) == 0
    (own,), (episode,) = open_episodes(tmp_path / "own"), open_episodes(address)
    store.only, store.cut_after, cuts = b"GET /worldsim/cut/shard", 3000, store.cuts

    def mend() -> None:
        while store.cuts == cuts:
            time.sleep(0.01)
        store.cut_after = None

    threading.Thread(target=mend, daemon=True).start()
    np.testing.assert_array_equal(episode.frames(), own.frames())
    assert store.cuts > cuts
    shutil.rmtree(addresses.cache())
    blocks.shared.cache_clear()
    store.cut_after = 3000
    words = [f"data={address}", f"out={tmp_path / 'run'}", "steps=1", "batch=8", *SMALL_AUTOENCODER]
    capsys.readouterr()
    assert train_autoencoder.main(words) == MISTAKE
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith(f"error: {address}/shard-00000.tar could not be reached in 4 tries")


def test_an_episode_that_could_not_be_brought_there_is_brought_by_the_next_run(
    store: Proxy, capsys: pytest.CaptureFixture[str]
) -> None:
    address = f"{BUCKET}/late"
    store.only, store.cut_after = b"PUT /worldsim/late", 0
    assert _collect(address, 1) == MISTAKE
    assert "could not be reached in 4 tries" in capsys.readouterr().err.splitlines()[-1]
    store.cut_after = None
    assert addresses.entries(address) == {}
    (waiting,) = addresses.cache().rglob("*.zip")
    recorded = waiting.read_bytes()
    assert _collect(address, 1) == 0
    assert addresses.read(f"{address}/{waiting.name}") == recorded and not waiting.exists()
