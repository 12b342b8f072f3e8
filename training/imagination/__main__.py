"""Score what a dream imagines: python -m training.imagination checkpoint=NAME_OR_PATH out=FILE.json strips=FILE.png

For each of ``seeds=20`` worlds that no model was trained on, ``context=16`` true frames, then ``frames=300`` of its own
that nothing corrects, roamed by the distances that the dream itself sees (`envs.policies.roam`): what it makes up has
no truth to be compared with, frame by frame, so that distributions are. Every stretch of 45 frames is scored against
true worlds of other seeds under the same policy: Fréchet video distance of clips of 16 frames (I3D); Fréchet distance,
precision, recall and coverage of frames (EfficientNet-Lite0), whose ``neighbours=3`` are of other walks. The worst
stretch counts, as ``ratio`` to other true worlds; ``all`` of them as one set is less noisy, and what the scores
themselves are judged by. Brackets are 95% intervals over seeds.

Beside the dream: its forgetful ``twin``; ``true``, other true worlds, whose contexts the dreams had; the same pictures
through the ``autoencoder``, ``blurred``, and cut up to ``confetti``; with ``other=CHECKPOINT`` another's dreams. A
score that ranks the true ones and the spoilt ones wrongly is marked unusable. ``bare views`` are those in which nothing
is to be seen from left to right, a plain or a wall (:mod:`.bare`). Distances of few samples are too large:
compare them only of the same ``seeds``, ``references`` (how many true worlds all is compared to), ``frames_each=9`` and
``clips_each=2`` (of one stretch of one seed).

``memory=false`` or ``twin=false`` leaves that dream out; ``policy=look_around`` turns on the spot instead,
``policy=hold_keys`` walks into what is there as a person's keys do. Features are kept in ``cache=runs/imagination``
(``cache=none`` for none). ``strips=`` shows every 20th frame, and ``strips_true`` those of the true worlds below.
`training.imagination.mirror` scores paths that are walked back.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from PIL import Image

from training.imagination import features
from training.imagination.bare import bare_shares
from training.imagination.config import Config
from training.imagination.gate import judged
from training.imagination.play import Frames, Walk, world_of
from training.imagination.rows import REFERENCES, blurred, confetti, decoded, dreams, true_worlds
from training.imagination.run import bracketed, opened, publish
from training.imagination.scores import HIGHER, scores, summary
from training.imagination.sheet import sheet, stacked
from worldsim import checkpoint
from worldsim.actions import check_same
from worldsim.checkpoint import Loaded
from worldsim.cli.command import command
from worldsim.config import ConfigError, load
from worldsim.models.world_model import WorldModel
from worldsim.runtime import pick_device


def motion(walks: list[Walk]) -> dict[str, float]:
    """How roaming went, by the poses it was told: ground covered and degrees turned a frame, means over walks; and of
    dreams, means over frames, the network calls of one and the share of it that memory did not show."""
    ground = [np.linalg.norm(np.diff(w.poses[:, [0, 2]], axis=0), axis=1).sum() for w in walks]
    turns = [np.abs((np.diff(w.poses[:, 3]) + 180) % 360 - 180).mean() for w in walks]
    found: dict[str, list[Any]] = {"ground": ground, "turned": turns}
    found["calls"] = [calls for w in walks for calls in w.calls]
    found["novelty"] = [share for w in walks for share in w.novelty]
    return {name: round(float(np.mean(values)), 2) for name, values in found.items() if values}


def table(score: str, statistics: dict[str, Any], verdict: dict[str, Any]) -> str:
    """One score in words, a line a row."""
    lines = [
        f"{score}  usable" if verdict["usable"] else f"{score}  NOT USABLE: {'; '.join(verdict['wrong'])}"
    ]
    for name, row in statistics.items():
        parts = "  ".join(f"{k} {v:9.3f}" for k, v in row.items() if "-" in k)
        ends = "  ".join(
            f"{k} {row[k]['value']:.3f} [{row[k]['low']:.3f}, {row[k]['high']:.3f}]"
            for k in ("all", "mean", "worst", "ratio")
        )
        lines.append(f"  {name:12s} {parts}  {ends}  n={row['mean']['n']}")
    return "\n".join(lines)


def other_dreams(loaded: Loaded[WorldModel], config: Config, contexts: list[Walk]) -> list[Walk]:
    """The dreams of the other checkpoint after the same contexts.

    Raises:
        ConfigError: its pictures are of another size.
    """
    other = checkpoint.load(config.other, pick_device(config.device))
    check_same(loaded.action_spec, other.action_spec, config.checkpoint, config.other)
    if other.model.config.size != loaded.model.config.size:
        raise ConfigError(
            f"other: expected pictures of {loaded.model.config.size} pixels, found {other.model.config.size}"
        )
    return dreams(other, config, contexts)


@command
def main(args: list[str]) -> int:
    config = load(Config, args)
    loaded = opened(config)
    world_of(loaded).close()
    eyes = features.networks()
    walked: dict[str, list[Walk]] = {}
    contexts, true = true_worlds(loaded, config, config.first_seed, config.seeds)
    if config.memory:
        walked["dream"] = dreams(loaded, config, contexts)
    if config.twin:
        walked["twin"] = dreams(loaded, config, contexts, memory=False)
    if config.other:
        walked["other"] = other_dreams(loaded, config, contexts)
    rows: dict[str, Frames] = {name: np.stack([w.frames for w in walks]) for name, walks in walked.items()}
    if config.strips:
        shown = [sheet(contexts, rows[next(iter(rows))])]
        shown += [sheet(contexts, true)] if config.strips_true else []
        Image.fromarray(stacked(shown)).save(config.strips)
    rows |= {
        "true": true,
        "autoencoder": decoded(loaded, true),
        "blurred": blurred(true),
        "confetti": confetti(true),
    }
    count = config.references or config.seeds
    _, reference = true_worlds(loaded, config, config.first_seed + REFERENCES, count)
    found = scores(rows, reference, features.Features(eyes, config), config)
    bare_views = {name: bare_shares(rows[name], config.stretches) for name in (*walked, "true")}
    for name, shares in bare_views.items():
        print(f"bare views  {name:6s} " + "  ".join(f"{k} {bracketed(v)}" for k, v in shares.items()))
    result: dict[str, Any] = {
        "networks": getattr(eyes, "origin", {}),
        "bare": bare_views,
        "motion": {name: motion(walks) for name, walks in walked.items()},
        "scores": {},
    }
    for score, by_row in found.items():
        statistics = summary(score, by_row, config)
        verdict = judged({name: row["all"]["value"] for name, row in statistics.items()}, HIGHER[score])
        print(table(score, statistics, verdict))
        result["scores"][score] = verdict | {"rows": statistics}
    publish(config, loaded, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
