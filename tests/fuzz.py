"""Fuzz all that is read: python -m tests.fuzz episodes=10000 checkpoints=2000 partials=2000 sources=2000 seed=0

Each case is one mutated file or folder beside good ones, through every door that reads it. A fault is an exception that
is not the project's, more than 5 s of processor time, more than 1 GiB, something written outside, something run,
or a good neighbour lost. The same seed and number is the same case: worker=KIND only=NUMBER runs one. Exit code 1 where
a fault is.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from worldsim.cli.command import command
from worldsim.config import load

KINDS = ("episodes", "checkpoints", "partials", "sources")
BATCH = 250  # cases of one process
PATIENCE = 900  # seconds after which a process that waits or hears no signal is ended


@dataclass
class FuzzConfig:
    """How many cases of each kind, from the case ``first`` on; ``worker`` runs those of one kind in this process."""

    episodes: int = 0
    checkpoints: int = 0
    partials: int = 0
    sources: int = 0
    seed: int = 0
    first: int = 0
    only: int = -1
    worker: str = ""


def work(kind: str, seed: int, first: int, count: int) -> None:
    """Run cases here; one line of JSON at the end says what was seen."""
    from tests.helpers.fuzz import guard

    warnings.simplefilter("ignore")
    case = importlib.import_module(f"tests.helpers.fuzz.{kind}").one
    watch = guard.Watch()
    guard.install()
    before = 0.0
    with tempfile.TemporaryDirectory() as place:
        for i in range(first, first + count):
            box = Path(place) / str(i)
            box.mkdir()
            faulthandler.dump_traceback_later(PATIENCE, exit=True)
            print(i, file=sys.stderr, flush=True)
            case(i, seed, box, watch)
            faulthandler.cancel_dump_traceback_later()
            watch.cases += 1
            before = before or guard.peak()
            if guard.peak() - before > guard.MEMORY:
                watch.faults.append((i, f"{guard.peak() - before:.0f} MiB more than before"))
                before = guard.peak()
            if strangers := [p.name for p in Path(place).iterdir() if p != box]:
                watch.faults.append((i, f"left outside: {strangers}"))
            shutil.rmtree(box, ignore_errors=True)
    print(json.dumps({**asdict(watch), "memory": guard.peak() - before}))


def run(kind: str, seed: int, first: int, count: int) -> dict[str, object]:
    """Run cases in processes of their own; what was seen of all."""
    total = {"cases": 0, "opened": 0, "refused": 0, "slowest": 0.0, "memory": 0.0}
    faults: list[tuple[int, str]] = []
    at, end, until = first, first + count, 0
    while at < end:
        some = min(BATCH, (until if until > at else end) - at)
        words = [f"worker={kind}", f"seed={seed}", f"first={at}", f"{kind}={some}"]
        done = subprocess.run([sys.executable, "-m", "tests.fuzz", *words], capture_output=True, text=True)
        if done.returncode == 0:
            seen = json.loads(done.stdout.splitlines()[-1])
            for key in ("cases", "opened", "refused"):
                total[key] += seen[key]
            for key in ("slowest", "memory"):
                total[key] = max(total[key], seen[key])
            faults += [(case, what) for case, what in seen["faults"]]
            at += some
        else:  # it died over the last case that it told of; those before are run again, without it
            lines = done.stderr.splitlines()
            told = [int(line) for line in lines if line.isdigit()]
            last = told[-1] if told else at
            if last > at:
                until = last
            else:
                what = lines[-1][:200] if lines else ""
                faults.append((at, f"the process ended with {done.returncode}: {what}"))
                total["cases"] += 1
                at += 1
        print(f"{kind}: {at - first} of {count}, {len(faults)} faults", file=sys.stderr, flush=True)
    return {**total, "faults": faults}


@command
def main(args: list[str]) -> int:
    """Fuzz, count, tell."""
    config = load(FuzzConfig, args)
    if config.worker:
        if config.only >= 0:
            work(config.worker, config.seed, config.only, 1)
        else:
            work(config.worker, config.seed, config.first, getattr(config, config.worker))
        return 0
    bad = 0
    for kind in KINDS:
        if count := getattr(config, kind):
            seen = run(kind, config.seed, config.first, count)
            faults = seen.pop("faults")
            assert isinstance(faults, list)
            bad += len(faults)
            print(f"{kind}: {json.dumps(seen)}, {len(faults)} faults", flush=True)
            for what, often in Counter(what for _, what in faults).most_common(40):
                print(f"  {often} times, first case {next(c for c, w in faults if w == what)}: {what}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
