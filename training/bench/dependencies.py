"""What a model that is not ours is made of, seen while it runs: its modules and the files it reads, with checksums.

Only what Python opens is seen (:func:`sys.addaudithook`); not what native code does, nor folders, variables of the
environment or the network.
"""

from __future__ import annotations

import hashlib
import os
import site
import stat
import sys
import sysconfig
from functools import cache
from pathlib import Path
from typing import Any

import worldsim
from worldsim import kernel_cache

LARGE = 1 << 28
"""Bytes above which size and time of modification stand for what is in a file."""
ROOMS = ("worldsim", "worldsim_app", "envs", "training")
SYSTEM = ("/proc", "/sys", "/dev")


class Dependencies:
    """Of one model, in the process that it runs in. Every file has one checksum, of when it was first asked for: what
    is edited while a bench runs differs from it the next time.

    Args:
        module: the one that makes the model; it counts wherever it is installed.
    """

    def __init__(self, module: str = "") -> None:
        self.module = module
        self._checksums: dict[str, str] = {}

    def found(self) -> dict[str, str]:
        """Files and their checksums: those of all modules that are imported, and those that were read, were they there
        or not, but for what the model wrote itself and for what belongs to Python, its libraries and this program."""
        modules = [m for name, m in list(sys.modules.items()) if name not in ("__main__", "__mp_main__")]
        files = {_absolute(f) for m in modules if isinstance(f := getattr(m, "__file__", None), str)}
        files = {file for file in files if Path(file).is_file()}  # torch has some that only seem to have one
        package, paths = self._package(), sorted(files | (_READ - _WRITTEN))
        return {path: self.checksum(path) for path in paths if _counts(path, package)}

    def same(self, recorded: Any) -> bool:
        """Whether all of what :meth:`found` gave once is still so."""
        return isinstance(recorded, dict) and all(self.checksum(path) == of for path, of in recorded.items())

    def checksum(self, path: str) -> str:
        """Of a file; or that there is none, which a model may go by as well."""
        if path not in self._checksums:
            self._checksums[path] = _checksum(path)
        return self._checksums[path]

    def _package(self) -> tuple[str, ...]:
        """The file or the folders of the model's own package."""
        package = self.module.partition(".")[0]
        made = sys.modules.get(package)
        if made is None or package in ROOMS:
            return ()
        folders = [_absolute(folder) + os.sep for folder in getattr(made, "__path__", [])]
        return tuple(folders or [_absolute(f) for f in [getattr(made, "__file__", None)] if f])


_READ: set[str] = set()
_WRITTEN: set[str] = set()
"""By all models of this process: where two share it, a module is imported, and reads its files, for the first alone."""
_NOTING: list[bool] = []


def note(on: bool) -> None:
    """Note what this process opens from now on, or no longer: while a model is called."""
    _listen()
    _NOTING[:] = [True] if on else []


@cache
def _listen() -> None:
    sys.addaudithook(_audit)  # which lasts as long as the process


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if event == "open" and _NOTING and isinstance(args[0], str | bytes | os.PathLike):
        writes = int(args[2] or 0) & (os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        (_WRITTEN if writes else _READ).add(_absolute(os.fsdecode(args[0])))


def _counts(path: str, package: tuple[str, ...]) -> bool:
    """Whether a file is the model's ``package``, or none of Python's, a library's, this program's or the system's; a
    compiled copy of another one never is."""
    ours = path.startswith(package) or not path.startswith(_places())
    return ours and f"{os.sep}__pycache__{os.sep}" not in path


@cache
def _places() -> tuple[str, ...]:
    """Folders, and where links among them lead."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = [sysconfig.get_path(name) for name in names]
    folders += [*site.getsitepackages(), site.getusersitepackages(), *SYSTEM]
    folders += [str(Path(worldsim.__file__).parent.parent / room) for room in ROOMS]
    folders += [os.environ.get(kernel_cache.VARIABLE) or folders[0]]
    return tuple(
        {str(f) + os.sep for folder in folders for f in (Path(folder).absolute(), Path(folder).resolve())}
    )


def _absolute(path: str) -> str:
    """Links are not followed: one that leads elsewhere the next time is another file."""
    return str(Path(path).absolute())


def _checksum(path: str) -> str:
    try:
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode):
            return "no file"
        if status.st_size > LARGE:
            return f"{status.st_size} bytes of {status.st_mtime_ns}"
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError as error:
        return type(error).__name__
