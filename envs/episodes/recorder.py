"""A gymnasium wrapper that records what is played as episodes on disk."""

from __future__ import annotations

import json
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from envs.actions import spec
from envs.episodes import limits
from envs.episodes.format import POSE, EpisodeError, action_to_json, file_name
from envs.episodes.sealer import Sealer
from envs.episodes.sealing import seal_partials
from envs.episodes.writer import EpisodeWriter

KEPT = limits.MIB  # bytes of actions before a recording that are in memory; more are in a temporary file
ACTIONS = 1024 * limits.MIB  # bytes of them in a state that was kept


class Recorder(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Records each episode of ``env`` into ``directory``; a crash loses no finished frame.

    On construction it seals what an earlier crash left in the directory (``recovered`` lists it). A reset
    without a seed is given one drawn from the environment's own generator, so that every recording can be
    replayed.

    Args:
        env: observations hold the picture under "pov"; ``info["pose"]`` is recorded where there is one.
        directory: made if missing, when recording starts or, with autostart, at once.
        autostart: record from every reset; otherwise from ``start()``, with the actions before it as prelude.
        name: names an episode from its meta; without it FAMILY-SEED-TIME.
        extra: more entries for meta.json.
        recover: whether to seal what a crash left behind.
        background: seal in a thread of its own, so that play goes on meanwhile; what fails there is raised by the next
            ``start``, ``stop`` or ``close``, and ``close`` waits for it.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        directory: str | Path,
        autostart: bool = True,
        name: Callable[[dict[str, Any]], str] | None = None,
        extra: Mapping[str, Any] | None = None,
        recover: bool = True,
        background: bool = False,
    ) -> None:
        super().__init__(env)
        self.directory = Path(directory)
        self.autostart = autostart
        self.extra: dict[str, Any] = dict(extra or {})
        self._name = name or _name_by_time
        self._writer: EpisodeWriter | None = None
        self._since_reset = _Actions()
        self._sealer = Sealer() if background else None
        self._now: tuple[np.ndarray, Any] | None = None
        self._seed: int | None = None
        self._options: dict[str, Any] | None = None
        if autostart:  # says now, and not at the first reset, that it cannot be made
            self.directory.mkdir(parents=True, exist_ok=True)
        self.recovered = seal_partials(self.directory) if recover and self.directory.is_dir() else []

    @property
    def recording(self) -> bool:
        """Whether steps are being written."""
        return self._writer is not None

    def start(self) -> None:
        """Record from the present frame on; nothing happens where a recording is running already.

        Raises:
            ValueError: the environment was not reset yet.
            OSError: the folder cannot be written, or an earlier recording could not be sealed.
        """
        if self._writer is not None:
            return
        if self._sealer is not None:
            self._sealer.check()
        if self._now is None:
            raise ValueError("nothing to record yet: call reset() before start()")
        meta = self._meta()
        self.directory.mkdir(parents=True, exist_ok=True)
        self._writer = EpisodeWriter(self.directory, self._name(meta), meta, self._since_reset)
        self._writer.first(*self._now)

    def stop(self) -> Path | None:
        """Seal the running recording; None where none is running or it holds no step.

        With ``background`` this is where it is going to be.
        """
        writer, self._writer = self._writer, None
        try:
            if self._sealer is not None:
                self._sealer.check()
        finally:  # that an earlier one could not be sealed is no reason to leave this one
            path = None if writer is None else self._end(writer)
        return path

    def _end(self, writer: EpisodeWriter) -> Path | None:
        if writer.frames < 2:
            writer.discard()
            return None
        return writer.seal() if self._sealer is None else self._sealer.seal(writer)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Seal the running recording, reset, and (with autostart) begin the next."""
        self.stop()
        self._seed = int(self.unwrapped.np_random.integers(2**31)) if seed is None else int(seed)
        if not 0 <= self._seed <= limits.SEED:
            raise ValueError(f"expected a seed from 0 to {limits.SEED}, found {self._seed}")
        self._options = deepcopy(options)
        observation, info = self.env.reset(seed=self._seed, options=options)
        self._since_reset.clear()
        self._now = _view(observation, info)
        if self.autostart:
            self.start()
        return observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step and, while recording, write the step down before returning."""
        action = deepcopy(action)
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._since_reset.append(action)
        self._now = _view(observation, info)
        if self._writer is not None:
            try:
                self._writer.add(action, *self._now, float(reward), terminated, truncated)
            except (OSError, EpisodeError):
                self._writer = None  # its folder stays and is sealed at the next start
                raise
            if terminated or truncated:
                self.stop()
            elif self._writer is not None and self._writer.frames >= limits.FRAMES:
                self.stop()
                self.start()  # in another file, with the actions up to here as its prelude
        return observation, reward, terminated, truncated, info

    def save_state(self) -> dict[str, np.ndarray]:
        """The world's state, and the seed and actions that led there: a recording begun later needs them."""
        state: dict[str, np.ndarray] = self.unwrapped.save_state()  # type: ignore[attr-defined]
        beginning = json.dumps({"seed": self._seed, "options": _jsonable(self._options)}).encode()
        since = zlib.compress(self._since_reset.to_bytes(), 1)  # a twentieth: states are kept by the dozen
        ours = {"recorder/reset": beginning, "recorder/actions": since}
        return state | {name: np.frombuffer(data, np.uint8) for name, data in ours.items()}

    def load_state(self, state: dict[str, np.ndarray]) -> tuple[Any, dict[str, Any]]:
        """Go back to a state: the running recording is sealed, and with autostart the next begins there.

        Raises:
            ValueError: the state is not whole.
            OSError: nothing can be recorded there.
        """
        beginning = json.loads(state["recorder/reset"].tobytes()) if "recorder/reset" in state else None
        if not isinstance(beginning, dict) or not isinstance(beginning.get("seed"), int):
            raise ValueError("expected a state that a recorder kept, with the seed of its world")
        since = _Actions()
        since.take(_unpacked(state["recorder/actions"].tobytes()))
        world = {name: array for name, array in state.items() if not name.startswith("recorder/")}
        observation, info = self.unwrapped.load_state(world)  # type: ignore[attr-defined]
        self.stop()
        self._since_reset.close()
        self._seed, self._options, self._since_reset = beginning["seed"], beginning.get("options"), since
        self._now = _view(observation, info)
        if self.autostart:
            self.start()
        return observation, info

    def seal(self) -> None:
        """Seal the running recording, and wait until all are sealed."""
        try:
            self.stop()
        finally:
            if self._sealer is not None:
                self._sealer.wait()

    def close(self) -> None:
        """Seal the running recording and close the environment."""
        try:
            self.seal()
        finally:
            self._since_reset.clear()
            super().close()

    def _meta(self) -> dict[str, Any]:
        world, assigned = self.unwrapped, self.env.spec
        assert self._now is not None
        meta = {
            "env_id": assigned.id if assigned else type(world).__name__,
            "env_version": getattr(world, "version", None),
            "env_kwargs": _jsonable(assigned.kwargs if assigned else {}),
            "backend": getattr(world, "backend", None),
            "family": getattr(world, "family", None),
            "seed": self._seed,
            "size": int(self._now[0].shape[0]),
            "fov": getattr(world, "fov", None),
            "action_spec": spec(self.env.action_space, str(getattr(world, "family", ""))),
        }
        if self._options:
            meta["reset_options"] = _jsonable(self._options)
        return {**meta, **_jsonable(self.extra)}


class _Actions:
    """Raw actions in their order, the first of them in memory and, where there are many, all in a temporary file."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(KEPT, "w+b")  # noqa: SIM115  (open as long as the recorder)

    def append(self, action: Any) -> None:
        self._file.write(json.dumps(action_to_json(action)).encode() + b"\n")

    def to_bytes(self) -> bytes:
        self._file.seek(0)
        found = self._file.read()
        self._file.seek(0, 2)
        return found

    def take(self, lines: bytes) -> None:
        for line in lines.splitlines():
            json.loads(line)  # a ValueError where it is none
        self._file.write(lines)

    def close(self) -> None:
        self._file.close()

    def clear(self) -> None:
        self._file.close()
        self._file = tempfile.SpooledTemporaryFile(KEPT, "w+b")  # noqa: SIM115

    def __iter__(self) -> Iterator[Any]:
        self._file.seek(0)
        while line := self._file.readline():
            yield json.loads(line)
        self._file.seek(0, 2)


def _unpacked(data: bytes) -> bytes:
    """The actions in a state; one from before has them as they are, lines of JSON.

    Raises:
        ValueError: they are damaged, or too many.
    """
    if not data.startswith(b"\x78"):
        return data
    unpacking = zlib.decompressobj()
    try:
        found = unpacking.decompress(data, ACTIONS)
    except zlib.error as error:
        raise ValueError(f"the actions of this state are damaged: {error}") from None
    if not unpacking.eof:
        raise ValueError(f"expected at most {ACTIONS >> 20} MiB of actions in a state, whole")
    return found


def _view(observation: Any, info: Mapping[str, Any]) -> tuple[np.ndarray, Any]:
    frame = observation["pov"] if isinstance(observation, Mapping) else observation
    pose = info.get("pose")
    found = None if pose is None else np.array(pose, np.float64)
    known = found is not None and found.shape == (POSE,) and bool(np.isfinite(found).all())
    return np.array(frame), found if known else None


def _jsonable(value: Any) -> Any:
    return json.loads(json.dumps(value, default=lambda v: v.tolist() if hasattr(v, "tolist") else str(v)))


def _name_by_time(meta: dict[str, Any]) -> str:
    now = time.time()
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(now)) + f"-{int(now % 1 * 1000):03d}"
    return (
        f"{file_name(meta['family'] or 'world')}-{meta['seed']}-{stamp}"  # gym:ALE/Pong-v5 is no file's name
    )
