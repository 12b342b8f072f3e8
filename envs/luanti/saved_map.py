"""The land of the Luanti backend: made once by the engine's own map generator, then kept in the user's cache.

The engine does not make the same land twice from one seed (its generator works in threads), so what it made is
saved, and every game plays in a copy. A map is a handful of places far from each other, each 64 nodes wide with
land to be seen all round; what stands there is kept beside it as a grid, for our physics.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from envs.luanti.engine import VIEW, Engine
from envs.policies.navigation import Cell, WalkMap

FORMAT = 1
SIDE, HEIGHT, LOWEST = 64, 48, -12  # of a place, in nodes, and the y of its lowest ones
PLACES = 8
CHUNK, CHUNK_START, CHUNKS_BETWEEN = 80, -32, 9  # the generator works in cubes of 80, from -32 on
AIR, LIQUID = 0, 1  # node numbers; every other is an index of ``names``
IN_HAND = "default:wood"
_EMERGE_PATIENCE = 900.0  # seconds for one piece of land


@dataclass
class SavedMap:
    """A saved map and what stands in its places.

    Attributes:
        file: the engine's ``map.sqlite``.
        map_id: a fingerprint of it, the same wherever equal pictures can be expected.
        grids: uint8 (n, SIDE, HEIGHT, SIDE) node numbers, x mirrored so that turning right raises the yaw.
        corners: int (n, 2), the lowest x and z of each place in the engine's space.
        names: the engine's name of each number; solid, tree: bool (256,) by number.
    """

    file: Path
    map_id: str
    grids: NDArray[np.uint8]
    corners: NDArray[np.int64]
    names: list[str]
    solid: NDArray[np.bool_]
    tree: NDArray[np.bool_]
    _starts: dict[int, list[Cell]] = field(default_factory=dict)

    def walkmap(self, grid: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Heights float32 (SIDE, SIDE) of the feet by column, nan where nobody can stand; leaves are no roof."""
        ground = self.solid[grid] & ~self.tree[grid]  # (SIDE, HEIGHT, SIDE)
        top = HEIGHT - 1 - np.argmax(ground[:, ::-1], axis=1)
        x, z = np.indices(top.shape)
        bad = ~ground.any(axis=1) | (top > HEIGHT - 3)
        for above in (1, 2):
            node = grid[x, np.minimum(top + above, HEIGHT - 1), z]
            bad |= self.solid[node] | (node == LIQUID)
        return np.where(bad, np.nan, top + 1.0).astype(np.float32)

    def starts(self, place: int) -> list[Cell]:
        """Columns of the largest stretch of land that one can walk about in, away from the border."""
        if place not in self._starts:
            heights = self.walkmap(self.grids[place])
            walk, left = WalkMap(heights, 1.0, (0.0, 0.0)), heights.copy()
            best: list[Cell] = []
            while np.isfinite(left).sum() > len(best):
                first = tuple(int(v) for v in np.argwhere(np.isfinite(left))[0])
                found = list(walk.reachable((first[0], first[1]), SIDE * SIDE))
                left[tuple(np.array(found).T)] = np.nan
                best = max(best, found, key=len)
            inner = [c for c in best if all(SIDE // 8 <= v < SIDE - SIDE // 8 for v in c)]
            self._starts[place] = sorted(inner or best)
        return self._starts[place]


def folder(map_seed: int) -> Path:
    """Where the map of a seed is kept."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "worldsim" / "luanti" / f"map-{FORMAT}-{map_seed}"


def load(map_seed: int) -> SavedMap:
    """The saved map of a seed, made first where there is none yet (about a minute).

    Raises:
        EngineMissing, EngineDied: it has to be made, and the engine is not there or ended.
        OSError: the cache cannot be written.
    """
    kept = folder(map_seed)
    if not (kept / "nodes.npz").is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with (kept.parent / f"{kept.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # one makes it, the others wait
            if not (kept / "nodes.npz").is_file():
                _make(kept, map_seed)
    return _load(kept)


@lru_cache(maxsize=2)
def _load(kept: Path) -> SavedMap:
    with np.load(kept / "nodes.npz", allow_pickle=False) as saved:
        a = {name: saved[name] for name in saved.files}
    return SavedMap(
        kept / "map.sqlite", str(a["map_id"]), a["grids"], a["corners"], a["names"].tolist(), a["solid"], a["tree"]
    )  # fmt: skip


def _make(kept: Path, map_seed: int) -> None:
    with tempfile.TemporaryDirectory(dir=kept.parent) as made:
        game = Engine(64, None, map_seed)
        try:
            dumps = []
            with tqdm(total=PLACES, unit="place", desc="making Luanti's land, once") as bar:
                for corner in _good_places(game):
                    x, z = corner[0] - VIEW, corner[1] - VIEW
                    _emerge(game, x, z, x + SIDE + 2 * VIEW - 1, z + SIDE + 2 * VIEW - 1)
                    dumps.append((corner, *_dump(game, *corner)))
                    bar.update()
                    if len(dumps) == PLACES:
                        break
            game.quit()
            _copy_map(game.folder / "map.sqlite", Path(made) / "map.sqlite")
        finally:
            game.close()
        _save_nodes(Path(made), dumps)
        if kept.exists():
            shutil.rmtree(kept)
        Path(made).chmod(0o755)
        Path(made).rename(kept)
        Path(made).mkdir()  # the with statement removes it


def _good_places(game: Engine) -> list[tuple[int, int]]:
    """Corners of places that are mostly dry and not too steep, in order of their distance from the origin."""
    found: list[tuple[int, int]] = []
    grid = sorted(
        ((a, b) for a in range(-8, 9) for b in range(-8, 9)), key=lambda c: (c[0] ** 2 + c[1] ** 2, c)
    )
    for a, b in grid:
        x, z = (CHUNK_START + CHUNK * CHUNKS_BETWEEN * c + VIEW for c in (a, b))
        levels = [game.say(f"S {x + u} {z + v}") for u in range(4, SIDE, 14) for v in range(4, SIDE, 14)]
        dry = [float(level) for level in levels if level != "none"]
        if len(dry) > 0.8 * len(levels) and max(dry) < 22 and max(dry) - min(dry) > 2:
            found.append((x, z))
            if len(found) == PLACES:
                break
    return found


def _emerge(game: Engine, x0: int, z0: int, x1: int, z1: int) -> None:
    game.say(f"E {x0} {CHUNK_START} {z0} {x1} {CHUNK_START + CHUNK - 1} {z1}")
    while game.say("W") != "0":
        game.say("Y", _EMERGE_PATIENCE)


def _dump(game: Engine, x0: int, z0: int) -> tuple[NDArray[np.uint16], dict[str, dict[str, object]]]:
    """Content ids (SIDE, HEIGHT, SIDE) of a place, x mirrored, and what each of them is."""
    game.say(f"D {x0} {LOWEST} {z0} {x0 + SIDE - 1} {LOWEST + HEIGHT - 1} {z0 + SIDE - 1} place")
    raw = np.frombuffer((game.folder / "place.nodes").read_bytes(), "<u2").reshape(SIDE, HEIGHT, SIDE)
    ids = raw.transpose(2, 1, 0)[::-1]  # (z, y, x) to (x, y, z)
    return np.ascontiguousarray(ids), json.loads((game.folder / "place.json").read_text())


def _save_nodes(
    made: Path, dumps: list[tuple[tuple[int, int], NDArray[np.uint16], dict[str, dict[str, object]]]]
) -> None:
    known = {key: about for _, _, each in dumps for key, about in each.items()}
    names, solid, tree = ["air", "default:water_source"], np.zeros(256, np.bool_), np.zeros(256, np.bool_)
    number = np.zeros(65536, np.uint8)
    for key, about in sorted(known.items(), key=lambda item: str(item[1]["name"])):
        if about["name"] in ("air", "ignore"):
            continue
        if about["liquid"]:
            number[int(key)] = LIQUID
            continue
        number[int(key)] = len(names)
        solid[len(names)], tree[len(names)] = bool(about["solid"]), bool(about["tree"])
        names.append(str(about["name"]))
    if IN_HAND not in names:
        solid[len(names)] = True
        names.append(IN_HAND)
    np.savez_compressed(
        made / "nodes.npz",
        grids=np.stack([number[ids] for _, ids, _ in dumps]),
        corners=np.array([corner for corner, _, _ in dumps], np.int64),
        names=np.array(names),
        solid=solid,
        tree=tree,
        map_id=hashlib.sha256((made / "map.sqlite").read_bytes()).hexdigest()[:16],
    )


def _copy_map(source: Path, to: Path) -> None:
    """Copy the engine's database as a whole, whatever it left in its journal."""
    with sqlite3.connect(source) as old, sqlite3.connect(to) as new:
        old.backup(new)
    old.close()
    new.close()
