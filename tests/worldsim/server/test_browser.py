"""A real Chromium plays over a real server: keys, mouse, touch, gamepad, sliders, files, and a line that is cut."""

from __future__ import annotations

import base64
import contextlib
import http.client
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from envs.episodes.episode import Episode
from tests.helpers.small_model import small_checkpoint
from tests.helpers.tls import tls_proxy
from worldsim.session import snapshot
from worldsim.session.processes import environment

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed (the extra `test` has it)"
)

ROOT = Path(__file__).parents[3]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PATIENCE = 180.0  # seconds; a machine may be busy
PUBLIC = "play.example"  # the name that a proxy is asked under
ARGUMENTS = ["--no-sandbox", "--disable-gpu", f"--host-resolver-rules=MAP {PUBLIC} 127.0.0.1"]
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no Chromium here: apt-get install chromium (.ci/run does)"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("played")


@contextlib.contextmanager
def _served(folder: Path, *words: str) -> Iterator[str]:
    """The address of a server in a process of its own, with a small model's dream of Blocks."""
    words = ("--env", "minecraft", "--browser", "--port", "0", "--sessions", "16", "--seed", "3", *words)
    served = subprocess.Popen(
        [
            sys.executable,
            str(ROOT / "run_demo.py"),
            *words,
            "--checkpoint",
            str(small_checkpoint(folder / "small")),
        ],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=(folder / "stderr").open("w"),
        text=True,
    )
    try:
        assert served.stdout is not None
        for line in served.stdout:
            if found := re.search(r"http://\S+", line):
                break
        else:
            raise AssertionError((folder / "stderr").read_text())
        threading.Thread(target=served.stdout.read, daemon=True).start()
        yield found.group()
    finally:
        served.terminate()
        assert served.wait(PATIENCE) == 143
        assert "Traceback" not in (folder / "stderr").read_text()


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with _served(folder) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture
def opened(browser: Any, address: str) -> Iterator[Callable[..., Any]]:
    """Opens pages that play; what a page's console complains of fails the test."""
    contexts, complaints = [], []

    def open_page(at: str = address, **options: Any) -> Any:
        context = browser.new_context(**{"viewport": WIDE, **options})
        context.set_default_timeout(PATIENCE * 1000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(at)
        page.wait_for_selector(".pane canvas")
        _until(page, "/[0-9]/.test(document.querySelector('#pace').textContent)")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints


def _until(page: Any, words: str, argument: Any = None, seconds: float = PATIENCE) -> None:
    """Ask again and again from here: the page's own policy forbids to evaluate words in it."""
    deadline = time.monotonic() + seconds
    while not page.evaluate(words, argument):
        assert time.monotonic() < deadline, f"{words} ({argument})"
        page.wait_for_timeout(50)


def _note(page: Any) -> str:
    return str(page.inner_text(".pane >> nth=0 >> p"))


def _pose(page: Any) -> list[float]:
    numbers = re.search(r"at (\S+) (\S+) (\S+), looking (\S+), (\S+)", _note(page))
    assert numbers, _note(page)
    return [float(n) for n in numbers.groups()]


def _frame(page: Any) -> int:
    found = re.search(r"frame (\d+)", _note(page))
    assert found
    return int(found.group(1))


def _held(page: Any, cap: str) -> None:
    _until(
        page,
        "cap => [...document.querySelectorAll('#caps .held')].some(c => c.textContent.includes(cap))",
        cap,
    )


def _notice(page: Any, words: str) -> None:
    _until(page, "words => document.querySelector('#status').textContent.includes(words)", words)


def _moved(page: Any, before: list[float], index: slice, least: float) -> None:
    deadline = time.monotonic() + PATIENCE
    while max(abs(a - b) for a, b in zip(_pose(page)[index], before[index], strict=True)) < least:
        assert time.monotonic() < deadline, (_pose(page), before)
        page.wait_for_timeout(50)


PLACE, LOOK = slice(0, 3), slice(3, 5)


def test_keys_walk_and_turn_and_their_latency_is_told(opened: Callable[..., Any]) -> None:
    page = opened()
    before = _pose(page)
    page.keyboard.down("ArrowRight")
    _moved(page, before, LOOK, 10)
    page.keyboard.up("ArrowRight")
    page.keyboard.down("w")
    _held(page, "W")
    _moved(page, before, PLACE, 0.3)
    page.keyboard.up("w")
    _until(page, "/p50 \\d+ ms, p99 \\d+ ms \\(n=[1-9]/.test(document.querySelector('#latency').textContent)")
    page.keyboard.press("F1")
    assert page.is_visible("#help")
    page.keyboard.press("Escape")
    assert page.locator("body").evaluate("b => b.scrollWidth <= window.innerWidth")


def test_compare_needle_and_sliders(opened: Callable[..., Any], folder: Path) -> None:
    page = opened()
    page.keyboard.press("c")
    _until(page, "document.querySelectorAll('.pane').length === 3")
    slider = page.locator("label[data-dial=budget] input")
    slider.evaluate("s => { s.value = 0; s.dispatchEvent(new Event('input', {bubbles: true})); }")
    _until(page, "document.querySelector('label[data-dial=budget] span').textContent === 'budget: 2'")
    page.keyboard.press("]")
    page.keyboard.press("[")
    _until(page, "document.querySelector('label[data-dial=history] span').textContent === 'history: 8'")
    page.keyboard.press("t")
    _notice(page, "past: true at every")  # which it asks for; on a fast machine it ends before this is gone
    start = _frame(page)
    while _frame(page) < start + 160:  # longer than it takes
        page.wait_for_timeout(50)
    assert "is playing" not in page.inner_text("#status")
    assert page.is_visible("#badge") or "no view" in page.inner_text("#no-revisit")
    page.screenshot(path=str(folder / "1280.png"), full_page=True)
    page.keyboard.press("c")
    _until(page, "document.querySelectorAll('.pane').length === 2")


def test_what_was_recorded_clipped_and_bookmarked_can_be_downloaded(
    opened: Callable[..., Any], tmp_path: Path
) -> None:
    page = opened()
    page.keyboard.press("r")
    page.wait_for_selector(".mark.rec")
    page.keyboard.down("w")
    start = _frame(page)
    while _frame(page) < start + 12:
        page.wait_for_timeout(50)
    page.keyboard.up("w")
    for key in ("r", "v", "b"):
        page.keyboard.press(key)
    for suffix in (".zip", ".mp4", ".safetensors"):
        link = page.locator(f"#files a[download$='{suffix}']")
        link.wait_for()
        deadline = time.monotonic() + PATIENCE
        while page.request.get(page.evaluate("a => a.href", link.element_handle())).status == 404:
            assert time.monotonic() < deadline  # it is sealed beside play
            page.wait_for_timeout(200)
        with page.expect_download() as download:
            link.click()
        download.value.save_as(tmp_path / f"got{suffix}")
    with Episode(tmp_path / "got.zip") as episode:
        assert len(episode) > 12
    assert snapshot.read(tmp_path / "got.safetensors").tree["dreams"]["names"] == ["memory"]
    assert (tmp_path / "got.mp4").stat().st_size > 1000


def test_a_bookmark_is_gone_back_to(opened: Callable[..., Any]) -> None:
    page = opened()
    page.keyboard.press("p")
    page.wait_for_selector("button.on[data-command=pause]")
    page.wait_for_timeout(300)
    page.keyboard.press("b")
    page.wait_for_selector("#files a[download$='.safetensors']")
    frame, pose = _frame(page), _pose(page)
    assert f"bookmark1-frame{frame}" in page.inner_text("#files")
    page.keyboard.press("p")
    page.keyboard.down("w")
    _moved(page, pose, PLACE, 0.3)
    page.keyboard.up("w")
    page.keyboard.press("p")
    page.keyboard.press("g")
    _notice(page, f"back at bookmark 1, frame {frame}")
    _until(page, "pose => document.querySelector('.pane p').textContent.startsWith(pose)", f"frame {frame},")
    assert _pose(page) == pose


def test_a_click_captures_the_mouse_which_looks_and_digs(opened: Callable[..., Any]) -> None:
    page = opened()
    box = page.locator("#worlds").bounding_box()
    x, y = box["x"] + 200, box["y"] + 200
    page.mouse.click(x, y)
    try:
        _until(page, "document.pointerLockElement !== null", seconds=20)
    except AssertionError:
        pytest.skip("this Chromium gives no page the mouse without a screen")
    before = _pose(page)
    for i in range(1, 20):
        page.mouse.move(x + 12 * i, y)
    _moved(page, before, LOOK, 5)
    page.mouse.down()
    _held(page, "left button")
    page.mouse.up()
    page.keyboard.press("Tab")
    _until(page, "document.pointerLockElement === null")


PAD = """
window.pad = { mapping: "standard", connected: true, axes: [0, 0, 0, 0],
  buttons: Array.from({ length: 17 }, () => ({ pressed: false, value: 0 })) };
navigator.getGamepads = () => [window.pad];
"""


def test_a_gamepad_walks_looks_and_acts(browser: Any, opened: Callable[..., Any]) -> None:
    page = opened()
    page.evaluate(PAD)
    before = _pose(page)
    page.evaluate("pad.axes = [0, -1, 0.9, 0]")
    _held(page, "W")
    _moved(page, before, LOOK, 10)
    _moved(page, before, PLACE, 0.2)
    page.evaluate("pad.axes = [0, 0, 0, 0]; pad.buttons[7] = { pressed: true, value: 1 }")
    _held(page, "left button")
    page.evaluate("pad.buttons[7] = { pressed: false, value: 0 }")
    _until(page, "document.querySelectorAll('#caps .held').length === 0")
    after = _pose(page)
    page.wait_for_timeout(400)
    assert abs(_pose(page)[3] - after[3]) < 1


def test_two_fingers_walk_and_look_on_a_small_screen(opened: Callable[..., Any], folder: Path) -> None:
    page = opened(viewport=NARROW, has_touch=True, is_mobile=True)
    box = page.locator("#worlds").bounding_box()
    left, right, y = (
        box["x"] + box["width"] * 0.25,
        box["x"] + box["width"] * 0.75,
        box["y"] + box["height"] * 0.7,
    )
    touch = page.context.new_cdp_session(page)

    def fingers(kind: str, *points: tuple[float, float, int]) -> None:
        told = [{"x": px, "y": py, "id": number} for px, py, number in points]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": told})

    before = _pose(page)
    fingers("touchStart", (left, y, 1))
    fingers("touchMove", (left, y - 60, 1))
    _held(page, "W")
    fingers("touchStart", (left, y - 60, 1), (right, y, 2))
    for i in range(1, 9):
        fingers("touchMove", (left, y - 60, 1), (right + 8 * i, y, 2))
    _moved(page, before, LOOK, 5)
    _moved(page, before, PLACE, 0.2)
    fingers("touchEnd")
    _until(page, "document.querySelectorAll('#caps .held').length === 0")
    assert "right half looks" in page.inner_text("#status")
    jump = page.locator("#touch [data-hold=jump]").bounding_box()
    fingers("touchStart", (jump["x"] + 10, jump["y"] + 10, 3))
    _held(page, "space")
    fingers("touchEnd")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.screenshot(path=str(folder / "390.png"))


class Line:
    """A way to the server that can be cut."""

    def __init__(self, address: str) -> None:
        self._to = urlsplit(address).hostname, urlsplit(address).port
        self._open, self._sockets = True, list[socket.socket]()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listening.getsockname()[1]}/"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._open = False
        for each in self._sockets:
            with contextlib.suppress(OSError):  # it was left already
                each.shutdown(socket.SHUT_RDWR)
        self._sockets.clear()

    def mend(self) -> None:
        self._open = True

    def close(self) -> None:
        self._listening.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                here, _ = self._listening.accept()
            except OSError:
                return
            if not self._open:
                here.close()
                continue
            there = socket.create_connection(self._to)  # type: ignore[arg-type]
            self._sockets += [here, there]
            for a, b in ((here, there), (there, here)):
                threading.Thread(target=self._pump, args=(a, b), daemon=True).start()

    @staticmethod
    def _pump(a: socket.socket, b: socket.socket) -> None:
        try:
            while data := a.recv(65536):
                b.sendall(data)
            b.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def test_a_line_that_was_cut_brings_the_same_session_back(opened: Callable[..., Any], address: str) -> None:
    line = Line(address)
    try:
        page = opened(line.address)
        session = page.evaluate("JSON.parse(sessionStorage.getItem('worldsim')).session")
        before = _pose(page)
        page.keyboard.down("w")
        _moved(page, before, PLACE, 0.3)
        page.keyboard.up("w")
        page.keyboard.down("s")
        _held(page, "S")
        line.cut()
        _notice(page, "the connection was lost")
        there = _frame(page)
        line.mend()
        _until(
            page,
            "n => Number(document.querySelector('.pane p').textContent.match(/frame (\\d+)/)[1]) > n",
            there + 3,
        )
        assert page.evaluate("JSON.parse(sessionStorage.getItem('worldsim')).session") == session
        page.keyboard.down("s")  # as a keyboard repeats it: it was held all the time
        _held(page, "S")  # it is still the player
        page.reload()
        page.wait_for_selector(".pane canvas")
        assert page.evaluate("JSON.parse(sessionStorage.getItem('worldsim')).session") == session
    finally:
        line.close()


def test_who_looks_on_sees_and_cannot_play(opened: Callable[..., Any]) -> None:
    page = opened()
    page.wait_for_selector("#seats a")
    other = opened(page.evaluate("document.querySelector('#seats a').href"))
    assert other.is_disabled("[data-command=pause]")
    _until(page, "document.querySelector('#seats').textContent.includes('1 page looks on')")
    other.keyboard.press("p")
    page.keyboard.press("p")
    other.wait_for_selector("button.on[data-command=pause]")


def test_behind_a_proxy_with_tls_the_page_plays_and_another_sites_page_gets_no_socket(
    opened: Callable[..., Any], tmp_path: Path
) -> None:
    trustme = pytest.importorskip("trustme", reason="trustme is not installed (the extra `test` has it)")
    authority, certified = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(PUBLIC).configure_cert(certified)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with _served(tmp_path, "--public-name", PUBLIC) as address, tls_proxy(address, certified) as port:
        token, site = urlsplit(address).query, f"https://{PUBLIC}:{port}"
        page = opened(f"{site}/?{token}", ignore_https_errors=True)
        before = _pose(page)
        page.keyboard.down("w")
        _held(page, "W")
        _moved(page, before, PLACE, 0.3)
        page.keyboard.up("w")

        def refused(origin: str, query: str = token) -> bool:
            # In one thread: the library's own blocking client loses requests over TLS (worldsim/dream/remote/line.py).
            asked = http.client.HTTPConnection(PUBLIC, port)
            line = socket.create_connection(("127.0.0.1", port), PATIENCE)
            with trusting.wrap_socket(line, server_hostname=PUBLIC) as asked.sock:
                upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
                key = base64.b64encode(bytes(16)).decode()
                asked.request(
                    "GET", f"/play?{query}", headers={**upgrade, "Sec-WebSocket-Key": key, "Origin": origin}
                )
                status = asked.getresponse().status
            assert status in (101, 403)
            return status == 403

        assert not refused(site)
        assert refused("https://evil.example") and refused(f"https://{PUBLIC}.evil.example:{port}")
        assert refused(site, "token=wrong")
        page.context.close()
