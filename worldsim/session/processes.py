"""Processes of our own: Python finds in them what it finds in this one."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def environment() -> dict[str, str]:
    """The environment for a Python process that imports what this one does, from whatever folder it was started."""
    paths = [str(Path(entry).absolute()) for entry in sys.path]  # an empty entry is the working folder
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
