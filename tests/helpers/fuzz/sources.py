"""Mutated files of other people's formats, through the converter."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import random
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from envs.episodes.episode import Episode
from tests.helpers.fuzz import mutate
from tests.helpers.fuzz.guard import Watch, go
from training.convert.__main__ import main as convert

FRAMES = 6


def one(case: int, seed: int, folder: Path, watch: Watch) -> None:
    """Make one mutated source beside a good one, and convert both; what comes of it must be whole episodes."""
    rng = random.Random(f"source {seed} {case}")
    kind = rng.choice(("teco_dmlab", "teco_minecraft", "vpt"))
    source = folder / "source"
    source.mkdir()
    for name in ("a", "m"):
        for ending, content in _files(kind).items():
            (source / (name + ending)).write_bytes(content)
    for path in rng.sample(sorted(source.glob("m.*")), 1):
        if rng.random() < 0.03:
            path.unlink()
            continue
        change: Callable[[bytes, random.Random], bytes] = mutate.some_bytes
        change = {".npz": mutate.some_arrays, ".jsonl": mutate.some_lines}.get(path.suffix, change)
        path.write_bytes(change(path.read_bytes(), rng))

    def converting() -> bool:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            code = convert([str(source), str(folder / "out"), "--from", kind, "--size", "16"])
        made = sorted((folder / "out").glob("*.zip"))
        assert code == 0 and "a" in {p.stem for p in made}, f"code {code}: the good neighbour is missing"
        for path in made:
            with Episode(path) as episode:
                episode.verify()
                episode.frames()
        return any(p.stem.startswith("m") for p in made)

    go(watch, case, folder, converting, ())


@functools.cache
def _files(kind: str) -> dict[str, bytes]:
    """The files of one good source by their endings."""
    frames = np.stack([np.full((16, 32, 3), 30 * i, np.uint8) for i in range(FRAMES)])
    arrays: dict[str, Any] = {"actions": np.ones(FRAMES, np.int32)}
    if kind == "teco_dmlab":
        arrays["video"] = frames[:, :, :16]
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)
    if kind == "teco_dmlab":
        return {".npz": packed.getvalue()}
    video = io.BytesIO()
    with av.open(video, "w", format="mp4") as container:
        stream: Any = container.add_stream("libx264", rate=Fraction(20))
        stream.height, stream.width, stream.pix_fmt = 16, 32, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    if kind == "teco_minecraft":
        return {".mp4": video.getvalue(), ".npz": packed.getvalue()}
    mouse = {"dx": 1.0, "dy": 0.5, "buttons": [0], "newButtons": []}
    line: dict[str, Any] = {"mouse": mouse, "keyboard": {"keys": ["key.keyboard.w"]}, "isGuiOpen": False}
    line |= {"xpos": 1.0, "ypos": 64.0, "zpos": 2.0, "yaw": 190.0, "pitch": 5.0}
    return {".mp4": video.getvalue(), ".jsonl": b"\n".join([json.dumps(line).encode()] * FRAMES) + b"\n"}
