"""Clips for a generator: stretches of walks, and what memory would show at each of their poses.

What is remembered changes from clip to clip, so that one model serves every history, budget and past: nothing, the
frames of the window alone, old frames alone, or both. Part of it looks as a dream's own frames do, a little off in
colour and sharpness and place, and is marked so.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn import functional as F

from training.data.walks import Walks, episodes
from worldsim.engine.evidence import GENERATED, TRUE, Evidence, stack
from worldsim.engine.kernels.poses import relevant, viewpoint
from worldsim.models.autoencoders.conv import DOWNSAMPLING
from worldsim.models.world_model import WorldModel

REMEMBERED = ("nothing", "window", "old", "both")
HISTORIES = (16, 48, 112)
BLUR = 3.0
"""Pixels that evidence of a dream's own is blurred by at most (standard deviation)."""


@dataclass
class ClipConfig:
    """``odds``: of what is remembered, in the order of ``REMEMBERED``.

    ``generated``: share of clips with evidence whose evidence is degraded as a dream's own is; ``shaken``: share whose
    pose is a little off; ``dropped``: share of single frames without evidence, as frames have that were given and not
    drawn.
    """

    length: int = 16
    batch: int = 16
    window: int = 8
    reads: int = 4
    odds: list[float] = field(default_factory=lambda: [0.3, 0.25, 0.2, 0.25])
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
    return F.avg_pool2d((evidence[:, :, 3] > 0).float(), DOWNSAMPLING)


class Clips:
    """Draws clips from walks; what a batch holds depends on seed, step and row alone."""

    def __init__(self, shards: list[Walks], model: WorldModel, config: ClipConfig) -> None:
        self.shards, self.config, self.model = shards, config, model
        self.episodes = list(episodes(shards))
        self.draw_evidence = Evidence(model.config.size, model.config.fov, model.scale)
        self._known: dict[tuple[int, int], tuple[Tensor, list[NDArray[np.float64]]]] = {}

    def __len__(self) -> int:
        return len(self.episodes)

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
        shard, episode = self.episodes[int(rng.integers(len(self.episodes)))]
        walks = self.shards[shard]
        start = int(rng.integers(1, walks.steps - c.length + 1))
        part = slice(start, start + c.length)
        control, viewpoints = self._of_episode(shard, episode)
        latents = torch.from_numpy(np.asarray(walks.latents[episode, part], np.float32))
        kind = REMEMBERED[int(rng.choice(len(REMEMBERED), p=c.odds))]
        history = c.window if kind in ("nothing", "window") else int(rng.choice(HISTORIES))
        source = Source(shard, episode, start, kind, history)
        drawn = self._evidence(rng, source, viewpoints)
        return latents, control[part], torch.from_numpy(drawn), source

    def _of_episode(self, shard: int, episode: int) -> tuple[Tensor, list[NDArray[np.float64]]]:
        """What steers every frame (T, K), and where each is seen from."""
        key = shard, episode
        if key not in self._known:
            walks, m = self.shards[shard], self.model
            poses = torch.from_numpy(np.array(walks.poses[episode]))
            actions = torch.from_numpy(np.array(walks.actions[episode]))
            with torch.no_grad():
                moved = m.motion(torch.cat([poses[:1], poses[:-1]]), poses)
                control = m.control(m.normalise(actions), moved, poses[:, 4])
            self._known[key] = control, [viewpoint(p, m.scale) for p in poses.double().tolist()]
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
            found = self.draw_evidence(
                pose.tolist(), walks.frames[episode, best], far, poses[best].tolist(), marks
            )
            out[k] = stack(found.picture, found.mark)
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


@contextmanager
def ahead(make: Callable[[int], Any], depth: int = 2) -> Iterator[Callable[[int], Any]]:
    """``make`` of steps that follow each other from any on, by another thread while the last ones are trained on."""
    coming: Generator[Any] | None = None

    def made(step: int) -> Any:
        nonlocal coming
        coming = coming or prefetched(make, step, depth)
        return next(coming)

    try:
        yield made
    finally:
        if coming is not None:
            coming.close()


def prefetched(make: Callable[[int], Any], first: int, depth: int) -> Generator[Any]:
    """make(first), make(first + 1), ... up to ``depth`` ahead by another thread, which ends with the iterator."""
    ready: queue.Queue[Any] = queue.Queue(depth)
    ended = threading.Event()

    def work() -> None:
        step = first
        while not ended.is_set():
            try:
                made: Any = make(step)
            except BaseException as error:
                made = error
            while not ended.is_set():
                try:
                    ready.put(made, timeout=0.2)
                    break
                except queue.Full:
                    continue
            if isinstance(made, BaseException):
                return
            step += 1

    threading.Thread(target=work, daemon=True).start()
    try:
        while True:
            made = ready.get()
            if isinstance(made, BaseException):
                raise made
            yield made
    finally:
        ended.set()
