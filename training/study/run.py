"""Make a table or figure of the study: train what is missing if asked, dream what is not on disk yet, write numbers.

    python -m training.evaluate table=1 env=blocks out=results
    python -m training.evaluate table=3 env=labmaze train=1200 method_episodes=4 method_steps=4
    python -m training.evaluate figure=10 env=labmaze rollout=64 seeds=3

Results: ``OUT/ENV/tableN.json`` with commit, seed and hardware, ``tableN.md`` beside it, and one record an episode
under ``OUT/ENV/units``, from which a killed command goes on. Rows without a model are listed as missing.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from training.data.episodes import open_episodes
from training.loop.cluster import Place
from training.study import backbones, claims, losses, markdown, scores, timesteps, tradeoff
from training.study.backbones import Backbone
from training.study.config import WORLDS, StudyConfig, StudyError
from training.study.needle import TRUE
from training.study.rows import TABLES, TWIN, WORLD, Row, cost_of, group_of, groups
from training.study.units import NEEDLE, ROLLOUT, Unit, play_all
from worldsim.actions import check_same
from worldsim.config import load
from worldsim.diffusion.methods import method
from worldsim.runtime import hardware, pick_device

Plan = dict[str, "tuple[list[Unit], str]"]
"""By group: its units, and why it cannot be played where there are none."""


def run(args: list[str]) -> int:
    """The command: evaluate, aggregate, write, print."""
    config = load(StudyConfig, args)
    config.check()
    began = time.monotonic()
    torch.set_num_threads(1)  # so that numbers do not depend on the machine's cores
    rows = TABLES[config.number]
    wanted = {row.backbone for row in rows if not config.only or row.backbone in config.only}
    if config.train > 0 and not config.rolls:
        backbones.train_missing(config, wanted)
    found = backbones.find(config)
    plan = planned(config, rows, found)
    todo = [u for units, _ in plan.values() for u in units if not u.done() and _asked(config, u)]
    workers = min(config.workers or min(os.cpu_count() or 1, 8), max(len(todo), 1))
    gpus = 1.0 if pick_device(config.device).type == "cuda" else 0.0
    place = Place(config.cluster, workers, gpus=gpus)
    until = began + config.seconds if config.seconds else 0.0
    total = sum(len(units) for units, _ in plan.values())
    with tqdm(total=total, initial=total - len(todo), unit="episode", desc=config.name) as bar:
        for unit in play_all(todo, place, until):
            bar.set_postfix_str(unit.group)
            bar.update()
    result = gathered(config, rows, plan, found)
    result |= {"wall_s": round(time.monotonic() - began, 1), "command": _command(args)}
    config.folder.mkdir(parents=True, exist_ok=True)
    file = config.folder / f"{config.name}.json"
    file.write_text(json.dumps(result, indent=1) + "\n")
    file.with_suffix(".md").write_text(markdown.table(result))
    print(markdown.table(result))
    print(f"written to {file}")
    return 0


def planned(config: StudyConfig, rows: Sequence[Row], found: dict[str, Backbone]) -> Plan:
    """Every pass over every episode that the rows need.

    Raises:
        StudyError: episodes of another world.
        DataError: no episodes. ActionSpecMismatch: a model that speaks another action language.
    """
    episodes = open_episodes(config.episodes_folder)
    if episodes[0].meta["env_id"] != WORLDS[config.env]:
        raise StudyError(
            f"{config.episodes_folder}: expected episodes of {WORLDS[config.env]}, found {episodes[0].meta['env_id']}"
        )
    plan: Plan = {}
    rollout = config.rolls
    for group, played in groups(tuple(rows)).items():
        backbone = found[played[0].backbone]
        world = played[0].backbone == WORLD
        if rollout:
            played = tuple(row for row in played if row.name in {r.played for r in rows})
        reason = backbone.missing or _unfit(backbone, played)
        if reason:
            plan[group] = [], reason
            continue
        check_same(
            backbone.about.action_spec,
            episodes[0].meta["action_spec"],
            backbone.path,
            str(config.episodes_folder),
        )
        space = found[WORLD] if found[WORLD].path else backbone
        count = config.rollouts if rollout else config.episodes
        if not world and config.method_episodes:
            count = config.method_episodes
        units = [
            Unit(
                kind=ROLLOUT if rollout else NEEDLE,
                group=group,
                rows=played,
                path=backbone.path,
                mark=backbone.mark if config.second else backbone.one_mark,
                space=space.path,
                space_mark=space.space_mark,
                episode=str(episode.path),
                out=str(config.folder / "units"),
                env=config.env,
                steps=_steps(config, world),
                pose_from=config.pose_from if world else "none",
                seeds=tuple(config.seed + s for s in range(config.seeds)) if rollout else (config.seed,),
                context=config.context if rollout else 0,
                length=config.rollout if rollout else 0,
                device=str(pick_device(config.device)),
                second=config.second,
            )
            for episode in episodes[:count]
        ]
        plan[group] = units, ""
    return plan


def gathered(
    config: StudyConfig, rows: Sequence[Row], plan: Plan, found: dict[str, Backbone]
) -> dict[str, Any]:
    """The table from what is on disk."""
    records = {group: [u.record() for u in units if u.done()] for group, (units, _) in plan.items()}
    result: dict[str, Any] = {
        "table": config.number,
        "env": config.env,
        "commit": commit(),
        "seed": config.seed,
        "hardware": hardware(pick_device(config.device)),
        "episodes": str(config.episodes_folder),
        "dials": {
            "denoising_steps": config.timesteps if config.figure else config.denoising_steps,
            "method_steps": config.method_steps or "the presets'",
            "pose_from": config.pose_from,
            "second": config.second,
        },
        "backbones": {name: _described(backbone) for name, backbone in found.items()},
        "rows": [],
    }
    for row in rows:
        group = group_of(row)
        entry = described(row) | cost_of(row, _steps(config, row.backbone == WORLD))
        some = records[group]
        if not some:
            units, reason = plan[group]
            entry["missing"] = reason or f"not evaluated yet: 0 of {len(units)} episodes"
        else:
            entry["of_episodes"] = [len(some), len(plan[group][0])]
            entry["scores"] = _scores(config, some, row)
        result["rows"].append(entry)
    if records.get(WORLD):
        result["bounds"] = _bounds(config, records[WORLD])
    if config.rolls:
        result["rollout"] = {"context": config.context, "length": config.rollout, "seeds": config.seeds}
    group_by_row = {row.name: group_of(row) for row in (*TABLES[1], *rows)}

    def of(name: str) -> list[dict[str, Any]]:
        return records.get(group_by_row[name], [])

    _add_claims(config, result, records, found[WORLD], of)
    return result


def _add_claims(
    config: StudyConfig,
    result: dict[str, Any],
    records: dict[str, list[dict[str, Any]]],
    world: Backbone,
    of: claims.Records,
) -> None:
    """Add what the paper claims of this table or figure, and what was found."""
    scores_by_row = {row["name"]: row["scores"] for row in result["rows"] if "scores" in row}
    if config.table in (1, 3):
        judged: dict[str, Any] = next(iter(scores_by_row.values()), {})
        for metric in [m for m in ("srr", "ssim") if m in judged]:
            result.setdefault("claims", []).extend(
                claims.retrieval_claims(of, scores_by_row, metric, config.seed)
            )
    if config.figure:
        for entry, name in zip(result["rows"], timesteps.ROW, strict=True):
            entry["timestep_set"] = name
        sets = {name: of(row) for name, row in timesteps.ROW.items()}
        result["measured"] = timesteps.degradation(sets)
        result["claims"] = timesteps.claims(sets, config.seed)
        if world.path:
            result["losses"] = losses.by_level(config, world)
            result["predicted"] = timesteps.predictions(result["losses"], config.timesteps)
    if config.table == 4:
        result["claims"] = tradeoff.claims(config, records)
    if config.table == 2:
        result["claims"] = claims.separation_claims(of, list(scores_by_row), config.seed)


def _described(backbone: Backbone) -> dict[str, Any]:
    """A backbone as a table names it."""
    return {
        "path": backbone.name,
        "weights": backbone.mark,
        "training": backbone.training,
        "missing": backbone.missing,
    }


def described(row: Row) -> dict[str, Any]:
    """A row as the results say it."""
    short = "window" if row.backbone == WORLD else "its queue"  # FIFO's past lives in its window alone
    history = short if row.history == TWIN else row.history
    return {
        "name": row.name,
        "label": row.label,
        "backbone": row.backbone,
        "history": history,
        "budget": row.budget,
        "plays": row.plays,
        "note": row.note,
    }


def commit() -> str:
    """The commit of the code that measured; ``-dirty`` where files differ from it."""
    words = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    here = Path(__file__).resolve().parent
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=here)
    return done.stdout.strip() or "unknown"


def _scores(config: StudyConfig, records: list[dict[str, Any]], row: Row) -> dict[str, Any]:
    if config.rolls:
        return scores.degradation(records, row.played)
    if config.table == 2:
        return scores.quality(records, row.played, config.seed)
    ranges = scores.RANGES_1 if config.table == 1 else scores.RANGES_3
    return scores.retrieval(records, row.played, ranges, config.seed)


def _bounds(config: StudyConfig, records: list[dict[str, Any]]) -> dict[str, Any]:
    """What rows are to be seen beside: the autoencoder alone and the old view as it was; the motion of truth."""
    if config.rolls:
        return {}
    if config.table == 2:
        return {TRUE: scores.quality(records, TRUE, config.seed)}
    ranges = scores.RANGES_1 if config.table == 1 else scores.RANGES_3
    with_trials = [r for r in records if "ceiling" in r["rows"]]
    return {name: scores.retrieval(with_trials, name, ranges, config.seed) for name in ("ceiling", "recall")}


def _steps(config: StudyConfig, world: bool) -> int:
    """Network calls of a frame; of a method at most so many."""
    if config.figure:
        return config.timesteps
    return config.denoising_steps if world else config.method_steps


def _asked(config: StudyConfig, unit: Unit) -> bool:
    return not config.only or unit.rows[0].backbone in config.only


def _unfit(backbone: Backbone, rows: Sequence[Row]) -> str:
    """Why a model cannot play rows; empty: it can."""
    if backbone.about.kind == "world":
        longest = max(backbone.about.model.memory.histories)
        most = max(row.history for row in rows)
        return f"history {most} is more than the {longest} of {backbone.path}" if most > longest else ""
    compressors = {memory.way: memory.compressor for memory in backbone.about.video.memories}
    for row in rows:
        wanted = method(row.preset, row.words).memory
        have = compressors.get(wanted.way, "nothing")
        if wanted.compressor not in ("none", have):
            return f"{backbone.path} compresses by {have}, not by {wanted.compressor}"
    return ""


def _command(args: list[str]) -> str:
    return "python -m training.evaluate " + " ".join(args)
