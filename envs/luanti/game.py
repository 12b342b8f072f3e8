"""Pictures of the saved land: the eye of a running Luanti put somewhere, and nodes changed before it looks."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from envs.luanti.engine import MARK_PATIENCE, PATIENCE, Engine

EYE = 1.625  # nodes between the feet and the camera, as the driver sets it
ASIDE = 160.0
"""Height above the saved land, from which none of it is seen: drawing takes next to nothing there."""
ROUND = 0.02  # seconds between two looks at whether the client still makes meshes
HASTE = 0.03  # seconds that the eye is left on the ground at most when a frame is to be quick


class Game:
    """The saved land and what was changed in it, shown by an ``engine`` of its own; its arguments are the engine's."""

    def __init__(self, size: int, map_file: Path) -> None:
        self._haste = 0.004  # seconds from coming down to being sent up
        self._place: int | None = None
        self._edited = False
        self.engine = Engine(size, map_file)

    def __deepcopy__(self, memo: object) -> Game:
        """A running game cannot be copied; gymnasium copies the arguments of environments."""
        return self

    def rest(self) -> None:
        """See :meth:`.Engine.rest`."""
        self.engine.rest()

    def close(self) -> None:
        """See :meth:`.Engine.close`."""
        self.engine.close()

    def frame(self, x: float, y: float, z: float, yaw: float, pitch: float) -> NDArray[np.uint8]:
        """The picture (size, size, 3) from an eye at a point of the engine's space, angles as the engine has them.

        A position counts in the frame that is drawn when it comes, a direction only in the one after, and drawing
        land is what takes time. So the eye waits high above the land, turns there, comes down for one frame and is
        sent up again while that one is still being drawn. Sent too early it is not seen on the ground, which shows;
        then there is a second try, without haste.

        Raises:
            EngineDied: no picture came.
        """
        self.engine.wake()
        self.engine.wait_for(self._pose(x, ASIDE, z, yaw, pitch))
        here = self._pose(x, y, z, yaw, pitch)
        self.engine.wait_for(here, self._haste)
        away = self._send_up(x, z)
        if (picture := self._catch(here, away)) is None:
            self._haste = min(1.2 * self._haste, HASTE)
        else:
            self._haste *= 0.98
            # Going up can overtake its mark on the way to the client, so nothing but sky proves nothing.
            if not (picture == picture[0, 0]).all():
                return picture
        self.engine.wait_for(self._pose(x, ASIDE, z, yaw, pitch))
        self.engine.wait_for(self._pose(x, y, z, yaw, pitch))
        picture = self.engine.picture()
        self._send_up(x, z)
        return picture

    def _send_up(self, x: float, z: float) -> int:
        """Have the next frame show nothing of the land; returns its mark."""
        away = self.engine.next_mark()
        self.engine.say(f"A {away} {x:.5f} {ASIDE:.5f} {z:.5f}")
        return away

    def _catch(self, here: int, away: int) -> NDArray[np.uint8] | None:
        """The picture that is marked ``here`` as soon as it is there whole; None when the next one overtook it."""
        began = time.monotonic()
        while not self.engine.shows(here, -3):
            if self.engine.shows(away, -3):
                return None
            self.engine.doze(began, 0.0003)
        picture = self.engine.picture()
        # Rows are written from the top: while the upper mark stands, nothing has been overwritten.
        return picture if self.engine.shows(here, 2) else None

    def _pose(self, x: float, y: float, z: float, yaw: float, pitch: float) -> int:
        """Put the eye somewhere; returns the mark by which a frame that was begun after that can be told."""
        k = self.engine.next_mark()
        self.engine.say(f"P {k} {x:.5f} {y - EYE:.5f} {z:.5f} {yaw:.6f} {pitch:.6f}")
        return k

    def visit(self, place: int, load: str) -> None:
        """Have the client know all of a place; ``load`` is the command that sends it, unless it is there already."""
        if self._place != place:
            self._place = None
            self._carry_out([load], quiet=3)
            # Once more: the light at a block's edges needs the blocks across them, which may have come after it.
            self._carry_out([load], quiet=10)
            self._place = place

    def change(self, commands: list[str]) -> None:
        """Carry out commands that change nodes, and wait until they can be seen."""
        self._edited = True
        self._carry_out([*commands, "Y", "R"], quiet=3)

    def restore(self) -> None:
        """Undo every change, and wait until that can be seen."""
        if self._edited:
            self._carry_out(["U", "Y", "R"], quiet=3)
            self._edited = False

    def _carry_out(self, commands: list[str], quiet: int) -> None:
        before, began = self.engine.mesh_time(), time.monotonic()
        for command in commands:
            self.engine.say(command, PATIENCE)
        while self.engine.mesh_time() == before and time.monotonic() - began < MARK_PATIENCE:
            self.engine.say("Y")
            self.engine.mark()
        self._rest_meshes(quiet)

    def _rest_meshes(self, rounds: int) -> None:
        """Let the server's changes reach the client, until its mesh makers had nothing to do for some rounds."""
        quiet, last, began = 0, -1, time.monotonic()
        while quiet < rounds:
            self.engine.say("Y")
            self.engine.mark()
            time.sleep(ROUND)
            now = self.engine.mesh_time()
            quiet, last = (quiet + 1 if now == last else 0), now
            if time.monotonic() - began > 2 * PATIENCE:
                raise self.engine.died("never came to rest")
