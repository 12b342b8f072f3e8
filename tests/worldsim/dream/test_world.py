"""A dream is a gymnasium environment with dials: it repeats, keeps its budget, and forgets on request."""

import numpy as np
import pytest
import torch

from tests.helpers.small_model import SIZE, SPEC, WINDOW
from worldsim.actions import space_from_spec
from worldsim.checkpoint import LoadedModel
from worldsim.config import DreamConfig
from worldsim.dream.world import DreamEnv, DreamError
from worldsim.engine.step import limit_rms
from worldsim.frames import to_tensor, to_uint8

N, REFRESH = 30, DreamConfig().refresh


def _context(seed: int = 0, n: int = N) -> dict[str, object]:
    rng = np.random.default_rng(seed)
    space = space_from_spec(SPEC)
    space.seed(seed)
    return {
        "frames": rng.integers(0, 256, (n, SIZE, SIZE, 3), np.uint8),
        "actions": [space.sample() for _ in range(n - 1)],
        "poses": np.cumsum(rng.normal(size=(n, 5)), 0),
    }


def _play(dream: DreamEnv, steps: int = 12, seed: int = 5) -> np.ndarray:
    dream.action_space.seed(seed)
    return np.stack([dream.step(dream.action_space.sample())[0] for _ in range(steps)])


def _keys(dream: DreamEnv) -> list[torch.Tensor]:
    """Keys of the clean frames of every block, from the oldest to the newest."""
    ring, row = dream.past.kept.context
    return list(ring.plain(row).keys)


def test_same_context_seed_and_actions_give_the_same_frames(loaded: LoadedModel) -> None:
    dream = DreamEnv(loaded)
    dream.reset(seed=3, options=_context())
    first = _play(dream)
    dream.reset(seed=3, options=_context())
    assert np.array_equal(first, _play(dream))
    dream.reset(seed=4, options=_context())
    assert not np.array_equal(first, _play(dream))
    assert first.dtype == np.uint8
    assert dream.observation_space.contains(first[0])


def test_actions_matter(loaded: LoadedModel) -> None:
    dream = DreamEnv(loaded)
    frames = []
    for seed in (5, 6):
        dream.reset(seed=3, options=_context())
        frames.append(_play(dream, seed=seed))
    assert not np.array_equal(*frames)


def test_the_budget_bounds_the_memory_and_the_history_its_reach(loaded: LoadedModel) -> None:
    dream = DreamEnv(loaded, history=20, budget=4)
    dream.reset(options=_context())
    info = dream.step(dream.action_space.sample())[4]
    assert (info["memory_frames"], info["memory_latents"]) == (20, 4)
    dream.budget = 8
    assert dream.step(dream.action_space.sample())[4]["memory_latents"] == 8
    dream.history = WINDOW
    info = dream.step(dream.action_space.sample())[4]
    assert (info["memory_frames"], info["memory_latents"]) == (WINDOW, 0)


def test_frames_behind_the_history_do_not_reach_the_dream(loaded: LoadedModel) -> None:
    """The forgetful twin dreams the same whatever came before the frames it may see (history from truth)."""
    context, other = _context(0), _context(0)
    other["frames"] = np.array(other["frames"])
    other["frames"][: N - 20] = _context(1)["frames"][: N - 20]  # type: ignore[index]
    poses = {"pose_from": "true"}

    def play(history: int, c: dict[str, object]) -> np.ndarray:
        dream = DreamEnv(loaded, history=history, **poses)
        dream.reset(seed=3, options=c)
        return _play(dream, REFRESH)

    assert np.array_equal(play(WINDOW, context), play(WINDOW, other))
    assert not np.array_equal(play(20, context), play(20, _context(1) | {"frames": other["frames"]}))


def test_memory_reaches_the_dream(loaded: LoadedModel) -> None:
    """Back at a pose seen 18 frames ago, changing what was seen there changes what is dreamt; not for the forgetful."""
    context, other = _context(0), _context(0)
    poses = np.zeros((N, 5))
    poses[:, 0] = 100.0 * np.arange(N)
    poses[N - 18] = 0
    other["frames"] = np.array(other["frames"])
    other["frames"][N - 18] = 255 - other["frames"][N - 18]  # type: ignore[index]

    def play(history: int, c: dict[str, object]) -> np.ndarray:
        dream = DreamEnv(loaded, history=history, budget=20, pose_from="true")
        dream.reset(seed=3, options=c | {"poses": poses})
        dream.set_true_pose(np.zeros(5))
        return _play(dream, 1)[0]

    assert not np.array_equal(play(20, context), play(20, other))
    assert np.array_equal(play(WINDOW, context), play(WINDOW, other))


def test_correcting_the_past_equals_having_had_it(loaded: LoadedModel) -> None:
    """After its last 16 frames were replaced by true ones, a dream stands where true context would have put it."""
    context = _context()
    frames, actions = np.asarray(context["frames"]), list(context["actions"])  # type: ignore[call-overload]
    dream = DreamEnv(loaded)
    dream.reset(seed=1, options={"frames": frames[:-16], "actions": actions[:-16]})
    for action in actions[-16:]:
        dream.step(action)
    dream.correct(frames[-16:])
    fresh = DreamEnv(loaded)
    fresh.reset(seed=1, options={"frames": frames, "actions": actions})
    for a, b in zip(dream.past.latents, fresh.past.latents, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
    for a, b in zip(dream.past.poses, fresh.past.poses, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)
    for a, b in zip(_keys(dream), _keys(fresh), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("context", [1, 3, N])
def test_dreams_stepped_together_dream_what_each_would_alone(loaded: LoadedModel, context: int) -> None:
    """A batch of the dream and its forgetful twin gives the frames of both, from the first frame to a full memory."""
    given = _context(n=context)
    pair = [DreamEnv(loaded), DreamEnv(loaded, history=WINDOW)]
    alone = [DreamEnv(loaded), DreamEnv(loaded, history=WINDOW)]
    for dream in pair + alone:
        dream.reset(seed=3, options=given)
    pair[0].action_space.seed(1)
    for i in range(2 * REFRESH + 3):
        action = pair[0].action_space.sample()
        if i == REFRESH:
            frames = np.asarray(_context(7)["frames"])[:REFRESH]
            for dream in pair + alone:
                dream.correct(frames)
        together = DreamEnv.together(pair, action)
        for (frame, *_, info), dream in zip(together, alone, strict=True):
            one, *_, single = dream.step(action)
            assert np.abs(frame.astype(int) - one).max() <= 1
            assert np.allclose(info["pose"], single["pose"], atol=1e-3)
            assert info["memory_latents"] == single["memory_latents"]


def test_dreams_that_do_not_fit_together_are_stepped_apart(loaded: LoadedModel) -> None:
    pair = [DreamEnv(loaded), DreamEnv(loaded, denoising_steps=3)]
    alone = DreamEnv(loaded)
    for dream in [*pair, alone]:
        dream.reset(seed=3, options=_context())
    action = alone.action_space.sample()
    assert np.array_equal(DreamEnv.together(pair, action)[0][0], alone.step(action)[0])


def test_a_true_pose_is_used_only_where_it_was_asked_for(loaded: LoadedModel) -> None:
    pose = np.array([1.0, 2, 3, 40, 5])
    for pose_from, used in (("dream", False), ("true", True)):
        dream = DreamEnv(loaded, pose_from=pose_from)
        dream.reset(options=_context())
        dream.set_true_pose(pose)
        info = dream.step(dream.action_space.sample())[4]
        assert np.allclose(info["pose"], pose, atol=1e-4) == used


def test_a_long_dream_keeps_no_more_than_its_longest_history(loaded: LoadedModel) -> None:
    dream = DreamEnv(loaded, denoising_steps=1)
    dream.reset(options=_context())
    _play(dream, 60)
    sizes = [len(dream.past), len(dream.past.kept.frames), _keys(dream)[0].shape[2]]
    _play(dream, 60)
    assert sizes == [len(dream.past), len(dream.past.kept.frames), _keys(dream)[0].shape[2]]
    assert sizes == [20 + 16, 20 + 16, WINDOW * 4]


@pytest.mark.parametrize(
    ("dial", "value", "says"),
    [
        ("history", 500, "4 to 20"),
        ("budget", 0, "1 to 20"),
        ("denoising_steps", 0, "1 to 64"),
        ("pose_from", "x", "dream"),
    ],
)
def test_a_dial_out_of_range_says_its_range(loaded: LoadedModel, dial: str, value: object, says: str) -> None:
    with pytest.raises(DreamError, match=says):
        setattr(DreamEnv(loaded), dial, value)


def test_context_that_does_not_fit_is_refused(loaded: LoadedModel) -> None:
    dream = DreamEnv(loaded)
    with pytest.raises(DreamError, match="reset"):
        dream.step(dream.action_space.sample())
    with pytest.raises(DreamError, match="needs 1 actions"):
        dream.reset(options={"frames": np.zeros((2, SIZE, SIZE, 3), np.uint8), "actions": []})
    with pytest.raises(DreamError, match="32, 32, 3"):
        dream.reset(options={"frames": np.zeros((1, 64, 64, 3), np.uint8), "actions": []})


def test_pictures_cross_into_tensors_and_back_unchanged() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    x = to_tensor(frames)
    assert x.shape == (3, 3, 8, 8)
    assert x.min() >= -1
    assert x.max() <= 1
    assert np.array_equal(to_uint8(x), frames)


def test_a_dream_left_alone_keeps_the_contrast_of_true_frames(loaded: LoadedModel) -> None:
    """Whatever the network says: no frame's latents grow beyond the root mean square that true ones have."""
    dream = DreamEnv(loaded, engine="plain")  # the fast one has weights of its own
    dream.reset(seed=0, options=_context())
    with torch.no_grad():
        original = loaded.model.denoiser.outside.weight.clone()
        loaded.model.denoiser.outside.weight.mul_(100)
    try:
        _play(dream, 5)
    finally:
        with torch.no_grad():
            loaded.model.denoiser.outside.weight.copy_(original)
    sizes = torch.stack(dream.past.latents[-5:]).square().mean((1, 2, 3)).sqrt()
    assert (sizes <= 1 + 1e-5).all()
    assert (sizes > 0.99).any()  # and the bound was met
    quiet = torch.full((1, 2, 4, 4), 0.3)
    assert torch.equal(limit_rms(quiet), quiet)
