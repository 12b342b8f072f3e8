"""Without the package that it is made of, LabMaze is refused in a sentence, and the other worlds play."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
CODE = """
import sys
sys.modules["labmaze"] = None
import gymnasium, envs
from envs.adapters.engine_missing import EngineMissing
try:
    gymnasium.make("worldsim/LabMaze-v0")
except EngineMissing as error:
    print(error)
gymnasium.make("worldsim/Blocks-v0", size=16)
print("Blocks is made")
"""


def test_a_python_without_labmaze_has_the_other_worlds() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, check=True)
    refused, made = done.stdout.splitlines()
    assert refused.startswith("LabMaze needs the package labmaze") and made == "Blocks is made"
