"""Collecting, training, evaluating and timing.

Commands lie in the room of what they do and are called by one short name: `python -m training.train_denoiser` runs
`training/train/denoiser.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

_FOLDER = Path(__file__).parent
COMMANDS = {
    f"training.train_{file.stem}": f"training.train.{file.stem}" for file in _FOLDER.glob("train/[!_]*.py")
}
COMMANDS |= {f"training.{name}": f"training.cards.{name}" for name in ("card", "ship")}
COMMANDS["training.ablate_ar_diffusion"] = "training.study.ablation"
COMMANDS["training.compare_differences"] = "training.study.differences"
COMMANDS["training.sample"] = "training.report.sample"
COMMANDS["training.index"] = "training.convert.index"
"""What a command is called, and the module that it is."""


class _ShortNames(MetaPathFinder):
    """Finds a command's file by its short name, for ``python -m`` and the processes that it starts."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in COMMANDS:
            return None
        return spec_from_file_location(
            name, _FOLDER.parent.joinpath(*COMMANDS[name].split(".")).with_suffix(".py")
        )


sys.meta_path.insert(0, _ShortNames())
