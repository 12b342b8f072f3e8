"""What others made is refused before memory is taken for it, and always by one kind of exception."""

from __future__ import annotations

import io
import json
import os
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from PIL import Image

from envs import actions
from envs.episodes.episode import Episode, EpisodeError, EpisodeWriter


def _episode(directory: Path, name: str = "one", **meta: Any) -> Path:
    spec = actions.spec(actions.space("minecraft"), "minecraft")
    writer = EpisodeWriter(directory, name, {"family": "minecraft", "size": 16, "action_spec": spec, **meta})
    frames = np.random.default_rng(0).integers(0, 255, (4, 16, 16, 3), np.uint8)
    writer.first(frames[0], np.zeros(5))
    for frame in frames[1:]:
        writer.add(actions.noop("minecraft"), frame, np.zeros(5))
    return writer.seal()


def _changed(path: Path, compression: int = zipfile.ZIP_STORED, **members: bytes | None) -> Path:
    """The same zip with other members (dots in names are ``__``, slashes ``___``); None leaves one out."""
    new = path.with_stem("changed")
    other = {name.replace("___", "/").replace("__", "."): data for name, data in members.items()}
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(new, "w", compression) as archive:
        for name in {**dict.fromkeys(old.namelist()), **other}:
            data = other.get(name, old.read(name) if name in old.namelist() else b"")
            if data is not None:
                archive.writestr(name, data)
    return new


def _meta(path: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    with zipfile.ZipFile(path) as archive:
        meta = json.loads(archive.read("meta.json"))
    change(meta)
    return _changed(path, meta__json=json.dumps(meta).encode())


def _field(meta: dict[str, Any], name: str) -> dict[str, Any]:
    return next(f for f in meta["action_spec"]["fields"] if f["name"] == name)


def _png(width: int, height: int, mode: str = "RGB") -> bytes:
    data = io.BytesIO()
    Image.new(mode, (width, height)).save(data, "PNG")
    return data.getvalue()


def test_a_bomb_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("meta.json", "steps.npz"):
            with archive.open(name, "w") as member:
                for _ in range(128):
                    member.write(bytes(2**20))
    tracemalloc.start()
    began = time.process_time()
    with pytest.raises(EpisodeError, match="says to hold 256 MiB"):
        Episode(bomb)
    assert time.process_time() - began < 1 and tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda m: m.update(frames=10**12), "whole number from 1 to"),
        (lambda m: m.update(frames=1e300), "whole number"),
        (lambda m: m.update(frames=True), "whole number"),
        (lambda m: m.update(seed="x"), "seed 'x'"),
        (lambda m: m.update(env_kwargs=[1]), "env_kwargs list"),
        (lambda m: m.update(fov="wide"), "fov 'wide'"),
        (lambda m: m.update(size=10**9), "whole number from 1 to 4096"),
        (lambda m: _field(m, "attack").update(n=10**9), "from 1 to 65536"),
        (lambda m: _field(m, "camera").update(shape=[10**9] * 8), "of shape"),
        (lambda m: _field(m, "camera").update(dtype="object"), "type 'object'"),
        (lambda m: _field(m, "camera").update(low=[[1]]), "low does not fit"),
        (lambda m: m["action_spec"].update(fields=[]), "without fields"),
        (lambda m: m.update(action_spec=3), "no action_spec"),
    ],
)
def test_what_meta_json_says_is_checked_when_it_is_opened(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any], told: str
) -> None:
    with pytest.raises(EpisodeError, match=told):
        Episode(_meta(_episode(tmp_path), change))


def test_deep_json_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(EpisodeError, match="no readable JSON"):
        Episode(_changed(_episode(tmp_path), meta__json=b"[" * 100_000))


def _npz(**arrays: Any) -> bytes:
    packed = io.BytesIO()
    np.savez(packed, **arrays)
    return packed.getvalue()


def _lying() -> bytes:
    """An array that says to hold a tebibyte."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as packed, packed.open("action.npy", "w") as member:
        np.lib.format.write_array_header_1_0(
            member, {"descr": "<f8", "fortran_order": False, "shape": (2**37,)}
        )
    return data.getvalue()


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        (_lying(), "says to hold 137438953472 numbers"),
        (_npz(action=np.array([{}], object)), "expected numbers"),
        (_npz(action=np.zeros(3)), "missing"),
        (b"PK", "no readable arrays"),
    ],
)
def test_arrays_are_checked_before_they_are_read(tmp_path: Path, steps: bytes, told: str) -> None:
    with pytest.raises(EpisodeError, match=told):
        Episode(_changed(_episode(tmp_path), steps__npz=steps)).action_vectors()


@pytest.mark.parametrize("picture", [_png(5000, 1), _png(17, 16), b"GIF89a" + bytes(40), _png(16, 16)[:45]])
def test_a_picture_that_is_too_large_of_another_size_or_torn_is_refused(
    tmp_path: Path, picture: bytes
) -> None:
    episode = Episode(_changed(_episode(tmp_path), frames___000001__png=picture))
    with pytest.raises(EpisodeError, match="frame 1 "):
        episode.frames()


def test_a_pipe_and_a_folder_are_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.zip")
    (tmp_path / "folder.zip").mkdir()
    for name in ("pipe.zip", "folder.zip"):
        with pytest.raises(EpisodeError, match="expected a file"):
            Episode(tmp_path / name)


def test_what_was_changed_after_sealing_is_found_by_its_checksum(tmp_path: Path) -> None:
    path = _episode(tmp_path)
    Episode(path).verify()
    for changed in ({"frames___000002__png": _png(16, 16)}, {"SHA256SUMS": b""}):
        with pytest.raises(EpisodeError, match=r"checksum|is not what meta\.json says"):
            Episode(_changed(path, **changed)).verify()


def test_an_episode_without_checksums_is_read_as_before(tmp_path: Path) -> None:
    old = _meta(_episode(tmp_path), lambda meta: meta.pop("sha256"))
    Episode(old).verify()


def test_an_episode_that_was_compressed_later_is_read(tmp_path: Path) -> None:
    Episode(_changed(_episode(tmp_path), zipfile.ZIP_DEFLATED)).verify()


WHOLE = {"family": "mine", "fields": [{"name": "", "kind": "discrete", "n": 4}]}
PAIR = actions.spec(spaces.Box(-1.0, 1.0, (2,), np.float32), "mine")
PICTURE = np.zeros((24, 24, 3), np.uint8)


@pytest.mark.parametrize(
    ("spec", "step"),
    [
        *((WHOLE, (action, PICTURE)) for action in (4, 1.5, "a", None, [0, 0, 0], {"": 1}, float("nan"))),
        *((PAIR, (action, PICTURE)) for action in ([0, 0, 0], 0.5, [[0.0, "a"]], [0, np.inf])),
        *((WHOLE, (0, frame)) for frame in (PICTURE[:16], PICTURE / 255, PICTURE[..., 0])),
        *((WHOLE, (0, PICTURE, pose)) for pose in ([0, 0, 0], [0, 0, 0, 0, float("nan")])),
    ],
)
def test_a_step_that_does_not_fit_is_refused_when_it_is_added_and_the_others_are_kept(
    tmp_path: Path, spec: dict[str, Any], step: tuple[Any, ...]
) -> None:
    writer = EpisodeWriter(tmp_path, "own", {"action_spec": spec})
    good = np.array([1]) if spec is WHOLE else np.array([0.5, -0.5])
    writer.first(PICTURE)
    writer.add(good, PICTURE)
    with pytest.raises(EpisodeError, match=r"expected|does not fit"):
        writer.add(*step)
    writer.add(good, PICTURE)
    with Episode(writer.seal()) as episode:
        assert len(episode) == 3
        np.testing.assert_array_equal(episode.action(1), good if spec is PAIR else 1)


def test_what_meta_json_may_leave_out_is_filled_in(tmp_path: Path) -> None:
    spec = {"family": "mine", "fields": [{"name": "", "kind": "discrete", "n": 4}]}
    writer = EpisodeWriter(tmp_path, "own", {"action_spec": spec})
    for i in range(3):
        picture = np.zeros((24, 24, 3), np.uint8)
        writer.add(i, picture) if i else writer.first(picture)
    meta = Episode(writer.seal()).meta
    assert (meta["size"], meta["env_id"], meta["fov"], meta["seed"]) == (24, "mine", None, 0)
    with pytest.raises(EpisodeError, match=r"action_spec.*envs\.actions\.spec"):
        EpisodeWriter(tmp_path, "other", {})
