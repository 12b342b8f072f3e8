"""Doom, through ViZDoom (extra ``doom``): a maze of rooms to be walked, drawn by the real engine.

Deterministic: the same seed and actions give the same frames. The scenario is the wheel's, as is the game.
"""

from __future__ import annotations

import contextlib
import importlib
import tempfile
import threading
import weakref
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from envs import actions
from envs.adapters.engine_missing import EngineMissing
from envs.adapters.engine_seed import engine_seed
from envs.adapters.picture import square
from envs.true_world import Observation, TrueWorld

SCENARIO = "my_way_home"
UNIT = 32.0  # Doom's map units in one of ours: the width of its player
TICS = 2  # of the engine's 35 a second in a step
CELL, REACH = 16.0, 12.0
"""Side of a column of the walk map, and how near its middle may be to a wall, in map units."""
HEIGHTS = (120, 240, 480, 600, 768, 960, 1080)  # of the engine's pictures
RESOLUTIONS = dict(
    zip(
        HEIGHTS,
        ("160X120", "320X240", "640X480", "800X600", "1024X768", "1280X960", "1920X1080"),
        strict=True,
    )
)
BUTTONS = {  # ours, in the order in which the engine is told
    "attack": "ATTACK",
    "back": "MOVE_BACKWARD",
    "forward": "MOVE_FORWARD",
    "left": "MOVE_LEFT",
    "right": "MOVE_RIGHT",
    "sprint": "SPEED",
    "use": "USE",
}
LOOKS = ("LOOK_UP_DOWN_DELTA", "TURN_LEFT_RIGHT_DELTA")  # degrees a tic, up and to the right
PLACE = ("POSITION_X", "POSITION_Y", "CAMERA_POSITION_Z", "ANGLE", "PITCH")
_ENGINE = threading.Lock()  # engines start one after another: the present folder is the whole process's


class ViZDoomEnv(TrueWorld):
    """One scenario of ViZDoom; the picture is the middle square of the engine's, without weapon and status bar.

    A step is two tics. ``info["pose"]`` is (x, y, z, yaw, pitch) in units of 32 of Doom's: its y is our x, its x is our
    z, its heights our y, and its angle, which grows to the left, counts the other way. Time does not end an episode;
    what the scenario ends (here the vest that is found) is terminated, and its last picture stays.

    Args:
        size: height and width of the picture in pixels.
        max_steps: truncate an episode after this many steps, or None.
        render_mode: None or ``rgb_array``.
        scenario: a name of ViZDoom's scenarios, or the path of a .cfg file.

    Raises:
        ValueError: a size, max_steps, render_mode or scenario that cannot be.
        EngineMissing: ViZDoom is not installed.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 17}  # type: ignore[misc]
    label = "ViZDoom"
    sizes = (1, HEIGHTS[-1])
    fov = 73.74  # degrees of the middle square where 4:3 has 90 across
    backend = "vizdoom"
    family = "doom"
    version = 1

    def __init__(
        self,
        size: int = 64,
        max_steps: int | None = None,
        render_mode: str | None = None,
        scenario: str = SCENARIO,
    ) -> None:
        super().__init__(size, max_steps, render_mode)
        # the engine writes its settings somewhere
        self._folder = tempfile.TemporaryDirectory(prefix="worldsim-doom-")
        self._game = self._started(scenario)
        # before its folder goes, also where nobody closes it
        self._end = weakref.finalize(self, self._game.close)
        self.action_space = actions.space("doom")
        self._walkmap: tuple[NDArray[np.float32], float, tuple[float, float]] | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin the scenario with this seed, which says where."""
        self._game.set_seed(engine_seed(self._begin(seed)))
        self._game.new_episode()
        self._walkmap = None
        self._look()
        return self._observation()

    def step(self, action: dict[str, Any]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Hold the buttons for two tics and turn by ``camera`` degrees (pitch, yaw) in them."""
        self._ready()
        down, right = (float(v) for v in np.asarray(action["camera"], np.float64))
        command = [float(action[name]) for name in BUTTONS] + [-down / TICS, right / TICS]
        reward, cut = float(self._game.make_action(command, TICS)), self._cut()
        over = bool(self._game.is_episode_finished())
        if not over:  # an ended episode has nothing to observe
            self._look()
        observation, info = self._observation()
        return observation, reward, over, cut, info

    def walkmap(self) -> tuple[NDArray[np.float32], float, tuple[float, float]]:
        """Where one can walk: heights (NX, NZ) of the floor, nan where nobody can stand, side of a column, its corner.

        Made from the sectors and walls that the engine tells.

        Raises:
            RuntimeError: there is no world yet.
        """
        self._ready()
        if self._walkmap is None:
            self._walkmap = walkmap(self._sectors)
        return self._walkmap

    def close(self) -> None:
        """End the engine."""
        self._end()
        self._folder.cleanup()

    def _look(self) -> None:
        state = self._game.get_state()
        self._pov = square(np.asarray(state.screen_buffer), self.size)
        x, y, z, angle, pitch = (float(v) for v in state.game_variables)
        self._pose = np.array([y / UNIT, z / UNIT, x / UNIT, (180.0 - angle) % 360.0 - 180.0, _signed(pitch)])
        if self._steps == 0:
            self._sectors = state.sectors

    def _observation(self) -> tuple[Observation, dict[str, Any]]:
        assert self._pov is not None
        return {"pov": self._pov.copy()}, {"pose": self._pose.copy(), "seed": self.world_seed}

    def _started(self, scenario: str) -> Any:
        try:
            vizdoom: Any = importlib.import_module("vizdoom")
        except ImportError as error:
            raise EngineMissing(
                f"the doom world needs ViZDoom, which is not here ({error}): pip install 'worldsim[doom]' or vizdoom"
            ) from None
        shipped = Path(vizdoom.scenarios_path) / f"{scenario}.cfg"
        config = shipped if shipped.is_file() else Path(scenario).absolute()
        if not config.is_file():
            names = ", ".join(sorted(p.stem for p in Path(vizdoom.scenarios_path).glob("*.cfg")))
            raise ValueError(f"ViZDoom: expected a scenario of {names}, or a .cfg file, found {scenario!r}")
        game = vizdoom.DoomGame()
        game.set_doom_config_path(str(Path(self._folder.name) / "vizdoom.ini"))
        game.load_config(str(config))
        height = next(h for h in HEIGHTS if h >= self.size)
        game.set_screen_resolution(getattr(vizdoom.ScreenResolution, f"RES_{RESOLUTIONS[height]}"))
        game.set_screen_format(vizdoom.ScreenFormat.RGB24)
        game.set_available_buttons([getattr(vizdoom.Button, name) for name in (*BUTTONS.values(), *LOOKS)])
        game.set_available_game_variables([getattr(vizdoom.GameVariable, name) for name in PLACE])
        game.set_sectors_info_enabled(True)
        for hide in (
            game.set_window_visible,
            game.set_render_hud,
            game.set_render_weapon,
            game.set_render_crosshair,
        ):
            hide(False)
        # Looking up and down, and a view that does not bob with every step: a place is seen from one height.
        game.add_game_args("+freelook 1 +movebob 0")
        game.set_mode(vizdoom.Mode.PLAYER)
        game.set_episode_timeout(0)
        game.set_living_reward(0)
        with _ENGINE, contextlib.chdir(self._folder.name):  # it makes a folder of its own where it is started
            game.init()
        return game


def walkmap(sectors: Any) -> tuple[NDArray[np.float32], float, tuple[float, float]]:
    """The walk map of sectors as ViZDoom has them: ``floor_height`` and ``lines`` (x1, y1, x2, y2, is_blocking)."""
    lines = np.array(
        [[w.x1, w.y1, w.x2, w.y2] for s in sectors for w in s.lines if w.is_blocking], np.float64
    )
    low, high = lines.reshape(-1, 2).min(0), lines.reshape(-1, 2).max(0)
    east, north = (np.arange(a + CELL / 2, b, CELL) for a, b in zip(low, high, strict=True))
    x, y = np.meshgrid(east, north, indexing="ij")  # (NX, NY) the middles of the columns
    heights = np.full(x.shape, np.nan, np.float32)
    for sector in sectors:
        heights[_inside(x, y, sector.lines)] = sector.floor_height / UNIT
    for x1, y1, x2, y2 in lines:
        along, length = np.array([x2 - x1, y2 - y1]), max(1e-9, float(np.hypot(x2 - x1, y2 - y1)))
        t = np.clip(((x - x1) * along[0] + (y - y1) * along[1]) / length**2, 0, 1)
        heights[np.hypot(x - x1 - t * along[0], y - y1 - t * along[1]) < REACH] = np.nan
    # Our x is Doom's y.
    return np.ascontiguousarray(heights.T), CELL / UNIT, (float(low[1]) / UNIT, float(low[0]) / UNIT)


def _inside(x: NDArray[np.float64], y: NDArray[np.float64], lines: Any) -> NDArray[np.bool_]:
    """Which points lie in the polygon, perhaps with holes, that these lines bound (even-odd rule)."""
    inside = np.zeros(x.shape, np.bool_)
    for w in lines:
        if w.y1 != w.y2:
            crosses = (y >= min(w.y1, w.y2)) & (y < max(w.y1, w.y2))
            inside ^= crosses & (x < w.x1 + (y - w.y1) * (w.x2 - w.x1) / (w.y2 - w.y1))
    return inside


def _signed(degrees: float) -> float:
    return (degrees + 180.0) % 360.0 - 180.0
