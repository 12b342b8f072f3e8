"""Child processes that never outlive us: whatever ends this process, a small shell ends them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

FOLDERS = "worldsim-luanti-"
"""How the names of temporary folders begin, before the process and a hyphen."""

# The shell's input is a pipe from us. It closes when we close it, crash or are killed: then the child is told to end,
# and after two seconds made to. A stopped child is woken first. The child's number is the first line of the output.
_GUARD = """
trap '' PIPE
exec 3<&0
"$@" </dev/null >>"$LOG" 2>&1 3<&- & c=$!
echo $c; exec >&-
{
    read -r _ <&3
    kill $c; kill -CONT $c
    n=0
    while [ $n -lt 20 ] && kill -0 $c; do sleep 0.1; n=$((n + 1)); done
    kill -KILL $c
} 2>/dev/null & r=$!
wait $c; s=$?
kill -KILL $r 2>/dev/null
exit $s
"""


class Guarded:
    """A running command, in a session of its own, that ends with this process at the latest.

    Args:
        command: program and arguments; its input is empty.
        log: the file that gets its output.
        env: its environment.
    """

    def __init__(self, command: Sequence[str], log: Path, env: Mapping[str, str]) -> None:
        self.log = log
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "guard", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**env, "LOG": str(log)},
            start_new_session=True,
        )
        assert self._guard.stdout is not None
        self.pid = int(self._guard.stdout.readline())
        self._guard.stdout.close()

    @property
    def alive(self) -> bool:
        """Whether the command still runs."""
        return self._guard.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the command, if it still runs."""
        if self.alive:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def wait(self, seconds: float) -> bool:
        """Wait for the command to end by itself; whether it did."""
        with suppress(subprocess.TimeoutExpired):
            self._guard.wait(seconds)
        return not self.alive

    def last_words(self, lines: int = 3) -> str:
        """The end of what the command wrote."""
        text = self.log.read_text(errors="replace") if self.log.is_file() else ""
        return " | ".join([line.strip() for line in text.splitlines() if line.strip()][-lines:])

    def end(self) -> None:
        """Have the command told to end, without waiting for it."""
        assert self._guard.stdin is not None
        with suppress(OSError):
            self._guard.stdin.close()

    def close(self) -> None:
        """End the command; may be called twice."""
        self.end()
        try:
            self._guard.wait(5)
        except subprocess.TimeoutExpired:  # the shell itself hangs: end all of its session
            with suppress(ProcessLookupError):
                os.killpg(self._guard.pid, signal.SIGKILL)
            self._guard.wait(5)


def sweep() -> None:
    """Remove the folders of processes that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDERS}*-*"):
        owner = folder.name.removeprefix(FOLDERS).split("-")[0]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            shutil.rmtree(folder, ignore_errors=True)
