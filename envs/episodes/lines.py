"""Steps as lines of JSON, one at a time on their way to the disk and many at a time on their way back as arrays."""

from __future__ import annotations

import io
import json
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from envs.episodes import limits
from envs.episodes.format import POSE, EpisodeError, stack_actions

CHUNK = 1024  # lines that are Python objects at once


class Actions:
    """Raw actions, stacked chunk by chunk into arrays ``prefix`` or ``prefix.FIELD``."""

    prefix = "action"
    most = limits.FRAMES

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self._spec = spec
        self._parts: dict[str, list[np.ndarray]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def take(self, lines: list[Any]) -> None:
        """Add what these lines of JSON say.

        Raises:
            EpisodeError: one of them does not fit; then none is added.
        """
        self._add(self._arrays(lines))
        self._count += len(lines)

    def arrays(self, rows: int | None = None) -> dict[str, np.ndarray]:
        """The first ``rows`` rows of every array, or all."""
        empty = stack_actions([], self._spec, self.prefix)
        return empty | {name: np.concatenate(parts)[:rows] for name, parts in self._parts.items()}

    def _arrays(self, lines: list[Any]) -> dict[str, np.ndarray]:
        return stack_actions(lines, self._spec, self.prefix)

    def _add(self, arrays: dict[str, np.ndarray]) -> None:
        for name, array in arrays.items():
            self._parts.setdefault(name, []).append(array)


class Prelude(Actions):
    """The actions before the first frame."""

    prefix = "prelude.action"
    most = 10 * limits.FRAMES


class Steps(Actions):
    """The lines of a recording: the first has the pose of the first frame alone, the others are a step each."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        super().__init__(spec)
        self._posed = True

    def pack(self, frames: int, prelude: Path) -> bytes:
        """steps.npz of the first ``frames`` frames, with the actions in the file ``prelude`` before them."""
        arrays = self.arrays(max(0, frames - 1))
        poses = self._parts.get("pose", [])
        arrays.pop("pose", None)
        empty: dict[str, Any] = {"reward": np.float64, "terminated": np.bool_, "truncated": np.bool_}
        if self._posed and poses:
            arrays["pose"] = np.concatenate(poses)[:frames]
        for name, dtype in empty.items():
            arrays[name] = arrays.pop(name, np.zeros(0, dtype))
        before = numbers(prelude, self._spec, Prelude)
        if len(before):
            arrays |= before.arrays()
        packed = io.BytesIO()
        np.savez(packed, **arrays)  # type: ignore[arg-type]
        return packed.getvalue()

    def _arrays(self, lines: list[Any]) -> dict[str, np.ndarray]:
        steps = lines if self._count else lines[1:]
        try:
            poses = [line["pose"] for line in lines]
            arrays = stack_actions([line["action"] for line in steps], self._spec)
            arrays["reward"] = np.array([line["reward"] for line in steps], np.float64)
            for name in ("terminated", "truncated"):
                arrays[name] = np.array([line[name] for line in steps], np.bool_)
            if any(a.shape != (len(steps),) for n, a in arrays.items() if not n.startswith("action")):
                raise ValueError("a reward that is no number")
            posed = all(pose is not None for pose in poses)
            if posed:
                arrays["pose"] = np.array(poses, np.float64).reshape(len(lines), POSE)
        except limits.DAMAGE as error:
            raise EpisodeError(f"a line that is no step: {error}") from None
        self._posed = self._posed and posed
        return arrays


Kind = TypeVar("Kind", bound=Actions)


def numbers(path: Path, spec: Mapping[str, Any], kind: type[Kind]) -> Kind:
    """Every line of a file up to the first that is torn or does not fit; none where there is no such file."""
    found = kind(spec)
    for lines in _chunks(path, kind.most):
        try:
            found.take(lines)
        except EpisodeError:
            for line in lines:  # up to the one that does not fit
                try:
                    found.take([line])
                except EpisodeError:
                    return found
    return found


def _chunks(path: Path, most: int) -> Iterator[list[Any]]:
    try:
        plain = stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        plain = False
    if not plain:
        return
    chunk: list[Any] = []
    with path.open("rb") as file:
        for _ in range(most):
            line = file.readline(limits.LINE)
            try:
                if not line.endswith(b"\n"):
                    break
                chunk.append(json.loads(line))
            except (ValueError, RecursionError):
                break
            if len(chunk) == CHUNK:
                yield chunk
                chunk = []
    if chunk:
        yield chunk
