"""What holds for every dream, ours and anybody's: the rules that a session and the scores rely on, checked.

from worldsim.testing import dream_contract

def test_my_model():
    dream_contract("mypackage.mymodel:make")
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.actions import ActionSpec
from worldsim.dream import external
from worldsim.dream.context import DreamError
from worldsim.dream.env import Dream
from worldsim.session.snapshot import SnapshotError

Make = Callable[[], Dream[Any]]
Frames = NDArray[np.uint8]

ACTIONS: ActionSpec = {
    "family": "any",
    "fields": [
        {"name": "", "kind": "box", "low": [-1.0] * 4, "high": [1.0] * 4, "shape": [4], "dtype": "float32"}
    ],
}
"""What a model is asked that says no action language of its own."""
STEPS = 6


class DreamContractError(AssertionError):
    """A dream breaks rules; the message has a line for each."""


def dream_contract(model: str | Callable[..., Any], *, action_spec: ActionSpec | None = None) -> None:
    """Check a dream against every rule.

    Args:
        model: ``package.module:factory``, a factory of models with ``begin`` and ``step``
            (:mod:`worldsim.dream.external`) or of predictors, or what makes a :class:`worldsim.dream.env.Dream`.
        action_spec: the actions to try it with, where it says none itself.

    Raises:
        DreamContractError: it breaks rules; which, in words.
        ModelFailed: it raised, which is the cause.
    """
    broken = []
    make = _factory(model, action_spec or ACTIONS)
    for rule in RULES:
        try:
            rule(make)
        except (AssertionError, DreamError) as error:
            broken.append(f"- {rule.__name__.replace('_', ' ')}: {error}")
    if broken:
        raise DreamContractError(f"{len(broken)} of {len(RULES)} rules are broken\n" + "\n".join(broken))


def a_frame_is_a_picture_of_its_size(make: Make) -> None:
    dream = make()
    for n in (1, 3, 20):
        frame, info = dream.reset(seed=1, options=_context(dream, n))
        for action in _actions(dream):
            assert dream.observation_space.contains(frame), (
                f"expected uint8 {dream.observation_space.shape}, found {frame.dtype} {frame.shape} after a "
                f"context of {n} frames"
            )
            frame, _, _, _, info = dream.step(action)
            missing = {"memory_frames", "memory_latents", "ms", "step_ms"} - info.keys()
            assert not missing, f"info lacks {', '.join(sorted(missing))}"


def the_same_context_actions_and_seed_give_the_same_frames(make: Make) -> None:
    dream = make()
    first = _play(dream, seed=3)
    _play(dream, seed=4, context=1)
    _same(first, _play(dream, seed=3), "a second time in the same dream, after another")
    _same(first, _play(make(), seed=3), "in a new dream")


def two_dreams_do_not_disturb_each_other(make: Make) -> None:
    expected, dreams = _play(make(), seed=3), (make(), make())
    for i, dream in enumerate(dreams):
        dream.reset(seed=3, options=_context(dream, 8, i))
    shown = []
    for action in _actions(dreams[0]):
        shown.append(dreams[0].step(action)[0])
        dreams[1].step(action)
    _same(expected, np.stack(shown), "while another one was dreamt")


def a_frame_that_was_handed_out_never_changes(make: Make) -> None:
    dream = make()
    dream.reset(seed=1, options=_context(dream, 8))
    handed = [dream.step(action)[0] for action in _actions(dream)]
    before = [frame.copy() for frame in handed]
    for action in _actions(dream):
        dream.step(action)
    assert all(np.array_equal(a, b) for a, b in zip(before, handed, strict=True)), (
        "a frame that step gave was drawn over later; give a copy"
    )


def what_it_is_given_is_not_written_to(make: Make) -> None:
    dream = make()
    context = _context(dream, 8)
    before, true = context["frames"].copy(), _context(dream, 4, 9)["frames"]
    given = true.copy()
    dream.reset(seed=1, options=context)
    for action in _actions(dream):
        dream.step(action)
    dream.correct(given)
    dream.step(_actions(dream)[0])
    assert np.array_equal(before, context["frames"]), "the context's frames were changed"
    assert np.array_equal(true, given), "the true frames of a correction were changed"


def the_past_may_become_true_at_any_age(make: Make) -> None:
    dream = make()
    dream.reset(seed=1, options=_context(dream, 2))
    for n in (1, STEPS, STEPS):
        for action in _actions(dream)[:n]:
            dream.step(action)
        true = _context(dream, n, n)["frames"]
        dream.correct(true)
        shown = dream.render()
        assert shown is not None and np.array_equal(shown, true[-1]), (
            "render should show the newest true frame"
        )
    _refuses(lambda: dream.correct(np.zeros((999, *true.shape[1:]), np.uint8)), "999 true frames at once")


def a_true_past_reaches_the_next_frame(make: Make) -> None:
    frames = []
    for value in (0, 255):
        dream = make()
        dream.reset(seed=1, options=_context(dream, 4))
        for action in _actions(dream):
            dream.step(action)
        dream.correct(np.full((STEPS, *(dream.observation_space.shape or ())), value, np.uint8))
        frames.append(dream.step(_actions(dream)[0])[0])
    assert not np.array_equal(frames[0], frames[1]), (
        "after its past was made black, and made white, it showed the same frame; correct(frames) has to reach it"
    )


def every_setting_of_its_ladders_plays_and_none_beyond(make: Make) -> None:
    dream = make()
    for dial, ladder in (("history", dream.histories), ("budget", dream.budgets), ("denoising_steps", (1,))):
        for value in ladder:
            setattr(dream, dial, value)
            _play(dream, seed=1, context=12)
            assert getattr(dream, dial) == value, f"{dial}={value} became {getattr(dream, dial)}"
        _refuses(lambda dial=dial: setattr(dream, dial, 10**6), f"{dial}={10**6}")  # type: ignore[misc]
    assert dream.window in dream.histories, f"its window, {dream.window}, is none of {dream.histories}"


def dreams_stepped_together_dream_what_each_would_alone(make: Make) -> None:
    pair, single = (make(), make()), (make(), make())
    for dreams in (pair, single):
        dreams[1].history = dreams[1].window
        for dream in dreams:
            dream.reset(seed=2, options=_context(dream, 8))
    for action in _actions(pair[0]):
        steps = pair[0].together(pair, action)
        for (frame, *_), dream in zip(steps, single, strict=True):
            off = np.abs(frame.astype(int) - dream.step(action)[0]).max()
            assert off <= 1, f"a frame of two dreams stepped together is {off} levels off"


def a_state_that_was_kept_gives_the_same_frames_again(make: Make) -> None:
    dream, other = make(), make()
    dream.reset(seed=3, options=_context(dream, 8))
    actions = _actions(dream)
    dream.step(actions[0])
    try:
        kept = dream.save()
    except SnapshotError:  # it need not
        return
    first = np.stack([dream.step(action)[0] for action in actions])
    for again, when in ((dream, "after it went back"), (other, "in another dream that went back to it")):
        again.load(kept)
        _same(first, np.stack([again.step(action)[0] for action in actions]), when)


def before_the_first_reset_it_says_what_it_needs(make: Make) -> None:
    dream = make()
    _refuses(lambda: dream.step(dream.action_space.sample()), "a step before the first reset")


RULES = [
    a_frame_is_a_picture_of_its_size,
    the_same_context_actions_and_seed_give_the_same_frames,
    two_dreams_do_not_disturb_each_other,
    a_frame_that_was_handed_out_never_changes,
    what_it_is_given_is_not_written_to,
    the_past_may_become_true_at_any_age,
    a_true_past_reaches_the_next_frame,
    every_setting_of_its_ladders_plays_and_none_beyond,
    dreams_stepped_together_dream_what_each_would_alone,
    a_state_that_was_kept_gives_the_same_frames_again,
    before_the_first_reset_it_says_what_it_needs,
]


def _factory(model: str | Callable[..., Any], action_spec: ActionSpec) -> Make:
    factory: Any = external.find(model) if isinstance(model, str) else model
    name = model if isinstance(model, str) else getattr(model, "__name__", "the model")
    if factory is None:
        raise DreamError(f"{name}: expected package.module:factory, a factory, or what makes a dream")

    def make() -> Dream[Any]:
        made = external.called(factory, name, size=None, action_spec=action_spec)
        if isinstance(made, Dream):
            return made
        return Dream(external.wrapped(made, factory, name, size=None, action_spec=action_spec))

    return make


def _context(dream: Dream[Any], n: int, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    dream.action_space.seed(seed)
    frames = rng.integers(0, 256, (n, dream.size, dream.size, 3), np.uint8)
    return {"frames": frames, "actions": [dream.action_space.sample() for _ in range(n - 1)]}


def _actions(dream: Dream[Any]) -> list[Any]:
    dream.action_space.seed(5)
    return [dream.action_space.sample() for _ in range(STEPS)]


def _play(dream: Dream[Any], seed: int, context: int = 8) -> Frames:
    dream.reset(seed=seed, options=_context(dream, context))
    return np.stack([dream.step(action)[0] for action in _actions(dream)])


def _same(a: Frames, b: Frames, when: str) -> None:
    differ = [i for i, (x, y) in enumerate(zip(a, b, strict=True)) if not np.array_equal(x, y)]
    assert not differ, f"frame {differ[0] + 1} differed {when}"


def _refuses(do: Callable[[], Any], what: str) -> None:
    try:
        do()
    except DreamError:
        return
    raise AssertionError(f"it should refuse {what} with a DreamError")
