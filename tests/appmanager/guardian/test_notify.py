"""systemd hears of the guardian: from a real one, by a real datagram socket, while things go wrong for real."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appmanager.guardian.child import SILENT_S, Child
from appmanager.guardian.notify import HEARD_WITHIN_S, Systemd
from gridlink.testing import eventually
from tests.acceptance.running import bundle, good, running
from tests.appmanager.guardian.processes import alive
from tests.appmanager.guardian.systemd import listening
from tests.gridlink.conftest import require_nats_server


@pytest.fixture
def node() -> Iterator[Child]:
    """The guardian's end of a lifeline: of a process that has just been started."""
    child = Child("node", os.getpid(), *os.pipe())
    yield child
    child.close()


def state_of(pid: int) -> str:
    """R, S, T (stopped)…"""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.fixture
def managed(tmp_path: Path) -> Path:
    """One bundle in the node, which says whether it sees systemd's address, and one in a process of its own."""
    require_nats_server()
    directory = tmp_path / "managed"
    bundle(directory, "inside", good("inside"))
    asks = good("apart").replace('return "pong"', 'import os; return os.environ.get("NOTIFY_SOCKET", "pong")')
    bundle(directory, "apart", asks, mode="process")
    return directory


async def test_systemd_hears_of_the_start_of_faults_and_of_the_end(
    managed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """READY once, WATCHDOG as long as the node lives, STATUS of now, STOPPING before the children are ended."""
    address = tmp_path / "notify"
    monkeypatch.setenv("NOTIFY_SOCKET", str(address))
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    with listening(address) as systemd:
        async with running(managed) as node:
            await node.all_running("inside", "apart")
            # The AppManager's words and the node's come by two pipes, each assignment is a datagram of its own: all of
            # them have to have come, in whatever order of the three.
            await eventually(lambda: {"READY=1", "WATCHDOG=1"} <= set(systemd.all()), timeout_s=10)
            await eventually(lambda: systemd.status() == "2 of 2 bundles are RUNNING", timeout_s=10)
            said = systemd.all()
            assert said.count("READY=1") == 1
            assert said.index("READY=1") < said.index("WATCHDOG=1")
            assert await node.sender.request("apart", "ping") == "pong"  # the address isn't handed on
            await systemd.until("WATCHDOG=1", within_s=5)

            first = node.file["pids"]["node"]
            os.kill(first, signal.SIGKILL)
            await eventually(lambda: "STATUS=the node has ended and is started again" in systemd.all(), timeout_s=10)
            await eventually(lambda: systemd.status() == "2 of 2 bundles are RUNNING", timeout_s=20)
            await systemd.until("WATCHDOG=1", within_s=5)
            assert systemd.count("READY=1") == 1

            assert await asyncio.to_thread(node.stop) == 0
            assert systemd.count("STOPPING=1") == 1
            assert systemd.status() == "the guardian ends: it was told to"


@pytest.mark.slow
async def test_a_stopped_node_starves_the_watchdog_until_the_guardian_has_replaced_it(
    managed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that says nothing is not what systemd is to be told is alive; at an abstract address, too."""
    address = f"@gridlink-test-{os.getpid()}"
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    with listening(address) as systemd:
        async with running(managed) as node:
            await node.all_running("inside", "apart")
            await systemd.until("WATCHDOG=1", within_s=10)
            first = node.file["pids"]["node"]
            os.kill(first, signal.SIGSTOP)
            hungry_s = time.monotonic() + HEARD_WITHIN_S + 1.0

            def is_killed() -> bool:
                systemd.all()  # as it comes: each is noted with the time of its reading
                return not alive(first)

            await eventually(is_killed, timeout_s=SILENT_S + 10)
            killed_s = time.monotonic()
            assert systemd.count("WATCHDOG=1", since_s=hungry_s) == 0
            assert killed_s > hungry_s + 2  # there was time to be fed wrongly
            await eventually(lambda: systemd.status() == "2 of 2 bundles are RUNNING", timeout_s=30)
            await systemd.until("WATCHDOG=1", within_s=5)


@pytest.mark.slow
async def test_a_stopped_guardian_starves_the_watchdog(
    managed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This is what systemd is there for: the guardian itself hangs, and nobody else would notice."""
    address = tmp_path / "notify"
    monkeypatch.setenv("NOTIFY_SOCKET", str(address))
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    with listening(address) as systemd:
        async with running(managed) as node:
            await node.all_running("inside", "apart")
            await systemd.until("WATCHDOG=1", within_s=10)
            node.process.send_signal(signal.SIGSTOP)
            await eventually(lambda: state_of(node.process.pid) == "T", timeout_s=5)
            fed = systemd.count("WATCHDOG=1")
            await asyncio.sleep(3)  # fifteen times as long as it is fed in
            assert systemd.count("WATCHDOG=1") == fed
            node.process.send_signal(signal.SIGCONT)
            await systemd.until("WATCHDOG=1", within_s=10)


def test_without_systemd_nothing_is_said_and_nothing_is_taken_from_the_environment() -> None:
    """Most starts are an operator's at a terminal."""
    environment = {"HOME": "/"}
    systemd = Systemd(environment)
    systemd.turn(0.0, None)
    systemd.status("x")
    systemd.stopping("y")
    assert environment == {"HOME": "/"}


def test_what_a_full_queue_or_a_missing_socket_does_not_take_is_said_later(tmp_path: Path, node: Child) -> None:
    """Neither may hold the guardian up; and a READY that is lost would have systemd end a node that runs."""
    systemd = Systemd({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    systemd.turn(0.0, None)
    node.ready = True
    systemd.turn(0.1, node)
    with listening(tmp_path / "notify") as heard:
        filler = Systemd({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        for number in range(10_000):
            filler.status(str(number))
            filler.turn(0.0, None)
        systemd.turn(0.2, node)
        assert "READY=1" not in heard.all()
        systemd.turn(0.3, node)
        systemd.turn(0.4, node)
        assert heard.count("READY=1") == 1
        assert heard.status() == "the node is up"


def test_what_the_appmanager_says_before_the_node_is_up_stays(tmp_path: Path, node: Child) -> None:
    """The two come by two pipes, and small bundles run within one turn of the guardian's loop."""
    with listening(tmp_path / "notify") as heard:
        systemd = Systemd({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        systemd.turn(0.0, node)
        assert heard.all() == []
        systemd.status("1 of 1 bundles are RUNNING")
        node.ready = True
        systemd.turn(0.1, node)
        systemd.turn(0.2, node)
        assert heard.all() == ["READY=1", "STATUS=1 of 1 bundles are RUNNING"]
        systemd.turn(0.3, None)
        assert heard.status() == "the node has ended and is started again"
        systemd.turn(0.4, node)
        assert heard.status() == "the node is up"


@pytest.mark.parametrize("watched", ["1", "x", ""])
def test_a_watchdog_of_another_process_is_not_fed(tmp_path: Path, watched: str, node: Child) -> None:
    """WATCHDOG_PID names whom systemd expects it of: a child that inherits the variables has nothing to say."""
    node.ready = True
    address = tmp_path / "notify"
    with listening(address) as heard:
        pid = watched or str(os.getpid())
        said = Systemd({"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": pid})
        now_s = time.monotonic()
        said.turn(now_s, node)
        said.turn(now_s + 0.1, node)
        assert heard.count("WATCHDOG=1") == (0 if watched else 1)
        assert heard.count("READY=1") == 1
