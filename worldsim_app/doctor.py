"""What this machine can do, in ten lines: worldsim doctor

Versions, device, precision, threads, engines, worlds, checkpoints, folders that can be written, display. The exit code
is 0, or 1 where nothing can be played.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from worldsim.cli.command import command, explain

NOTHING_TO_PLAY = 1
PACKAGES = ("worldsim", "torch", "numba", "numpy", "gymnasium")
ENGINES = {
    "luanti": ("luanti", "minetest"),
    "vizdoom": "vizdoom",
    "minerl": "minerl",
    "deepmind_lab": "deepmind_lab",
}
"""What draws a world that is not embedded: programs, any of which will do, or a module."""
GAMES = "/usr/games"  # where Debian keeps games, on nobody's PATH but a player's


@command
def main(words: list[str]) -> int:
    """Print the ten lines."""
    if words:
        raise ValueError(f"expected no words, found {' '.join(words)}; see worldsim doctor --help")
    worlds = playable()
    lines: dict[str, Callable[[], str]] = {
        "versions": _versions,
        "device": _device,
        "precision": _precision,
        "threads": _threads,
        "engines": _engines,
        "worlds": lambda: _worlds(worlds),
        "dreams": _dreams,
        "kernels": lambda: f"kept in {written(kernels())}",
        "folders": lambda: f"cache {written(cache())}; working folder {written(Path.cwd())}",
        "display": _display,
    }
    for name, line in lines.items():
        print(f"{name:10} {_answer(line)}", flush=True)
    return 0 if worlds else NOTHING_TO_PLAY


def playable() -> list[str]:
    """The worlds that can be made here, by the backend that draws them where that is not ours."""
    found = [name for name in ("blocks", "labmaze") if _imports(f"envs.{name}.env")]
    for name, needs in ENGINES.items():
        if isinstance(needs, str):
            there = importlib.util.find_spec(needs) is not None
        else:
            path = os.pathsep.join([os.environ.get("PATH", ""), GAMES])
            there = any(shutil.which(program, path=path) for program in needs)
        if there:
            found.append(name)
    return [*found, "gym:ENV_ID"] if _imports("gymnasium") else found


def writable(folder: Path) -> bool:
    """Whether a file can be made in a folder, or in the nearest one above it that exists; it is tried."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def written(folder: Path) -> str:
    """The folder, and a word where nothing can be written there."""
    return str(folder) if writable(folder) else f"{folder} (cannot be written)"


def cache() -> Path:
    """Where converted weights and made maps are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "worldsim"


def kernels() -> Path:
    """Where numba keeps the compiled kernels of the engine: beside their sources, or in the user's cache."""
    from worldsim.engine.kernels import layers

    return Path(layers.normalise.stats.cache_path)


def _answer(line: Callable[[], str]) -> str:
    """A line, or why there is none: one thing that is broken does not hide the others."""
    try:
        return line()
    except Exception as error:
        return f"unknown: {explain(error) or f'{type(error).__name__}: {error}'}"


def _imports(module: str) -> bool:
    try:
        importlib.import_module(module)
    except Exception:
        return False
    return True


def _versions() -> str:
    def version(name: str) -> str:
        try:
            return f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            return f"{name} not installed"

    return ", ".join([*map(version, PACKAGES), f"Python {platform.python_version()}"])


def _device() -> str:
    from worldsim.runtime import hardware, pick_device

    device = pick_device("auto")
    return f"{device.type}: {hardware(device)}".partition(", ")[0]


def _precision() -> str:
    from worldsim.runtime import pick_device, precision

    return f"auto is {precision('auto', pick_device('auto'))}; precision=fp32 or bf16 asks for one"


def _threads() -> str:
    from worldsim.cli.options import PlayConfig

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return f"{PlayConfig.threads} for the dream (threads=N), {cores} cores to be used"


def _engines() -> str:
    from worldsim import checkpoint
    from worldsim.cli.dreams import SHIPPED
    from worldsim.engine.select import chosen, usable
    from worldsim.runtime import pick_device

    device = pick_device("auto")
    models = {name: checkpoint.load(name, device).model for name in SHIPPED.values()}
    here = dict.fromkeys(engine for model in models.values() for engine in usable(model))
    return f"{', '.join(here)}; {', '.join(f'{name} by {chosen(model)}' for name, model in models.items())}"


def _worlds(found: list[str]) -> str:
    from worldsim.cli.options import GYM

    return f"{', '.join(found)} ({GYM}nasium's own and what is installed)" if found else "none can be played"


def _dreams() -> str:
    from worldsim.config import shipped

    return (
        ", ".join(sorted(p.parent.name for p in shipped.CHECKPOINTS.glob("*/config.yaml"))) or "none shipped"
    )


def _display() -> str:
    from worldsim.player.window import display_missing

    missing = display_missing()
    return f"none ({missing}): play is headless" if missing else "a window can be opened"
