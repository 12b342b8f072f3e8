"""One running Luanti: started on a screen of its own, told what to do line by line, marks read off that screen."""

from __future__ import annotations

import math
import mmap
import os
import select
import shutil
import signal
import struct
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from envs.adapters.engine_missing import EngineMissing
from envs.luanti.processes import FOLDERS, Guarded, sweep

FOV = 70.0  # degrees, both ways; that of Blocks
MARGIN = 8  # rows rendered above and below the picture; the mark is in the lower ones
VIEW = 48  # nodes that can be seen, the last ones in fog
PATIENCE = 180.0  # seconds for a start, on a machine that is busy
MARK_PATIENCE = 60.0  # seconds for one frame
TRIES = 3  # of starting: the engine draws its port at random and may meet one that is taken
_HERE = Path(__file__).parent


class EngineDied(ConnectionError):
    """The game ended, or did not answer in time."""


def binary() -> str:
    """The path of the stock engine.

    Raises:
        EngineMissing: it, its game, or the virtual screen is not installed.
    """
    places = os.pathsep.join([os.environ.get("PATH", ""), "/usr/games", "/usr/local/games"])
    found = next((p for n in ("luanti", "minetest") if (p := shutil.which(n, path=places))), None)
    lacking = [n for n, p in (("minetest (Luanti)", found), ("Xvfb", shutil.which("Xvfb"))) if p is None]
    if sys.platform != "linux" or found is None or lacking:
        what = " and ".join(lacking) or "Linux"
        raise EngineMissing(
            f"the luanti backend needs {what}, which is not here: apt-get install minetest xvfb, or leave --backend out"
        )
    return found


def fov_setting(size: int) -> float:
    """The engine's ``fov`` that gives FOV over the picture's ``size`` rows, the margins being beyond them.

    The engine widens the vertical field of view by sqrt(1.6 / aspect), between 1 and 1.4, on narrow screens.
    """
    rows = size + 2 * MARGIN
    whole = 2.0 * math.degrees(math.atan(math.tan(math.radians(FOV) / 2.0) * rows / size))
    return whole / min(1.4, max(1.0, math.sqrt(1.6 / (size / rows))))


class Engine:
    """A process in a folder of its own, stopped (SIGSTOP) between two commands, so that it waits without working.

    Args:
        size: height and width of the picture in pixels.
        map_file: the saved map to play in; None makes new land, for ``saved_map``.
        map_seed: the seed of new land.

    Raises:
        EngineMissing: it is not installed.
        EngineDied: it did not start.
    """

    def __init__(self, size: int, map_file: Path | None, map_seed: int = 0) -> None:
        self.size = size
        self._binary = binary()
        sweep()
        for left in reversed(range(TRIES)):
            self.folder = Path(tempfile.mkdtemp(prefix=f"{FOLDERS}{os.getpid()}-"))
            self._screen: Guarded | None = None
            self._game: Guarded | None = None
            self._commands = self._answers = -1
            self._unread = b""
            self._k = 0
            self._mesh_clocks: list[Path] = []
            try:
                self._prepare(map_file, map_seed)
                self._start()
                return
            except EngineDied:
                self.close()
                if left == 0:
                    raise
            except BaseException:
                self.close()
                raise

    def say(self, command: str, patience: float = MARK_PATIENCE) -> str:
        """Give one command to the driver and return its answer.

        Raises:
            EngineDied: no answer came.
        """
        self.wake()
        try:
            os.write(self._commands, command.encode() + b"\n")
        except OSError:
            raise self.died("is gone") from None
        return self._answer(patience)

    def rest(self) -> None:
        """Stop the engine until the next command, so that it uses no processor."""
        if self._game is not None:
            self._game.signal(signal.SIGSTOP)

    def quit(self, patience: float = PATIENCE) -> None:
        """Let the engine save its map and end.

        Raises:
            EngineDied: it did not end in time.
        """
        self.say("Q")
        assert self._game is not None
        self._game.signal(signal.SIGTERM)
        if not self._game.wait(patience):
            raise self.died("did not end")

    def close(self) -> None:
        """End both processes and remove the folder; may be called twice."""
        running = [process for process in (self._game, self._screen) if process is not None]
        for process in running:
            process.end()
        for process in running:
            process.close()
        for end in (self._commands, self._answers):
            if end >= 0:
                with suppress(OSError):
                    os.close(end)
        self._commands = self._answers = -1
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def pid(self) -> int:
        """The engine's process."""
        assert self._game is not None
        return self._game.pid

    @property
    def screen_pid(self) -> int:
        """The virtual screen's process."""
        assert self._screen is not None
        return self._screen.pid

    def _prepare(self, map_file: Path | None, map_seed: int) -> None:
        for name in ("worldmods/driver", "screen", "home", "user"):
            (self.folder / name).mkdir(parents=True)
        for name in ("commands", "answers"):
            os.mkfifo(self.folder / name, 0o600)
        shutil.copy(_HERE / "driver.lua", self.folder / "worldmods/driver/init.lua")
        (self.folder / "worldmods/driver/mod.conf").write_text("name = driver\n")
        (self.folder / "world.mt").write_text(
            "gameid = minetest\nbackend = sqlite3\nplayer_backend = files\nauth_backend = files\n"
        )
        settings = f"screen_w = {self.size}\nscreen_h = {self.size + 2 * MARGIN}\nviewing_range = {VIEW}\n"
        settings += f"fov = {fov_setting(self.size):.6f}\nfixed_map_seed = {map_seed}\n"
        (self.folder / "client.conf").write_text((_HERE / "client.conf").read_text() + settings)
        if map_file is not None:  # beyond the saved map there is air
            shutil.copy(map_file, self.folder / "map.sqlite")
            (self.folder / "map_meta.txt").write_text("mg_name = singlenode\nseed = 0\n[end_of_params]\n")

    def _start(self) -> None:
        rows = self.size + 2 * MARGIN
        display = self.folder / "display"
        place = {"HOME": str(self.folder / "home"), "MINETEST_USER_PATH": str(self.folder / "user")}
        env = {**os.environ, **place, "LIBGL_ALWAYS_SOFTWARE": "1"}
        self._screen = Guarded(
            ["/bin/sh", "-c", 'exec Xvfb -displayfd 4 "$@" 4>"$DISPLAY_FILE"', "screen",
             "-screen", "0", f"{self.size}x{rows}x24", "-fbdir", str(self.folder / "screen"),
             "-nolisten", "tcp", "-noreset"],
            self.folder / "screen.log",
            {**env, "DISPLAY_FILE": str(display)},
        )  # fmt: skip
        end = time.monotonic() + PATIENCE
        while not (display.is_file() and display.read_text().strip()):
            if not self._screen.alive or time.monotonic() > end:
                raise EngineDied(f"luanti: Xvfb did not start: {self._screen.last_words()}")
            time.sleep(0.02)
        env = {**env, "DISPLAY": f":{display.read_text().strip()}"}
        answers = os.open(self.folder / "answers", os.O_RDONLY | os.O_NONBLOCK)
        self._answers = answers
        self._commands = os.open(self.folder / "commands", os.O_RDWR)  # so that opening waits for nobody
        self._game = Guarded(
            [self._binary, "--go", "--config", str(self.folder / "client.conf"), "--world", str(self.folder),
             "--gameid", "minetest", "--logfile", str(self.folder / "engine.log")],
            self.folder / "game.log",
            env,
        )  # fmt: skip
        while not self._hears():
            if not self._game.alive or time.monotonic() > end:
                raise self.died("did not start")
            time.sleep(0.02)
        self._answer(PATIENCE)
        self._map_screen()
        threads = Path(f"/proc/{self._game.pid}/task")
        self._mesh_clocks = [
            t / "schedstat" for t in threads.iterdir() if (t / "comm").read_text().startswith("Mesh")
        ]
        self.mark()

    def _map_screen(self) -> None:
        with (self.folder / "screen" / "Xvfb_screen0").open("rb") as file:
            memory = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        head = struct.unpack(">25I", memory[:100])  # the header of an X window dump
        offset, line = head[0] + head[19] * 12, head[12]
        rows = self.size + 2 * MARGIN
        pixels = np.frombuffer(memory, np.uint8, line * rows, offset)
        self._pixels: NDArray[np.uint8] = pixels.reshape(rows, line // 4, 4)

    def wake(self) -> None:
        """Have it go on after :meth:`rest`, or raise EngineDied where it is gone."""
        if self._game is None or not self._game.alive:
            raise self.died("is gone")
        self._game.signal(signal.SIGCONT)

    def _hears(self) -> bool:
        return any(event & select.POLLIN for _, event in self._poll(0))

    def _poll(self, milliseconds: float) -> list[tuple[int, int]]:
        poll = select.poll()
        poll.register(self._answers, select.POLLIN)
        return poll.poll(milliseconds)

    def _answer(self, patience: float) -> str:
        end = time.monotonic() + patience
        while b"\n" not in self._unread:
            events = self._poll(200)
            if any(event & select.POLLIN for _, event in events):
                self._unread += os.read(self._answers, 4096)
            elif events or time.monotonic() > end or self._game is None or not self._game.alive:
                raise self.died("is gone" if events else "does not answer")
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode()

    def mark(self) -> None:
        """Wait for a frame that was begun after everything said so far."""
        k = self.next_mark()
        self.say(f"M {k}")
        self.wait_for(k)

    def next_mark(self) -> int:
        """A mark that no frame bears yet."""
        self._k = (self._k + 1) % 512
        return self._k

    def shows(self, k: int, row: int) -> bool:
        """Whether a row of the screen bears a mark."""
        red, green, blue = (k % 8 * 32 + 16, k // 8 % 8 * 32 + 16, k // 64 % 8 * 32 + 16)
        pixel = self._pixels[row, self.size - 3]
        return (
            abs(int(pixel[2]) - red) < 8 and abs(int(pixel[1]) - green) < 8 and abs(int(pixel[0]) - blue) < 8
        )

    def wait_for(self, k: int, patience: float | None = None) -> None:
        """Wait until a mark is on the screen, or for ``patience`` seconds when that is given."""
        began = time.monotonic()
        while not self.shows(k, -3) and (patience is None or time.monotonic() - began < patience):
            self.doze(began, 0.0003)

    def doze(self, began: float, seconds: float) -> None:
        """Sleep in a wait for the screen; raise EngineDied where the game ended, or the wait has lasted too long."""
        time.sleep(seconds)
        waited = time.monotonic() - began
        if waited > 1.0 and (self._game is None or not self._game.alive):
            raise self.died("is gone")
        if waited > MARK_PATIENCE:
            raise self.died("draws no more")

    def picture(self) -> NDArray[np.uint8]:
        """What is on the screen (size, size, 3), without the margins."""
        shown: NDArray[np.uint8] = self._pixels[MARGIN : MARGIN + self.size, : self.size, 2::-1].copy()
        return shown

    def mesh_time(self) -> int:
        """Nanoseconds that the client's mesh makers have worked."""
        try:
            return sum(int(clock.read_text().split()[0]) for clock in self._mesh_clocks)
        except OSError:
            raise self.died("is gone") from None

    def died(self, how: str) -> EngineDied:
        """What to raise where it ended: how, and its last words."""
        words = self._game.last_words() if self._game is not None else ""
        return EngineDied(f"luanti: the game {how}; its last words: {words or 'none'}")
