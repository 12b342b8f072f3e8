"""Measure the memory of any world model: python -m training.bench MODEL [MODEL ...] [suite=small] [against=B] ...

MODEL is a checkpoint, an entry point or module:factory, perhaps with settings: labmaze,history=8,denoising_steps=4.
Suites (tiny: seconds, small: minutes, full: an hour or more, or a folder) hold seeds, action scripts and contexts, so
that others repeat them to the frame. Every episode is kept as soon as it is known; the same command goes on. Results
are runs/bench/SUITE/bench.json and one self-contained bench.html (out=DIR for another folder).

against=B     paired differences with B (a model, a bench.json, or FILE.json:MODEL), the worst episodes first; PASS is
              exit code 0, FAIL 1; tolerance.ssim=0.01 is what a number may get worse by
worlds=[..] tasks=[..]  some of blocks, labmaze, luanti; of needle, ahead, free, mirror, loop, still, actions
twin=true     also every model with its shortest history         minutes=10     begin no episode after so long
frame_seconds=20  what a frame may take; a model that hangs or raises is one sentence, and the rest goes on
cluster=auto  on a Ray cluster, or ray://HOST:PORT; frames then share machines with others, as their times tell
perceptual=auto   LPIPS and distances of pictures, true, false or where installed

python -m training.bench suites                                    what there is, and the digest of each
python -m training.bench export suite=small to=mind out=DIR        also lerobot, minari, teco, episodes; model=MODEL
python -m training.bench mind truth=DIR test=DIR out=result.json   lcm and gsc of videos in MIND's folders
python -m training.bench speed NAME [key=value ...]                time a part of the program; speed --help
docs/bench.md is the guide.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.bench.config import Config
from training.bench.models import TRUTH, Model, is_model, parse
from training.bench.suite import Suite, find, names
from worldsim.cli.command import command
from worldsim.config import ConfigError, load

if TYPE_CHECKING:
    from training.bench.run import Outcome
    from training.bench.work import Job

FAIL = 1
SPEED = ("envs", "step", "luanti", "variants", "ad", "train")
"""Parts that can be timed; as a first word they mean that without ``speed``, as they always did."""


@command
def main(words: list[str]) -> int:
    """Run what the first word names; a model is measured."""
    first = words[0] if words else ""
    if first == "speed" or first in SPEED:
        from training.benchmark.__main__ import main as timed

        return timed(words[1:] if first == "speed" else words)
    if first == "suites":
        for name in names():
            suite = find(name)
            print(f"{suite.label:10s} {len(suite.scripts):4d} episodes, digest {suite.digest}  {suite.about}")
        return 0
    if first == "export":
        from training.bench.export import main as export

        return export(words[1:])
    if first == "mind":
        from training.bench.mind import main as mind

        return mind(words[1:])
    asked = [word for word in words if is_model(word)]
    if not asked:
        raise ConfigError(
            "expected a model to measure: worldsim bench MODEL; worldsim bench --help says more"
        )
    return bench([parse(word) for word in asked], load(Config, [w for w in words if not is_model(w)]))


def bench(models: list[Model], config: Config) -> int:
    """Measure models on a suite, write results and page; the exit code of the gate, or of a model that broke."""
    from training.bench import compare, page, results
    from training.bench.lookup import check
    from training.bench.work import Job
    from training.evaluation.scores import networks
    from worldsim.runtime import pick_device

    suite, began = find(config.suite), time.monotonic()
    reference: dict[str, Any] | None = None
    listed = list(models)
    if config.against and compare.is_file(config.against):
        reference = compare.read(config.against, suite)
        for model in models:
            compare.counterpart(model.label, reference, config.against)
    elif config.against:
        listed.append(parse(config.against))
    if config.twin:
        listed += [model.twin for model in models]
    listed = list({model.label: model for model in [Model(TRUTH, TRUTH, {}), *listed]}.values())
    check(listed, config)
    if networks(config.perceptual, pick_device(config.device)) is None:
        config = replace(config, perceptual="false")  # which has been said, once
    folder = Path(config.out or f"runs/bench/{suite.label}")
    folder.mkdir(parents=True, exist_ok=True)
    seconds = config.minutes * 60 / len(listed)
    jobs = [Job(model, config, folder, seconds) for model in listed]
    jobs = [job for job in jobs if job.scripts(suite)]
    outcomes = _run(jobs, suite, folder)
    found = results.collected(suite, jobs, outcomes, time.monotonic() - began)
    judged = _judged(models, config, suite, found, reference, jobs[-1].scripts(suite))
    if judged:
        found["compared"] = {c.model: c.described() for c in judged}
    written = results.write(found, folder)
    shown = page.write(found, suite, jobs, folder)
    print(results.text(found, suite))
    for comparison in judged:
        print(comparison.text())
    broken = [of["why"] for of in found["models"].values() if of["why"]]
    for why in broken:
        print(f"broken: {why}", file=sys.stderr)
    if any(of["tracebacks"] for of in found["models"].values()):
        print(
            f"tracebacks are in {written} (tracebacks) and, folded, on top of {shown.name}", file=sys.stderr
        )
    print(f"{written} and {shown}")
    return FAIL if broken or not all(c.passed for c in judged) else 0


def _run(jobs: list[Job], suite: Suite, folder: Path) -> list[Outcome]:
    from training.bench.run import run_all

    try:
        return run_all(jobs, suite)
    except KeyboardInterrupt:
        print(f"what was measured is kept in {folder}; the same command goes on from there", file=sys.stderr)
        raise


def _judged(
    models: list[Model],
    config: Config,
    suite: Suite,
    found: dict[str, Any],
    reference: dict[str, Any] | None,
    asked: list[Any],
) -> list[Any]:
    """Every model against the other one; none where there is none."""
    from training.bench.compare import compare, counterpart

    judged = []
    for model in models if config.against else []:
        episodes = (model.label, found["models"][model.label]["episodes"])
        other, of = config.against, found
        if reference is not None:
            other, of = counterpart(model.label, reference, config.against), reference
        if reference is None and other == model.label:
            continue
        comparison = compare(
            episodes, (other, of["models"][other]["episodes"]), suite, config.tolerance, asked
        )
        judged.append(
            replace(comparison, against=f"{other} of {config.against}") if reference else comparison
        )
    return judged


if __name__ == "__main__":
    sys.exit(main())
