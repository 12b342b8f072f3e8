"""A dream as a gymnasium environment: true context in, then one imagined frame for every action."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, Generic

import gymnasium
import numpy as np
from gymnasium import spaces

from worldsim.actions import as_vector, space_from_spec
from worldsim.dream.context import DreamError, check_context, check_frames
from worldsim.dream.predictor import Frames, Predictor, Row, S, Settings
from worldsim.dream.seeds import generator_seed
from worldsim.session.snapshot import Snapshot, SnapshotError, joined

Step = tuple[Frames, float, bool, bool, dict[str, Any]]
"""What gymnasium's step gives."""


class Dream(gymnasium.Env[Frames, Any], Generic[S]):
    """Whatever a predictor imagines, played like a world.

    Its dials can be turned at any time: ``history`` is how many past frames may reach the next one, ``window`` that of
    the forgetful twin; ``budget`` how many latents older ones are compressed to, 0 where nothing is;
    ``denoising_steps`` the network calls a frame takes; ``pose_from`` whether its pose is its own or, by
    :meth:`set_true_pose`, the true one.

    Args:
        predictor: what imagines the frames; several dreams may share it.
        seed: of a reset without one.
        history, budget, denoising_steps: None for the predictor's longest and its own.
        pose_from: "dream" or "true".

    Raises:
        DreamError: a dial that the predictor does not have.
    """

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(
        self,
        predictor: Predictor[S],
        *,
        seed: int = 0,
        history: int | None = None,
        budget: int | None = None,
        denoising_steps: int | None = None,
        pose_from: str = "dream",
    ) -> None:
        spec = predictor.spec
        self.predictor, self._spec, self.size = predictor, spec, spec.size
        self.histories, self.budgets, self.window = spec.histories, spec.budgets, spec.window
        self.action_space = space_from_spec(spec.action_spec)
        self.observation_space = spaces.Box(0, 255, (spec.size, spec.size, 3), np.uint8)
        self.render_mode = "rgb_array"
        self.state: S | None = None
        self.settings = Settings(max(spec.histories), spec.budget, spec.steps)
        self._seed, self._count = seed, 0
        self._frame: Frames | None = None
        self._pose: np.ndarray | None = None  # true, of the next frame
        self._future: list[np.ndarray] = []
        for dial, value in (("history", history), ("budget", budget), ("denoising_steps", denoising_steps)):
            if value is not None:
                setattr(self, dial, value)
        self.pose_from = pose_from

    @property
    def history(self) -> int:
        """Past frames that may reach the next one."""
        return self.settings.history

    @history.setter
    def history(self, value: int) -> None:
        least = self.window if self._spec.shortest is None else self._spec.shortest
        if not least <= value <= max(self.histories):
            raise DreamError(
                f"history: expected {least} to {max(self.histories)} frames by {self._spec.name}, found {value}"
            )
        self._turn(history=value)

    @property
    def budget(self) -> int:
        """Latents that what is remembered is compressed to; 0 where nothing is compressed."""
        return self.settings.budget

    @budget.setter
    def budget(self, value: int) -> None:
        most = max(*self.histories, *self.budgets, self._spec.budget)
        if self.budgets == (0,):
            if value != 0:
                raise DreamError(
                    f"budget: expected 0, since {self._spec.name} compresses nothing, found {value}"
                )
        elif not 1 <= value <= most:
            raise DreamError(
                f"budget: expected 1 to {most} memory latents by {self._spec.name}, found {value}"
            )
        self._turn(budget=value)

    @property
    def denoising_steps(self) -> int:
        """Network calls a frame takes; of a method, the parts that its way through one step is divided into."""
        return self.settings.denoising_steps

    @denoising_steps.setter
    def denoising_steps(self, value: int) -> None:
        if not 1 <= value <= self._spec.most_steps:
            raise DreamError(
                f"denoising steps: expected 1 to {self._spec.most_steps} by {self._spec.name}, found {value}"
            )
        self._turn(denoising_steps=value)

    @property
    def pose_from(self) -> str:
        """``dream``: its own dead reckoning; ``true``: a labelled aid; ``none``: it uses no pose."""
        return "none" if self._spec.poseless else self.settings.pose_from

    @pose_from.setter
    def pose_from(self, value: str) -> None:
        if value == "true" and self._spec.poseless:
            raise DreamError(f"pose_from: {self._spec.poseless}; leave pose_from out")
        if value not in ("dream", "true", self.pose_from):
            raise DreamError(f"pose_from: expected dream or true, found {value!r}")
        self._turn(pose_from="true" if value == "true" else "dream")

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Frames, dict[str, Any]]:
        """Begin from true context.

        Args:
            options: ``frames`` uint8 (n, H, W, 3), n >= 1; ``actions``, the n - 1 between them, raw or as vectors
                (n - 1, D); ``poses`` (n, 5), used only where ``pose_from`` is ``true``. Without any, a grey frame.

        Raises:
            DreamError: frames of another size, or a number of actions that does not fit.
        """
        super().reset(seed=seed)
        context = check_context(options or {}, self.size, self.action_space)
        self._pose, self._future = None, []
        begun = generator_seed(self._seed if seed is None else seed)
        self.state = self.predictor.begin(context, self.settings, begun)
        self._count, self._frame = len(context.frames), context.frames[-1]
        return context.frames[-1], self._info({}, 0.0)

    def step(self, action: Any) -> Step:
        """Imagine the frame that the action leads to: uint8 (H, W, 3).

        ``info`` has ``memory_frames`` and ``memory_latents`` that it was made of, perhaps its ``pose``, ``step_ms``
        and ``ms`` of each phase.

        Raises:
            DreamError: no reset came before.
        """
        return self.together([self], action)[0]

    @staticmethod
    def together(dreams: Sequence[Dream[Any]], action: Any) -> list[Step]:
        """Step several dreams with one action, in one pass where all fit; what :meth:`step` would give each.

        ``info["ms"]`` and ``info["step_ms"]`` of a dream are its share of the pass.

        Raises:
            DreamError: no reset came before.
        """
        first = dreams[0]
        if len(dreams) > 1 and not all(first._fits(dream) for dream in dreams[1:]):
            return [dream.step(action) for dream in dreams]
        began, vector = time.perf_counter(), as_vector(first.action_space, action)
        frames, ms = first.predictor.step([dream._row() for dream in dreams], vector)
        for dream, frame in zip(dreams, frames, strict=True):
            dream._pose, dream._future, dream._frame = None, dream._future[1:], frame
            dream._count += 1
        share = {phase: spent / len(dreams) for phase, spent in ms.items()}
        step_ms = (time.perf_counter() - began) * 1e3 / len(dreams)
        return [
            (frame, 0.0, False, False, dream._info(share, step_ms))
            for dream, frame in zip(dreams, frames, strict=True)
        ]

    def correct(self, frames: np.ndarray, poses: np.ndarray | None = None) -> None:
        """Replace the newest len(frames) frames of the dream's past by true ones, uint8 (n, H, W, 3).

        True poses (n, 5) are used where ``pose_from`` is ``true``; what was begun of the future is dropped.

        Raises:
            DreamError: more frames than the dream has, or of another size.
        """
        if len(frames) > self._count:
            raise DreamError(f"cannot replace {len(frames)} frames of a dream that has {self._count}")
        if self.state is None or not len(frames):
            return
        frames = check_frames(frames, self.size, "true frames")
        self.predictor.correct(self.state, frames, poses, self.settings)
        self._frame = frames[-1]

    def save(self) -> Snapshot:
        """A copy of the dream to go back to: its past, memory, pose, dials and random numbers.

        Raises:
            SnapshotError: no reset came before, or its predictor cannot.
        """
        if self.state is None or self._frame is None:
            raise SnapshotError("a dream that has not begun has no state to keep")
        about = {"weights": self.predictor.fingerprint, "size": self.size, "count": self._count}
        shown = Snapshot({}, {"frame": self._frame.copy()})
        return joined(
            {"state": self.predictor.save(self.state), "shown": shown},
            settings=asdict(self.settings),
            **about,
        )

    def load(self, snapshot: Snapshot) -> tuple[Frames, dict[str, Any]]:
        """Go back to what :meth:`save` gave; what :meth:`reset` gives, of the frame that was the newest then.

        Raises:
            SnapshotError: other weights dreamt it, at another size, or it is not whole.
        """
        facts = snapshot.tree
        if facts.get("weights") != self.predictor.fingerprint:
            raise SnapshotError(
                f"this state was dreamt by other weights ({str(facts.get('weights'))[:12]}) than those of "
                f"{self._spec.name} here ({self.predictor.fingerprint[:12]}); give the checkpoint that dreamt it"
            )
        if facts.get("size") != self.size:
            raise SnapshotError(
                f"this state has pictures of {facts.get('size')} pixels, this dream of {self.size}"
            )
        try:
            settings = Settings(**facts["settings"])
            self._check(settings)
            count, frame = (
                int(facts["count"]),
                check_frames(snapshot.arrays["shown/frame"][None], self.size, "it"),
            )
        except (LookupError, TypeError, ValueError) as error:
            raise SnapshotError(f"this state is not whole ({str(error)[:100]})") from None
        self.state = self.predictor.load(snapshot.part("state"), settings)
        self.settings = settings
        self._pose, self._future, self._count, self._frame = None, [], count, frame[0]
        return self._frame, self._info({}, 0.0)

    def plan(self, actions: Sequence[Any]) -> None:
        """Tell the actions that will follow the next one, where they are known."""
        self._future = [as_vector(self.action_space, action) for action in actions]

    def set_true_pose(self, pose: np.ndarray) -> None:
        """Give the true pose (5,) of the next frame; used where ``pose_from`` is ``true``."""
        self._pose = np.asarray(pose, np.float32)

    def prepare(self) -> None:
        """Do now what the next step would begin with, whatever its action.

        For whoever has time between frames; the frames are the same.
        """
        if self.state is not None:
            self.predictor.prepare(self.state)

    def prefetch(self, frame: np.ndarray) -> None:
        """Tell a true frame (H, W, 3) that a correction will bring, so that it can be made ready meanwhile."""
        self.predictor.prefetch(frame)

    def render(self) -> Frames | None:  # type: ignore[override]
        """The newest frame."""
        return self._frame

    def _turn(self, **dial: Any) -> None:
        for name, value in dial.items():
            setattr(self.settings, name, value)
        if self.state is not None:
            self.predictor.turn(self.state, self.settings)

    def _check(self, settings: Settings) -> None:
        """Whether all dials can be put so; they stay as they are."""
        state, before = self.state, replace(self.settings)
        self.state = None
        try:
            for name, value in asdict(settings).items():
                setattr(self, name, value)
        finally:
            self.state, self.settings = state, before

    def _row(self) -> Row[S]:
        if self.state is None:
            raise DreamError("a dream begins by reset(options={'frames': ..., 'actions': ...}), then steps")
        return Row(self.state, self.settings, self._pose if self.pose_from == "true" else None, self._future)

    def _fits(self, other: Dream[Any]) -> bool:
        """Whether the two can be dreamt in one pass."""
        begun = self.state is not None and other.state is not None
        return begun and self.predictor.fits(self._row().state, other.predictor, other.state)

    def _info(self, ms: dict[str, float], step_ms: float) -> dict[str, Any]:
        assert self.state is not None
        return {**self.predictor.about(self.state, self.settings), "ms": ms, "step_ms": step_ms}
