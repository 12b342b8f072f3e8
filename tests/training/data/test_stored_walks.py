"""Walks in a store read as mapped ones do; shards are gone through one by one, on any number of processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest

from envs.episodes.episode import Episode
from envs.episodes.section import FileSection
from tests.helpers.small_model import SPEC
from training.data import blocks, walks
from training.data.episodes import DataError
from training.data.frames import ShardOrder
from training.data.sequences import Sequences
from worldsim.config import addresses

STORE = "memory://walks"


@pytest.mark.parametrize("folder", ["walks", STORE])
def test_where_no_walks_are_the_command_that_makes_them_is_whole(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=rf"`worldsim train walks checkpoint=NAME out={folder}`"):
        walks.read(folder)


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("WORLDSIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(blocks, "BLOCK", 1000)
    blocks.shared.cache_clear()
    yield
    fsspec.filesystem("memory").store.clear()
    blocks.shared.cache_clear()


def _shard(folder: Path, seed: int, episodes: int = 3, steps: int = 20) -> Path:
    rng = np.random.default_rng(seed)
    some = walks.Walks(
        rng.integers(0, 255, (episodes, steps, 16, 16, 3), np.uint8),
        rng.standard_normal((episodes, steps, 4, 2, 2)).astype(np.float16),
        rng.standard_normal((episodes, steps, 2, 2)).astype(np.float16),
        rng.standard_normal((episodes, steps, 5)).astype(np.float32),
        rng.standard_normal((episodes, steps, 5)).astype(np.float32),
    )
    walks.write(folder, some, {"autoencoder": "abc"})
    return folder


def test_walks_in_a_store_are_those_that_were_brought_there(tmp_path: Path) -> None:
    for seed in range(2):
        _shard(tmp_path / "own" / f"{seed:09d}", seed)
        walks.send(_shard(tmp_path / "sent" / f"{seed:09d}", seed), STORE)
    assert walks.shards_in(STORE) == walks.shards_in(str(tmp_path / "own")) == {"000000000", "000000001"}
    assert not list((tmp_path / "sent").iterdir())
    own, stored = walks.read(tmp_path / "own", "abc"), walks.read(STORE, "abc")
    for one, other in zip(own, stored, strict=True):
        assert (len(one), one.steps) == (len(other), other.steps)
        for field in walks.FILES:
            a, b = getattr(one, field), getattr(other, field)
            assert (a.shape, a.dtype) == (b.shape, b.dtype)
            for key in (
                1,
                -1,
                (0, slice(3, 9)),
                (2, slice(None)),
                (1, [7, 2, 2]),
                (0, np.array([5, 19])),
                (2, 4),
            ):
                np.testing.assert_array_equal(a[key], b[key])
    batches = [Sequences(some).draw(0, 3, 4, 8) for some in (own, stored)]
    assert batches[0].latents.equal(batches[1].latents) and batches[0].actions.equal(batches[1].actions)
    with pytest.raises(DataError, match="latents of another autoencoder"):
        walks.read(STORE, "other")


def test_an_array_that_is_none_or_not_whole_is_a_sentence(tmp_path: Path) -> None:
    walks.send(_shard(tmp_path / "000000000", 0), STORE)
    file = f"{STORE}/000000000/latents.npy"
    whole = addresses.read(file)
    for damaged in (b"", b"nothing", whole[:-1], whole.replace(b"f2", b"O8", 1)):
        addresses.write(file, damaged)
        blocks.shared.cache_clear()
        with pytest.raises(DataError, match=r"is no (whole )?array"):
            walks.read(STORE)
    addresses.write(f"{STORE}/half/frames.npy", whole)  # a shard without its meta is not there yet
    addresses.write(file, whole)
    assert len(walks.read(STORE)) == 1


def _swapped(shard: Path) -> None:
    fields = [np.load(shard / f"{name}.npy") for name in ("actions", "latents")]
    for name, array in zip(("latents", "actions"), fields, strict=True):
        np.save(shard / f"{name}.npy", array)


def _cut(shard: Path) -> None:
    whole = (shard / "frames.npy").read_bytes()
    (shard / "frames.npy").write_bytes(whole[:-100])


def _without_numbers(shard: Path) -> None:
    poses = np.load(shard / "poses.npy")
    poses[1, 3] = np.nan
    np.save(shard / "poses.npy", poses)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "no facts": lambda shard: (shard / "meta.json").write_text("{}"),
    "a list": lambda shard: (shard / "meta.json").write_text("[]"),
    "half a meta": lambda shard: (shard / "meta.json").write_text("{"),
    "no text": lambda shard: (shard / "meta.json").write_bytes(b"\xff\xfe"),
    "empty": lambda shard: (shard / "poses.npy").write_bytes(b""),
    "missing": lambda shard: (shard / "poses.npy").unlink(),
    "shorter": lambda shard: np.save(shard / "actions.npy", np.load(shard / "actions.npy")[:, 1:]),
    "cut": _cut,
    "swapped": _swapped,
    "no numbers": _without_numbers,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_walks_are_a_sentence_that_names_the_shard(damage: str, tmp_path: Path) -> None:
    shard = _shard(tmp_path / "000000000", 0)
    DAMAGE[damage](shard)
    with pytest.raises(DataError, match=f"{shard} are damaged"):
        walks.read(tmp_path, "abc")


def test_a_shard_that_another_process_wrote_meanwhile_stays(tmp_path: Path) -> None:
    first = _shard(tmp_path / "000000000", 0)
    poses = np.load(first / "poses.npy")
    _shard(first, 1)
    assert [p.name for p in tmp_path.iterdir()] == ["000000000"]
    np.testing.assert_array_equal(np.load(first / "poses.npy"), poses)


def _episodes(count: int, shards: int) -> list[Episode]:
    meta = {"format": 1, "frames": 9, "size": 16, "action_spec": SPEC}
    return [
        Episode(
            f"{i}.zip", FileSection(f"{i}.zip", Path(f"shard-{i * shards // count}.tar"), 0, 9), (meta, True)
        )
        for i in range(count)
    ]


def test_every_lane_goes_through_shards_of_its_own_and_an_epoch_through_every_episode() -> None:
    episodes = _episodes(60, 6)
    order = ShardOrder(episodes, seed=0, lanes=6, stay=2)
    epoch = [[order.at(step, lane) for lane in range(6)] for step in range(2 * order.visits)]
    assert sorted({i for row in epoch for i in row}) == list(range(60))
    assert all(epoch[i] == epoch[i + 1] for i in range(0, len(epoch), 2))
    for lane in range(6):  # as many lanes as shards: one shard a lane
        assert len({row[lane] // 10 for row in epoch}) == 1
    following = [[order.at(step + len(epoch), lane) for lane in range(6)] for step in range(len(epoch))]
    assert following != epoch
    again = ShardOrder(episodes, seed=0, lanes=6, stay=2)
    assert [[again.at(step, lane) for lane in range(6)] for step in range(len(epoch))] == epoch
