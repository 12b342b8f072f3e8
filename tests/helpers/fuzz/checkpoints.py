"""Mutated checkpoints, autoencoders and training states, through what loads them."""

from __future__ import annotations

import functools
import json
import random
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml

from tests.helpers.fuzz import mutate
from tests.helpers.fuzz.guard import Watch, go
from tests.helpers.small_ar_diffusion import small_ar_diffusion
from tests.helpers.small_model import SPEC, small_checkpoint, small_model
from training.loop import resume
from worldsim import checkpoint
from worldsim.checkpoint import CheckpointError
from worldsim.config import AutoencoderConfig
from worldsim.dream.context import DreamError
from worldsim.dream.world import DreamEnv

WAYS = ("world", "ar_diffusion", "autoencoder", "state")


def one(case: int, seed: int, folder: Path, watch: Watch) -> None:
    """Make one mutated checkpoint and load it; one that is accepted is a model that dreams."""
    rng = random.Random(f"checkpoint {seed} {case}")
    way = WAYS[0] if rng.random() < 0.6 else rng.choice(WAYS)
    for name, content in _files(way).items():
        (folder / name).write_bytes(content)
    path = folder / rng.choice(sorted(_files(way)))
    change: Callable[[bytes, random.Random], bytes] = (
        _some_tensors if path.suffix == ".safetensors" else _some_yaml
    )
    path.write_bytes(change(path.read_bytes(), rng))

    def loading() -> bool:
        if way == "autoencoder":
            checkpoint.load_autoencoder(folder / "autoencoder.safetensors")
        elif way == "state":
            model = torch.nn.Linear(3, 2)
            resume.restore(folder, {"model": model}, torch.optim.AdamW(model.parameters()))
        else:
            loaded = checkpoint.load_any(str(folder))
            if way == "world" and loaded.description.kind == "world":
                dream = DreamEnv(loaded)
                assert dream.histories and dream.budgets
        return True

    go(watch, case, folder, loading, (CheckpointError, resume.StateError, DreamError))


def _some_yaml(data: bytes, rng: random.Random) -> bytes:
    way = rng.random()
    if way < 0.2:
        return mutate.some_bytes(data, rng)
    if way < 0.23:
        return rng.choice(
            (
                b"[" * 3000,
                b"- " * 3000,
                b"? " * 3000,
                b"a: &a ["
                + b"x, " * 9
                + b"x]\n"
                + b"".join(
                    b"%c: &%c [%s]\n" % (c + 1, c + 1, b", ".join([b"*%c" % c] * 9)) for c in range(97, 108)
                ),
            )
        )
    if way < 0.26:
        return rng.choice(
            (
                b"!!python/object/apply:os.system ['touch /tmp/fuzz']",
                b"model: ${oc.env:HOME}",
                b"\xff\xfe",
                b"",
            )
        )
    told = mutate.some_value(yaml.safe_load(data), rng)
    try:
        return yaml.safe_dump(told).encode()
    except (yaml.YAMLError, UnicodeError, RecursionError):
        return mutate.some_bytes(data, rng)


def _some_tensors(data: bytes, rng: random.Random) -> bytes:
    size = struct.unpack("<Q", data[:8])[0]
    head, rest = data[8 : 8 + size], data[8 + size :]
    way = rng.random()
    if way < 0.4:
        return mutate.some_bytes(data, rng)
    if way < 0.6:  # the numbers alone
        return data[: 8 + size] + mutate.some_bytes(rest, rng)
    if way < 0.7:
        return struct.pack("<Q", rng.choice((0, 1, 2**63, 10**9, size + 8, len(data)))) + head + rest
    told: Any = json.loads(head)
    if way < 0.8:
        name = rng.choice([n for n in told if n != "__metadata__"])
        told[rng.choice(("x", "../x", name + "x"))] = told.pop(name)
    else:
        told = mutate.some_value(told, rng)
    try:
        new = json.dumps(told).encode()
    except (ValueError, RecursionError):
        new = head
    return struct.pack("<Q", len(new)) + new + rest


@functools.cache
def _files(way: str) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if way == "world":
            small_checkpoint(folder)
        elif way == "ar_diffusion":
            checkpoint.save(folder, small_ar_diffusion(), {"family": "minecraft", "action_spec": SPEC})
        elif way == "autoencoder":
            config = AutoencoderConfig(8, [8, 8, 16], [8, 8, 16])
            checkpoint.save_autoencoder(folder / "autoencoder.safetensors", small_model().autoencoder, config)
        else:
            model = torch.nn.Linear(3, 2)
            optimizer = torch.optim.AdamW(model.parameters())
            model(torch.ones(1, 3)).sum().backward()
            optimizer.step()
            resume.save(folder, {"model": model}, optimizer, {"step": 1})
        return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}
