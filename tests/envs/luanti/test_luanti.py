"""The Luanti backend, over the real engine: exact replay, digging, and that no process is left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs import actions
from envs.adapters.engine_missing import EngineMissing
from envs.blocks import physics
from envs.luanti import engine
from envs.luanti.engine import FOV, EngineDied
from envs.luanti.env import LuantiEnv
from envs.luanti.processes import Guarded

ROOT = Path(__file__).resolve().parents[3]
Lend = Callable[[int], dict[str, Any]]


def act(**keys: Any) -> dict[str, Any]:
    """The noop with some keys pressed; ``camera`` as (pitch, yaw)."""
    action = actions.noop("minecraft")
    action.update({k: np.array(v, np.float32) if k == "camera" else v for k, v in keys.items()})
    return action


def _walk(env: LuantiEnv, steps: int = 14) -> list[np.ndarray]:
    """A walk with a jump, a turn, and a node dug and put back."""
    seen = [env.reset(seed=11)[0]["pov"]]
    for k in range(steps):
        keys = {"forward": int(k < 8), "jump": int(k == 3), "camera": (12.0 if k > 7 else 0.0, 4.0)}
        seen.append(env.step(act(**keys, attack=int(k == 10), use=int(k == 12)))[0]["pov"])
    return seen


def _bare_ground(env: LuantiEnv) -> tuple[int, int, int]:
    """A cell of level ground with nothing growing on it or beside it."""
    heights, grid = env.walkmap()[0], env.player.grid
    for x, z in np.argwhere(np.isfinite(heights[1:-1, 1:-1])) + 1:
        around = slice(x - 1, x + 2), slice(z - 1, z + 2)
        feet = int(heights[x, z])
        if (heights[around] == feet).all() and not grid[around[0], feet : feet + 3, around[1]].any():
            return int(x), feet - 1, int(z)
    raise AssertionError("no bare ground in this place")


def _gone(pids: list[int], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while any(_runs(pid) for pid in pids) and time.monotonic() < end:
        time.sleep(0.05)
    return not any(_runs(pid) for pid in pids)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def test_an_engine_that_is_not_installed_is_one_helpful_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine.shutil, "which", lambda *_, **__: None)
    with pytest.raises(EngineMissing, match="apt-get install minetest xvfb") as told:
        LuantiEnv()
    assert "\n" not in str(told.value)


def test_a_guarded_child_ends_with_its_parent(tmp_path: Path) -> None:
    code = (
        "import os, signal, pathlib\n"
        "from envs.luanti.processes import Guarded\n"
        f"child = Guarded(['sleep', '60'], pathlib.Path({str(tmp_path / 'log')!r}), os.environ)\n"
        "print(child.pid, flush=True)\n"
        "os.kill(child.pid, signal.SIGSTOP)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=_environment())
    assert done.returncode == -signal.SIGKILL
    assert _gone([int(done.stdout)])


def test_a_guarded_child_is_ended_by_close_and_seen_to_end_by_itself(tmp_path: Path) -> None:
    child = Guarded(["sleep", "60"], tmp_path / "log", os.environ)
    assert child.alive
    child.close()
    assert not child.alive and _gone([child.pid])
    other = Guarded(["/bin/sh", "-c", "echo the reason"], tmp_path / "other", os.environ)
    assert other.wait(20) and other.last_words() == "the reason"
    other.close()


def test_a_cold_start_replays_bit_for_bit_and_a_killed_game_is_told_and_leaves_nothing(lend: Lend) -> None:
    warm = _walk(LuantiEnv(**lend(64)))
    cold = LuantiEnv()
    for i, (a, b) in enumerate(zip(warm, _walk(cold), strict=True)):
        np.testing.assert_array_equal(a, b, err_msg=f"frame {i}")
    assert cold._game is not None
    pids, folder = [cold._game.engine.pid, cold._game.engine.screen_pid], cold._game.engine.folder
    os.kill(pids[0], signal.SIGKILL)
    with pytest.raises(EngineDied, match="the game is gone"):
        for _ in range(3):
            cold.step(act())
    assert _gone(pids) and not folder.exists()


def test_digging_opens_a_hole_where_geometry_says_and_placing_closes_it(lend: Lend) -> None:
    env = LuantiEnv(**lend(64))
    env.reset(seed=5)
    x, ground, z = _bare_ground(env)
    pose = (x + 0.7, ground + 1 + physics.EYE, z + 0.4, 0.0, 90.0)  # straight down, +z above, +x to the left
    before = env.teleport(pose)["pov"]
    env.step(act(attack=1))
    assert env.player.grid[x, ground, z] == 0
    hole = np.argwhere((env.teleport(pose)["pov"] != before).any(axis=2))
    scale = 32 / np.tan(np.radians(FOV / 2)) / physics.EYE  # pixels a node, on the ground
    expected = [[32 - 0.6 * scale, 32 - 0.3 * scale], [32 + 0.4 * scale, 32 + 0.7 * scale]]
    np.testing.assert_allclose([hole.min(axis=0), hole.max(axis=0) + 1], expected, atol=1.5)
    env.reset(seed=5)
    np.testing.assert_array_equal(env.teleport(pose)["pov"], before)  # a reset undoes it


def test_the_game_serves_this_machine_alone(lend: Lend) -> None:
    running = lend(64)["game"]
    told = re.search(r"listening on (\S+):(\d+)", (running.engine.folder / "game.log").read_text())
    assert told and told[1] == "127.0.0.1"
    bound = [line.split()[1] for line in Path("/proc/net/udp").read_text().splitlines()[1:]]
    assert f"0100007F:{int(told[2]):04X}" in bound
    own = {str(f.readlink()) for f in Path(f"/proc/{running.engine.pid}/fd").iterdir() if f.is_symlink()}
    for table in ("tcp", "tcp6"):
        rows = [line.split() for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]]
        assert not [row for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in own]  # 0A: listening


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}
