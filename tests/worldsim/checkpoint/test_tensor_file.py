"""Tensors come back as they were saved, or are refused."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError, safe_open

from worldsim.checkpoint import building, tensor_file
from worldsim.checkpoint.tensor_file import TensorFileError

TENSORS = {"b": torch.arange(6).reshape(2, 3).half(), "a": torch.tensor(3.5), "c": torch.zeros(0, 4)}


def _read(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    with safe_open(path, "pt") as file:
        return {k: file.get_tensor(k) for k in file.keys()}, file.metadata()  # noqa: SIM118


def test_a_bit_that_was_turned_over_is_found(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    tensor_file.write(path, TENSORS, {"format": "1"})
    tensors, told = _read(path)
    tensor_file.check(tensors, told)
    assert told["format"] == "1" and tensor_file.shapes(path) == {"a": (), "b": (2, 3), "c": (0, 4)}
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(TensorFileError, match="checksum"):
        tensor_file.check(*_read(path))


def test_without_a_checksum_there_is_nothing_to_compare() -> None:
    tensor_file.check(TENSORS, None)
    tensor_file.check(TENSORS, {"format": "1"})


@pytest.mark.parametrize(
    "raised", [OSError(errno.ENOSPC, "full"), SafetensorError("I/O error (os error 28)")]
)
def test_a_full_disk_is_an_os_error_and_the_old_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: Exception
) -> None:
    path = tmp_path / "x.safetensors"
    tensor_file.write(path, TENSORS, {})
    before = path.read_bytes()

    def full(*_: Any, **__: Any) -> None:
        (tmp_path / "x.safetensors.new").write_bytes(b"half")
        raise raised

    monkeypatch.setattr(tensor_file, "save_file", full)
    with pytest.raises(OSError) as caught:
        tensor_file.write(path, TENSORS, {})
    assert caught.value.errno == errno.ENOSPC and path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]


def test_what_is_brought_to_the_disk_is_open_for_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")
    asked: list[int] = []
    fsync = os.fsync

    def as_windows(number: int) -> None:
        asked.append(fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE)
        fsync(number)

    monkeypatch.setattr(tensor_file.os, "fsync", as_windows)
    tensor_file.write(tmp_path / "x.safetensors", TENSORS, {})
    assert asked and os.O_RDONLY not in asked


@pytest.mark.parametrize(
    "data", [b"", b"\xff" * 8, b"\x02\0\0\0\0\0\0\0[]", b"\x40\0\0\0\0\0\0\0" + b"[" * 64]
)
def test_a_header_that_is_none_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(TensorFileError, match="header"):
        tensor_file.shapes(tmp_path / "x")


def test_no_model_is_built_that_is_far_larger_than_its_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "SPARE", 100)
    tensor_file.write(tmp_path / "x", {"weight": torch.zeros(4, 4), "bias": torch.zeros(4)}, {})
    with building.no_larger_than(tmp_path / "x"):
        torch.nn.Linear(4, 4)
    with pytest.raises(building.TooLarge), building.no_larger_than(tmp_path / "x"):
        torch.nn.Linear(50_000, 50_000)  # 10 GB, never touched
    with pytest.raises(building.TooLarge), building.no_larger_than(tmp_path / "x"):
        [torch.nn.Linear(4, 4) for _ in range(10**6)]
    torch.nn.Linear(100, 100)  # afterwards nothing is counted


@pytest.mark.parametrize("told", [{"depth": 10**9}, {"a": {"widths": [8, -1]}}, {"widths": [8] * 300}])
def test_numbers_that_no_model_has_are_refused(told: dict[str, Any]) -> None:
    building.check_numbers({"depth": 3, "rate": 1e9, "flag": True, "strides": [0.5]})
    with pytest.raises(building.TooLarge):
        building.check_numbers(told)
