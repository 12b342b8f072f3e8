"""A dream on another machine is the dream: the same frames, and where it is lost the true world plays on."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import run_demo
from envs.episodes.episode import Episode
from tests.helpers.small_model import SIZE, SPEC, small_checkpoint
from tests.helpers.small_world import Drum, act
from tests.helpers.tls import tls_proxy
from tests.worldsim.dream.remote.conftest import serving
from worldsim.checkpoint import LoadedModel
from worldsim.dream.context import DreamError
from worldsim.dream.env import Dream
from worldsim.dream.registry import Options, find
from worldsim.dream.remote.client import RemotePredictor
from worldsim.dream.remote.link import Link
from worldsim.dream.world import WorldPredictor
from worldsim.session.interfaces import DreamLost
from worldsim.session.processes import environment
from worldsim.session.session import Session
from worldsim.session.snapshot import SnapshotError

ROOT = Path(__file__).parents[4]
PATIENCE = 240


class SmallDrum(Drum):
    """Pictures as small as the model's."""

    def _look(self) -> Any:
        seen, info = super()._look()
        return {"pov": np.ascontiguousarray(seen["pov"][::2, ::2])}, info


def _walk(dreams: list[Dream[Any]], steps: int = 40) -> np.ndarray:
    """Frames (steps, dreams, H, W, 3) of dreams that are corrected, prepared and turned on the way."""
    rng, space = np.random.default_rng(0), dreams[0].action_space
    space.seed(3)
    actions = [space.sample() for _ in range(steps + 4)]
    frames = rng.integers(0, 256, (5, SIZE, SIZE, 3), np.uint8)
    poses = rng.normal(size=(steps + 5, 5))
    for dream in dreams:
        dream.reset(seed=1, options={"frames": frames, "actions": actions[:4], "poses": poses[:5]})
    shown = []
    for i, action in enumerate(actions[4:]):
        for dream in dreams:
            dream.set_true_pose(poses[i + 5])
        shown.append([step[0] for step in dreams[0].together(dreams, action)])
        true = rng.integers(0, 256, (8, SIZE, SIZE, 3), np.uint8)
        for dream in dreams:
            dream.prefetch(true[-1])
            if i % 8 == 7:
                dream.correct(true, poses[i - 2 : i + 6])
            if i == 20:
                dream.budget = 2
            dream.prepare()
    return np.array(shown)


@pytest.mark.parametrize("settings", [{}, {"pose_from": "true"}, {"denoising_steps": 3}])
def test_a_remote_dream_shows_the_same_frames_bit_for_bit(
    loaded: LoadedModel, address: str, settings: dict[str, Any]
) -> None:
    link = Link(address)
    here = [Dream(WorldPredictor(loaded), history=h, **settings) for h in (20, 4)]
    there = [Dream(RemotePredictor(link, SIZE, SPEC), history=h, **settings) for h in (20, 4)]
    assert np.array_equal(_walk(here), _walk(there))
    assert there[0].state is not None and there[0].state.about["memory_frames"] == 20
    link.close()


def test_the_way_there_counts_into_the_milliseconds(address: str) -> None:
    source = find(address)
    dream = source.dream(Options(size=SIZE, action_spec=SPEC))
    dream.reset(seed=1)
    info = dream.step(np.zeros(20, np.float32))[4]
    assert info["ms"]["network"] > 0 and info["step_ms"] >= sum(info["ms"].values()) * 0.99
    source.link.close()  # type: ignore[union-attr]


def test_a_remote_dream_is_kept_and_goes_on_here_and_there(loaded: LoadedModel, address: str) -> None:
    link = Link(address)
    there, here = Dream(RemotePredictor(link)), Dream(WorldPredictor(loaded))
    _walk([there], 24)
    state, actions = there.save(), [there.action_space.sample() for _ in range(20)]
    first = [there.step(action)[0] for action in actions]
    there.load(state)
    here.load(state)
    assert np.array_equal(first, [there.step(action)[0] for action in actions])
    assert np.array_equal(first, [here.step(action)[0] for action in actions])
    with serving(lambda size, spec: WorldPredictor(loaded), "others") as other:
        foreign = Link(other)
        with pytest.raises(SnapshotError, match="other weights"):
            Dream(RemotePredictor(foreign)).load(state)
        foreign.close()
    link.close()


def test_what_the_server_refuses_is_said_in_its_words(address: str) -> None:
    link = Link(address)
    with pytest.raises(DreamError, match="expected 32 or a multiple"):
        RemotePredictor(link, 48)
    with pytest.raises(ValueError, match="speaks minecraft actions"):
        RemotePredictor(link, SIZE, {**SPEC, "family": "other"})
    RemotePredictor(link, 2 * SIZE)
    link.close()


def test_no_server_is_one_sentence_without_its_token(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        words = ("--env", "minecraft", "--headless", "--checkpoint")
        assert run_demo.main([*words, f"ws://127.0.0.1:{taken.getsockname()[1]}/?token=secret"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: no dream answers at ws://127.0.0.1") and "secret" not in told
    assert told.count("\n") == 1


def _served(folder: Path, port: int) -> subprocess.Popen[str]:
    words = ["-m", "worldsim_app", "dream-server", f"checkpoint={folder}", "--port", str(port)]
    started = subprocess.Popen(
        [sys.executable, *words], cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True
    )
    assert started.stdout is not None
    assert f"at ws://127.0.0.1:{port}/" in started.stdout.readline()
    return started


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_a_server_killed_in_mid_step_leaves_the_true_world_playing_and_x_brings_it_back(
    tmp_path: Path,
) -> None:
    folder = small_checkpoint(tmp_path / "small")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    served = _served(folder, port)
    try:
        source = find(f"ws://127.0.0.1:{port}")
        session = Session(SmallDrum(), {"memory": source.dream(Options(size=SIZE, action_spec=SPEC))})
        session.reset(seed=3)
        for _ in range(3):
            assert session.step(act(yaw=5)).dreams
        served.send_signal(signal.SIGSTOP)  # it has got the question and will never answer
        timer = subprocess.Popen(["sh", "-c", f"sleep 1; kill -9 {served.pid}"])
        began = time.monotonic()
        ticks = [session.step(act(yaw=5)) for _ in range(30)]
        timer.wait()
        assert time.monotonic() - began < 20
        assert [tick.index for tick in ticks] == list(range(4, 34)) and not any(tick.dreams for tick in ticks)
        told = session.controls.notices.get_nowait()
        assert "is gone" in told and "the true world plays on, X starts it again" in told
        session.controls.restart_dreams()
        assert not session.step(act()).dreams  # nobody is there yet
        assert "no dream answers" in session.controls.notices.get_nowait()
        served.wait()
        served = _served(folder, port)
        session.controls.restart_dreams()
        assert session.step(act(yaw=5)).dreams["memory"].frame.shape == (SIZE, SIZE, 3)
        assert "dreams started again from the last" in session.controls.notices.get_nowait()
    finally:
        served.kill()
        served.wait()


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_the_recording_of_a_session_that_lost_its_dream_is_whole(here: Path) -> None:
    served = _served(small_checkpoint(here / "small"), port := _free_port())
    words = [
        "--env",
        "minecraft",
        "--headless",
        "--policy",
        "explore",
        "--steps",
        "60",
        "--record",
        str(here / "rec"),
    ]
    words += ["--checkpoint", f"ws://127.0.0.1:{port}", "--report", str(here / "r.json")]
    play = subprocess.Popen(
        [sys.executable, str(ROOT / "run_demo.py"), *words],
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + PATIENCE
        while len(list(here.glob("rec/*.partial/frames/*.png"))) < 8 and play.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        served.kill()
        _, told = play.communicate(timeout=PATIENCE)
    finally:
        served.kill()
        play.kill()
        served.wait()
    assert play.returncode == 0, told
    (recorded,) = (here / "rec").glob("*.zip")
    assert len(Episode(recorded)) == 61
    report = json.loads((here / "r.json").read_text())
    assert report["steps"] == 60 and report["checkpoint"] == f"ws://127.0.0.1:{port}"


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_a_server_that_knows_only_the_protocol_plays() -> None:
    port = _free_port()
    words = [sys.executable, str(ROOT / "examples" / "remote_last_frame.py"), str(port)]
    served = subprocess.Popen(words)
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                source = find(f"ws://127.0.0.1:{port}")
                break
            except DreamError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        session = Session(
            SmallDrum(), {"memory": source.dream(Options(size=SIZE, action_spec=SPEC))}, history_from="true"
        )
        first = session.reset(seed=3)
        shown = [session.step(act(yaw=2)).dreams["memory"].frame for _ in range(20)]
        assert np.array_equal(shown[2], np.maximum(first.true_frame.astype(int) - 3, 0))
        session.controls.place_bookmark()
        session.step(act())
        assert "it keeps no states" in session.controls.notices.get_nowait()
        source.link.close()  # type: ignore[union-attr]
    finally:
        served.kill()
        served.wait()


def test_another_dream_at_the_same_address_is_not_taken_for_the_first(loaded: LoadedModel) -> None:
    port = _free_port()
    with serving(lambda size, spec: WorldPredictor(loaded), "one", port) as address:
        link = Link(address)
        dream = Dream(RemotePredictor(link))
        dream.reset(seed=1)
    with pytest.raises(DreamLost):
        dream.step(np.zeros(20, np.float32))
    with (
        serving(lambda size, spec: WorldPredictor(loaded), "two", port),
        pytest.raises(DreamLost, match="another dream"),
    ):
        dream.reset(seed=1)


def test_over_tls_every_one_of_many_connections_is_answered(
    loaded: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trustme = pytest.importorskip("trustme", reason="trustme is not installed (the extra `test` has it)")
    authority, certified = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(certified)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with (
        serving(lambda size, spec: WorldPredictor(loaded, size=size), loaded.fingerprint) as address,
        tls_proxy(address, certified) as port,
    ):
        for _ in range(200):  # one in a hundred was lost where two threads shared a connection
            link = Link(f"wss://localhost:{port}")
            assert link.request("open")["type"] == "done"
            link.close()
        monkeypatch.delenv("SSL_CERT_FILE")
        with pytest.raises(DreamError, match="certificate"):
            Link(f"wss://localhost:{port}")
