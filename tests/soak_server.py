"""Play over the socket for long, come and go, and send what is no message: python -m tests.soak_server seconds=3600

A server in a process of its own, with a token, and beside it: one page that plays by a script (walks, turns, dials,
twin, needle, records, bookmarks, goes back), and strangers who open and drop ``connections``, and send ``messages``
that are malformed, oversized or hostile, with and without the token. One line every ``every`` seconds: memory of the
server, its threads and open files, and frames a second. Exit code 1 where anything is left behind, somebody got in
without the token, the player was disturbed, or memory grew by more than ``grew`` from the middle of the run on.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from worldsim.cli.command import command
from worldsim.config import load
from worldsim.server.messages import COMMANDS, DIALS, unpack
from worldsim.session.bookmarks import MOST
from worldsim.session.processes import environment

ROOT = Path(__file__).parents[1]
WAIT = 600  # seconds for a frame: the machine may have other work, and `longest` tells
KEYS = [
    "forward",
    "back",
    "left",
    "right",
    "jump",
    "sneak",
    "look left",
    "look right",
    "look up",
    "look down",
]


@dataclass
class SoakConfig:
    """``checkpoint`` empty is the shipped dream of ``env``, at ``size`` pixels."""

    seconds: float = 3600.0
    every: float = 30.0
    connections: int = 200
    messages: int = 5000
    env: str = "minecraft"
    checkpoint: str = ""
    size: int = 128
    grew: float = 0.02
    seed: int = 0


class Server:
    """The server's process, and what the system says of it."""

    def __init__(self, config: SoakConfig, folder: Path) -> None:
        words = [
            "--env",
            config.env,
            "--browser",
            "--port",
            "0",
            "--public-name",
            "play.example",
            "--sessions",
            "4",
        ]
        words += ["--checkpoint", config.checkpoint] if config.checkpoint else [f"size={config.size}"]
        self.errors = folder / "stderr"
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "run_demo.py"), *words],
            cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=self.errors.open("w"), text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.search(r"http://\S+", line):
                parts = urlsplit(found.group())
                self.host, self.token = parts.netloc, parts.query.removeprefix("token=")
                return
        raise RuntimeError(self.errors.read_text())

    def resident(self) -> float:
        """MiB."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20

    def held(self) -> tuple[int, int]:
        """Threads and open files."""
        folder = Path(f"/proc/{self.process.pid}")
        return len(list((folder / "task").iterdir())), len(list((folder / "fd").iterdir()))

    def connect(self, token: str | None = None, query: str = "") -> Any:
        """A socket as a page opens it; ``token`` None is the right one."""
        from websockets.sync.client import connect

        token = self.token if token is None else token
        return connect(
            f"ws://{self.host}/play?token={token}{query}", origin=f"http://{self.host}", compression=None,
            max_size=2**26, open_timeout=60, proxy=None,
        )  # type: ignore[arg-type]  # fmt: skip


class Player(threading.Thread):
    """A page that plays by a script until told to stop."""

    def __init__(self, server: Server, seed: int) -> None:
        super().__init__(name="player")
        self.server, self.random = server, random.Random(seed)
        self.frames, self.trouble, self.stopping, self.welcome = 0, "", threading.Event(), dict[str, Any]()
        self.longest = 0.0

    def run(self) -> None:
        """Play; what went wrong is in ``trouble``."""
        try:
            with self.server.connect() as line:
                self._play(line)
        except Exception as error:
            self.trouble = f"{type(error).__name__}: {error}"

    def _play(self, line: Any) -> None:
        number, marks, last, then = 0, 0, time.monotonic(), time.monotonic()
        while not self.stopping.is_set():
            got = line.recv(timeout=WAIT)
            if isinstance(got, str):
                told = json.loads(got)
                if told["type"] == "welcome":
                    self.welcome = told
                elif told["type"] in ("refused", "ended"):
                    raise RuntimeError(got)
                continue
            header, _ = unpack(got)
            line.send(json.dumps({"type": "shown", "number": header["number"]}))
            now = time.monotonic()
            self.longest, last = max(self.longest, now - last), now
            self.frames += 1
            if now > then:
                then, number = now + 0.5, number + 1
                held = self.random.sample(KEYS, 2)
                line.send(
                    json.dumps(
                        {"type": "hands", "number": number, "held": held, "tapped": [], "mouse": [3, 0]}
                    )
                )
                if marks < MOST:  # as many as are kept in memory, so that it grows no more by them
                    marks += 1
                    line.send(json.dumps({"type": "command", "name": "bookmark"}))
                elif self.random.random() < 0.15:
                    line.send(json.dumps(self._command()))

    def _command(self) -> dict[str, Any]:
        if self.random.random() < 0.4:
            return {"type": "turn", "dial": self.random.choice(DIALS), "by": self.random.choice((-1, 1))}
        name = self.random.choice([c for c in COMMANDS if c not in ("pause", "step")])
        return {"type": "command", "name": name}


def hostile(rng: random.Random) -> str | bytes:
    """A message that is malformed, oversized, of another type, or of the protocol with wrong fields."""
    kind = rng.randrange(8)
    if kind == 0:
        return rng.randbytes(rng.randrange(200))
    if kind == 1:
        return "x" * rng.choice((2049, 5000, 9000))
    if kind == 2:
        return "[" * rng.randrange(1, 2000)
    if kind == 3:
        return json.dumps(
            {
                "type": rng.choice(("eval", "hands", "", "__class__", "put")),
                "number": rng.choice((-1, "a", None, 1e400)),
            }
        )
    if kind == 4:
        return json.dumps(
            {"type": "command", "name": rng.choice(("../../etc/passwd", "pause\0", "x" * 100, "quit"))}
        )
    if kind == 5:
        return json.dumps(
            {
                "type": "hands",
                "number": 1,
                "held": ["forward"] * rng.randrange(1, 99),
                "mouse": [1e308, 1e308],
            }
        )
    if kind == 6:
        return json.dumps(
            {"type": "put", "dial": "history", "value": rng.choice((10**9, -1, 3.5, True, [1]))}
        )
    return json.dumps(
        {"type": "turn", "dial": rng.choice(("__init__", "history")), "by": rng.choice((0, 2, 10**6, "1"))}
    )


def strangers(server: Server, player: Player, config: SoakConfig, rng: random.Random) -> dict[str, int]:
    """Come and go, with and without the token, as players and as those who look on; counts of what came of it."""
    from websockets.exceptions import ConnectionClosed, InvalidStatus

    counts = {"opened": 0, "let in without the token": 0, "refused": 0, "messages": 0, "closed": 0}
    look = f"&session={player.welcome['session']}&watch=1"
    for i in range(config.connections):
        try:
            with server.connect("" if i % 4 == 0 else None, look if i % 2 else f"{look}&key=wrong") as line:
                counts["opened"] += 1
                counts["let in without the token"] += i % 4 == 0
                if i % 3:
                    line.recv(timeout=60)
                if i % 5 == 0:
                    line.socket.close()  # no farewell
        except (InvalidStatus, ConnectionClosed, OSError):
            counts["refused"] += 1
    while counts["messages"] < config.messages:
        try:
            with server.connect(rng.choice((None, None, "wrong")), look) as line:
                for _ in range(rng.randrange(1, 40)):
                    line.send(hostile(rng))
                    counts["messages"] += 1
                line.send("{")
                while True:
                    line.recv(timeout=60)
        except InvalidStatus:
            counts["refused"] += 1
        except (ConnectionClosed, OSError):
            counts["closed"] += 1
    return counts


@command
def main(args: list[str]) -> int:
    """Play, attack, watch, tell."""
    config = load(SoakConfig, args)
    with tempfile.TemporaryDirectory() as place:
        server = Server(config, Path(place))
        try:
            faults = _run(server, config)
        finally:
            server.process.terminate()
            code = server.process.wait(60)
        told = server.errors.read_text()
    if code != 143 or "Traceback" in told:
        faults.append(f"the server ended with {code}: {told[-2000:]}")
    print("\n".join(faults) or "nothing was left behind, nobody got in, nobody was disturbed")
    return int(bool(faults))


def _run(server: Server, config: SoakConfig) -> list[str]:
    rng, player = random.Random(config.seed), Player(server, config.seed)
    player.start()
    while not player.welcome and player.is_alive():
        time.sleep(0.1)
    time.sleep(min(60.0, config.seconds / 10))
    before, began, rows = server.held(), time.monotonic(), []
    attacked = threading.Thread(target=lambda: counts.update(strangers(server, player, config, rng)))
    counts: dict[str, int] = {}
    attacked.start()
    frames = player.frames
    while (passed := time.monotonic() - began) < config.seconds and player.is_alive():
        time.sleep(min(config.every, config.seconds - passed))
        rows.append(server.resident())
        rate, frames = (player.frames - frames) / config.every, player.frames
        threads, files = server.held()
        print(
            f"{passed + config.every:.0f} s: {rows[-1]:.1f} MiB, {threads} threads, {files} files, {rate:.1f} frames/s",
            flush=True,
        )
    attacked.join()
    time.sleep(5)
    after = server.held()
    player.stopping.set()
    player.join()
    half = rows[len(rows) // 2 :]
    grown = (
        float(np.polyval(np.polyfit(range(len(half)), half, 1), len(half) - 1) / half[0] - 1)
        if len(half) > 2
        else 0.0
    )
    print(
        f"{player.frames} frames, the longest wait for one {player.longest:.1f} s; {counts}; held {before} then {after}"
    )
    print(f"memory from the middle of the run on: {grown:+.2%}")
    faults = [player.trouble] if player.trouble else []
    if counts.get("let in without the token"):
        faults.append("somebody was let in without the token")
    if after[0] > before[0] + 2 or after[1] > before[1] + 4:
        faults.append(f"threads and files were {before}, are {after}")
    if grown > config.grew:
        faults.append(f"memory grew by {grown:.2%}")
    return faults


if __name__ == "__main__":
    sys.exit(main())
