"""Clips for a generator: stretches of walks, and what memory would show at each of their poses.

What is remembered changes from clip to clip, so that one model serves every history, budget and past: nothing, the
frames of the window alone, old frames alone, or both. Part of it looks as a dream's own frames do, a little off in
colour and sharpness and place, and is marked so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn import functional as F

from training.data import rare_moments
from training.data.walks import Walks, episodes
from worldsim.engine.edits import Edit, edit_marks, edits_of, forgotten, pressed
from worldsim.engine.evidence import GENERATED, SMEAR, TRUE, Evidence, Marks, stack
from worldsim.engine.kernels.poses import Pose, relevant, viewpoint
from worldsim.engine.past import Mask
from worldsim.engine.provenance import smeared, still_there
from worldsim.models.autoencoders.conv import DOWNSAMPLING
from worldsim.models.geometry import cell_rays
from worldsim.models.world_model import WorldModel

REMEMBERED = ("nothing", "window", "old", "both")
HISTORIES = (16, 48, 112)
Edits = dict[int, list[Edit]]
"""What actions change, by the frame that each led to."""
BLUR = 3.0
"""Pixels that evidence of a dream's own is blurred by at most (standard deviation)."""


@dataclass
class ClipConfig:
    """``odds``: of what is remembered, in the order of ``REMEMBERED``.

    ``edits``, ``exits``: shares of clips cut around moments that walks seldom hold (:mod:`.rare_moments`).
    ``generated``: share of clips with evidence whose evidence is degraded as a dream's own is; ``shaken``: share whose
    pose is a little off; ``dropped``: share of single frames without evidence, as frames have that were given and not
    drawn.
    """

    length: int = 16
    batch: int = 16
    window: int = 8
    reads: int = 4
    odds: list[float] = field(default_factory=lambda: [0.3, 0.25, 0.2, 0.25])
    edits: float = 0.0
    exits: float = 0.0
    generated: float = 0.4
    shaken: float = 0.3
    dropped: float = 0.1


@dataclass(frozen=True)
class Source:
    """Where a clip is cut: its walk, its first frame, and what is remembered, one of ``REMEMBERED``, of how many
    frames."""

    shard: int
    episode: int
    start: int
    kind: str
    history: int


@dataclass
class GeneratorClips:
    """latents (B, L, C, h, w), control (B, L, K), evidence (B, L, E, H, W), and what of each cell memory shows,
    covered (B, L, h, w) in [0, 1]; and the B sources."""

    latents: Tensor
    control: Tensor
    evidence: Tensor
    covered: Tensor
    sources: tuple[Source, ...] = ()

    def to(self, device: torch.device) -> GeneratorClips:
        """Every tensor on the device."""
        moved: dict[str, Any] = {k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor)}
        return replace(self, **moved)


def covered(evidence: Tensor) -> Tensor:
    """How much of each cell memory shows, of evidence (B, L, E, H, W): (B, L, h, w) in [0, 1]."""
    return F.avg_pool2d((evidence[:, :, 3] >= GENERATED).float(), DOWNSAMPLING)


class Clips:
    """Draws clips from walks; what a batch holds depends on seed, step and row alone."""

    def __init__(self, shards: list[Walks], model: WorldModel, config: ClipConfig) -> None:
        self.shards, self.config, self.model = shards, config, model
        self.episodes = list(episodes(shards))
        c = model.config
        self.draw_evidence = Evidence(c.size, c.fov, model.scale, c.dream.enlarged, c.dream.smears)
        self._known: dict[tuple[int, int], tuple[Tensor, list[NDArray[np.float64]], Edits]] = {}
        self._moments: list[tuple[float, rare_moments.Moments]] | None = None

    def __len__(self) -> int:
        return len(self.episodes)

    def keep(self, episodes: list[tuple[int, int]]) -> None:
        """Cut clips from these episodes alone."""
        self.episodes, self._moments = episodes, None

    def _rare(self) -> list[tuple[float, rare_moments.Moments]]:
        """Rare moments, and the share of clips that is cut around them."""
        if self._moments is None:
            c = self.config
            self._moments = []
            if c.edits:
                self._moments.append((c.edits, self._edited()))
            if c.exits:
                self._moments.append((c.exits, rare_moments.exits(self.shards, self.episodes)))
        return self._moments

    def _edited(self) -> rare_moments.Moments:
        """The frames in which something has just been dug or put down."""
        made = {key: np.array(sorted(self._edits(*key)), np.int64) for key in self.episodes}
        return {key: frames for key, frames in made.items() if len(frames)}

    def batch(self, seed: int, step: int, process: int = 0) -> GeneratorClips:
        """This process's share of the batch of a step."""
        rows = range(process * self.config.batch, (process + 1) * self.config.batch)
        made = [self._row(np.random.default_rng((seed, step, row))) for row in rows]
        latents, control, evidence, sources = zip(*made, strict=True)
        shown = torch.stack(evidence)
        return GeneratorClips(torch.stack(latents), torch.stack(control), shown, covered(shown), sources)

    def viewpoints(self, source: Source) -> list[NDArray[np.float64]]:
        """Where each frame of a clip's walk is seen from."""
        return self._of_episode(source.shard, source.episode)[1]

    def _row(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor, Source]:
        c = self.config
        shard, episode, start = self._cut(rng)
        walks = self.shards[shard]
        part = slice(start, start + c.length)
        control, viewpoints, _ = self._of_episode(shard, episode)
        latents = torch.from_numpy(np.asarray(walks.latents[episode, part], np.float32))
        kind = REMEMBERED[int(rng.choice(len(REMEMBERED), p=c.odds))]
        history = c.window if kind in ("nothing", "window") else int(rng.choice(HISTORIES))
        source = Source(shard, episode, start, kind, history)
        drawn = self._evidence(rng, source, viewpoints)
        return latents, control[part], torch.from_numpy(drawn), source

    def _cut(self, rng: np.random.Generator) -> tuple[int, int, int]:
        """Where a clip begins: shard, episode, frame; a rare moment lies behind its first quarter."""
        c, rare = self.config, self._rare()
        chance = float(rng.random()) if rare else 1.0
        for share, moments in rare:
            if chance < share and moments:
                shard, episode = list(moments)[int(rng.integers(len(moments)))]
                moment = int(rng.choice(moments[shard, episode]))
                start = moment - int(rng.integers(c.length // 4, c.length - 2))
                return shard, episode, min(max(1, start), self.shards[shard].steps - c.length)
            chance -= share
        shard, episode = self.episodes[int(rng.integers(len(self.episodes)))]
        return shard, episode, int(rng.integers(1, self.shards[shard].steps - c.length + 1))

    def edits(self, source: Source, since: int, until: int) -> list[Edit]:
        """What is changed in a clip's walk by the actions that lead to the frames after ``since`` up to ``until``."""
        made = self._of_episode(source.shard, source.episode)[2]
        return [edit for frame, some in made.items() if since < frame <= until for edit in some]

    def forgotten(
        self, source: Source, frames: Sequence[int], until: int, far: Sequence[Any]
    ) -> list[Mask | None]:
        """What frames of a clip's walk with these log distances (h, w) show that is changed up to ``until``."""
        poses, m = self.shards[source.shard].poses[source.episode], self.model
        out: list[Mask | None] = []
        for j, distance in zip(frames, far, strict=True):
            made = self.edits(source, j, until)
            rays = cell_rays(distance.shape[0], distance.shape[1], m.config.fov).numpy() if made else None
            out.append(None if rays is None else forgotten(made, poses[j].tolist(), distance, rays, m.scale))
        return out

    def edit_marks(self, source: Source, frame: int, pose: Pose) -> Marks | None:
        """Marks (H, W) of where a frame of a clip's walk shows what is just being changed."""
        draw = self.draw_evidence
        return edit_marks(self.edits(source, frame - 1, frame), pose, draw.rays, draw.size)

    def _edits(self, shard: int, episode: int) -> Edits:
        """What each action of an episode changes, by the frame that it led to."""
        walks, m = self.shards[shard], self.model
        config, actions, poses = m.config.dream.edits, walks.actions[episode], walks.poses[episode]
        found: Edits = {}
        before: dict[str, list[int]] = {}
        down = np.flatnonzero(actions[:, config.keys].max(1, initial=0) > 0.5)
        for t in (int(t) for t in down if t > 0):
            if kinds := pressed(config, actions[t], t, before):
                here, after = poses[t - 1].tolist(), poses[t].tolist()
                far = walks.depth[episode, t - 1]
                if some := edits_of(config, kinds, here, after, far, self.draw_evidence.reach, m.scale):
                    found[t] = some
                    for edit in some:
                        before.setdefault(edit.kind, []).append(t)
        return found

    def _of_episode(self, shard: int, episode: int) -> tuple[Tensor, list[NDArray[np.float64]], Edits]:
        """What steers every frame (T, K), where each is seen from, and what is changed in it."""
        key = shard, episode
        if key not in self._known:
            walks, m = self.shards[shard], self.model
            poses = torch.from_numpy(np.array(walks.poses[episode]))
            actions = torch.from_numpy(np.array(walks.actions[episode]))
            with torch.no_grad():
                moved = m.motion(torch.cat([poses[:1], poses[:-1]]), poses)
                control = m.control(m.normalise(actions), moved, poses[:, 4])
            viewpoints = [viewpoint(p, m.scale) for p in poses.double().tolist()]
            self._known[key] = control, viewpoints, self._edits(shard, episode)
        return self._known[key]

    def _evidence(
        self, rng: np.random.Generator, source: Source, viewpoints: list[NDArray[np.float64]]
    ) -> NDArray[np.float32]:
        """(L, E, H, W)."""
        c, side, walks = self.config, self.model.config.size, self.shards[source.shard]
        episode, start, kind, history = source.episode, source.start, source.kind, source.history
        out = np.zeros((c.length, 4, side, side), np.float32)
        if kind == "nothing":
            return out
        kept = rng.random(walks.steps) < (1.0 if rng.random() < 0.5 else rng.uniform(0.2, 0.9))
        kept[start:] = True
        generated, shaken = rng.random() < c.generated, rng.random() < c.shaken
        poses = walks.poses[episode].astype(np.float64)
        for k, i in enumerate(range(start, start + c.length)):
            if rng.random() < c.dropped:
                continue
            stop = start if kind == "old" else i
            some = [j for j in range(max(0, i - history), stop) if kept[j] or j >= i - c.window]
            if not some:
                continue
            pose = poses[i].copy()
            if shaken:
                pose[:3] += rng.normal(0, 0.01 * self.model.scale, 3)
                pose[3:] += rng.normal(0, 0.4, 2)
            best = [
                some[j]
                for j in relevant([viewpoints[j] for j in some], viewpoints[i], min(c.reads, len(some)))
            ]
            far = np.asarray(walks.depth[episode, best], np.float32)
            marks = [GENERATED if generated else TRUE] * len(best)
            holds = [still_there(side, mask) for mask in self.forgotten(source, best, i, list(far))]
            found = self.draw_evidence(
                pose.tolist(), walks.frames[episode, best], far, poses[best].tolist(), marks, np.stack(holds)
            )
            if self.draw_evidence.smears:
                found.mark[smeared(found, self.draw_evidence)] = SMEAR
            edited = self.edit_marks(source, i, pose.tolist())
            out[k] = stack(
                found.picture, found.mark if edited is None else np.where(edited, edited, found.mark)
            )
        return degraded(out, rng) if generated else out


def degraded(drawn: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Evidence (L, E, H, W) as a dream's own frames give it: colours that drifted, blurred, with a little noise.

    What was imagined is blurred at first; a generator that takes a blur for what it is draws it sharper, and what is
    sharp stays so.
    """
    colours, known = drawn[:, :3], (drawn[:, 3:] > 0).astype(np.float32)
    gain = 1 + rng.normal(0, 0.08, (1, 3, 1, 1)).astype(np.float32)
    shift = rng.normal(0, 0.06, (1, 3, 1, 1)).astype(np.float32)
    x = colours * gain + shift
    if rng.random() < 0.75:
        width = (0, 0, *(rng.uniform(0.3, BLUR),) * 2)
        weight = gaussian_filter(known, width, truncate=2.5)
        x = gaussian_filter(x * known, width, truncate=2.5) / np.maximum(weight, 1e-3)
    x = x + rng.normal(0, rng.uniform(0, 0.08), x.shape)
    return np.concatenate([(x.clip(-1, 1) * known), drawn[:, 3:]], 1).astype(np.float32)
