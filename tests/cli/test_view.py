"""`gridlink-node` on a terminal: a real guardian below a pseudo-terminal, and a real Ctrl-C."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

from tests.conftest import BUNDLES, clean_environment, command

PROBE = """
from gridlink import Module


class Probe(Module[None]):
    '''Does nothing.'''

    async def start(self) -> None:
        {body}
"""


def bundle(managed: Path, body: str) -> Path:
    """A managed directory with one module."""
    (managed / "probe" / "probe").mkdir(parents=True)
    manifest = {"name": "probe", "version": "1.0.0", "entry": "probe:Probe"}
    (managed / "probe" / "module.json").write_text(json.dumps(manifest))
    (managed / "probe" / "probe" / "__init__.py").write_text(PROBE.format(body=body))
    return managed


class Terminal:
    """`gridlink-node` in a terminal of 100 by 30."""

    def __init__(self, managed: Path) -> None:
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            environment = clean_environment() | {"TERM": "xterm-256color"}
            arguments = command("--manage", managed, "--for", "60", program="gridlink-node")
            os.execve(arguments[0], arguments, environment)
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self.shown = ""

    def shows(self, *patterns: str, within_s: float = 20.0) -> None:
        """Waits until all patterns have been shown."""
        deadline_s = time.monotonic() + within_s
        while not all(re.search(pattern, self.shown) for pattern in patterns):
            assert time.monotonic() < deadline_s, f"not shown: {patterns}\n{self.shown[-4000:]}"
            self._take()

    def _take(self) -> bool:
        if not select.select([self._fd], [], [], 0.1)[0]:
            return True
        try:
            received = os.read(self._fd, 65536)
        except OSError:  # Linux's way to say that the other side is closed
            return False
        self.shown += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", received.decode("utf-8", "replace"))
        return bool(received)

    def type(self, keys: bytes) -> None:
        """Presses keys."""
        os.write(self._fd, keys)

    def ends(self, within_s: float = 30.0) -> int:
        """The exit status, once it has ended."""
        deadline_s = time.monotonic() + within_s
        while time.monotonic() < deadline_s:
            self._take()
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                while self._take() and select.select([self._fd], [], [], 0)[0]:
                    pass
                os.close(self._fd)
                return os.waitstatus_to_exitcode(status)
        raise AssertionError(f"it did not end:\n{self.shown[-4000:]}")


def test_a_terminal_shows_the_modules_until_ctrl_c_which_ends_all(tmp_path: Path) -> None:
    """A site without a grid: the modules alone; the node ends in order, and nothing of it is left."""
    managed = bundle(tmp_path / "managed", "pass")
    terminal = Terminal(managed)
    terminal.shows(r"probe@\S+ +RUNNING", r"appmanager@\S+ +RUNNING", "Ctrl-C ends it", r"1 of 1 bundles are RUNNING")
    guardian = json.loads((managed / ".gridlink" / "node.json").read_text())["pids"]["guardian"]
    terminal.type(b"\x03")
    assert terminal.ends() == 0
    assert not lives(guardian)
    assert "the guardian ends: it was told to" in (managed / ".gridlink" / "logs" / "console.out").read_text()


def watching(state: Path, code: str) -> subprocess.Popen[str]:
    """The view over a guardian that is `code`, with nobody at a terminal."""
    watch = (
        "import sys\nfrom pathlib import Path\nfrom gridlink.cli.view import watch_guardian\n"
        f"sys.exit(watch_guardian([sys.executable, '-c', {code!r}], Path({str(state)!r})))"
    )
    return subprocess.Popen([sys.executable, "-c", watch], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_guardian_that_ends_by_itself_leaves_its_last_words(tmp_path: Path) -> None:
    """A view that vanished without a reason would be worse than none; the exit status is the guardian's."""
    view = watching(tmp_path, "print('nats-server did not start'); raise SystemExit(3)")
    _, words = view.communicate(timeout=20)
    assert (view.returncode, words) == (3, "nats-server did not start\n")


def test_a_view_that_is_killed_takes_its_guardian_along(tmp_path: Path) -> None:
    """A closed laptop must not leave a site running that nobody sees."""
    view = watching(tmp_path, "import os, time; print(os.getpid(), flush=True); time.sleep(60)")
    console = tmp_path / "logs" / "console.out"
    until(lambda: console.exists() and console.read_text().endswith("\n"), "the guardian runs")
    guardian = int(console.read_text())
    view.kill()
    view.communicate()
    until(lambda: not lives(guardian), "the guardian has ended")


def lives(pid: int) -> bool:
    """Whether the process runs; one that only waits to be reaped doesn't."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until(condition: Callable[[], bool], what: str) -> None:
    """Waits for a condition."""
    deadline_s = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline_s, f"not within 20 s: {what}"
        time.sleep(0.02)


def test_the_use_case_shows_its_grid(tmp_path: Path) -> None:
    """Voltages, tap and problems come from the topics, site time from the registry."""
    managed = tmp_path / "managed"
    managed.mkdir()
    for name in ("data_generator", "voltage_guard", "oltc_controller"):
        (managed / name).symlink_to(BUNDLES / name)
    terminal = Terminal(managed)
    terminal.shows(r"lowest \d\.\d{4} pu at bus_\d+", r"tap +[-+]?\d", r"problems", r"site time 2\d\d\d-.*\(288 x\)")
    terminal.type(b"\x03")
    assert terminal.ends() == 0
