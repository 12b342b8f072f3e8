"""The error budget of a method as a table, and its noise levels as a picture (Theorem 1, Eqn. 10, Requirement 1)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from training.report.levels import levels_picture
from worldsim.config import load
from worldsim.diffusion.methods import Method, method
from worldsim.metrics.theory.error_budget import Constants, ErrorTerms, LossCurve, method_budget
from worldsim.metrics.theory.timestep_sets import NAMES, Prediction, predict


@dataclass
class Config:
    """``losses``: a JSON file of ``levels`` and ``losses``, the squared score error of a frame at noise levels.

    ``dimension`` is values in a frame: 1024 is 16 x 8 x 8 latents. Every other word is the method's: ``window=8``.
    """

    method: str = MISSING
    out: str = ""
    shown: int = 3
    dimension: int = 1024
    horizon: float = 10.0
    bound: float | None = None
    lipschitz: float = 1.0
    eps_est: float = 0.1
    losses: str = ""
    after: list[int] = field(default_factory=lambda: [1, 4, 16, 64])


def run(args: list[str]) -> dict[str, Any]:
    """Print the budget; draw the levels where ``out`` says so."""
    known = {f.name for f in fields(Config)}
    config = load(Config, [word for word in args if word.partition("=")[0] in known])
    chosen = method(config.method, [word for word in args if word.partition("=")[0] not in known])
    constants = Constants(config.dimension, config.horizon, config.bound, config.lipschitz, config.eps_est)
    losses = read_losses(Path(config.losses)) if config.losses else None
    budget = method_budget(chosen, constants, losses)
    rows = {"initialisation": budget.initial, "one step": budget.step}
    rows |= {f"clip after {k} steps": budget.clip(k) for k in config.after}
    print(headline(chosen))
    print(table(rows))
    result: dict[str, Any] = {
        "method": chosen.name,
        "constants": vars(constants),
        "budget": {name: vars(terms) | {"total": terms.total} for name, terms in rows.items()},
    }
    if losses is not None:
        found = predict(losses)
        print(timesteps_table(found))
        result["timestep_sets"] = {"see": found.see, "order": found.order}
    if config.out:
        levels_picture(chosen, config.shown).save(Path(config.out))
        print(f"levels drawn in {config.out}")
        result["picture"] = config.out
    return result


def read_losses(file: Path) -> LossCurve:
    """A loss curve from a JSON file.

    Raises:
        ValueError: the file is no JSON object of two lists of numbers, ``levels`` and ``losses``.
    """
    try:
        found = json.loads(file.read_text())
        return LossCurve(tuple(float(x) for x in found["levels"]), tuple(float(x) for x in found["losses"]))
    except (json.JSONDecodeError, KeyError, TypeError):
        raise ValueError(
            f"{file}: expected a JSON object with two lists of numbers, levels and losses"
        ) from None


def headline(m: Method) -> str:
    """A method in three lines."""
    s = m.schedule
    first = f"{m.initial_frames} frames, {m.initial_steps} steps" if s.window > s.stride else "none"
    held = f"all but {s.relaxed}, which is relaxed" if s.relaxed else "all five conditions"
    return "\n".join(
        [
            f"{m.name}: {m.source}",
            f"window {s.window}, stride {s.stride}, {m.calls} network calls a step, initialisation {first}, "
            f"history {m.history}",
            f"Requirement 1 holds: {held}",
        ]
    )


def table(rows: dict[str, ErrorTerms]) -> str:
    """Terms as aligned text, one row a stage."""
    lines = [f"{'':22s}{'NIE':>12s}{'SEE':>12s}{'DE':>12s}{'total':>12s}"]
    for name, t in rows.items():
        lines.append(f"{name:22s}" + "".join(f"{x:12.4g}" for x in (t.nie, t.see, t.de, t.total)))
    return "\n".join(lines)


def timesteps_table(found: Prediction) -> str:
    """SEE of the paper's four timestep sets and their order."""
    cells = "  ".join(f"({name}) {found.see[name]:.4g}" for name in NAMES)
    return f"SEE of the timestep sets: {cells}\nfrom slowest degradation: {', '.join(found.order)}"
