"""A prompt of frames and actions becomes a grid and a video; the same seed makes the same one."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from envs.episodes.episode import Episode
from tests.helpers.small_ar_diffusion import small_ar_diffusion
from tests.helpers.small_run import record
from training.data.action_script import ScriptError, actions_of
from training.report import sample
from worldsim import checkpoint


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("sample")
    episode = next(record(folder, episodes=1, steps=9).glob("*.zip"))
    facts = {"family": "dmlab", "action_spec": Episode(episode).meta["action_spec"]}
    checkpoint.save(folder / "checkpoint", small_ar_diffusion(action_dim=7), facts)
    return [
        f"checkpoint={folder / 'checkpoint'}",
        f"prompt={episode}",
        "given=3",
        "frames=4",
        "steps=3",
        "difference=1",
    ]


def _frames(file: Path) -> list[np.ndarray]:
    with av.open(str(file)) as found:
        return [frame.to_ndarray(format="rgb24") for frame in found.decode(video=0)]


def test_it_writes_a_grid_and_a_video_of_the_truth_and_every_sample(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "er"
    assert sample.main([*words, f"out={out}", "count=2", "guidance=2"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out.splitlines()[-1])["frames"] == 4
    assert "sampling" in told.err and "6/6" in told.err  # 3 steps + 3 frames' difference of 1
    picture = np.asarray(Image.open(f"{out}.png"))
    assert picture.shape == (3 * 128, 7 * 128, 3)
    truth = Episode(words[1].removeprefix("prompt=")).frames(0, 7)
    assert (picture[:128:4, ::4] == np.concatenate(list(truth), 1)).all()
    for row in (1, 2):  # the given frames as they are, then imagined ones
        shown = picture[row * 128 : (row + 1) * 128 : 4, ::4]
        assert (shown[:, : 3 * 32] == np.concatenate(list(truth[:3]), 1)).all()
        assert (shown[:, 3 * 32 :] != np.concatenate(list(truth[3:]), 1)).any()
    video = _frames(Path(f"{out}.mp4"))
    assert len(video) == 7 and video[0].shape == (128, 3 * 128, 3)


def test_a_script_tells_the_actions_and_the_seed_the_noise(words: list[str], tmp_path: Path) -> None:
    made = {}
    for name, script, seed in (
        ("a", "move*2 look=40", 0),
        ("again", "move*2 look=40", 0),
        ("other_seed", "move*2 look=40", 1),
        ("other_actions", "move=-1*2 look=-400", 0),
    ):
        assert sample.main([*words, f"actions={script}", f"seed={seed}", f"out={tmp_path / name}"]) == 0
        made[name] = np.asarray(Image.open(tmp_path / f"{name}.png"))
    assert made["a"].shape == (128, 6 * 128, 3)
    assert (made["a"] == made["again"]).all()
    assert (made["a"] != made["other_seed"]).any() and (made["a"] != made["other_actions"]).any()


def test_scripts_say_what_the_model_sees() -> None:
    minecraft = actions_of("forward,jump*2 camera=-3:4.5 noop", "minecraft")
    assert minecraft.shape == (4, 20) and minecraft.dtype == np.float32
    assert (minecraft[0] == minecraft[1]).all() and (minecraft[0] != minecraft[3]).sum() == 4
    assert set((minecraft[2] - minecraft[3]).tolist()) == {0.0, -3.0, 4.5}
    dmlab = actions_of("look=-20,move noop*2 strafe=-1", "dmlab")
    assert dmlab.tolist() == [[-20, 0, 0, 1, 0, 0, 0], [0] * 7, [0] * 7, [0, 0, -1, 0, 0, 0, 0]]


@pytest.mark.parametrize(
    ("script", "family", "says"),
    [
        ("", "dmlab", "script is empty"),
        ("run", "dmlab", "no field 'run' of dmlab actions; they are noop, look"),
        ("forward*x", "minecraft", "number of times after"),
        ("forward*0", "minecraft", "number of times after"),
        ("camera=3", "minecraft", "two numbers, pitch:yaw"),
        ("camera=a:b", "minecraft", "expected numbers after ="),
        ("look=0.5", "dmlab", "one whole number"),
        ("move=7", "dmlab", "out of range"),
        ("forward=2", "minecraft", "out of range"),
    ],
)
def test_a_script_that_says_nothing_known_is_refused(script: str, family: str, says: str) -> None:
    with pytest.raises(ScriptError, match=says):
        actions_of(script, family)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["frames=40"], "expected 43 frames"),
        (["given=0"], "given: expected at least 1, found 0"),
        (["difference=4"], "difference: expected 0"),
        (["sampler=dimm"], "did you mean 'ddim'"),
        (["checkpoint=labmaze"], "holds a model of kind world"),
        (["prompt=nowhere.zip"], "nowhere.zip"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_code_2(
    words: list[str], more: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sample.main([*words, f"out={tmp_path / 'x'}", *more]) == 2
    assert says in capsys.readouterr().err
