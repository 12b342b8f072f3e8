"""Random frames and stretches of frames of episodes, drawn uniformly or shard by shard."""

from __future__ import annotations

import numpy as np

from envs.episodes.episode import Episode
from envs.episodes.section import FileSection
from training.data.blocks import StoredSection
from training.data.episodes import DataError

ORDERS = ("uniform", "shards")


class ShardOrder:
    """Which episode each lane of a batch draws from at a step: each goes through a share of the shards, one by one.

    Lanes are numbered over all processes, so that the order does not depend on how many there are, and each process
    reads shards of its own. In an epoch every episode is drawn from, ``stay`` steps in a row; shards and the episodes
    of a shard are shuffled anew for each. What is read at a time is a shard a lane, which a small cache holds.

    Args:
        lanes: of all processes together.
        stay: steps that a lane draws from one episode.
    """

    def __init__(self, episodes: list[Episode], seed: int, lanes: int, stay: int = 16) -> None:
        self._seed, self._lanes, self._stay = seed, lanes, stay
        self._shards: dict[str, list[int]] = {}
        for i, episode in enumerate(episodes):
            self._shards.setdefault(_shard_of(episode), []).append(i)
        self._count = len(episodes)
        self.visits = -(-self._count // lanes)
        """Episodes that a lane goes through in an epoch."""
        self._epoch, self._order = -1, list[int]()

    def at(self, step: int, lane: int) -> int:
        """The index of the episode."""
        epoch, rest = divmod(step, self.visits * self._stay)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self._shuffled(epoch)
        return self._order[(lane * self._count // self._lanes + rest // self._stay) % self._count]

    def _shuffled(self, epoch: int) -> list[int]:
        rng = np.random.default_rng((self._seed, epoch, 0x5A))
        shards = list(self._shards.values())
        return [i for k in rng.permutation(len(shards)) for i in rng.permutation(shards[k]).tolist()]


class RandomFrames:
    """Batches of single frames drawn over all episodes."""

    def __init__(self, episodes: list[Episode], order: ShardOrder | None = None) -> None:
        self.episodes, self.order = episodes, order

    def batch(
        self, count: int, rng: np.random.Generator, run: int = 4, step: int = 0, process: int = 0
    ) -> np.ndarray:
        """uint8 (count, H, W, 3): stretches of ``run`` strided frames, so that few archives are opened.

        ``step`` and ``process`` say where in the order this is, if there is one; a stretch is a lane.
        """
        frames = []
        for lane in range(process * (count // run), (process + 1) * (count // run)):
            drawn = int(rng.integers(len(self.episodes))) if self.order is None else self.order.at(step, lane)
            episode = self.episodes[drawn]
            for i in rng.integers(0, len(episode), run):
                frames.append(episode.frames(int(i), int(i) + 1))
        return np.concatenate(frames)


class RandomClips:
    """Batches of stretches of frames that follow one another, drawn over all episodes that are long enough."""

    def __init__(self, episodes: list[Episode]) -> None:
        self.episodes = episodes

    def batch(self, count: int, length: int, rng: np.random.Generator) -> np.ndarray:
        """uint8 (count, length, H, W, 3).

        Raises:
            DataError: no episode has so many frames.
        """
        enough = [e for e in self.episodes if len(e) >= length]
        if not enough:
            raise DataError(f"no episode has {length} frames; record longer ones or choose shorter clips")
        clips = []
        for _ in range(count):
            episode = enough[int(rng.integers(len(enough)))]
            start = int(rng.integers(len(episode) - length + 1))
            clips.append(episode.frames(start, start + length))
        return np.stack(clips)


def _shard_of(episode: Episode) -> str:
    section = episode.section
    if isinstance(section, StoredSection):
        return section.address
    return str(section.file if isinstance(section, FileSection) else episode.path)
