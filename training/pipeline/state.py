"""Where a run stands, on disk: what was asked for, and how long each stage has taken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from worldsim.config import ConfigError

FILE = "pipeline.json"


class State:
    """The stages of a run by name: ``budget`` and ``spent`` in seconds, ``reached`` in words once it is done.

    Args:
        out: the run's folder.
        asked: what the run is of; another one in the same folder is refused.

    Raises:
        ConfigError: the folder holds another run, or its state is damaged.
    """

    def __init__(self, out: Path, asked: dict[str, Any]) -> None:
        self.path, self.asked = out / FILE, asked
        self.stages: dict[str, dict[str, Any]] = {}
        if not self.path.exists():  # written when the first stage begins
            return
        try:
            found = json.loads(self.path.read_text("utf-8"))
            before, self.stages = dict(found["asked"]), dict(found["stages"])
        except (ValueError, TypeError, KeyError):
            raise ConfigError(f"{self.path} is damaged; delete {out} or choose another out=") from None
        if before != asked:
            other = [f"{k}={before.get(k)}" for k in {**before, **asked} if before.get(k) != asked.get(k)]
            raise ConfigError(
                f"{out} was begun with {' '.join(other)}; give the same to go on, or another out="
            )

    def done(self, name: str) -> bool:
        """Whether a stage has ended."""
        return "reached" in self.stages.get(name, {})

    def spent(self, name: str) -> float:
        """Seconds that a stage has taken, over all starts."""
        return float(self.stages.get(name, {}).get("spent", 0.0))

    def total(self) -> float:
        """Seconds of all stages."""
        return sum(map(self.spent, self.stages))

    def begin(self, name: str, budget: float) -> float:
        """The budget of a stage in seconds: this one, or what it was begun with."""
        stage = self.stages.setdefault(name, {"budget": round(budget, 1), "spent": 0.0})
        self.save()
        return float(stage["budget"])

    def took(self, name: str, spent: float) -> None:
        """A stage has taken so many seconds by now."""
        self.stages[name]["spent"] = round(spent, 1)
        self.save()

    def end(self, name: str, reached: str) -> None:
        """A stage has ended."""
        self.stages[name]["reached"] = reached
        self.save()

    def save(self) -> None:
        """Write it; a kill leaves the old one or the new one."""
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps({"asked": self.asked, "stages": self.stages}, indent=1) + "\n", "utf-8")
        new.replace(self.path)
