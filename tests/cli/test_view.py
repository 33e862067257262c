"""`gridlink-node` on a terminal: a real guardian below a pseudo-terminal, and a real Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.cli.terminal import Terminal
from tests.conftest import BUNDLES, command

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


def viewing(managed: Path, columns: int = 100) -> Terminal:
    """`gridlink-node` in a terminal."""
    return Terminal(command("--manage", managed, "--for", "60", program="gridlink-node"), columns=columns)


def test_a_terminal_shows_the_modules_until_ctrl_c_which_ends_all(tmp_path: Path) -> None:
    """A site without a grid: the modules alone; the node ends in order, and nothing of it is left."""
    managed = bundle(tmp_path / "managed", "pass")
    terminal = viewing(managed)
    terminal.shows(r"probe@\S+ +RUNNING", r"appmanager@\S+ +RUNNING", "Ctrl-C ends it", r"1 of 1 bundles are RUNNING")
    guardian = json.loads((managed / ".gridlink" / "node.json").read_text())["pids"]["guardian"]
    terminal.type(b"\x03")
    assert terminal.ends() == 0
    assert not lives(guardian)
    assert "the guardian ends: it was told to" in (managed / ".gridlink" / "logs" / "console.out").read_text()


def test_a_lost_connection_is_a_line_of_the_log_and_not_across_the_picture(tmp_path: Path) -> None:
    """The view's own bus warns of it; on a terminal of 40 columns, too."""
    managed = bundle(tmp_path / "managed", "pass")
    terminal = viewing(managed, columns=40)
    terminal.shows(r"probe@\S+ +RUNNING")
    os.kill(json.loads((managed / ".gridlink" / "node.json").read_text())["pids"]["nats_server"], signal.SIGKILL)
    terminal.shows("the view: WARNING the connection")
    assert "the connection to" not in terminal.shown.replace("the view: WARNING the connection", "")
    terminal.type(b"\x03")
    assert terminal.ends() == 0


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
    terminal = viewing(managed)
    terminal.shows(r"lowest \d\.\d{4} pu at bus_\d+", r"tap +[-+]?\d", r"problems", r"site time 2\d\d\d-.*\(288 x\)")
    terminal.type(b"\x03")
    assert terminal.ends() == 0
