"""An AR-Diffusion pair plays: as it would generate, frame by frame, with its dials, and through the front door."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

import run_demo
from tests.helpers.small_ar_diffusion import small_ar_diffusion
from tests.helpers.small_model import SIZE, SPEC, small_checkpoint
from tests.helpers.small_video import small_video
from worldsim import checkpoint
from worldsim.actions import as_vector, space_from_spec
from worldsim.checkpoint import Description, Loaded
from worldsim.cli import dreams
from worldsim.cli.options import parse
from worldsim.dream.ar_diffusion import ArDream, ArPredictor
from worldsim.dream.context import DreamError
from worldsim.frames import to_uint8
from worldsim.models.ar_diffusion import ArDiffusion, Sampling

FACTS = {"family": "minecraft", "action_spec": SPEC}


def _loaded(**fields: Any) -> Loaded[ArDiffusion]:
    model = small_ar_diffusion(**fields)
    return Loaded(model, Description(action_spec=SPEC, ar_diffusion=model.config), Path("small"))


def _actions(count: int, seed: int = 5) -> list[Any]:
    space = space_from_spec(SPEC)
    space.seed(seed)
    return [space.sample() for _ in range(count)]


def _context(seed: int = 0, n: int = 3) -> dict[str, Any]:
    frames = np.random.default_rng(seed).integers(0, 256, (n, SIZE, SIZE, 3), np.uint8)
    return {"frames": frames, "actions": _actions(n - 1, seed)}


@pytest.mark.parametrize("causal", [True, False], ids=["causal", "both_ways"])
def test_it_plays_what_the_model_generates_one_frame_after_the_other(causal: bool) -> None:
    """The streams of denoiser and decoder give what both give over the whole video, beyond either window."""
    loaded = _loaded(causal=causal, window=4 if causal else 12)
    model, context, actions = loaded.model, _context(), _actions(7)
    dream = ArDream(loaded, denoising_steps=3)
    dream.reset(seed=4, options=context)
    shown = np.stack([dream.step(action)[0] for action in actions])
    space, none = space_from_spec(SPEC), torch.zeros(1, 20)
    led = torch.stack([torch.as_tensor(as_vector(space, a)) for a in [*context["actions"], *actions]])
    led = model.normalise(torch.cat([none, led]))[None]
    random, latents = torch.Generator().manual_seed(4), loaded.encode(context["frames"])[None]
    for i in range(3, 10):
        sampling = Sampling(difference=3, steps=3)
        latents = torch.cat([latents, model.generate(latents, led[:, : i + 1], sampling, random)], 1)
    expected = to_uint8(model.autoencoder.decode(latents)[0, 3:])
    assert np.abs(shown.astype(int) - expected).max() <= 1
    assert shown.std(0).max() > 1  # not one picture for all


def test_the_same_seed_gives_the_same_frames_and_another_others() -> None:
    dream, runs = ArDream(_loaded(), denoising_steps=2), []
    for seed in (1, 1, 2):
        dream.reset(seed=seed, options=_context())
        runs.append(np.stack([dream.step(action)[0] for action in _actions(6)]))
    assert runs[0].shape == (6, SIZE, SIZE, 3) and runs[0].dtype == np.uint8
    assert np.array_equal(runs[0], runs[1]) and not np.array_equal(runs[0], runs[2])


def test_every_frame_answers_its_action() -> None:
    dream, frames = ArDream(_loaded(), denoising_steps=2), []
    for seed in (5, 6):
        dream.reset(seed=1, options=_context())
        frames.append(dream.step(_actions(1, seed)[0])[0])
    assert not np.array_equal(*frames)


def test_frames_behind_the_history_do_not_reach_the_denoiser() -> None:
    context, other = _context(), _context()
    other["frames"] = other["frames"].copy()
    other["frames"][0] = _context(1)["frames"][0]

    def play(history: int, given: dict[str, Any]) -> torch.Tensor:
        dream = ArDream(_loaded(), denoising_steps=2, history=history)
        dream.reset(seed=1, options=given)
        dream.step(_actions(1)[0])
        return dream.state.latents[-1]

    assert torch.equal(play(1, context), play(1, other))
    assert not torch.equal(play(3, context), play(3, other))


def test_correcting_the_past_equals_having_had_it() -> None:
    context, actions, true = _context(), _actions(6), _context(3, 6)["frames"]
    dream, fresh = ArDream(_loaded(), denoising_steps=2), ArDream(_loaded(), denoising_steps=2)
    dream.reset(seed=1, options=context)
    for action in actions:
        dream.step(action)
    dream.correct(true)
    frames = np.concatenate([context["frames"], true])
    fresh.reset(seed=1, options={"frames": frames, "actions": context["actions"] + actions})
    dream.state.random.set_state(fresh.state.random.get_state())
    for last in _actions(2, 8):
        assert np.array_equal(dream.step(last)[0], fresh.step(last)[0])


def test_frames_of_its_own_are_shown_as_noisy_as_it_is_told_and_true_ones_clean(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded, seen = _loaded(context_level=0.2), []
    plain = loaded.model.denoiser.forward

    def watched(z: torch.Tensor, level: torch.Tensor, *rest: Any) -> torch.Tensor:
        seen.append((z[0, :-1], level[0, :-1]))
        return plain(z, level, *rest)

    monkeypatch.setattr(loaded.model.denoiser, "forward", watched)
    dream, actions = ArDream(loaded, denoising_steps=2), _actions(3)
    dream.reset(seed=1, options=_context())
    clean = 0.5 * torch.cat(list(dream.state.latents))
    dream.step(actions[0])
    assert torch.equal(seen[0][0], clean) and not seen[0][1].any()  # the context is true
    own = 0.5 * dream.state.latents[-1]
    dream.step(actions[1])
    shown, level = next((z, level) for z, level in seen[2:] if len(z))
    assert level.tolist() == pytest.approx([0.2])
    assert not torch.allclose(shown, own, atol=0.05)
    del seen[:]
    dream.correct(_context(3, 2)["frames"])
    dream.step(actions[2])
    # Of the three that it sees the newest two were corrected.
    assert seen[0][1].tolist() == pytest.approx([0.0, 0.0, 0.0])


def test_a_frame_of_its_own_is_never_noisier_than_the_one_it_is_drawn_for() -> None:
    """The last of eight steps begins at an eighth of the levels, and levels may not fall along the frames."""
    loaded, seen = _loaded(context_level=0.5), []
    loaded.model.denoiser.register_forward_pre_hook(lambda _, given: seen.append(given[1]))
    dream = ArDream(loaded, denoising_steps=8)
    dream.reset(seed=1, options=_context())
    for action in _actions(3):
        dream.step(action)
    assert all((level.diff(dim=1) >= 0).all() for level in seen)
    assert max(float(level[0, 0]) for level in seen if level.shape[1] > 1) == pytest.approx(1 / 8)


def test_dials_say_what_fits() -> None:
    dream = ArDream(_loaded(window=16))
    assert (dream.history, dream.budget, dream.histories, dream.pose_from) == (15, 0, (1, 4, 8, 15), "none")
    dream.history = 4
    dream.reset(options=_context())
    info = dream.step(_actions(1)[0])[4]
    assert info["memory_frames"] == 4 and info["ms"].keys() == {"denoise", "decode"}
    for dial, value, told in (
        ("history", 16, "1 to 15"),
        ("budget", 8, "compresses nothing"),
        ("denoising_steps", 0, "1 to 1000"),
        ("pose_from", "true", "no pose"),
    ):
        with pytest.raises(DreamError, match=told):
            setattr(dream, dial, value)
    with pytest.raises(DreamError, match="cannot replace 9 frames"):
        dream.correct(np.zeros((9, SIZE, SIZE, 3), np.uint8))
    with pytest.raises(DreamError, match="begins by reset"):
        ArDream(_loaded()).step(_actions(1)[0])


# -- through the front door ------------------------------------------------------------------------


def _demo(*words: object) -> int:
    play = ("--env", "minecraft", "--headless", "--steps", 5, "--policy", "explore", "--seed", 5)
    return run_demo.main([str(w) for w in (*play, *words)])


def _pictures(file: Path) -> np.ndarray:
    with av.open(str(file)) as video:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)])


def test_a_pair_plays_through_the_front_door_the_same_for_the_same_seed(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "pair", small_ar_diffusion(), FACTS)
    for i in range(2):
        files = ("--report", tmp_path / "r.json", "--video", tmp_path / f"{i}.mp4")
        assert _demo("method=ar_diffusion", "--checkpoint", tmp_path / "pair", "--compare", *files) == 0
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["method"], report["steps"]) == ("ar_diffusion", 5)
    assert {name: d["history"] for name, d in report["dreams"].items()} == {"ar_diffusion": 3, "forgetful": 1}
    assert np.array_equal(_pictures(tmp_path / "0.mp4"), _pictures(tmp_path / "1.mp4"))


def test_the_methods_name_plays_the_preset_with_a_video_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And with the shipped pair, where there is one; where there is none, the preset again."""
    checkpoint.save(tmp_path / "video", small_video().model, FACTS)
    given = ["--env", "minecraft", "--headless", "method=ar_diffusion"]
    source, _ = dreams.load(parse([*given, "--checkpoint", str(tmp_path / "video")]))
    assert source.loaded.description.kind == "video"
    for room in (checkpoint, checkpoint.folders):
        monkeypatch.setattr(room, "SHIPPED", tmp_path)
    checkpoint.save(tmp_path / "blocks_methods", small_video().model, FACTS)
    assert dreams.load(parse(given))[0].loaded.description.kind == "video"
    checkpoint.save(tmp_path / "blocks_ar_diffusion", small_ar_diffusion(), FACTS)
    source, dream = dreams.load(parse(given))
    assert source.loaded.description.kind == "ar_diffusion"
    assert isinstance(dream().predictor, ArPredictor)


@pytest.mark.parametrize(
    ("kind", "words", "told"),
    [
        ("pair", ["method=fifo"], "plays with method=ar_diffusion and with no other"),
        ("world", ["method=ar_diffusion"], "holds a model of kind world, which plays by its own method"),
        ("pair", ["method=ar_diffusion", "budget=8"], "compresses nothing"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_in_a_sentence(
    kind: str, words: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if kind == "pair":
        checkpoint.save(tmp_path / kind, small_ar_diffusion(), FACTS)
    else:
        small_checkpoint(tmp_path / kind)
    assert _demo("--checkpoint", tmp_path / kind, *words) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ") and told in line
