"""A predictor whose model is at the other end of a socket."""

from __future__ import annotations

import time
import weakref
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from worldsim.actions import ActionSpec, check_same
from worldsim.dream.context import DreamError
from worldsim.dream.predictor import Context, Frames, Predictor, Row, Settings, Spec
from worldsim.dream.remote import protocol
from worldsim.dream.remote.link import ANSWER, BEGIN, Link
from worldsim.dream.remote.protocol import MessageError, array, whole
from worldsim.session.interfaces import DreamLost
from worldsim.session.snapshot import Snapshot, SnapshotError


class RemoteState:
    """A dream at the other end, by its number there in one generation of the link, and what was last said of it."""

    def __init__(self, link: Link, answer: dict[str, Any]) -> None:
        self.number, self.generation = whole(answer, "state"), link.generation
        self.about = protocol.numbers(answer.get("about"))
        self.stepped = False  # the first step may wait for kernels to be compiled
        weakref.finalize(self, link.forget, self.generation, "state", self.number).atexit = False


class RemotePredictor(Predictor[RemoteState]):
    """What a dream server imagines, frame by frame; the milliseconds of the way are one of a step's phases.

    Args:
        link: shared by all dreams of one source, so that they can be dreamt in one pass.
        size: side of the pictures that are wanted; None for the model's own.
        action_spec: of the world that it is to play in.

    Raises:
        DreamError: the server's model cannot show such pictures, or was trained on other actions.
        DreamLost: it is not there any more.
    """

    def __init__(self, link: Link, size: int | None = None, action_spec: ActionSpec | None = None) -> None:
        self._link, self._wanted = link, {"size": size, "action_spec": action_spec}
        if action_spec is not None:
            theirs = link.about["spec"].action_spec
            check_same(theirs, action_spec, f"the dream at {link.name}", "this world")
        self._generation = 0
        self._forgetting: weakref.finalize[Any, RemotePredictor] | None = None
        self.spec = self._opened()

    @property
    def fingerprint(self) -> str:
        """Of the weights there."""
        return str(self._link.about["fingerprint"])

    def begin(self, context: Context, settings: Settings, seed: int) -> RemoteState:
        """A dream there that has seen the context; the connection is opened again where it was lost."""
        self._reach()
        most = max(self.spec.histories) + 64  # more than any of ours looks back at
        start = max(0, len(context.frames) - most)
        poses = None if context.poses is None else np.asarray(context.poses[start:], np.float64)
        answer = self._link.request(
            "begin",
            BEGIN,
            model=self._model,
            frames=context.frames[start:],
            actions=np.asarray(context.actions[start:], np.float32),
            poses=poses,
            settings=asdict(settings),
            seed=seed,
        )
        return self._state(answer)

    def step(
        self, rows: Sequence[Row[RemoteState]], action: np.ndarray
    ) -> tuple[list[Frames], dict[str, float]]:
        """One frame for every row; ``ms`` has the server's phases and ``network``, the rest."""
        began = time.perf_counter()
        asked = [
            {
                "state": self._number(row.state),
                "settings": asdict(row.settings),
                "pose": None if row.pose is None else np.asarray(row.pose, np.float32),
                "future": np.stack(row.future) if len(row.future) else None,
            }
            for row in rows
        ]
        seconds = ANSWER if all(row.state.stepped for row in rows) else BEGIN
        answer = self._link.request("step", seconds, rows=asked, action=np.asarray(action, np.float32))
        frames, abouts, side = answer.get("frames"), answer.get("abouts"), self.spec.size
        if (
            not isinstance(frames, list)
            or not isinstance(abouts, list)
            or not len(frames) == len(abouts) == len(rows)
        ):
            raise self._broken("expected a frame for each dream")
        try:
            shown = [array({"frame": frame}, "frame", "uint8", (side, side, 3)).copy() for frame in frames]
        except MessageError as error:
            raise self._broken(str(error)) from None
        for row, about in zip(rows, abouts, strict=True):
            row.state.about, row.state.stepped = protocol.numbers(about), True
        ms = {name: float(v) for name, v in protocol.numbers(answer.get("ms")).items() if v is not None}
        ms["network"] = max(0.0, (time.perf_counter() - began) * 1e3 - sum(ms.values()))
        return shown, ms

    def correct(
        self, state: RemoteState, frames: Frames, poses: np.ndarray | None, settings: Settings
    ) -> None:
        """True frames in the place of the newest."""
        known_poses = None if poses is None else np.asarray(poses, np.float64)
        answer = self._link.request(
            "correct",
            BEGIN,
            state=self._number(state),
            frames=frames,
            poses=known_poses,
            settings=asdict(settings),
        )
        state.about = protocol.numbers(answer.get("about"))

    def about(self, state: RemoteState, settings: Settings) -> dict[str, Any]:
        """What the server said of the newest frame."""
        return {"memory_frames": 0, "memory_latents": 0} | state.about

    def turn(self, state: RemoteState, settings: Settings) -> None:
        """Tell it there."""
        self._link.tell("turn", state=self._number(state), settings=asdict(settings))

    def fits(self, state: RemoteState, other: Predictor[Any], its: Any) -> bool:
        """Dreams of one server go there in one message; it knows whether they fit into one pass."""
        return isinstance(other, RemotePredictor) and other._link is self._link

    def prepare(self, state: RemoteState) -> None:
        """Tell it there, and do not wait."""
        self._link.tell("prepare", state=self._number(state))

    def prefetch(self, frame: Frames) -> None:
        """Send it ahead."""
        self._link.tell("prefetch", model=self._model, frame=np.asarray(frame))

    def save(self, state: RemoteState) -> Snapshot:
        """The server's copy of it, sent here."""
        try:
            return protocol.snapshot_from(self._link.request("save", BEGIN, state=self._number(state)))
        except (DreamError, MessageError) as error:
            raise SnapshotError(str(error)) from None

    def load(self, snapshot: Snapshot, settings: Settings) -> RemoteState:
        """The state again, at the server."""
        self._reach()
        words = protocol.snapshot_words(snapshot)
        try:
            return self._state(
                self._link.request("load", BEGIN, model=self._model, settings=asdict(settings), **words)
            )
        except DreamError as error:
            raise SnapshotError(str(error)) from None

    def _reach(self) -> None:
        """Open the connection again, and the model there, where they were lost."""
        self._link.again()
        if self._generation != self._link.generation and self._opened() != self.spec:
            raise DreamLost(f"another dream answers at {self._link.name} now; start anew to play it")

    def _opened(self) -> Spec:
        """Ask for a model of this size, in this generation of the link; it is forgotten there with this predictor."""
        answer = self._link.request("open", BEGIN, **self._wanted)
        try:
            self._model, spec = whole(answer, "model"), protocol.spec_from(answer.get("spec"))
        except MessageError as error:
            raise self._broken(str(error)) from None
        self._generation = self._link.generation
        if self._forgetting is not None:
            self._forgetting.detach()  # that model went with its connection
        self._forgetting = weakref.finalize(self, self._link.forget, self._generation, "model", self._model)
        self._forgetting.atexit = False
        return spec

    def _state(self, answer: dict[str, Any]) -> RemoteState:
        try:
            return RemoteState(self._link, answer)
        except MessageError as error:
            raise self._broken(str(error)) from None

    def _number(self, state: RemoteState) -> int:
        if state.generation != self._link.generation:
            raise DreamLost(f"the dream at {self._link.name} began anew; X starts it again")
        return state.number

    def _broken(self, why: str) -> DreamLost:
        self._link.close()
        return DreamLost(f"the dream at {self._link.name} gave a wrong answer ({why}); X starts it again")
