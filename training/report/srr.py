"""How far to trust the SRR judge: what it accepts and refuses, and whether it agrees with a person on a contact sheet.

    python -m training.report srr pairs=pairs.npz sheet=docs/srr_judge.png readings=docs/srr_judge.json

Without ``readings`` on disk the sheet is drawn without verdicts and a JSON to be filled in is written: for every pair
``person`` true (floor, wall and decals are all retrieved) or false, read from the sheet alone. Run again, the command
judges, adds the program's verdicts to the JSON, marks both on the sheet and counts agreement. ``pairs`` keeps the
dreams, which take longest.

What was chosen on what: thresholds on episode 930100. On a first sheet of episode 930101 judge and reader agreed on
50 of 56 pairs (four too lenient, all of one decal), after which a decal had to stand out from its wall; the sheet in
docs shows pairs drawn anew from that episode, a few of which may have been on the first, and was read before any
verdict. The acceptance rates are of mazes that played no part in either.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

import envs  # noqa: F401 (registers the worlds)
from training.evaluation.lockstep import Walk, replay
from training.evaluation.maze_views import MazeViews, palettes
from training.evaluation.reconstruct import reconstruct
from training.report.plot import BLUE, GREEN, ORANGE, Canvas
from worldsim import checkpoint
from worldsim.checkpoint import Loaded
from worldsim.config import load
from worldsim.dream.world import DreamEnv
from worldsim.metrics.bootstrap import interval
from worldsim.metrics.srr import View, retrieval, successes

# of the sheet's pairs: half dreams, and half that a judge should find easy or be caught by
SHEET = {"memory": 14, "forgetful": 14, "autoencoder": 10, "another maze": 10, "another view": 8}
ACROSS, TILE, GAP = 7, 64, 10


@dataclass
class Config:
    """``episodes`` of ``steps`` with ``frames`` judged in each (0 for the sheet alone); the dreams are of one more."""

    pairs: str = "pairs.npz"
    sheet: str = ""
    readings: str = ""
    checkpoint: str = "labmaze"
    episodes: int = 8
    steps: int = 300
    frames: int = 30
    seed: int = 940400
    dream_seed: int = 930101


def run(args: list[str]) -> dict[str, Any]:
    """Print acceptance of every kind of frame; draw the sheet and compare readings where asked."""
    config = load(Config, args)
    loaded = checkpoint.load(config.checkpoint, torch.device("cpu"))
    found: dict[str, Any] = {"accepted": _acceptance(loaded, config)}
    for name, rate in found["accepted"].items():
        print(f"{name:14s} accepted {rate['mean']:.3f} [{rate['low']:.3f}, {rate['high']:.3f}] n={rate['n']}")
    if config.sheet:
        found["agreement"] = _sheet(loaded, config)
        print(found["agreement"])
    return found


def _acceptance(loaded: Loaded[Any], config: Config) -> dict[str, Any]:
    """Rate at which the judge accepts each kind of candidate, an interval over mazes."""
    groups: dict[str, list[list[float]]] = {}
    views, rng = MazeViews(), np.random.default_rng(config.seed)
    for seed in tqdm(range(config.seed, config.seed + config.episodes), "judged", unit="maze"):
        walked = _walk(seed, config.steps).poses
        assert walked is not None
        poses = walked[1:][:: max(1, config.steps // config.frames)]
        trues = [views.at(seed, pose) for pose in poses]
        marks: dict[str, list[float]] = {}
        for i, (true, pose) in enumerate(zip(trues, poses, strict=True)):
            candidates = {
                "true": true.frame,
                "autoencoder": reconstruct(loaded, true.frame[None])[0],
                "another maze": _elsewhere(views, pose, rng),
                "another view": trues[(i + len(trues) // 2) % len(trues)].frame,
                "one colour": np.full_like(true.frame, true.frame.mean((0, 1))),
                "noise": rng.integers(0, 256, true.frame.shape, np.uint8),
            }
            for name, frame in candidates.items():
                marks.setdefault(name, []).extend(successes([retrieval(true, frame, palettes())]))
        for name, values in marks.items():
            groups.setdefault(name, []).append(values)
    return {name: interval(values) for name, values in groups.items()}


def _walk(seed: int, steps: int) -> Walk:
    """A needle episode."""
    return Walk.played(gymnasium.make("worldsim/LabMaze-v0"), "needle", seed, steps)


def _elsewhere(views: MazeViews, pose: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The frame at the same pose of another maze, the first drawn that has no wall there."""
    while True:
        try:
            return views.at(int(rng.integers(10**6)), pose).frame
        except ValueError:
            continue


def _dreams(loaded: Loaded[Any], config: Config) -> dict[str, np.ndarray]:
    """Dreamt revisits of one episode, history from truth, 16 frames blind; kept in ``pairs``."""
    file = Path(config.pairs)
    if not file.exists():
        walk = _walk(config.dream_seed, config.steps)
        memory, forgetful = DreamEnv(loaded), DreamEnv(loaded)
        forgetful.history = forgetful.window
        rows: dict[str, list[Any]] = {}
        steps = replay({"memory": memory, "forgetful": forgetful}, walk)
        for step in tqdm(steps, "dreamt", unit="frame", total=config.steps):
            if step.revisit is not None:
                pose = walk.poses[step.index] if walk.poses is not None else None
                for name, value in {"pose": pose, "age": step.revisit.age, **step.frames}.items():
                    rows.setdefault(name, []).append(value)
        file.parent.mkdir(parents=True, exist_ok=True)
        kept = {name: np.array(values) for name, values in rows.items()}
        np.savez(file, **kept)  # type: ignore[arg-type]
    with np.load(file, allow_pickle=False) as stored:
        return dict(stored)


def _pairs(loaded: Loaded[Any], config: Config) -> list[tuple[str, View, np.ndarray]]:
    """Kind, true view and candidate of each pair of the sheet, shuffled; half of the dreams where decals hang."""
    rows, views, rng = _dreams(loaded, config), MazeViews(), np.random.default_rng(config.seed)
    trues = [views.at(config.dream_seed, pose) for pose in rows["pose"]]
    with_decal = [i for i, true in enumerate(trues) if any(d.sum() >= 40 for d in true.decals)]
    pairs = []
    for kind, count in SHEET.items():
        some = rng.permutation(with_decal)[: count // 2]
        rest = rng.permutation(np.setdiff1d(np.arange(len(trues)), some))[: count - len(some)]
        for i in (*some, *rest):
            if kind in rows:
                candidate = rows[kind][i]
            elif kind == "autoencoder":
                candidate = reconstruct(loaded, trues[i].frame[None])[0]
            elif kind == "another maze":
                candidate = _elsewhere(views, rows["pose"][i], rng)
            else:
                candidate = trues[int(rng.integers(len(trues)))].frame
            pairs.append((kind, trues[i], candidate))
    return [pairs[i] for i in rng.permutation(len(pairs))]


def _sheet(loaded: Loaded[Any], config: Config) -> dict[str, Any]:
    """Draw the sheet; without readings leave a file for them, with readings compare."""
    pairs, file = _pairs(loaded, config), Path(config.readings)
    if not file.is_file():
        _draw(pairs, [""] * len(pairs)).save(Path(config.sheet))
        blank = [{"pair": i, "person": None} for i in range(len(pairs))]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"pairs": blank}) + "\n")
        return {"read": 0, "of": len(pairs)}
    read = json.loads(file.read_text())["pairs"]
    if len(read) != len(pairs) or any(entry["person"] is None for entry in read):
        raise ValueError(f"expected a reading true or false of all {len(pairs)} pairs in {file}; fill it in")
    marks = []
    for entry, (kind, true, candidate) in zip(read, pairs, strict=True):
        verdict = retrieval(true, candidate, palettes())
        entry |= {"kind": kind, "program": verdict.retrieved, "trial": verdict.trial}
        entry |= {"floor": verdict.floor, "wall": verdict.wall, "decals": verdict.decals}
        marks.append(" ".join("yes" if entry[who] else "no" for who in ("person", "program")))
    _draw(pairs, marks).save(Path(config.sheet), colours=256)
    agreement = _agreement(read)
    lines = ",\n".join(json.dumps(entry) for entry in read)
    file.write_text(f'{{"agreement": {json.dumps(agreement)},\n"pairs": [\n{lines}\n]}}\n')
    return agreement


def _agreement(read: list[dict[str, Any]]) -> dict[str, Any]:
    def count(entries: list[dict[str, Any]]) -> dict[str, int]:
        return {"agree": sum(e["person"] == e["program"] for e in entries), "of": len(entries)}

    kinds = {kind: count([e for e in read if e["kind"] == kind]) for kind in SHEET}
    mistakes = {
        "program too lenient": sum(e["program"] and not e["person"] for e in read),
        "program too strict": sum(e["person"] and not e["program"] for e in read),
    }
    return {**count(read), **mistakes, "by kind": kinds}


def _draw(pairs: list[tuple[str, View, np.ndarray]], marks: list[str]) -> Canvas:
    """Each pair: true frame, candidate, its number, and the two verdicts (person's, then program's)."""
    wide, high = 2 * TILE + GAP, TILE + 18
    rows = -(-len(pairs) // ACROSS)
    canvas = Canvas(ACROSS * wide + GAP, rows * high + 34)
    legend = " person's reading, then program's; colour: they agree, they differ" if any(marks) else ""
    canvas.text(
        (GAP, 12), f"true frame | candidate: are floor, wall and decals all retrieved?{legend}", size=11
    )
    for i, ((_, true, candidate), mark) in enumerate(zip(pairs, marks, strict=True)):
        x, y = GAP + i % ACROSS * wide, 28 + i // ACROSS * high
        canvas.picture((x, y), Image.fromarray(np.concatenate([true.frame, candidate], axis=1)))
        colour = GREEN if len({*mark.split()}) == 1 else ORANGE
        canvas.text((x, y + TILE + 8), f"{i}", BLUE, size=11)
        canvas.text((x + TILE, y + TILE + 8), mark, colour, size=11)
    return canvas
