"""The `worldsim` command: one table of commands, and those that need the dream and the true worlds both.

In a wheel the packages ``envs`` and ``training`` lie in a folder of this one, so that their names are nobody else's
concern; importing this package makes them importable, here and in the processes that are started from here.
"""

import sys
from pathlib import Path

from worldsim import kernel_cache

_PACKAGES = Path(__file__).resolve().parent / "packages"
if _PACKAGES.is_dir() and str(_PACKAGES) not in sys.path:
    sys.path.insert(0, str(_PACKAGES))
kernel_cache.choose()
