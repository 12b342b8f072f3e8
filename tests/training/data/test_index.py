"""Episodes in a store and in shards are the episodes that were packed; an index is refreshed, never trusted blindly."""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest

from envs.episodes import section
from envs.episodes.episode import Episode, EpisodeError
from envs.episodes.section import SectionLost
from tests.helpers.small_run import record
from training.convert import index as command
from training.data import blocks, index
from training.data.episodes import DataError, open_episodes
from worldsim.config import addresses

pytest.importorskip("pyarrow", reason="an index takes pyarrow")
STORE = "memory://index"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("data"), episodes=3, steps=12)


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("WORLDSIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(addresses, "FIRST_WAIT", 0.001)
    blocks.shared.cache_clear()
    yield
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    blocks.shared.cache_clear()


def _told(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    found: dict[str, object] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


@pytest.mark.parametrize("out", [STORE, "here"])
def test_what_comes_out_of_shards_is_what_went_in(
    data: Path, tmp_path: Path, out: str, capsys: pytest.CaptureFixture[str]
) -> None:
    into = out if out == STORE else str(tmp_path / out)
    assert command.main([f"data={data}", f"out={into}", "shard_mb=1"]) == 0
    assert _told(capsys)["episodes"] == 3
    own, packed = open_episodes(data), open_episodes(into)
    assert [e.path.name for e in own] == [e.path.name for e in packed]
    for one, other in zip(own, packed, strict=True):
        assert one.meta == other.meta and other.posed
        np.testing.assert_array_equal(one.frames(3, 9), other.frames(3, 9))
        np.testing.assert_array_equal(one.action_vectors(), other.action_vectors())
        np.testing.assert_array_equal(one.poses, other.poses)
        other.verify()
    assert command.main([f"data={data}", f"out={into}"]) == 0
    again = _told(capsys)
    assert (again["episodes"], again["before"], again["shards"]) == (0, 3, 0)


def test_a_shard_is_a_tar_and_a_row_says_where_in_it_an_episode_lies(data: Path, tmp_path: Path) -> None:
    assert command.main([f"data={data}", f"out={tmp_path}"]) == 0
    rows = index.read(str(tmp_path))
    assert {row.shard for row in rows} == {"shard-00000.tar"}
    whole = (tmp_path / "shard-00000.tar").read_bytes()
    with tarfile.open(tmp_path / "shard-00000.tar") as tar:
        for row in rows:
            member = tar.extractfile(f"{row.name}.zip")
            assert member is not None
            found = whole[row.offset : row.offset + row.bytes]
            assert found == member.read() and hashlib.sha256(found).hexdigest() == row.sha256
            assert (row.world, row.seed, row.frames, row.size) == (
                "worldsim/LabMaze-v0",
                row.name.split("-")[1],
                13,
                32,
            )


def test_an_index_in_place_is_refreshed_and_new_or_changed_files_are_seen_without(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in sorted(data.glob("*.zip"))[:2]:
        shutil.copy(path, tmp_path)
    assert command.main([f"data={tmp_path}"]) == 0
    assert _told(capsys)["episodes"] == 2
    first, _, third = sorted(data.glob("*.zip"))
    shutil.copy(third, tmp_path)
    shutil.copy(third, tmp_path / first.name)  # another recording of that name
    assert [e.meta["seed"] for e in open_episodes(tmp_path)] == [2, 1, 2]
    assert command.main([f"data={tmp_path}"]) == 0
    assert _told(capsys)["episodes"] == 2
    (tmp_path / first.name).unlink()
    with pytest.raises(ValueError, match=r"is not where index.parquet says it is.*worldsim index"):
        open_episodes(tmp_path)
    assert command.main([f"data={tmp_path}"]) == 0
    assert len(open_episodes(tmp_path)) == 2


def test_a_folder_of_a_store_without_an_index_is_listed(data: Path) -> None:
    for path in data.glob("*.zip"):
        addresses.upload(path, addresses.join(STORE, path.name))
    addresses.write(addresses.join(STORE, "torn.zip"), b"PK")
    assert [len(e) for e in open_episodes(STORE)] == [13, 13, 13]
    with pytest.raises(DataError, match="no episode"):
        open_episodes("memory://nothing")


def test_a_damaged_episode_is_left_out_of_shards_with_a_count(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in data.glob("*.zip"):
        shutil.copy(path, tmp_path)
    victim = sorted(tmp_path.glob("*.zip"))[1]
    damaged = bytearray(victim.read_bytes())
    damaged[len(damaged) // 3] ^= 255
    victim.write_bytes(damaged)
    assert command.main([f"data={tmp_path}", f"out={STORE}"]) == 0
    assert "1 left out" in capsys.readouterr().err
    assert len(open_episodes(STORE)) == 2


@pytest.mark.parametrize(
    "spoilt", ["no parquet", "a path", "past the end"], ids=lambda text: str(text).replace(" ", "_")
)
def test_an_index_that_lies_is_one_sentence(
    data: Path, tmp_path: Path, spoilt: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from dataclasses import replace

    assert command.main([f"data={data}", f"out={tmp_path}"]) == 0
    rows = index.read(str(tmp_path))
    if spoilt == "no parquet":
        (tmp_path / index.INDEX).write_bytes(b"PAR1 nothing")
    elif spoilt == "a path":
        index.write(str(tmp_path), [replace(rows[0], shard="../secret")])
    else:
        index.write(str(tmp_path), [replace(rows[0], offset=2**39)])
    with pytest.raises(ValueError, match=r"worldsim index"):
        open_episodes(tmp_path)


def test_blocks_on_disk_stay_below_their_limit_and_are_asked_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 1000)
    monkeypatch.setattr(blocks, "IN_MEMORY", 2)
    data = np.random.default_rng(0).bytes(50_500)
    addresses.write(addresses.join(STORE, "large"), data)
    entry = addresses.entry(addresses.join(STORE, "large"))
    assert entry is not None
    kept = blocks.Blocks(tmp_path / "blocks", 16_000)
    for start, stop in [(0, 3000), (1500, 1600), (0, 3000), (49_900, 50_500)]:
        assert kept.read(addresses.join(STORE, "large"), entry, start, stop) == data[start:stop]
    assert kept.asked == 3000 + 1500
    assert kept.read(addresses.join(STORE, "large"), entry, 0, len(data)) == data
    assert sum(f.stat().st_size for f in (tmp_path / "blocks").glob("*/*")) <= 16_000 + 16_000 // 16


def test_a_store_that_fails_for_a_while_is_tried_again_and_one_that_goes_on_is_a_sentence(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = next(data.glob("*.zip"))
    addresses.upload(path, addresses.join(STORE, path.name))
    memory = type(fsspec.filesystem("memory"))
    whole, failing = memory.cat_file, [2]

    def cut(*args: object, **named: object) -> bytes:
        if failing[0]:
            failing[0] -= 1
            raise OSError("connection reset")
        found: bytes = whole(*args, **named)
        return found

    monkeypatch.setattr(memory, "cat_file", cut)
    (episode,) = open_episodes(STORE)
    assert len(episode.frames(0, 2)) == 2 and not failing[0]
    blocks.shared.cache_clear()
    shutil.rmtree(addresses.cache())
    failing[0] = 10**6
    with pytest.raises(SectionLost, match=r"could not be reached in 4 tries: connection reset"):
        open_episodes(STORE)


def test_an_episode_in_a_section_can_be_pickled_and_is_refused_where_it_is_none(data: Path) -> None:
    import pickle

    assert command.main([f"data={data}", f"out={STORE}"]) == 0
    episode = pickle.loads(pickle.dumps(open_episodes(STORE)[0]))
    assert isinstance(episode, Episode) and episode.frames(0, 1).shape == (1, 32, 32, 3)


def test_a_shard_that_was_damaged_says_which_frame(data: Path, tmp_path: Path) -> None:
    assert command.main([f"data={data}", f"out={tmp_path}"]) == 0
    row, shard = index.read(str(tmp_path))[0], tmp_path / "shard-00000.tar"
    whole = bytearray(shard.read_bytes())
    for at, sentence in (
        (row.offset + 60, "frames/000000.png is damaged"),
        (row.offset, "is damaged: its header"),
    ):
        damaged = bytearray(whole)
        damaged[at] ^= 255
        new = tmp_path / "new"  # a file that is replaced, as no reader sees half of it
        new.write_bytes(damaged)
        new.replace(shard)
        section._held.cache_clear()
        with pytest.raises(EpisodeError, match=sentence):
            open_episodes(tmp_path)[0].frames(0, 1)
