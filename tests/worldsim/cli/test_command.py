"""How a command ends: by a signal as by Ctrl-C, by a reader who left as in any pipe, and always with its work kept."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from worldsim.cli.command import command, ended_by_signals, explain

ROOT = Path(__file__).parents[3]
CHILD = """
import sys, time
from pathlib import Path
from worldsim.cli.command import command, say

@command
def main(words):
    try:
        print("begun", flush=True)
        for i in range(int(words[0])):
            time.sleep(0.01)
            (print if words[1] == "print" else say)("x" * 10_000)
    finally:
        Path(words[2]).write_text("kept")

sys.exit(main())
"""


def _child(kept: Path, count: int, how: str, **options: object) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-c", CHILD, str(count), how, str(kept)]
    return subprocess.Popen(words, cwd=ROOT, **options)  # type: ignore[call-overload,no-any-return]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)]
)
def test_a_signal_ends_a_command_as_ctrl_c_does(tmp_path: Path, number: signal.Signals, code: int) -> None:
    child = _child(tmp_path / "kept", 6000, "say", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    child.send_signal(number)
    told = child.communicate(timeout=60)[1]
    assert child.returncode == code and told == b"interrupted\n"
    assert (tmp_path / "kept").read_text() == "kept"


def test_a_signal_that_is_ignored_stays_ignored_and_others_are_as_before() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_by_signals():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(("how", "code"), [("print", 141), ("say", 0)])
def test_a_reader_who_left_is_no_traceback(tmp_path: Path, how: str, code: int) -> None:
    child = _child(tmp_path / "kept", 30, how, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout is not None and child.stderr is not None
    child.stdout.readline()
    child.stdout.close()
    assert child.wait(60) == code and child.stderr.read() == b""
    assert (tmp_path / "kept").read_text() == "kept"


def test_closed_streams_are_streams_that_lead_nowhere(tmp_path: Path) -> None:
    line = f'"{sys.executable}" -c "$CHILD" 1 print "{tmp_path / "kept"}" <&- >&- 2>&-'
    done = subprocess.run(["sh", "-c", line], cwd=ROOT, env={**os.environ, "CHILD": CHILD})
    assert done.returncode == 0 and (tmp_path / "kept").read_text() == "kept"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS])
def test_a_place_that_cannot_be_written_is_one_sentence(
    number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    @command
    def main(words: list[str]) -> None:
        raise OSError(number, os.strerror(number), "runs/x")

    assert main([]) == 2
    told = capsys.readouterr().err
    assert "runs/x" in told and len(told.splitlines()) == 1


def test_a_bug_keeps_its_traceback() -> None:
    bugs = (OSError(errno.EBADF, "odd"), OSError("odd"), KeyError("x"), EOFError("EOF when reading a line"))
    assert all(explain(error) is None for error in bugs)


@pytest.mark.parametrize("name", ["ENAMETOOLONG", "ELOOP", "ENOTEMPTY", "EINVAL", "EIO", "ETXTBSY"])
def test_what_the_system_says_of_a_file_is_one_sentence(name: str) -> None:
    number = getattr(errno, name)
    assert explain(OSError(number, os.strerror(number), "runs/x")) == f"{os.strerror(number)}: runs/x"
    renamed = OSError(number, os.strerror(number), "runs/x.new", None, "runs/x")
    assert explain(renamed) == f"{os.strerror(number)}: runs/x.new to runs/x"
    assert explain(OSError(number, os.strerror(number))) == os.strerror(number)


def test_a_file_that_ends_too_early_is_damaged_and_no_ctrl_c(capsys: pytest.CaptureFixture[str]) -> None:
    @command
    def main(words: list[str]) -> None:
        raise EOFError("No data left in file")

    assert main([]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and "damaged" in lines[0] and "No data left in file" in lines[0]
